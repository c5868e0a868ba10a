// SPDX-License-Identifier: BSD-3-Clause
// Where the hits of the models go: through the geometry's sensitive detectors, or straight to the host.
#pragma once

#include <G4String.hh>
#include <G4ThreeVector.hh>
#include <G4TouchableHandle.hh>
#include <G4Types.hh>
#include <cstdint>
#include <memory>
#include <vector>

class G4Navigator;
class G4ParticleDefinition;
class G4Step;

namespace fastcalo::geant4 {

// A particle that was stopped, in Geant4's units and coordinates.
struct StoppedParticle {
    const G4ParticleDefinition* definition = nullptr;
    G4ThreeVector position, direction;
    G4double kinetic_energy = 0, mass = 0, time = 0, weight = 1;
    G4int track_id = 0, parent_id = 0;
    std::uint32_t number = 0;  // of its entry in the event, refused particles counted, too
};

// What one particle left in one cell, in Geant4's units and coordinates.
struct CellHit {
    std::size_t section = 0;    // of the detector
    std::uint64_t cell_id = 0;  // Detector::decode returns module, layer, x and y
    G4double energy = 0;        // what the sensor measures
    G4double time = 0;          // global time at the speed of light from the entry
    G4ThreeVector position;     // centre of the cell, half-way through the sensor
    std::size_t particle = 0;   // index among the stopped particles
};

// Takes the hits of the models in an event; each thread has its own.
class HitTarget {
  public:
    struct Lost {
        G4long hits = 0;
        G4double energy = 0;
    };
    virtual ~HitTarget() = default;

    // Called once an event, or once more for particles that Geant4 tracked behind the first batch. Hits come by section,
    // and in it by module, layer, x, y and particle. Returns those that could not be put anywhere.
    virtual Lost take(const std::vector<StoppedParticle>& particles, const std::vector<CellHit>& hits) = 0;
};

// Gives every hit to the sensitive detector that stands at its place, as a step of no length with the touchable of the
// volume, and a track with the numbers of the particle that was stopped. Hits where none stands are lost, and counted.
class SensitiveDetectors : public HitTarget {
  public:
    // world: of the geometry with the detectors; empty for the one that particles are tracked in.
    explicit SensitiveDetectors(const G4String& world = "");
    ~SensitiveDetectors() override;
    SensitiveDetectors(const SensitiveDetectors&) = delete;
    SensitiveDetectors& operator=(const SensitiveDetectors&) = delete;

    Lost take(const std::vector<StoppedParticle>& particles, const std::vector<CellHit>& hits) override;

  private:
    void prepare();
    [[nodiscard]] bool put(const CellHit& hit, const StoppedParticle& particle);

    G4String world_;
    // of our own, so that the state of the tracking is left alone
    std::unique_ptr<G4Navigator> navigator_;
    std::unique_ptr<G4Step> step_;
    G4TouchableHandle touchable_;
};

}  // namespace fastcalo::geant4
