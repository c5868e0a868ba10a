// SPDX-License-Identifier: BSD-3-Clause
// Physics constructor: Geant4's process of fast simulation for the species that the models know.
#pragma once

#include <G4VPhysicsConstructor.hh>
#include <memory>

#include "fastcalo/geant4/fast_simulation.hpp"

namespace fastcalo::geant4 {

// To be registered in a physics list: list->RegisterPhysics(new FastSimulationPhysics(shared)).
class FastSimulationPhysics : public G4VPhysicsConstructor {
  public:
    // all: also for other species, which are then counted as not known, at the cost of a process more in each step.
    explicit FastSimulationPhysics(std::shared_ptr<const FastSimulation> shared, G4bool all = false);

    void ConstructParticle() override {}
    void ConstructProcess() override;

  private:
    std::shared_ptr<const FastSimulation> shared_;
    G4bool all_;
};

}  // namespace fastcalo::geant4
