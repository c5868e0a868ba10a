// SPDX-License-Identifier: BSD-3-Clause
// Wrong use of the C interface: every mistake gives a status that reports it, and never a crash.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "check.hpp"
#include "model/onnx_file.hpp"
#include "models.hpp"

namespace {

const fastcalo_api& api = *fastcalo_get_api(FASTCALO_API_VERSION);

void refused(fastcalo_status* status, fastcalo_code code, const std::string& part, int line) {
    const std::string message = api.status_message(status);
    check::report(api.status_code(status) == code, "code", __FILE__, line,
                  std::to_string(api.status_code(status)) + " " + message);
    check::report(message.find(part) != std::string::npos, "message", __FILE__, line, message);
    api.status_release(status);
}
#define REFUSED(status, code, part) refused((status), (code), (part), __LINE__)

template <class T>
T sized() {
    T value{};
    value.struct_size = sizeof(T);
    return value;
}

void test_opening(const std::string& folder) {
    fastcalo_model* model = nullptr;
    auto options = sized<fastcalo_model_options>();
    options.backend = FASTCALO_BACKEND_ONNXRUNTIME;
    REFUSED(api.model_open(nullptr, &options, &model), FASTCALO_INVALID_ARGUMENT, "path is a null pointer");
    REFUSED(api.model_open((folder + "/em.onnx").c_str(), &options, nullptr), FASTCALO_INVALID_ARGUMENT,
            "model is a null pointer");
    REFUSED(api.model_open("/no/such.onnx", &options, &model), FASTCALO_NOT_FOUND, "/no/such.onnx");
    options.struct_size = 3;
    REFUSED(api.model_open("/no/such.onnx", &options, &model), FASTCALO_INVALID_ARGUMENT, "struct_size");
    options.struct_size = sizeof options;
    options.threads = -1;
    REFUSED(api.model_open((folder + "/em.onnx").c_str(), &options, &model), FASTCALO_INVALID_ARGUMENT, "threads");
    options.threads = 0;
    options.onnxruntime_library = "/no/libonnxruntime.so";
    REFUSED(api.model_open((folder + "/em.onnx").c_str(), &options, &model), FASTCALO_NOT_FOUND,
            "no library of ONNX Runtime");
    options.onnxruntime_library = "libm.so.6";
    REFUSED(api.model_open((folder + "/em.onnx").c_str(), &options, &model), FASTCALO_BACKEND, "OrtGetApiBase");
    options.onnxruntime_library = nullptr;

    std::string image = fastcalo::core::read_file(folder + "/em.onnx");
    REFUSED(api.model_from_memory(image.data(), image.size() / 2, "half", &options, &model), FASTCALO_CONTRACT, "half");
    REFUSED(api.model_from_memory(nullptr, 10, "none", &options, &model), FASTCALO_INVALID_ARGUMENT, "image");
    REFUSED(api.model_from_memory("", 0, "empty", &options, &model), FASTCALO_CONTRACT, "holds no contract");
    image[image.size() / 2] = static_cast<char>(image[image.size() / 2] ^ 4);
    REFUSED(api.model_from_memory(image.data(), image.size(), "damaged", &options, &model), FASTCALO_CONTRACT,
            "damaged");
    CHECK(model == nullptr);
}

void test_old_library(const std::string& folder) {
    const char* const old = std::getenv("FASTCALO_OLD_ONNXRUNTIME");  // 1.21, where the tests have one
    if (old == nullptr || *old == '\0') return;
    auto options = sized<fastcalo_model_options>();
    options.backend = FASTCALO_BACKEND_ONNXRUNTIME;
    options.onnxruntime_library = old;
    fastcalo_model* model = nullptr;
    REFUSED(api.model_open((folder + "/em.onnx").c_str(), &options, &model), FASTCALO_BACKEND, "ONNX Runtime 1.21");
}

void test_particles(const fastcalo::ShowerModel& model) {
    fastcalo::Showers showers;
    const auto wrong = [&](const char* part, std::int32_t pdg, float energy, std::array<float, 3> direction,
                           std::array<float, 2> entry) {
        fastcalo::Particles p;
        p.add(22, 1, {0, 0, 1}, {0, 0});
        p.add(pdg, energy, direction, entry);
        const fastcalo_particles view = p.view();
        const auto keys = sized<fastcalo_keys>();
        REFUSED(api.generate(model.get(), &view, &keys, showers.get()), FASTCALO_OUT_OF_DOMAIN, part);
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    wrong("pdg is none of its species, but particle 1", 13, 1, {0, 0, 1}, {0, 0});
    wrong("kinetic_energy", 22, 1e-3f, {0, 0, 1}, {0, 0});
    wrong("kinetic_energy", 22, nan, {0, 0, 1}, {0, 0});
    wrong("kinetic_energy", 22, -1, {0, 0, 1}, {0, 0});
    wrong("unit vector", 22, 1, {0, 0, 2}, {0, 0});
    wrong("unit vector", 22, 1, {nan, 0, 1}, {0, 0});
    wrong("rad of z", 22, 1, {1, 0, 0}, {0, 0});
    wrong("rad of z", 22, 1, {0, 0, -1}, {0, 0});
    wrong("entry", 22, 1, {0, 0, 1}, {1e6f, 0});
    wrong("entry", 22, 1, {0, 0, 1}, {0, nan});

    fastcalo::Particles p;
    p.add(22, 1, {0, 0, 1}, {0, 0});
    fastcalo_particles view = p.view();
    const auto keys = sized<fastcalo_keys>();
    REFUSED(api.generate(nullptr, &view, &keys, showers.get()), FASTCALO_INVALID_ARGUMENT, "model");
    REFUSED(api.generate(model.get(), nullptr, &keys, showers.get()), FASTCALO_INVALID_ARGUMENT, "particles");
    REFUSED(api.generate(model.get(), &view, nullptr, showers.get()), FASTCALO_INVALID_ARGUMENT, "keys");
    REFUSED(api.generate(model.get(), &view, &keys, nullptr), FASTCALO_INVALID_ARGUMENT, "showers");
    view.entry = nullptr;
    REFUSED(api.generate(model.get(), &view, &keys, showers.get()), FASTCALO_INVALID_ARGUMENT, "particles.entry");
    view.n = 0;
    fastcalo::check(api.generate(model.get(), &view, &keys, showers.get()));
    CHECK(showers.section(0).n == 0);
}

void test_noise(const fastcalo::ShowerModel& model) {
    fastcalo::Particles p;
    p.add(22, 1, {0, 0, 1}, {0, 0});
    const fastcalo_particles view = p.view();
    const auto keys = sized<fastcalo_keys>();
    const fastcalo::Contract c = model.contract();
    fastcalo::Noise noise(model, p, {});
    std::vector<fastcalo_noise> tensors;
    for (std::size_t t = 0; t < noise.size(); ++t) tensors.push_back({noise.tensor(t).data(), noise.rows(t)});
    fastcalo::Showers showers;
    fastcalo::check(api.generate_from_noise(model.get(), &view, tensors.data(), tensors.size(), showers.get()));
    for (std::size_t t = 0; t < tensors.size(); ++t) {
        std::vector<fastcalo_noise> few = tensors;
        few[t].rows -= 1;
        REFUSED(api.generate_from_noise(model.get(), &view, few.data(), few.size(), showers.get()),
                FASTCALO_BUFFER_TOO_SMALL, c.noise[t].name);
        few[t] = {nullptr, tensors[t].rows};
        REFUSED(api.generate_from_noise(model.get(), &view, few.data(), few.size(), showers.get()),
                FASTCALO_INVALID_ARGUMENT, "noise.data");
    }
    REFUSED(api.generate_from_noise(model.get(), &view, tensors.data(), 2, showers.get()), FASTCALO_INVALID_ARGUMENT,
            "tensors of noise");
    REFUSED(api.generate_from_noise(model.get(), &view, nullptr, 2, showers.get()), FASTCALO_INVALID_ARGUMENT, "noise");

    const float energy = 1, bad = std::numeric_limits<float>::infinity();
    std::int64_t rows = 0;
    float number = 0;
    REFUSED(api.noise_rows(model.get(), 99, &energy, 1, &rows), FASTCALO_NOT_FOUND, "noise tensor 99");
    REFUSED(api.noise_rows(model.get(), 0, &bad, 1, &rows), FASTCALO_OUT_OF_DOMAIN, "kinetic_energy[0]");
    REFUSED(api.noise_rows(model.get(), 0, nullptr, 1, &rows), FASTCALO_INVALID_ARGUMENT, "kinetic_energy");
    REFUSED(api.noise_draw(model.get(), 0, &energy, 1, &keys, 1, &number, 1), FASTCALO_BUFFER_TOO_SMALL,
            "the buffer is of 1");
    REFUSED(api.noise_draw(model.get(), 4, &energy, 1, &keys, 1, &number, 1), FASTCALO_BUFFER_TOO_SMALL, "rows");
}

void test_buffers(const fastcalo::ShowerModel& model) {
    fastcalo::Particles p;
    p.add(22, 1, {0, 0, 1}, {0, 0});
    const fastcalo::Showers showers = model.generate(p);
    const std::size_t n = showers.section(0).n;
    CHECK(n > 0);
    std::vector<float> deposit(n + 1, -1.0f);
    auto buffers = sized<fastcalo_section_showers_buffers>();
    buffers.deposit = deposit.data();
    buffers.capacity = n - 1;
    std::size_t found = 0;
    REFUSED(api.showers_copy(showers.get(), 0, &buffers, &found), FASTCALO_BUFFER_TOO_SMALL, "the buffers are of");
    CHECK(found == n && deposit[0] == -1.0f);
    buffers.capacity = n;
    fastcalo::check(api.showers_copy(showers.get(), 0, &buffers, &found));
    CHECK(std::equal(deposit.begin(), deposit.end() - 1, showers.section(0).deposit) && deposit[n] == -1.0f);
    REFUSED(api.showers_copy(showers.get(), 7, &buffers, &found), FASTCALO_NOT_FOUND, "section 7");
    auto view = sized<fastcalo_section_showers>();
    REFUSED(api.showers_section(nullptr, 0, &view), FASTCALO_INVALID_ARGUMENT, "showers");
    const fastcalo::Showers empty;
    REFUSED(api.showers_section(empty.get(), 0, &view), FASTCALO_NOT_FOUND, "there are 0");
}

void test_events(const fastcalo::ShowerModel& model) {
    const fastcalo::Detector detector("clic-like");
    const fastcalo::Simulation simulation(detector, {model});
    fastcalo::Hits hits;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    fastcalo::Event event;
    event.add(22, {0, 3, 0});
    event.add(22, {nan, 3, 0});
    event.add(22, {0, 3, 0}, {0, nan, 0});
    event.add(22, {1e300, 1e300, 0});
    event.add(22, {0, 0, 0});
    event.add(std::numeric_limits<std::int32_t>::min(), {0, 3, 0});
    simulation.run(event, 1, hits);
    const std::vector<std::int8_t> want{FASTCALO_SIMULATED,   FASTCALO_BAD_NUMBERS, FASTCALO_BAD_NUMBERS,
                                        FASTCALO_BAD_NUMBERS, FASTCALO_AT_REST,     FASTCALO_UNKNOWN_SPECIES};
    CHECK(hits.reasons() == want && hits.view(0).n > 0);
    CHECK(simulation.reasons(event) == want);
    REFUSED(api.reasons(nullptr, nullptr, nullptr), FASTCALO_INVALID_ARGUMENT, "simulation");
    double numbers[9];
    REFUSED(api.module_frame(detector.get(), -1, numbers, numbers), FASTCALO_INVALID_ARGUMENT, "numbered 0 to");
    REFUSED(api.module_frame(detector.get(), 1 << 30, numbers, numbers), FASTCALO_INVALID_ARGUMENT, "numbered 0 to");
    REFUSED(api.module_frame(detector.get(), 0, nullptr, numbers), FASTCALO_INVALID_ARGUMENT, "origin");
    REFUSED(api.hits_create(nullptr), FASTCALO_INVALID_ARGUMENT, "hits");
    REFUSED(api.showers_create(nullptr), FASTCALO_INVALID_ARGUMENT, "showers");

    auto events = sized<fastcalo_events>();
    fastcalo::check(api.simulate(simulation.get(), &events, 1, 0, hits.get()));
    CHECK(hits.view(0).n == 0 && hits.reasons().empty());
    events.n_events = 2;
    REFUSED(api.simulate(simulation.get(), &events, 1, 0, hits.get()), FASTCALO_INVALID_ARGUMENT, "events.offsets");
    std::int64_t offsets[3] = {0, 5, 3};
    events.offsets = offsets;
    REFUSED(api.simulate(simulation.get(), &events, 1, 0, hits.get()), FASTCALO_INVALID_ARGUMENT, "must not fall");
    offsets[0] = 1;
    REFUSED(api.simulate(simulation.get(), &events, 1, 0, hits.get()), FASTCALO_INVALID_ARGUMENT, "begin with 0");
    offsets[0] = 0;
    offsets[1] = 1;
    REFUSED(api.simulate(simulation.get(), &events, 1, 0, hits.get()), FASTCALO_INVALID_ARGUMENT, "events.pdg");
    REFUSED(api.simulate(simulation.get(), &events, 1, 8, hits.get()), FASTCALO_INVALID_ARGUMENT, "flags");
    events.n_events = -1;
    REFUSED(api.simulate(simulation.get(), &events, 1, 0, hits.get()), FASTCALO_INVALID_ARGUMENT, "negative");
    fastcalo_simulation* none = nullptr;
    REFUSED(api.simulation_create(detector.get(), nullptr, 0, &none), FASTCALO_INVALID_ARGUMENT, "at least one model");
    const fastcalo_model* null_model = nullptr;
    REFUSED(api.simulation_create(detector.get(), &null_model, 1, &none), FASTCALO_INVALID_ARGUMENT, "models[k]");

    // another detector: the model was not trained for it
    const char* const text =
        R"({"name":"other","solenoid":{"field_tesla":0},"barrel":{"staves":6,"inner_radius_mm":1000,"half_length_mm":1000},
        "endcap":{"front_mm":1000,"inner_radius_mm":100,"outer_radius_mm":2000},"section":{"ECAL":{"front_mm":0,"absorber":"G4_Pb",
        "sensor":"G4_Si","gap":"G4_AIR","layers":[{"count":25,"absorber_mm":2.0}],"sensor_mm":0.5,"gap_mm":0.5,"cell_mm":5,"window":[25,25],
        "threshold_gev":2e-5,"system":1,"encoding":"system:5,module:5,layer:8,x:32:-16,y:-16"}}})";
    const fastcalo::Detector other = fastcalo::Detector::from_json(text);
    const fastcalo_model* const one = model.get();
    REFUSED(api.simulation_create(other.get(), &one, 1, &none), FASTCALO_CONTRACT, "clause 'stack'");
}

