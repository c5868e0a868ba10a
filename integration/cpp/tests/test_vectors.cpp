// SPDX-License-Identifier: BSD-3-Clause
// The test vectors that Python wrote: noise bit for bit, showers and events with the same cells, energies within 1e-4.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <tuple>

#include "check.hpp"
#include "model/onnx_file.hpp"
#include "models.hpp"
#include "support/json.hpp"
#include "support/sha256.hpp"

using fastcalo::core::Json;

namespace {

constexpr double TOLERANCE = 1e-4;

const Json& at(const Json& table, const char* key) {
    const Json* value = table.find(key);
    if (value == nullptr) throw std::runtime_error(std::string("the vectors lack ") + key);
    return *value;
}

// 64 bits stand as a text
std::uint64_t word(const Json& value) { return std::stoull(value.string()); }

bool close(double a, double b) { return std::fabs(a - b) <= TOLERANCE * std::fabs(b); }

fastcalo::Particles particles_of(const Json& list, fastcalo::Keys& keys) {
    fastcalo::Particles out;
    for (const Json& p : list.items()) {
        std::array<float, 3> direction{};
        std::array<float, 2> entry{};
        for (std::size_t k = 0; k < 3; ++k) direction[k] = static_cast<float>(at(p, "direction").items()[k].number());
        for (std::size_t k = 0; k < 2; ++k) entry[k] = static_cast<float>(at(p, "entry").items()[k].number());
        out.add(static_cast<std::int32_t>(at(p, "pdg").integer()), static_cast<float>(at(p, "kinetic_energy").number()),
                direction, entry);
        const Json& key = at(p, "keys");
        const std::uint64_t digest =
            fastcalo::event_digest(at(key, "run").integer(), at(key, "event").integer(),
                                   at(key, "luminosity_block").integer(), word(at(key, "repeat")));
        CHECK(digest == word(at(key, "digest")));
        keys.event.push_back(digest);
        keys.particle.push_back(static_cast<std::uint32_t>(at(key, "particle").integer()));
    }
    return out;
}

void check_noise(fastcalo::Noise& noise, const fastcalo::Contract& contract, const Json& list) {
    for (std::size_t i = 0; i < list.items().size(); ++i) {
        const auto& tensors = at(list.items()[i], "noise").items();
        CHECK(tensors.size() == noise.size());
        for (std::size_t t = 0; t < tensors.size(); ++t) {
            CHECK(at(tensors[t], "name").string() == contract.noise[t].name);
            const std::size_t width = contract.noise[t].width,
                              rows = static_cast<std::size_t>(at(tensors[t], "rows").integer());
            CHECK(rows <= static_cast<std::size_t>(noise.rows(t)));
            const float* mine = noise.tensor(t).data() + i * static_cast<std::size_t>(noise.rows(t)) * width;
            const auto& first = at(tensors[t], "first").items();
            for (std::size_t k = 0; k < first.size(); ++k) CHECK(mine[k] == static_cast<float>(first[k].number()));
            // on machines whose first byte is the lowest
            const std::string_view bytes(reinterpret_cast<const char*>(mine), rows * width * sizeof(float));
            CHECK_MORE(fastcalo::core::sha256(bytes) == at(tensors[t], "sha256").string(), contract.noise[t].name);
        }
    }
}

using Place = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // layer, x, y

void check_showers(const fastcalo::Showers& showers, const fastcalo::Contract& contract, const Json& list,
                   const std::string& what) {
    for (std::size_t s = 0; s < contract.sections.size(); ++s) {
        const fastcalo_section_showers view = showers.section(s);
        std::vector<std::map<Place, float>> mine(list.items().size());
        for (std::size_t h = 0; h < view.n; ++h)
            mine[static_cast<std::size_t>(view.shower[h])][{view.layer[h], view.x[h], view.y[h]}] = view.deposit[h];
        for (std::size_t i = 0; i < mine.size(); ++i) {
            const auto& hits =
                at(at(at(list.items()[i], "sections"), contract.sections[s].name.c_str()), "hits").items();
            CHECK_MORE(mine[i].size() == hits.size(), what + " shower " + std::to_string(i));
            for (const Json& hit : hits) {
                const auto& h = hit.items();
                const auto found = mine[i].find({h[0].integer(), h[1].integer(), h[2].integer()});
                CHECK_MORE(found != mine[i].end() && close(static_cast<double>(found->second), h[3].number()),
                           what + " shower " + std::to_string(i));
            }
        }
    }
}

void check_model(const std::string& path, const std::string& backend, const Json& vectors) {
    const std::string name = at(vectors, "model").string();
    const fastcalo::ShowerModel model(path, models::options(backend));
    CHECK(model.backend() == backend);
    CHECK_MORE(at(vectors, "file_hash").string() == model.info().file_hash,
               "the vectors are of another model: make them again");
    const fastcalo::Contract contract = model.contract();
    fastcalo::Keys keys;
    keys.seed = word(at(vectors, "seed"));
    const Json& list = at(vectors, "particles");
    const fastcalo::Particles particles = particles_of(list, keys);
    fastcalo::Noise noise(model, particles, keys);
    check_noise(noise, contract, list);
    check_showers(model.generate(particles, keys), contract, list, name);
    check_showers(noise.generate(model, particles), contract, list, name + " from noise");
}

template <class T>
std::vector<T> numbers(const Json& list) {
    std::vector<T> out;
    for (const Json& value : list.items()) {
        if (value.is(Json::Kind::array)) {
            for (const Json& inner : value.items()) out.push_back(static_cast<T>(inner.number()));
        } else {
            out.push_back(static_cast<T>(value.number()));
        }
    }
    return out;
}

void check_arrivals(const fastcalo::Detector& detector, const Json& list, const fastcalo_events& events) {
    for (const Json& want : list.items()) {
        const auto i = static_cast<std::size_t>(at(want, "particle").integer());
        std::int8_t reason = -1;
        std::int32_t module = -1;
        std::array<double, 2> entry{};
        std::array<double, 3> direction{}, position{};
        const fastcalo_arrivals out{sizeof(fastcalo_arrivals), &reason,        &module, entry.data(),
                                    direction.data(),          position.data()};
        fastcalo::check(fastcalo::api().propagate(detector.get(), 1, events.pdg + i, nullptr, events.momentum + 3 * i,
                                                  events.vertex + 3 * i, &out));
        CHECK(reason == 0 && module == at(want, "module").integer());
        for (std::size_t k = 0; k < 2; ++k) CHECK(std::fabs(entry[k] - at(want, "entry").items()[k].number()) < 1e-7);
        for (std::size_t k = 0; k < 3; ++k) {
            CHECK(std::fabs(direction[k] - at(want, "direction").items()[k].number()) < 1e-12);
            CHECK(std::fabs(position[k] - at(want, "position").items()[k].number()) < 1e-7);
        }
    }
}

void check_hits(const fastcalo::Detector& detector, const fastcalo::Hits& hits, const Json& sections) {
    for (std::size_t s = 0; s < detector.info().n_sections; ++s) {
        const Json& want = at(sections, detector.section(s).name);
        const fastcalo_section_hits view = hits.view(s);
        const auto& cells = at(want, "cell_id").items();
        CHECK(view.n == cells.size());
        if (view.n != cells.size()) continue;
        const auto offsets = numbers<std::int64_t>(at(want, "offsets"));
        CHECK(std::equal(offsets.begin(), offsets.end(), view.offsets));
        const auto energy = numbers<float>(at(want, "energy")), position = numbers<float>(at(want, "position"));
        const auto layer = numbers<std::int32_t>(at(want, "layer"));
        for (std::size_t h = 0; h < view.n; ++h) {
            CHECK(view.cell_id[h] == word(cells[h]));
            CHECK(close(static_cast<double>(view.energy[h]), static_cast<double>(energy[h])) &&
                  view.layer[h] == layer[h]);
            for (std::size_t k = 0; k < 3; ++k)
                CHECK(std::fabs(view.position[3 * h + k] - position[3 * h + k]) < 1e-3f);
        }
    }
}

void check_apart(const fastcalo::Simulation& simulation, const fastcalo_events& events, std::uint64_t seed,
                 const fastcalo::Hits& together) {
    fastcalo::Hits apart;
    simulation.run(events, seed, apart, FASTCALO_KEEP_PARTICLES_APART);
    for (std::size_t s = 0; s < 2; ++s) {
        double a = 0, b = 0;
        const auto view = apart.view(s), whole = together.view(s);
        for (std::size_t h = 0; h < view.n; ++h) {
            CHECK(view.particle[h] >= 0);
            a += static_cast<double>(view.energy[h]);
        }
        for (std::size_t h = 0; h < whole.n; ++h) b += static_cast<double>(whole.energy[h]);
        CHECK(view.n >= whole.n && std::fabs(a - b) < 1e-6 * b);
    }
}

void check_events(const std::string& folder, const std::string& backend, const Json& vectors) {
    const fastcalo::Detector detector("clic-like");
    std::vector<fastcalo::ShowerModel> several;
    for (const Json& name : at(vectors, "models").items())
        several.emplace_back(folder + "/" + name.string() + ".onnx", models::options(backend));
    const fastcalo::Simulation simulation(detector, several);
    several.clear();  // a simulation keeps its models
    const auto offsets = numbers<std::int64_t>(at(vectors, "offsets")), run = numbers<std::int64_t>(at(vectors, "run")),
               event = numbers<std::int64_t>(at(vectors, "event"));
    const auto pdg = numbers<std::int32_t>(at(vectors, "pdg")), status = numbers<std::int32_t>(at(vectors, "status"));
    const auto momentum = numbers<double>(at(vectors, "momentum")), vertex = numbers<double>(at(vectors, "vertex"));
    fastcalo_events events{};
    events.struct_size = sizeof events;
    events.n_events = static_cast<std::int64_t>(run.size());
    events.offsets = offsets.data();
    events.pdg = pdg.data();
    events.status = status.data();
    events.momentum = momentum.data();
    events.vertex = vertex.data();
    events.run = run.data();
    events.event = event.data();
    fastcalo::Hits hits;
    const std::uint64_t seed = word(at(vectors, "seed"));
    simulation.run(events, seed, hits);
    const auto reason = numbers<std::int8_t>(at(vectors, "reason"));
    CHECK(hits.reasons() == reason);
    check_hits(detector, hits, at(vectors, "sections"));
    check_arrivals(detector, at(vectors, "arrivals"), events);
    check_apart(simulation, events, seed, hits);
}

}  // namespace

int main(int, char** argv) {
    const std::string backend = argv[1], folder = argv[2], vectors = argv[3], windowed = argv[4];
    if (!models::available(backend, folder)) return models::SKIPPED;
    const auto read = [&](const std::string& name) {
        return Json::parse(fastcalo::core::read_file(vectors + "/" + name + ".json"));
    };
    for (const char* name : {"em", "hadron", "muon"}) check_model(folder + "/" + name + ".onnx", backend, read(name));
    if (std::ifstream(windowed).good()) check_model(windowed, backend, read("windows"));
    check_events(folder, backend, read("events"));
    return CHECK_RESULT();
}
