// SPDX-License-Identifier: BSD-3-Clause
// Why particles are, or are not, simulated: the numbers of fastcalo.Reason in Python.
#pragma once

#include <cstdint>

namespace fastcalo::core {

enum class Reason : std::int8_t {
    simulated = 0,
    not_final_state = 1,
    bad_numbers = 2,
    invisible = 3,
    unknown_species = 4,
    born_outside = 5,
    misses_calorimeter = 6,
    energy_too_low = 7,
    energy_too_high = 8,
    angle_too_large = 9,
    at_rest = 10,
    decayed = 11,  // never given here: decays are the host's
};

inline constexpr int REASONS = 12;

// In words, as summaries print it; nullptr for a number that is no reason.
const char* text_of(int reason) noexcept;

}  // namespace fastcalo::core
