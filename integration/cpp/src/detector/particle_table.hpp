// SPDX-License-Identifier: BSD-3-Clause
// Masses and charges of the particles that reach a calorimeter, by PDG code.
#pragma once

#include <cstdint>
#include <optional>

namespace fastcalo::core {

struct ParticleProperties {
    double mass = 0;    // GeV
    double charge = 0;  // in units of the positron's
};

// Leptons, photons, light mesons, baryons of the lowest octet, Omega, and light nuclei; nothing for other codes.
std::optional<ParticleProperties> properties_of(std::int32_t pdg) noexcept;

constexpr bool is_neutrino(std::int32_t pdg) noexcept {
    // compared with both signs, for the lowest number of all has no opposite
    return pdg == 12 || pdg == 14 || pdg == 16 || pdg == -12 || pdg == -14 || pdg == -16;
}

}  // namespace fastcalo::core
