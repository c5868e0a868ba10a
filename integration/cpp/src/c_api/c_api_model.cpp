// SPDX-License-Identifier: BSD-3-Clause
// Functions of the C interface for models, noise and showers.
#include <algorithm>

#include "c_api/c_api_support.hpp"
#include "model/noise.hpp"
#include "model/onnx_file.hpp"

namespace fastcalo::core::capi {
namespace {

ModelOptions options_of(const fastcalo_model_options* options) {
    ModelOptions out;
    if (options == nullptr) return out;
    const fastcalo_model_options& o = sized(options, "options");
    if (o.backend < FASTCALO_BACKEND_AUTO || o.backend > FASTCALO_BACKEND_ONNXRUNTIME)
        fail(Code::invalid_argument, "options.backend is none of the backends");
    if (o.threads < 0 || o.threads > 1024) fail(Code::invalid_argument, "options.threads must be from 0 to 1024");
    out.backend = static_cast<BackendKind>(o.backend);
    if (o.onnxruntime_library != nullptr) out.onnxruntime_library = o.onnxruntime_library;
    out.threads = o.threads;
    return out;
}

fastcalo_status* model_open(const char* path, const fastcalo_model_options* options, fastcalo_model** model) {
    return guarded([&] {
        const std::string name = &given(path, "path");
        fastcalo_model*& out = given(model, "model");
        // before the file is read: compilers differ in which argument of a call they evaluate first
        const ModelOptions how = options_of(options);
        out = new fastcalo_model{std::make_shared<const ShowerModel>(read_file(name), name, how)};
    });
}

fastcalo_status* model_from_memory(const void* image, std::size_t size, const char* name,
                                   const fastcalo_model_options* options, fastcalo_model** model) {
    return guarded([&] {
        std::string bytes(static_cast<const char*>(array(image, size, "image")), size);
        fastcalo_model*& out = given(model, "model");
        const ModelOptions how = options_of(options);
        out = new fastcalo_model{
            std::make_shared<const ShowerModel>(std::move(bytes), name == nullptr ? "the model" : name, how)};
    });
}

void model_release(fastcalo_model* model) { delete model; }

fastcalo_status* model_info(const fastcalo_model* model, fastcalo_model_info* info) {
    return guarded([&] {
        const ShowerModel& m = *given(model, "model").model;
        const Contract& c = m.contract();
        fastcalo_model_info& out = sized(info, "info");
        out.name = c.name.c_str();
        out.backend = m.backend().name().data();
        out.contract = c.text.c_str();
        out.file_hash = m.file_hash().c_str();
        out.format = c.format;
        out.whole = c.whole() ? 1 : 0;
        out.lowest_kinetic_energy = c.kinetic_energy[0];
        out.highest_kinetic_energy = c.kinetic_energy[1];
        out.max_angle = c.max_angle;
        out.n_species = c.species.size();
        out.species = c.species.data();
        out.n_sections = c.sections.size();
        out.n_noise = c.noise.size();
    });
}

void in_range(std::size_t index, std::size_t n, const char* what) {
    if (index >= n)
        fail(Code::not_found,
             std::string(what) + " " + std::to_string(index) + " does not exist: there are " + std::to_string(n));
}

fastcalo_status* model_section(const fastcalo_model* model, std::size_t index, fastcalo_model_section* section) {
    return guarded([&] {
        const Contract& c = given(model, "model").model->contract();
        in_range(index, c.sections.size(), "section");
        fastcalo_model_section& out = sized(section, "section");
        const std::string& name = c.sections[index];
        const Window w = c.window(name);
        out.name = name.c_str();
        out.window_x = static_cast<std::int32_t>(w.x);
        out.window_y = static_cast<std::int32_t>(w.y);
        out.layers = static_cast<std::int32_t>(w.layers);
        out.threshold = c.thresholds.at(name);
    });
}

const NoiseSpec& spec_of(const fastcalo_model* model, std::size_t index) {
    const Contract& c = given(model, "model").model->contract();
    in_range(index, c.noise.size(), "noise tensor");
    return c.noise[index];
}

fastcalo_status* model_noise(const fastcalo_model* model, std::size_t index, fastcalo_noise_info* info) {
    return guarded([&] {
        const NoiseSpec& spec = spec_of(model, index);
        fastcalo_noise_info& out = sized(info, "info");
        out.name = spec.name.c_str();
        out.distribution = static_cast<fastcalo_distribution>(spec.distribution);
        out.has_capacity = spec.capacity ? 1 : 0;
        for (std::size_t k = 0; k < 3; ++k) out.capacity[k] = spec.capacity ? (*spec.capacity)[k] : 0;
        out.width = spec.width();
    });
}

void check_energies(const float* energy, std::size_t n) {
    array(energy, n, "kinetic_energy");
    for (std::size_t i = 0; i < n; ++i)
        if (!(energy[i] > 0 && energy[i] < 1e9f))
            fail(Code::out_of_domain, "kinetic_energy[" + std::to_string(i) + "] is " +
                                          text(static_cast<double>(energy[i])) + ", which is no energy in GeV");
}

std::vector<Stream> streams_of(const fastcalo_keys* keys, std::size_t n) {
    const fastcalo_keys& k = sized(keys, "keys");
    const std::uint64_t none = event_digest(0, 0, 0, 0);
    std::vector<Stream> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = {k.seed, k.event == nullptr ? none : k.event[i],
                  k.particle == nullptr ? static_cast<std::uint32_t>(i) : k.particle[i]};
    return out;
}

fastcalo_status* noise_rows(const fastcalo_model* model, std::size_t index, const float* energy, std::size_t n,
                            std::int64_t* rows) {
    return guarded([&] {
        const NoiseSpec& spec = spec_of(model, index);
        check_energies(energy, n);
        given(rows, "rows") = rows_needed(spec, energy, n);
    });
}

fastcalo_status* noise_draw(const fastcalo_model* model, std::size_t index, const float* energy, std::size_t n,
                            const fastcalo_keys* keys, std::int64_t rows, float* out, std::size_t capacity) {
    return guarded([&] {
        const NoiseSpec& spec = spec_of(model, index);
        check_energies(energy, n);
        const std::vector<Stream> streams = streams_of(keys, n);
        const std::int64_t need = rows_needed(spec, energy, n);
        if (rows < need || (!spec.capacity && rows != 1))
            fail(Code::buffer_too_small, "noise tensor '" + spec.name + "' has " + std::to_string(rows) +
                                             " rows, but these energies ask for " + std::to_string(need));
        const double numbers = static_cast<double>(n) * static_cast<double>(rows) * static_cast<double>(spec.width());
        if (numbers > static_cast<double>(capacity))
            fail(Code::buffer_too_small, "noise tensor '" + spec.name + "' takes " + text(numbers) +
                                             " numbers, but the buffer is of " + std::to_string(capacity));
        draw(spec, index, streams.data(), energy, n, rows, array(out, capacity, "out"));
    });
}

Particles particles_of(const fastcalo_particles* particles) {
    const fastcalo_particles& p = sized(particles, "particles");
    return {p.n, array(p.pdg, p.n, "particles.pdg"), array(p.kinetic_energy, p.n, "particles.kinetic_energy"),
            array(p.direction, p.n, "particles.direction"), array(p.entry, p.n, "particles.entry")};
}

fastcalo_status* showers_create(fastcalo_showers** showers) {
    return guarded([&] {
        fastcalo_showers*& out = given(showers, "showers");
        out = new fastcalo_showers;
    });
}

void showers_release(fastcalo_showers* showers) { delete showers; }

fastcalo_status* generate(const fastcalo_model* model, const fastcalo_particles* particles, const fastcalo_keys* keys,
                          fastcalo_showers* showers) {
    return guarded([&] {
        const ShowerModel& m = *given(model, "model").model;
        const Particles p = particles_of(particles);
        fastcalo_showers& out = given(showers, "showers");
        m.check(p);
        m.sample(p, streams_of(keys, p.n).data(), out.showers);
    });
}

fastcalo_status* generate_from_noise(const fastcalo_model* model, const fastcalo_particles* particles,
                                     const fastcalo_noise* noise, std::size_t n_noise, fastcalo_showers* showers) {
    return guarded([&] {
        const ShowerModel& m = *given(model, "model").model;
        const Particles p = particles_of(particles);
        fastcalo_showers& out = given(showers, "showers");
        m.check(p);
        array(noise, n_noise, "noise");
        std::vector<NoiseView> views;
        for (std::size_t k = 0; k < n_noise; ++k) {
            array(noise[k].data, p.n, "noise.data");
            views.push_back({noise[k].data, noise[k].rows});
        }
        m.run(p, views, out.showers);
    });
}

const SectionShowers& section_of(const fastcalo_showers* showers, std::size_t index) {
    const Showers& all = given(showers, "showers").showers;
    in_range(index, all.size(), "section");
    return all[index];
}

fastcalo_status* showers_section(const fastcalo_showers* showers, std::size_t index, fastcalo_section_showers* view) {
    return guarded([&] {
        const SectionShowers& s = section_of(showers, index);
        fastcalo_section_showers& out = sized(view, "view");
        out.n = s.size();
        out.shower = s.shower.data();
        out.x = s.x.data();
        out.y = s.y.data();
        out.layer = s.layer.data();
        out.deposit = s.deposit.data();
    });
}

fastcalo_status* showers_copy(const fastcalo_showers* showers, std::size_t index,
                              const fastcalo_section_showers_buffers* buffers, std::size_t* n) {
    return guarded([&] {
        const SectionShowers& s = section_of(showers, index);
        const fastcalo_section_showers_buffers& b = sized(buffers, "buffers");
        given(n, "n") = s.size();
        if (s.size() > b.capacity)
            fail(Code::buffer_too_small, "there are " + std::to_string(s.size()) +
                                             " deposits, but the buffers are of " + std::to_string(b.capacity));
        copy_to(s.shower, b.shower);
        copy_to(s.x, b.x);
        copy_to(s.y, b.y);
        copy_to(s.layer, b.layer);
        copy_to(s.deposit, b.deposit);
    });
}

}  // namespace

void add_model_functions(fastcalo_api& api) noexcept {
    api.model_open = model_open;
    api.model_from_memory = model_from_memory;
    api.model_release = model_release;
    api.model_info = model_info;
    api.model_section = model_section;
    api.model_noise = model_noise;
    api.noise_rows = noise_rows;
    api.noise_draw = noise_draw;
    api.showers_create = showers_create;
    api.showers_release = showers_release;
    api.generate = generate;
    api.generate_from_noise = generate_from_noise;
    api.showers_section = showers_section;
    api.showers_copy = showers_copy;
}

}  // namespace fastcalo::core::capi
