// SPDX-License-Identifier: BSD-3-Clause
// Fast simulation of whole events: particles in, hits out, a reason for every particle.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "detector/detector.hpp"
#include "model/shower_model.hpp"
#include "simulation/reasons.hpp"

namespace fastcalo::core {

// Events as someone else's arrays: the particles of all events one after the other, cut by offsets.
struct Events {
    std::int64_t n_events = 0;
    const std::int64_t* offsets = nullptr;  // [n_events + 1]
    const std::int32_t* pdg = nullptr;      // [n]
    const std::int32_t* status = nullptr;   // [n], 1 for the final state; all are where it is missing
    const double* momentum = nullptr;       // [n, 3], GeV
    const double* vertex = nullptr;         // [n, 3], mm; the origin where it is missing
    const double* mass = nullptr;           // [n], GeV; that of the table where it is missing or NaN
    const std::uint32_t* number = nullptr;  // [n], for the random numbers; the index in the event where missing
    const std::int64_t* run = nullptr;      // [n_events]; 0 where missing
    const std::int64_t* event = nullptr;    // [n_events]; the index where missing
    const std::int64_t* luminosity_block = nullptr;  // [n_events]; 0 where missing
    const std::uint64_t* repeat = nullptr;           // [n_events]; 0 where missing

    [[nodiscard]] std::int64_t n_particles() const noexcept { return n_events == 0 ? 0 : offsets[n_events]; }
};

// Hits of one section, cut into events by offsets; within an event in the order of module, layer, x and y.
struct SectionHits {
    std::vector<std::int64_t> offsets;
    std::vector<std::uint64_t> cell_id;
    std::vector<float> energy;    // GeV
    std::vector<float> position;  // [h, 3], centre of the cell in global coordinates, mm
    std::vector<std::int32_t> layer;
    std::vector<std::int64_t> particle;  // row in the events' arrays; -1 where several share the hit
};

struct Hits {
    std::vector<SectionHits> sections;  // in the order of the detector
    std::vector<Reason> reason;         // of every particle
};

class FastSimulation {
  public:
    // A particle goes to the first model that knows its species. Throws Error (contract) where a model was trained for
    // other layers than the detector's.
    FastSimulation(std::shared_ptr<const Detector> detector, std::vector<std::shared_ptr<const ShowerModel>> models);

    [[nodiscard]] const Detector& detector() const noexcept { return *detector_; }

    // Whether each particle would be simulated, or why not.
    [[nodiscard]] std::vector<Reason> reasons(const Events& events) const;

    // apart: hits of different particles in one cell are not summed.
    void simulate(const Events& events, std::uint64_t seed, bool apart, Hits& out) const;

  private:
    struct Candidate;
    struct Deposit;

    [[nodiscard]] std::vector<Candidate> accept(const Events& events, std::uint64_t seed,
                                                std::vector<Reason>& reason) const;
    [[nodiscard]] bool known(std::int32_t pdg, std::int32_t& as, double& add, std::size_t& model) const;
    void place(const Section& section, const SectionShowers& showers, const std::vector<const Candidate*>& of,
               bool whole, std::vector<Deposit>& out) const;
    void sum(const Section& section, std::vector<Deposit>& deposits, std::int64_t n_events, bool apart,
             SectionHits& out) const;

    std::shared_ptr<const Detector> detector_;
    std::vector<std::shared_ptr<const ShowerModel>> models_;
    std::vector<Substitute> substitutes_;  // those that are needed, and can be met
};

}  // namespace fastcalo::core
