// SPDX-License-Identifier: BSD-3-Clause
// C++ interface of fastcalo: classes over the C interface (c_api.h), in this header only.
//
//     fastcalo::Simulation simulation(fastcalo::Detector("clic-like"), {fastcalo::ShowerModel("em.onnx")});
//     fastcalo::Event event;
//     event.add(22, {0, 20, 1});                                    // a photon, GeV
//     fastcalo::Hits hits = simulation.run(event, /*seed=*/1);
//     for (const auto& hit : hits.section(0)) use(hit.cell_id, hit.energy);
//
// Units: GeV, mm, rad. What goes wrong is thrown as fastcalo::Error. Models, detectors and simulations are cheap to
// copy, for copies share what they stand for, and may be used by many threads at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fastcalo/c_api.h"

namespace fastcalo {

// An error, with its code.
class Error : public std::runtime_error {
  public:
    Error(fastcalo_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] fastcalo_code code() const noexcept { return code_; }

  private:
    fastcalo_code code_;
};

// The table of functions of the library.
inline const fastcalo_api& api() {
    static const fastcalo_api* const table = fastcalo_get_api(FASTCALO_API_VERSION);
    if (table == nullptr)
        throw Error(FASTCALO_INTERNAL, "the library of fastcalo is older than the header it was compiled with");
    return *table;
}

// Throws the error of a status, and releases it.
inline void check(fastcalo_status* status) {
    if (status == nullptr) return;
    const Error error(api().status_code(status), api().status_message(status));
    api().status_release(status);
    throw error;
}

namespace detail {

template <class T>
T sized() {
    T value{};
    value.struct_size = sizeof(T);
    return value;
}

}  // namespace detail

// 64 bits that stand for an event: what the random numbers of its particles are keyed by, besides seed and particle.
inline std::uint64_t event_digest(std::int64_t run, std::int64_t event, std::int64_t luminosity_block = 0,
                                  std::uint64_t repeat = 0) {
    return api().event_digest(run, luminosity_block, event, repeat);
}

inline const char* reason_text(int reason) { return api().reason_text(reason); }

// How a model is opened.
struct ModelOptions {
    fastcalo_backend backend = FASTCALO_BACKEND_AUTO;
    std::string onnxruntime_library;  // path; empty: that of FASTCALO_ONNXRUNTIME, or what the loader finds
    int threads = 0;                  // of ONNX Runtime within a call; 0 for one
};

// What a model states of itself.
struct Contract {
    struct Section {
        std::string name;
        int window_x = 0, window_y = 0, layers = 0;
        double threshold = 0;  // GeV
    };
    struct Noise {
        std::string name;
        fastcalo_distribution distribution = FASTCALO_UNIFORM;
        bool has_capacity = false;
        std::array<double, 3> capacity{};  // a, b, c: floor(a + b E^c) + 1 rows for E in GeV
        std::size_t width = 0;
    };
    std::string name, json;
    int format = 0;
    bool whole = false;  // entry in the frame of the module, hits anywhere
    std::vector<std::int32_t> species;
    double lowest_kinetic_energy = 0, highest_kinetic_energy = 0;  // GeV
    double max_angle = 0;                                          // rad
    std::vector<Section> sections;
    std::vector<Noise> noise;
};

// Particles at the face of the calorimeter.
struct Particles {
    std::vector<std::int32_t> pdg;
    std::vector<float> kinetic_energy;  // GeV
    std::vector<float> direction;       // 3 each: unit vector in the frame of the module, z along the normal, inwards
    std::vector<float> entry;           // 2 each, mm

    void add(std::int32_t code, float energy, std::array<float, 3> along, std::array<float, 2> at) {
        pdg.push_back(code);
        kinetic_energy.push_back(energy);
        direction.insert(direction.end(), along.begin(), along.end());
        entry.insert(entry.end(), at.begin(), at.end());
    }
    [[nodiscard]] std::size_t size() const noexcept { return pdg.size(); }
    [[nodiscard]] fastcalo_particles view() const {
        if (kinetic_energy.size() != size() || direction.size() != 3 * size() || entry.size() != 2 * size())
            throw Error(FASTCALO_INVALID_ARGUMENT, "the arrays of particles differ in length");
        return {sizeof(fastcalo_particles), size(), pdg.data(), kinetic_energy.data(), direction.data(), entry.data()};
    }
};

// Keys of the random numbers of particles; `event` and `particle` may be left empty.
struct Keys {
    std::uint64_t seed = 0;
    std::vector<std::uint64_t> event;     // event_digest of each particle's event
    std::vector<std::uint32_t> particle;  // number of each in its event