void test_detectors() {
    fastcalo_detector* none = nullptr;
    REFUSED(api.detector_open("/no/such.json", &none), FASTCALO_NOT_FOUND, "/no/such.json");
    REFUSED(api.detector_open(nullptr, &none), FASTCALO_INVALID_ARGUMENT, "name_or_path");
    REFUSED(api.detector_from_json("{}", 2, nullptr, &none), FASTCALO_DETECTOR, "missing");
    const fastcalo::Detector detector("clic-like");
    std::int32_t module = 99, layer = 0, x = 0, y = 0;
    const fastcalo_cells cells{sizeof(fastcalo_cells), 1, &module, &layer, &x, &y};
    std::uint64_t id = 0;
    double position[3];
    REFUSED(api.encode(detector.get(), 0, &cells, &id), FASTCALO_INVALID_ARGUMENT, "modules are numbered");
    REFUSED(api.encode(detector.get(), 9, &cells, &id), FASTCALO_NOT_FOUND, "section 9");
    REFUSED(api.encode(detector.get(), 0, &cells, nullptr), FASTCALO_INVALID_ARGUMENT, "cell_id");
    REFUSED(api.decode(detector.get(), 0, &id, &cells), FASTCALO_INVALID_ARGUMENT, "is not one of ECAL");
    REFUSED(api.cell_centre(detector.get(), 0, &cells, position), FASTCALO_INVALID_ARGUMENT, "modules are numbered");
    const auto arrivals = sized<fastcalo_arrivals>();
    REFUSED(api.propagate(detector.get(), 1, nullptr, nullptr, position, position, &arrivals),
            FASTCALO_INVALID_ARGUMENT, "one is needed");
    CHECK(api.reason_text(-1) == nullptr && api.reason_text(FASTCALO_REASONS) == nullptr);
    CHECK(std::strcmp(api.reason_text(0), "simulated") == 0);
}

}  // namespace

int main(int, char** argv) {
    const std::string folder = argv[1];
    test_detectors();
    test_opening(folder);
    std::string backend = "native";
    if (!models::available(backend, folder)) backend = "onnxruntime";
    if (!models::available(backend, folder)) return check::failures() == 0 ? models::SKIPPED : 1;
    test_old_library(folder);
    const fastcalo::ShowerModel model(folder + "/em.onnx", models::options(backend));
    test_particles(model);
    test_noise(model);
    test_buffers(model);
    test_events(model);
    return CHECK_RESULT();
}
