// SPDX-License-Identifier: BSD-3-Clause
#include "cells.hpp"

#include <G4Step.hh>
#include <G4VTouchable.hh>
#include <algorithm>

namespace {

// depths in the tree of volumes at which these numbers stand
constexpr int CELL = 0, COLUMN = 1, LAYER = 2;

}  // namespace

void Cells::add(std::size_t section, std::uint64_t cell_id, double energy, double time) {
    if (sections.size() <= section) sections.resize(section + 1);
    const auto [place, is_new] = sections[section].try_emplace(cell_id);
    place->second.first_time = is_new ? time : std::min(time, place->second.first_time);
    place->second.energy += energy;
}

void Cells::clear() {
    for (auto& section : sections) section.clear();
}

Cells& cells_of_thread() {
    thread_local Cells cells;
    return cells;
}

SectionDetector::SectionDetector(const fastcalo::Detector& detector, std::size_t section, int module, int cells_across)
    : G4VSensitiveDetector(detector.section(section).name),
      detector_(detector),
      section_(section),
      module_(module),
      half_(cells_across / 2) {}

G4bool SectionDetector::ProcessHits(G4Step* step, G4TouchableHistory* /*history*/) {
    const double energy = step->GetTotalEnergyDeposit();
    if (energy <= 0) return false;
    const G4StepPoint* const at = step->GetPreStepPoint();
    const G4VTouchable* const volume = at->GetTouchable();
    const fastcalo::Cell cell{module_, volume->GetReplicaNumber(LAYER), volume->GetReplicaNumber(COLUMN) - half_,
                              volume->GetReplicaNumber(CELL) - half_};
    cells_of_thread().add(section_, detector_.encode(section_, cell), energy, at->GetGlobalTime());
    return true;
}

fastcalo::geant4::HitTarget::Lost StraightToCells::take(
    const std::vector<fastcalo::geant4::StoppedParticle>& /*particles*/,
    const std::vector<fastcalo::geant4::CellHit>& hits) {
    for (const auto& hit : hits) cells_of_thread().add(hit.section, hit.cell_id, hit.energy, hit.time);
    return {};
}
