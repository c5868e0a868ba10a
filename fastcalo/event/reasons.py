# SPDX-License-Identifier: BSD-3-Clause
"""Why particles are, or are not, simulated."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why a particle was, or was not, simulated. `SIMULATED` is the only one that is not a refusal."""

    SIMULATED = 0
    NOT_FINAL_STATE = 1
    BAD_NUMBERS = 2
    INVISIBLE = 3
    UNKNOWN_SPECIES = 4
    BORN_OUTSIDE = 5
    MISSES_CALORIMETER = 6
    ENERGY_TOO_LOW = 7
    ENERGY_TOO_HIGH = 8
    ANGLE_TOO_LARGE = 9
    AT_REST = 10
    DECAYED = 11

    @property
    def text(self) -> str:
        """The reason in words, as summaries print it."""
        return _TEXT[self]


_TEXT = {
    Reason.SIMULATED: "simulated",
    Reason.NOT_FINAL_STATE: "not final state",
    Reason.BAD_NUMBERS: "bad numbers (NaN, infinite or negative)",
    Reason.INVISIBLE: "invisible (neutrino)",
    Reason.UNKNOWN_SPECIES: "species not known to the engine",
    Reason.BORN_OUTSIDE: "born behind the calorimeter face",
    Reason.MISSES_CALORIMETER: "misses the calorimeter",
    Reason.ENERGY_TOO_LOW: "energy below the engine's range",
    Reason.ENERGY_TOO_HIGH: "energy above the engine's range",
    Reason.ANGLE_TOO_LARGE: "angle outside the engine's range",
    Reason.AT_REST: "at rest (no momentum)",
    Reason.DECAYED: "decayed before the calorimeter",
}


NOT_TO_SIMULATE = (Reason.NOT_FINAL_STATE, Reason.BAD_NUMBERS, Reason.INVISIBLE, Reason.AT_REST, Reason.DECAYED)
"""Reasons of particles that no calorimeter is asked for."""

NEVER_REJECTED = (Reason.SIMULATED, Reason.NOT_FINAL_STATE, Reason.DECAYED)
"""Reasons of particles that no other engine need be asked for."""