    [[nodiscard]] fastcalo_keys view(std::size_t n) const {
        if ((!event.empty() && event.size() != n) || (!particle.empty() && particle.size() != n))
            throw Error(FASTCALO_INVALID_ARGUMENT, "there are not as many keys as particles");
        return {sizeof(fastcalo_keys), seed, event.empty() ? nullptr : event.data(),
                particle.empty() ? nullptr : particle.data()};
    }
};

// Showers of a call. An object that is used again keeps its memory.
class Showers {
  public:
    Showers() {
        fastcalo_showers* raw = nullptr;
        check(api().showers_create(&raw));
        raw_.reset(raw);
    }
    [[nodiscard]] fastcalo_showers* get() const noexcept { return raw_.get(); }
    [[nodiscard]] fastcalo_section_showers section(std::size_t index) const {
        auto view = detail::sized<fastcalo_section_showers>();
        check(api().showers_section(raw_.get(), index, &view));
        return view;
    }

  private:
    struct Release {
        void operator()(fastcalo_showers* showers) const noexcept { api().showers_release(showers); }
    };
    std::unique_ptr<fastcalo_showers, Release> raw_;
};

// A trained model: an .onnx file that states its contract.
class ShowerModel {
  public:
    explicit ShowerModel(const std::string& path, const ModelOptions& options = {}) {
        auto raw_options = detail::sized<fastcalo_model_options>();
        raw_options.backend = options.backend;
        raw_options.onnxruntime_library =
            options.onnxruntime_library.empty() ? nullptr : options.onnxruntime_library.c_str();
        raw_options.threads = options.threads;
        fastcalo_model* raw = nullptr;
        check(api().model_open(path.c_str(), &raw_options, &raw));
        raw_ = std::shared_ptr<fastcalo_model>(raw, [](fastcalo_model* model) { api().model_release(model); });
    }

    [[nodiscard]] fastcalo_model* get() const noexcept { return raw_.get(); }
    [[nodiscard]] fastcalo_model_info info() const {
        auto info = detail::sized<fastcalo_model_info>();
        check(api().model_info(raw_.get(), &info));
        return info;
    }
    [[nodiscard]] std::string backend() const { return info().backend; }
    [[nodiscard]] Contract contract() const;

    // Showers of any number of particles, all within the model's validity.
    void generate(const Particles& particles, const Keys& keys, Showers& showers) const {
        const fastcalo_particles p = particles.view();
        const fastcalo_keys k = keys.view(p.n);
        check(api().generate(raw_.get(), &p, &k, showers.get()));
    }
    [[nodiscard]] Showers generate(const Particles& particles, const Keys& keys = {}) const {
        Showers showers;
        generate(particles, keys, showers);
        return showers;
    }

  private:
    std::shared_ptr<fastcalo_model> raw_;
};

inline Contract ShowerModel::contract() const {
    const fastcalo_model_info i = info();
    Contract out;
    out.name = i.name;
    out.json = i.contract;
    out.format = i.format;
    out.whole = i.whole != 0;
    out.species.assign(i.species, i.species + i.n_species);
    out.lowest_kinetic_energy = i.lowest_kinetic_energy;
    out.highest_kinetic_energy = i.highest_kinetic_energy;
    out.max_angle = i.max_angle;
    for (std::size_t k = 0; k < i.n_sections; ++k) {
        auto s = detail::sized<fastcalo_model_section>();
        check(api().model_section(raw_.get(), k, &s));
        out.sections.push_back({s.name, s.window_x, s.window_y, s.layers, s.threshold});
    }
    for (std::size_t k = 0; k < i.n_noise; ++k) {
        auto n = detail::sized<fastcalo_noise_info>();
        check(api().model_noise(raw_.get(), k, &n));
        out.noise.push_back(
            {n.name, n.distribution, n.has_capacity != 0, {n.capacity[0], n.capacity[1], n.capacity[2]}, n.width});
    }
    return out;
}

// The noise of a batch, for those who look at it, change it, or draw it in their own way.
class Noise {
  public:
    // Draws all tensors of a model.
    Noise(const ShowerModel& model, const Particles& particles, const Keys& keys) {
        const std::size_t n = particles.size();
        const fastcalo_keys k = keys.view(n);
        const std::size_t tensors = model.info().n_noise;
        for (std::size_t t = 0; t < tensors; ++t) {
            auto info = detail::sized<fastcalo_noise_info>();
            check(api().model_noise(model.get(), t, &info));
            std::int64_t rows = 0;
            check(api().noise_rows(model.get(), t, particles.kinetic_energy.data(), n, &rows));
            std::vector<float> numbers(n * static_cast<std::size_t>(rows) * info.width);
            check(api().noise_draw(model.get(), t, particles.kinetic_energy.data(), n, &k, rows, numbers.data(),
                                   numbers.size()));
            tensors_.push_back(std::move(numbers));
            rows_.push_back(rows);
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return tensors_.size(); }
    [[nodiscard]] std::int64_t rows(std::size_t tensor) const { return rows_.at(tensor); }
    [[nodiscard]] std::vector<float>& tensor(std::size_t index) { return tensors_.at(index); }  // [n, rows, width]

    // Showers of these numbers, in one batch.
    [[nodiscard]] Showers generate(const ShowerModel& model, const Particles& particles) const {
        std::vector<fastcalo_noise> views;
        for (std::size_t t = 0; t < size(); ++t) views.push_back({tensors_[t].data(), rows_[t]});
        const fastcalo_particles p = particles.view();
        Showers showers;
        check(api().generate_from_noise(model.get(), &p, views.data(), views.size(), showers.get()));
        return showers;
    }

  private:
    std::vector<std::vector<float>> tensors_;
    std::vector<std::int64_t> rows_;
};

// A cell of a section.
struct Cell {
    std::int32_t module = 0, layer = 0, x = 0, y = 0;
};

// Where a module stands: its origin in mm, and the global directions of its axes x, y and z; z points inwards.
struct ModuleFrame {
    std::array<double, 3> origin{};
    std::array<std::array<double, 3>, 3> axes{};
};

// A calorimeter: "clic-like", or a file with the JSON of a description (fastcalo.load_detector(...).description).
class Detector {
  public:
    explicit Detector(const std::string& name_or_path) {
        fastcalo_detector* raw = nullptr;
        check(api().detector_open(name_or_path.c_str(), &raw));
        adopt(raw);
    }
    static Detector from_json(const std::string& text, const std::string& name = "the detector") {
        fastcalo_detector* raw = nullptr;
        check(api().detector_from_json(text.data(), text.size(), name.c_str(), &raw));
        Detector out;
        out.adopt(raw);
        return out;
    }

