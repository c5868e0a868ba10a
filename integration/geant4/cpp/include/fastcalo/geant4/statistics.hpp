// SPDX-License-Identifier: BSD-3-Clause
// Counts, energies and times of what the models did in a run.
#pragma once

#include <G4Types.hh>
#include <array>
#include <fastcalo/c_api.h>
#include <iosfwd>

namespace fastcalo::geant4 {

// Reasons are fastcalo_reason, and one more: a particle that a cut of the user's kept from the models.
inline constexpr std::size_t CUT = FASTCALO_REASONS;
inline constexpr std::size_t REASONS = FASTCALO_REASONS + 1;

struct Statistics {
    struct Count {
        G4long particles = 0;
        G4double energy = 0;  // kinetic, in Geant4's units
    };
    G4long events = 0;
    std::array<Count, REASONS> entries{};  // FASTCALO_SIMULATED: stopped; all others were tracked on
    G4long hits = 0, lost_hits = 0;
    G4double hit_energy = 0, lost_energy = 0;
    // wall time, the threads' added up, in seconds: of deciding about particles, of the models, of placing hits
    double deciding = 0, simulating = 0, placing = 0;

    Statistics& operator+=(const Statistics& other);
    [[nodiscard]] Count entered() const;
};

std::ostream& operator<<(std::ostream& out, const Statistics& statistics);

}  // namespace fastcalo::geant4
