// SPDX-License-Identifier: BSD-3-Clause
// Detector, models and settings: one for all threads of a Geant4 program.
#pragma once

#include <G4FastTrack.hh>
#include <G4Types.hh>
#include <cstdint>
#include <fastcalo/fastcalo.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "fastcalo/geant4/placement.hpp"
#include "fastcalo/geant4/statistics.hpp"

namespace fastcalo::geant4 {

// What keeps particles from the models that they are valid for.
struct Cuts {
    G4double lowest_kinetic_energy = 0;
    G4double highest_kinetic_energy = std::numeric_limits<G4double>::max();
    std::set<G4int> excluded;                        // PDG codes
    std::function<G4bool(const G4FastTrack&)> keep;  // false: tracked on. All threads call it; empty: all are kept
};

// Settings are read by all threads, and are to be changed while no run goes on: in code, or by commands /fastcalo/...
struct Settings {
    G4bool enabled = true;
    std::uint64_t seed = 0;       // of the models' random numbers, with run, event and the order of entries
    std::int64_t first_run = 0;   // added to Geant4's number of the run
    G4bool print_at_end = true;   // statistics at the end of every run
    Cuts cuts;
};

// Made before the run manager is initialised, in the thread of the main program, and kept until Geant4's end.
class FastSimulation {
  public:
    // module: Geant4's volumes are this one module of the detector, in the module's frame. Throws fastcalo::Error.
    FastSimulation(const Detector& detector, const std::vector<ShowerModel>& models,
                   G4int module = Placement::WHOLE_DETECTOR);
    ~FastSimulation();
    FastSimulation(const FastSimulation&) = delete;
    FastSimulation& operator=(const FastSimulation&) = delete;

    Settings settings;

    [[nodiscard]] const Detector& detector() const noexcept { return detector_; }
    [[nodiscard]] const Simulation& simulation() const noexcept { return simulation_; }
    [[nodiscard]] const Placement& placement() const noexcept { return placement_; }
    // Whether there is a model for a species.
    [[nodiscard]] G4bool knows(G4int pdg) const;

    // Of the present run, or since the last call of reset.
    [[nodiscard]] Statistics statistics() const;
    void reset();
    void add(const Statistics& of_a_thread);

  private:
    class Messenger;
    class EndOfRun;

    Detector detector_;
    Simulation simulation_;
    Placement placement_;
    mutable std::mutex mutex_;
    Statistics statistics_;
    std::unique_ptr<Messenger> messenger_;
    std::unique_ptr<EndOfRun> end_of_run_;
};

}  // namespace fastcalo::geant4
