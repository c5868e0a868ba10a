// SPDX-License-Identifier: BSD-3-Clause
// Energies and times of the cells in an event: summed by a sensitive detector, or filled with the models' hits straight.
#pragma once

#include <G4VSensitiveDetector.hh>
#include <cstdint>
#include <fastcalo/fastcalo.hpp>
#include <fastcalo/geant4/hit_target.hpp>
#include <map>
#include <vector>

// Of the event that a thread is at, by section and cell ID.
struct Cells {
    struct Content {
        double energy = 0, first_time = 0;  // Geant4's units
    };
    std::vector<std::map<std::uint64_t, Content>> sections;

    void add(std::size_t section, std::uint64_t cell_id, double energy, double time);
    void clear();
};

// Those of the present thread.
Cells& cells_of_thread();

// Sensors of a section: replicas of columns and cells in each layer. Steps of Geant4's and hits of the models alike.
class SectionDetector : public G4VSensitiveDetector {
  public:
    SectionDetector(const fastcalo::Detector& detector, std::size_t section, int module, int cells_across);
    G4bool ProcessHits(G4Step* step, G4TouchableHistory* history) override;

  private:
    fastcalo::Detector detector_;
    std::size_t section_;
    int module_, half_;
};

// Puts hits of the models into the cells without asking the geometry.
class StraightToCells : public fastcalo::geant4::HitTarget {
  public:
    Lost take(const std::vector<fastcalo::geant4::StoppedParticle>& particles,
              const std::vector<fastcalo::geant4::CellHit>& hits) override;
};
