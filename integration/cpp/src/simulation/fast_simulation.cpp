// SPDX-License-Identifier: BSD-3-Clause
#include "simulation/fast_simulation.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "detector/particle_table.hpp"
#include "detector/propagation.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {

// A particle that is simulated.
struct FastSimulation::Candidate {
    std::int64_t particle = 0, event = 0;
    std::size_t model = 0;
    std::int32_t pdg = 0;  // that it is simulated as
    float energy = 0;
    float direction[3] = {}, entry[2] = {};
    std::int64_t module = 0, cell[2] = {};
    Stream stream;
};

struct FastSimulation::Deposit {
    std::int64_t event;
    Cell cell;
    std::int64_t particle;
    float energy;

    [[nodiscard]] auto key() const noexcept { return std::tie(event, cell.module, cell.layer, cell.x, cell.y); }
};

FastSimulation::FastSimulation(std::shared_ptr<const Detector> detector,
                               std::vector<std::shared_ptr<const ShowerModel>> models)
    : detector_(std::move(detector)), models_(std::move(models)) {
    if (models_.empty()) fail(Code::invalid_argument, "a simulation needs at least one model");
    for (const auto& model : models_)
        if (model->contract().stack_hash != detector_->stack_hash)
            fail(Code::contract,
                 model->where() + ": clause 'stack': the model was trained for other layers than those of detector '" +
                     detector_->name + "'; name the detector it was made for, or train a model for yours");
    const auto any_knows = [this](std::int32_t pdg) {
        return std::any_of(models_.begin(), models_.end(), [pdg](const auto& m) { return m->contract().knows(pdg); });
    };
    for (const Substitute& row : detector_->substitutes)
        if (!any_knows(row.species) && any_knows(row.pdg)) substitutes_.push_back(row);
}

bool FastSimulation::known(std::int32_t pdg, std::int32_t& as, double& add, std::size_t& model) const {
    as = pdg;
    add = 0;
    for (const Substitute& row : substitutes_) {
        if (row.species != pdg) continue;
        as = row.pdg;
        add = row.add_gev;
    }
    for (model = 0; model < models_.size(); ++model)
        if (models_[model]->contract().knows(as)) return true;
    return false;
}

std::vector<FastSimulation::Candidate> FastSimulation::accept(const Events& ev, std::uint64_t seed,
                                                              std::vector<Reason>& reason) const {
    std::vector<Candidate> out;
    for (std::int64_t e = 0; e < ev.n_events; ++e) {
        const std::uint64_t digest =
            event_digest(ev.run == nullptr ? 0 : ev.run[e], ev.luminosity_block == nullptr ? 0 : ev.luminosity_block[e],
                         ev.event == nullptr ? e : ev.event[e], ev.repeat == nullptr ? 0 : ev.repeat[e]);
        for (std::int64_t i = ev.offsets[e]; i < ev.offsets[e + 1]; ++i) {
            const auto properties = properties_of(ev.pdg[i]);
            const Vector p{ev.momentum[3 * i], ev.momentum[3 * i + 1], ev.momentum[3 * i + 2]};
            const Vector x =
                ev.vertex == nullptr ? Vector{} : Vector{ev.vertex[3 * i], ev.vertex[3 * i + 1], ev.vertex[3 * i + 2]};
            double mass =
                ev.mass == nullptr || std::isnan(ev.mass[i]) ? (properties ? properties->mass : 0) : ev.mass[i];
            const double p2 = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
            // p^2 / (E + m) keeps its precision where E - m would lose it
            const double total = std::sqrt(p2 + mass * mass) + mass;
            const double energy = total == 0 ? 0 : p2 / total;
            const bool good = std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]) &&
                              std::isfinite(x[0]) && std::isfinite(x[1]) && std::isfinite(x[2]) &&
                              std::isfinite(mass) && mass >= 0 && std::isfinite(energy);
            Candidate c;
            double add = 0;
            Reason& verdict = reason[static_cast<std::size_t>(i)];
            if (ev.status != nullptr && ev.status[i] != 1)
                verdict = Reason::not_final_state;
            else if (!good)
                verdict = Reason::bad_numbers;
            else if (energy <= 0)
                verdict = Reason::at_rest;
            else if (is_neutrino(ev.pdg[i]))
                verdict = Reason::invisible;
            else if (!known(ev.pdg[i], c.pdg, add, c.model) || !properties)
                verdict = Reason::unknown_species;
            else
                verdict = Reason::simulated;
            if (verdict != Reason::simulated) continue;
            const Arrival arrival = propagate(*detector_, properties->charge, p, x);
            const Contract& contract = models_[c.model]->contract();
            verdict = arrival.reason;
            if (verdict != Reason::simulated) continue;
            const double used = energy + add;
            if (!contract.energy_ok(used))
                verdict = used < 0.5 * (contract.kinetic_energy[0] + contract.kinetic_energy[1])
                              ? Reason::energy_too_low
                              : Reason::energy_too_high;
            else if (!contract.angle_ok(arrival.direction[2]))
                verdict = Reason::angle_too_large;
            if (verdict != Reason::simulated) continue;
            c.particle = i;
            c.event = e;
            c.energy = static_cast<float>(used);
            c.module = arrival.module;
            c.stream = {seed, digest,
                        ev.number == nullptr ? static_cast<std::uint32_t>(i - ev.offsets[e]) : ev.number[i]};
            for (std::size_t k = 0; k < 3; ++k) c.direction[k] = static_cast<float>(arrival.direction[k]);
            for (std::size_t k = 0; k < 2; ++k) {
                c.cell[k] = contract.whole() ? 0 : arrival.cell[k];
                const double point =
                    arrival.entry[k] +
                    (contract.whole() ? static_cast<double>(arrival.cell[k]) * detector_->sections.front().cell_mm : 0);
                c.entry[k] = static_cast<float>(point);
            }
            out.push_back(c);
        }
    }
    return out;
}

