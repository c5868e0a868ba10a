// SPDX-License-Identifier: BSD-3-Clause
#include "simulation/reasons.hpp"

namespace fastcalo::core {

const char* text_of(int reason) noexcept {
    constexpr const char* texts[REASONS] = {
        "simulated",
        "not final state",
        "bad numbers (NaN, infinite or negative)",
        "invisible (neutrino)",
        "species not known to the engine",
        "born behind the calorimeter face",
        "misses the calorimeter",
        "energy below the engine's range",
        "energy above the engine's range",
        "angle outside the engine's range",
        "at rest (no momentum)",
        "decayed before the calorimeter",
    };
    return reason >= 0 && reason < REASONS ? texts[reason] : nullptr;
}

}  // namespace fastcalo::core
