// SPDX-License-Identifier: BSD-3-Clause
// The model that Geant4 asks: stops particles that enter a region, and simulates an event's in one batch.
#pragma once

#include <G4VFastSimulationModel.hh>
#include <fastcalo/fastcalo.hpp>
#include <memory>
#include <vector>

#include "fastcalo/geant4/fast_simulation.hpp"
#include "fastcalo/geant4/hit_target.hpp"

class G4Region;

namespace fastcalo::geant4 {

// One for each thread and region, made in ConstructSDandField and kept until Geant4's end.
//
// A particle is stopped where it enters the region through the surface, if a model is valid for it and no cut of the
// user's keeps it. When the stacks of the event are empty Geant4 calls Flush, which simulates all of them at once.
// What is refused, and what is born in the region, is tracked on.
class FastSimulationModel : public G4VFastSimulationModel {
  public:
    // Hits go through the sensitive detectors unless `target` is given.
    FastSimulationModel(const G4String& name, G4Region* region, std::shared_ptr<FastSimulation> shared,
                        std::unique_ptr<HitTarget> target = nullptr);
    ~FastSimulationModel() override;

    G4bool IsApplicable(const G4ParticleDefinition& particle) override;
    G4bool ModelTrigger(const G4FastTrack& track) override;
    void DoIt(const G4FastTrack& track, G4FastStep& step) override;
    void Flush() override;

  private:
    [[nodiscard]] std::size_t decide(const G4FastTrack& track);
    void begin_event();
    void simulate();
    void collect_hits();

    std::shared_ptr<FastSimulation> shared_;
    std::unique_ptr<HitTarget> target_;
    std::vector<StoppedParticle> stopped_;
    std::vector<CellHit> found_;
    Hits hits_;
    Event event_;       // of the stopped particles
    Event candidate_;   // of one particle that is decided about
    std::vector<double> face_;  // where the stopped ones meet the detector's face
    Statistics statistics_;
    G4int run_ = -1, number_ = -1;
    std::uint32_t entries_ = 0;
};

}  // namespace fastcalo::geant4