std::vector<Reason> FastSimulation::reasons(const Events& events) const {
    std::vector<Reason> out(static_cast<std::size_t>(events.n_particles()), Reason::simulated);
    (void)accept(events, 0, out);
    return out;
}

void FastSimulation::simulate(const Events& events, std::uint64_t seed, bool apart, Hits& out) const {
    out.reason.assign(static_cast<std::size_t>(events.n_particles()), Reason::simulated);
    const std::vector<Candidate> candidates = accept(events, seed, out.reason);
    std::vector<std::vector<Deposit>> deposits(detector_->sections.size());
    for (std::size_t m = 0; m < models_.size(); ++m) {
        std::vector<const Candidate*> mine;
        std::vector<std::int32_t> pdg;
        std::vector<float> energy, direction, entry;
        std::vector<Stream> streams;
        for (const Candidate& c : candidates) {
            if (c.model != m) continue;
            mine.push_back(&c);
            pdg.push_back(c.pdg);
            energy.push_back(c.energy);
            direction.insert(direction.end(), c.direction, c.direction + 3);
            entry.insert(entry.end(), c.entry, c.entry + 2);
            streams.push_back(c.stream);
        }
        if (mine.empty()) continue;
        Showers showers;
        models_[m]->sample({mine.size(), pdg.data(), energy.data(), direction.data(), entry.data()}, streams.data(),
                           showers);
        const Contract& contract = models_[m]->contract();
        for (std::size_t s = 0; s < showers.size(); ++s) {
            const std::size_t k = detector_->section_index(contract.sections[s]);
            place(detector_->sections[k], showers[s], mine, contract.whole(), deposits[k]);
        }
    }
    out.sections.resize(detector_->sections.size());
    for (std::size_t k = 0; k < out.sections.size(); ++k)
        sum(detector_->sections[k], deposits[k], events.n_events, apart, out.sections[k]);
}

// Cells of the detector: a shift by whole cells, layer by layer, to the cell that the line of flight crosses.
void FastSimulation::place(const Section& section, const SectionShowers& showers,
                           const std::vector<const Candidate*>& of, bool whole, std::vector<Deposit>& out) const {
    const auto layers = static_cast<std::size_t>(section.layers());
    const auto cell_mm = static_cast<float>(section.cell_mm);
    const double ratio = detector_->sections.front().cell_mm / section.cell_mm;
    std::vector<std::int64_t> shift(2 * layers * of.size());
    for (std::size_t i = 0; i < of.size(); ++i) {
        const Candidate& c = *of[i];
        for (std::size_t k = 0; k < 2; ++k) {
            const float slope = c.direction[k] / c.direction[2];
            const auto base =
                whole ? 0 : static_cast<std::int64_t>(std::floor(static_cast<double>(c.cell[k]) * ratio + 0.5));
            for (std::size_t l = 0; l < layers; ++l) {
                // in single precision, as the models find these cells
                const float along = static_cast<float>(section.sensor_z[l]) * slope;
                const float crossing = (c.entry[k] + along) / cell_mm;
                shift[2 * (layers * i + l) + k] = base + static_cast<std::int64_t>(std::floor(crossing + 0.5f));
            }
        }
    }
    out.reserve(out.size() + showers.size());
    for (std::size_t h = 0; h < showers.size(); ++h) {
        const auto i = static_cast<std::size_t>(showers.shower[h]);
        const std::int64_t* moved = &shift[2 * (layers * i + static_cast<std::size_t>(showers.layer[h]))];
        const Candidate& c = *of[i];
        out.push_back({c.event,
                       {c.module, showers.layer[h], moved[0] + showers.x[h], moved[1] + showers.y[h]},
                       c.particle,
                       showers.deposit[h]});
    }
}

void FastSimulation::sum(const Section& section, std::vector<Deposit>& deposits, std::int64_t n_events, bool apart,
                         SectionHits& out) const {
    std::stable_sort(deposits.begin(), deposits.end(), [apart](const Deposit& a, const Deposit& b) {
        if (a.key() != b.key()) return a.key() < b.key();
        return apart && a.particle < b.particle;
    });
    out.offsets.assign(static_cast<std::size_t>(n_events) + 1, 0);
    out.cell_id.clear();
    out.energy.clear();
    out.position.clear();
    out.layer.clear();
    out.particle.clear();
    for (std::size_t begin = 0, end = 0; begin < deposits.size(); begin = end) {
        const Deposit& first = deposits[begin];
        double energy = 0;
        std::int64_t particle = first.particle;
        for (end = begin; end < deposits.size() && deposits[end].key() == first.key(); ++end) {
            if (deposits[end].particle != first.particle) {
                if (apart) break;
                particle = -1;
            }
            energy += static_cast<double>(deposits[end].energy);
        }
        out.cell_id.push_back(section.encode(first.cell));
        out.energy.push_back(static_cast<float>(energy));
        for (const double coordinate : detector_->cell_centre(section, first.cell))
            out.position.push_back(static_cast<float>(coordinate));
        out.layer.push_back(static_cast<std::int32_t>(first.cell.layer));
        out.particle.push_back(particle);
        ++out.offsets[static_cast<std::size_t>(first.event) + 1];
    }
    for (std::size_t e = 1; e < out.offsets.size(); ++e) out.offsets[e] += out.offsets[e - 1];
}

}  // namespace fastcalo::core