    [[nodiscard]] fastcalo_detector* get() const noexcept { return raw_.get(); }
    [[nodiscard]] fastcalo_detector_info info() const {
        auto info = detail::sized<fastcalo_detector_info>();
        check(api().detector_info(raw_.get(), &info));
        return info;
    }
    [[nodiscard]] fastcalo_detector_section section(std::size_t index) const {
        auto section = detail::sized<fastcalo_detector_section>();
        check(api().detector_section(raw_.get(), index, &section));
        return section;
    }
    [[nodiscard]] ModuleFrame frame(std::int32_t module) const {
        ModuleFrame frame;
        check(api().module_frame(raw_.get(), module, frame.origin.data(), frame.axes.front().data()));
        return frame;
    }
    [[nodiscard]] std::uint64_t encode(std::size_t section, Cell cell) const {
        const fastcalo_cells view = of(cell);
        std::uint64_t id = 0;
        check(api().encode(raw_.get(), section, &view, &id));
        return id;
    }
    [[nodiscard]] Cell decode(std::size_t section, std::uint64_t cell_id) const {
        Cell cell;
        const fastcalo_cells view = of(cell);
        check(api().decode(raw_.get(), section, &cell_id, &view));
        return cell;
    }
    // Centre of a cell in global coordinates, mm, half-way through the sensor.
    [[nodiscard]] std::array<double, 3> centre(std::size_t section, Cell cell) const {
        const fastcalo_cells view = of(cell);
        std::array<double, 3> position{};
        check(api().cell_centre(raw_.get(), section, &view, position.data()));
        return position;
    }

  private:
    Detector() = default;
    void adopt(fastcalo_detector* raw) {
        raw_ = std::shared_ptr<fastcalo_detector>(raw, [](fastcalo_detector* d) { api().detector_release(d); });
    }
    static fastcalo_cells of(Cell& cell) {
        return {sizeof(fastcalo_cells), 1, &cell.module, &cell.layer, &cell.x, &cell.y};
    }
    std::shared_ptr<fastcalo_detector> raw_;
};

// An event: particles, and what it is known by.
struct Event {
    std::vector<std::int32_t> pdg;
    std::vector<std::int32_t> status;   // 1 for the final state
    std::vector<double> momentum;       // 3 each, GeV
    std::vector<double> vertex;         // 3 each, mm
    std::vector<double> mass;           // GeV; empty: those of the Particle Data Group
    std::vector<std::uint32_t> number;  // for the random numbers; empty: the index
    std::int64_t run = 0, event = 0, luminosity_block = 0;
    std::uint64_t repeat = 0;  // distinguishes events that are otherwise known alike

