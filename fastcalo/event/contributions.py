# SPDX-License-Identifier: BSD-3-Clause
"""Contributions of particles to hits: which particle deposited how much of a hit, and when."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FAST_STEP_MM, FULL_STEP_MM = -1.0, 0.0
"""`Contributions.step_length` of fast simulation, by EDM4hep's convention, and of full simulation summed over steps."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """What single particles deposited in the hits of a section, as flat arrays cut by offsets.

    Attributes
    ----------
    offsets : int64 [h + 1]
        Hit ``i`` was made by the contributions ``offsets[i]:offsets[i + 1]``, in the order of the particles.
    particle : int32 [c]
        Place of the particle in its event, daughters of decays counted behind the particles of the input.
    energy : float32 [c]
        GeV. Those of a hit add up to its energy.
    time : float32 [c]
        Of the first deposit, ns since the event.
    mean_time : float32 [c]
        Mean of the deposits' times, weighted with their energies, ns.
    step_length : float32 [c]
        mm: `FAST_STEP_MM` where fast simulation made it, `FULL_STEP_MM` where full simulation did.
    """

    offsets: NDArray[np.int64]
    particle: NDArray[np.int32]
    energy: NDArray[np.float32]
    time: NDArray[np.float32]
    mean_time: NDArray[np.float32]
    step_length: NDArray[np.float32]

    @property
    def hit(self) -> NDArray[np.int64]:
        """Index of the hit that each contribution belongs to, int64 [c]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @classmethod
    def none(cls) -> Contributions:
        """Contributions to no hits."""
        empty = np.zeros(0, np.float32)
        return cls(np.zeros(1, np.int64), np.zeros(0, np.int32), empty, empty, empty, empty)

    def take(self, hits: NDArray[np.bool_]) -> Contributions:
        """Contributions to some of the hits.

        Parameters
        ----------
        hits : bool [h]
        """
        chosen = np.repeat(hits, np.diff(self.offsets))
        columns = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "offsets"}
        return Contributions(np.concatenate([[0], np.cumsum(np.diff(self.offsets)[hits])]), **columns)
