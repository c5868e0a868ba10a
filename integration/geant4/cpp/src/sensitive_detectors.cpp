// SPDX-License-Identifier: BSD-3-Clause
#include <G4DynamicParticle.hh>
#include <G4LogicalVolume.hh>
#include <G4Navigator.hh>
#include <G4ParticleDefinition.hh>
#include <G4Step.hh>
#include <G4StepPoint.hh>
#include <G4TouchableHistory.hh>
#include <G4Track.hh>
#include <G4TransportationManager.hh>
#include <G4VPhysicalVolume.hh>
#include <G4VSensitiveDetector.hh>

#include "fastcalo/geant4/hit_target.hpp"

namespace fastcalo::geant4 {
namespace {

std::unique_ptr<G4Track> track_of(const StoppedParticle& p) {
    // the track owns the dynamic particle
    auto* const dynamic = new G4DynamicParticle(p.definition, p.direction, p.kinetic_energy);
    dynamic->SetMass(p.mass);
    auto track = std::make_unique<G4Track>(dynamic, p.time, p.position);
    track->SetTrackID(p.track_id);
    track->SetParentID(p.parent_id);
    track->SetWeight(p.weight);
    return track;
}

void fill(G4StepPoint& point, const CellHit& hit, const StoppedParticle& particle, const G4TouchableHandle& touchable,
          G4LogicalVolume& volume) {
    point.SetPosition(hit.position);
    point.SetGlobalTime(hit.time);
    point.SetLocalTime(hit.time - particle.time);
    point.SetMomentumDirection(particle.direction);
    point.SetKineticEnergy(particle.kinetic_energy);
    point.SetMass(particle.mass);
    point.SetCharge(particle.definition->GetPDGCharge());
    point.SetWeight(particle.weight);
    point.SetTouchableHandle(touchable);
    point.SetMaterial(volume.GetMaterial());
    point.SetMaterialCutsCouple(volume.GetMaterialCutsCouple());
    point.SetSensitiveDetector(volume.GetSensitiveDetector());
}

}  // namespace

SensitiveDetectors::SensitiveDetectors(const G4String& world) : world_(world) {}
SensitiveDetectors::~SensitiveDetectors() = default;

void SensitiveDetectors::prepare() {
    auto* const transport = G4TransportationManager::GetTransportationManager();
    G4VPhysicalVolume* const world = world_.empty() ? transport->GetNavigatorForTracking()->GetWorldVolume()
                                                    : transport->GetParallelWorld(world_);
    // the geometry may have changed since the last event
    if (navigator_ && navigator_->GetWorldVolume() == world) return;
    navigator_ = std::make_unique<G4Navigator>();
    navigator_->SetWorldVolume(world);
    touchable_ = new G4TouchableHistory;
    step_ = std::make_unique<G4Step>();
}

HitTarget::Lost SensitiveDetectors::take(const std::vector<StoppedParticle>& particles,
                                         const std::vector<CellHit>& hits) {
    prepare();
    std::vector<std::unique_ptr<G4Track>> tracks;
    tracks.reserve(particles.size());
    for (const StoppedParticle& particle : particles) tracks.push_back(track_of(particle));
    Lost lost;
    // from the top of the tree at first, for the geometry may have been closed anew; then from the neighbour
    navigator_->LocateGlobalPointAndUpdateTouchable(G4ThreeVector(), touchable_(), false);
    for (const CellHit& hit : hits) {
        step_->SetTrack(tracks[hit.particle].get());
        if (put(hit, particles[hit.particle])) continue;
        ++lost.hits;
        lost.energy += hit.energy;
    }
    step_->SetTrack(nullptr);
    return lost;
}

bool SensitiveDetectors::put(const CellHit& hit, const StoppedParticle& particle) {
    navigator_->LocateGlobalPointAndUpdateTouchable(hit.position, touchable_(), true);
    G4VPhysicalVolume* const volume = touchable_->GetVolume();
    G4LogicalVolume* const logical = volume == nullptr ? nullptr : volume->GetLogicalVolume();
    G4VSensitiveDetector* const detector = logical == nullptr ? nullptr : logical->GetSensitiveDetector();
    if (detector == nullptr) return false;
    G4Track& track = *step_->GetTrack();
    track.SetPosition(hit.position);
    track.SetGlobalTime(hit.time);
    track.SetTouchableHandle(touchable_);
    track.SetStep(step_.get());
    for (G4StepPoint* const point : {step_->GetPreStepPoint(), step_->GetPostStepPoint()})
        fill(*point, hit, particle, touchable_, *logical);
    step_->SetStepLength(0);
    step_->SetNonIonizingEnergyDeposit(0);
    step_->SetTotalEnergyDeposit(hit.energy);
    return detector->Hit(step_.get());
}

}  // namespace fastcalo::geant4