    void add(std::int32_t code, std::array<double, 3> p, std::array<double, 3> at = {}, std::int32_t state = 1) {
        pdg.push_back(code);
        status.push_back(state);
        momentum.insert(momentum.end(), p.begin(), p.end());
        vertex.insert(vertex.end(), at.begin(), at.end());
    }
    [[nodiscard]] std::size_t size() const noexcept { return pdg.size(); }
};

// A hit: the energy that an event left in a cell.
struct Hit {
    std::uint64_t cell_id = 0;
    float energy = 0;                 // GeV
    std::array<float, 3> position{};  // centre of the cell, global, mm
    std::int32_t layer = 0;
    std::int64_t particle = -1;  // index of the particle that made it; -1 where several did
};

// Hits of a call, and the reason of every particle. An object that is used again keeps its memory.
class Hits {
  public:
    Hits() {
        fastcalo_hits* raw = nullptr;
        check(api().hits_create(&raw));
        raw_.reset(raw);
    }
    [[nodiscard]] fastcalo_hits* get() const noexcept { return raw_.get(); }
    [[nodiscard]] fastcalo_section_hits view(std::size_t section) const {
        auto view = detail::sized<fastcalo_section_hits>();
        check(api().hits_section(raw_.get(), section, &view));
        return view;
    }
    [[nodiscard]] std::vector<Hit> section(std::size_t index) const {
        const fastcalo_section_hits v = view(index);
        std::vector<Hit> out(v.n);
        for (std::size_t k = 0; k < v.n; ++k)
            out[k] = {v.cell_id[k],
                      v.energy[k],
                      {v.position[3 * k], v.position[3 * k + 1], v.position[3 * k + 2]},
                      v.layer[k],
                      v.particle[k]};
        return out;
    }
    // fastcalo_reason of every particle.
    [[nodiscard]] std::vector<std::int8_t> reasons() const {
        const std::int8_t* reason = nullptr;
        std::size_t n = 0;
        check(api().hits_reasons(raw_.get(), &reason, &n));
        return {reason, reason + n};
    }

  private:
    struct Release {
        void operator()(fastcalo_hits* hits) const noexcept { api().hits_release(hits); }
    };
    std::unique_ptr<fastcalo_hits, Release> raw_;
};

// Simulates every particle for which one of its models is valid, and reports of the others why not.
class Simulation {
  public:
    Simulation(const Detector& detector, const std::vector<ShowerModel>& models) {
        std::vector<const fastcalo_model*> raw_models;
        for (const ShowerModel& model : models) raw_models.push_back(model.get());
        fastcalo_simulation* raw = nullptr;
        check(api().simulation_create(detector.get(), raw_models.data(), raw_models.size(), &raw));
        raw_ = std::shared_ptr<fastcalo_simulation>(raw, [](fastcalo_simulation* s) { api().simulation_release(s); });
    }

    [[nodiscard]] fastcalo_simulation* get() const noexcept { return raw_.get(); }
    void run(const fastcalo_events& events, std::uint64_t seed, Hits& hits, std::uint32_t flags = 0) const {
        check(api().simulate(raw_.get(), &events, seed, flags, hits.get()));
    }
    void run(const Event& event, std::uint64_t seed, Hits& hits, std::uint32_t flags = 0) const {
        const std::array<std::int64_t, 2> offsets{0, static_cast<std::int64_t>(event.size())};
        run(view(event, offsets.data()), seed, hits, flags);
    }
    [[nodiscard]] Hits run(const Event& event, std::uint64_t seed = 0, std::uint32_t flags = 0) const {
        Hits hits;
        run(event, seed, hits, flags);
        return hits;
    }
    // fastcalo_reason of every particle, without simulating any.
    [[nodiscard]] std::vector<std::int8_t> reasons(const Event& event) const {
        const std::array<std::int64_t, 2> offsets{0, static_cast<std::int64_t>(event.size())};
        const fastcalo_events events = view(event, offsets.data());
        std::vector<std::int8_t> out(event.size());
        check(api().reasons(raw_.get(), &events, out.data()));
        return out;
    }

  private:
    static fastcalo_events view(const Event& event, const std::int64_t* offsets) {
        const std::size_t n = event.size();
        if (event.status.size() != n || event.momentum.size() != 3 * n || event.vertex.size() != 3 * n ||
            (!event.mass.empty() && event.mass.size() != n) || (!event.number.empty() && event.number.size() != n))
            throw Error(FASTCALO_INVALID_ARGUMENT, "the arrays of the event differ in length");
        auto view = detail::sized<fastcalo_events>();
        view.n_events = 1;
        view.offsets = offsets;
        view.pdg = event.pdg.data();
        view.status = event.status.data();
        view.momentum = event.momentum.data();
        view.vertex = event.vertex.data();
        view.mass = event.mass.empty() ? nullptr : event.mass.data();
        view.number = event.number.empty() ? nullptr : event.number.data();
        view.run = &event.run;
        view.event = &event.event;
        view.luminosity_block = &event.luminosity_block;
        view.repeat = &event.repeat;
        return view;
    }
    std::shared_ptr<fastcalo_simulation> raw_;
};

}  // namespace fastcalo
