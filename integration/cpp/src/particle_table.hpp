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
    const std::int32_t code = pdg < 0 ? -pdg : pdg;
    return code == 12 || code == 14 || code == 16;
}

}  // namespace fastcalo::core
