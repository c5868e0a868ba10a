# SPDX-License-Identifier: BSD-3-Clause
"""Acceptance: why a particle is simulated or refused, the same in every engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..event.events import Events, Reason
from ..particles import is_invisible


def first_reason(events: Events, known: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Decisions about particles before they are propagated.

    Parameters
    ----------
    events : Events
    known : bool [n]
        Whether the engine can simulate the species.

    Returns
    -------
    int8 [n]
        `Reason` of every particle; ``SIMULATED`` where nothing speaks against it yet.
    """
    decayed = np.zeros(events.n_particles, np.bool_) if events.lineage is None else events.lineage.decayed
    reason = np.select(
        [
            decayed,
            ~events.final,
            ~good_numbers(events),
            events.kinetic_energy <= 0,
            is_invisible(events.pdg),
            ~known,
        ],
        [
            Reason.DECAYED,
            Reason.NOT_FINAL_STATE,
            Reason.BAD_NUMBERS,
            Reason.AT_REST,
            Reason.INVISIBLE,
            Reason.UNKNOWN_SPECIES,
        ],
        Reason.SIMULATED,
    )
    return reason.astype(np.int8)


def good_numbers(events: Events) -> NDArray[np.bool_]:
    """Whether momentum, vertex, mass and energy are finite numbers, and the mass is not negative, bool [n]."""
    numbers = np.column_stack([events.momentum, events.vertex, events.mass])
    energy = events.kinetic_energy
    good: NDArray[np.bool_] = np.isfinite(numbers).all(1) & (events.mass >= 0) & np.isfinite(energy)
    return good


def outside_range(
    energy: NDArray[np.float64],
    limits: tuple[float, float],
    energy_ok: NDArray[np.bool_],
    angle_ok: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Decisions about particles that arrive at the calorimeter.

    Parameters
    ----------
    energy : float64 [n]
        Kinetic energy, GeV.
    limits : (float, float)
        Range of kinetic energies that is accepted, GeV; distinguishes too low from too high.
    energy_ok, angle_ok : bool [n]
        Whether energy and angle are accepted.

    Returns
    -------
    int8 [n]
        ``SIMULATED``, ``ENERGY_TOO_LOW``, ``ENERGY_TOO_HIGH`` or ``ANGLE_TOO_LARGE``.
    """
    low = energy < 0.5 * (limits[0] + limits[1])
    reason = np.select(
        [~energy_ok & low, ~energy_ok, ~angle_ok],
        [Reason.ENERGY_TOO_LOW, Reason.ENERGY_TOO_HIGH, Reason.ANGLE_TOO_LARGE],
        Reason.SIMULATED,
    )
    return reason.astype(np.int8)
