// SPDX-License-Identifier: BSD-3-Clause
// Functions of the C interface for the simulation of events, and their hits.
#include <algorithm>

#include "c_api/c_api_support.hpp"

namespace fastcalo::core::capi {
namespace {

fastcalo_status* simulation_create(const fastcalo_detector* detector, const fastcalo_model* const* models,
                                   std::size_t n_models, fastcalo_simulation** simulation) {
    return guarded([&] {
        const auto& d = given(detector, "detector").detector;
        array(models, n_models, "models");
        std::vector<std::shared_ptr<const ShowerModel>> several;
        for (std::size_t k = 0; k < n_models; ++k) several.push_back(given(models[k], "models[k]").model);
        fastcalo_simulation*& out = given(simulation, "simulation");
        out = new fastcalo_simulation{std::make_unique<const FastSimulation>(d, std::move(several))};
    });
}

void simulation_release(fastcalo_simulation* simulation) { delete simulation; }

fastcalo_status* hits_create(fastcalo_hits** hits) {
    return guarded([&] {
        fastcalo_hits*& out = given(hits, "hits");
        out = new fastcalo_hits;
    });
}

void hits_release(fastcalo_hits* hits) { delete hits; }

Events events_of(const fastcalo_events* events) {
    const fastcalo_events& e = sized(events, "events");
    if (e.n_events < 0) fail(Code::invalid_argument, "events.n_events is negative");
    const auto n_events = static_cast<std::size_t>(e.n_events);
    array(e.offsets, n_events, "events.offsets");
    if (n_events > 0 && e.offsets[0] != 0) fail(Code::invalid_argument, "events.offsets must begin with 0");
    for (std::size_t k = 0; k < n_events; ++k)
        if (e.offsets[k + 1] < e.offsets[k])
            fail(Code::invalid_argument, "events.offsets must not fall, but do behind event " + std::to_string(k));
    Events out{e.n_events, e.offsets, e.pdg, e.status, e.momentum,         e.vertex,
               e.mass,     e.number,  e.run, e.event,  e.luminosity_block, e.repeat};
    const auto n = static_cast<std::size_t>(out.n_particles());
    array(e.pdg, n, "events.pdg");
    array(e.momentum, n, "events.momentum");
    return out;
}

fastcalo_status* simulate(const fastcalo_simulation* simulation, const fastcalo_events* events, std::uint64_t seed,
                          std::uint32_t flags, fastcalo_hits* hits) {
    return guarded([&] {
        const FastSimulation& s = *given(simulation, "simulation").simulation;
        if ((flags & ~FASTCALO_KEEP_PARTICLES_APART) != 0)
            fail(Code::invalid_argument, "flags has bits that are not known");
        s.simulate(events_of(events), seed, (flags & FASTCALO_KEEP_PARTICLES_APART) != 0, given(hits, "hits").hits);
    });
}

fastcalo_status* reasons(const fastcalo_simulation* simulation, const fastcalo_events* events, std::int8_t* reason) {
    return guarded([&] {
        const FastSimulation& s = *given(simulation, "simulation").simulation;
        const Events e = events_of(events);
        array(reason, static_cast<std::size_t>(e.n_particles()), "reason");
        const std::vector<Reason> found = s.reasons(e);
        std::transform(found.begin(), found.end(), reason, [](Reason r) { return static_cast<std::int8_t>(r); });
    });
}

const SectionHits& section_of(const fastcalo_hits* hits, std::size_t index) {
    const auto& sections = given(hits, "hits").hits.sections;
    if (index >= sections.size())
        fail(Code::not_found,
             "section " + std::to_string(index) + " does not exist: there are " + std::to_string(sections.size()));
    return sections[index];
}

fastcalo_status* hits_section(const fastcalo_hits* hits, std::size_t index, fastcalo_section_hits* view) {
    return guarded([&] {
        const SectionHits& s = section_of(hits, index);
        fastcalo_section_hits& out = sized(view, "view");
        out.n = s.energy.size();
        out.offsets = s.offsets.data();
        out.cell_id = s.cell_id.data();
        out.energy = s.energy.data();
        out.position = s.position.data();
        out.layer = s.layer.data();
        out.particle = s.particle.data();
    });
}

fastcalo_status* hits_copy(const fastcalo_hits* hits, std::size_t index, const fastcalo_section_hits_buffers* buffers,
                           std::size_t* n) {
    return guarded([&] {
        const SectionHits& s = section_of(hits, index);
        const fastcalo_section_hits_buffers& b = sized(buffers, "buffers");
        given(n, "n") = s.energy.size();
        if (s.energy.size() > b.capacity)
            fail(Code::buffer_too_small, "there are " + std::to_string(s.energy.size()) +
                                             " hits, but the buffers are of " + std::to_string(b.capacity));
        copy_to(s.cell_id, b.cell_id);
        copy_to(s.energy, b.energy);
        copy_to(s.position, b.position);
        copy_to(s.layer, b.layer);
        copy_to(s.particle, b.particle);
    });
}

fastcalo_status* hits_reasons(const fastcalo_hits* hits, const std::int8_t** reason, std::size_t* n) {
    return guarded([&] {
        const std::vector<Reason>& all = given(hits, "hits").hits.reason;
        static_assert(sizeof(Reason) == sizeof(std::int8_t));
        given(reason, "reason") = reinterpret_cast<const std::int8_t*>(all.data());
        given(n, "n") = all.size();
    });
}

const char* reason_text(int reason) { return text_of(reason); }

}  // namespace

void add_simulation_functions(fastcalo_api& api) noexcept {
    api.simulation_create = simulation_create;
    api.simulation_release = simulation_release;
    api.hits_create = hits_create;
    api.hits_release = hits_release;
    api.simulate = simulate;
    api.hits_section = hits_section;
    api.hits_copy = hits_copy;
    api.hits_reasons = hits_reasons;
    api.reason_text = reason_text;
    api.reasons = reasons;
}

}  // namespace fastcalo::core::capi
