// SPDX-License-Identifier: BSD-3-Clause
#include "fastcalo/geant4/physics.hpp"

#include <G4FastSimulationHelper.hh>
#include <G4ParticleDefinition.hh>
#include <G4ParticleTable.hh>
#include <utility>

namespace fastcalo::geant4 {

FastSimulationPhysics::FastSimulationPhysics(std::shared_ptr<const FastSimulation> shared, G4bool all)
    : G4VPhysicsConstructor("fastcalo"), shared_(std::move(shared)), all_(all) {}

void FastSimulationPhysics::ConstructProcess() {
    auto* const particles = GetParticleIterator();
    particles->reset();
    while ((*particles)()) {
        const G4ParticleDefinition* const particle = particles->value();
        if (particle->IsShortLived() || particle->GetProcessManager() == nullptr) continue;
        if (all_ || shared_->knows(particle->GetPDGEncoding()))
            G4FastSimulationHelper::ActivateFastSimulation(particle->GetProcessManager());
    }
}

}  // namespace fastcalo::geant4
