# SPDX-License-Identifier: BSD-3-Clause
"""Counts, energies and times of what a hook did in a Geant4 run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastcalo.event.reasons import Reason


@dataclass
class HookStatistics:
    """What entered the region, and what became of it.

    Attributes
    ----------
    events : int
    entries : int64 [reasons]
        Entries into the region by `Reason`: ``SIMULATED`` ones were stopped, all others tracked on.
    kinetic_energy : float64 [reasons]
        Their kinetic energy, GeV.
    decision_seconds : float
        Wall time spent on deciding about particles.
    model_seconds : float
        Wall time of the batches at the ends of the events.
    """

    events: int = 0
    entries: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Reason), np.int64))
    kinetic_energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(Reason)))
    decision_seconds: float = 0.0
    model_seconds: float = 0.0

    @property
    def stopped(self) -> int:
        """Number of particles that were stopped and simulated."""
        return int(self.entries[Reason.SIMULATED])

    @property
    def tracked_on(self) -> int:
        """Number of entries that were refused."""
        return int(self.entries.sum()) - self.stopped

    def __str__(self) -> str:
        lines = [f"{self.events} events, {int(self.entries.sum())} particles entered the region"]
        lines += [
            f"  {int(self.entries[reason]):6d} with {self.kinetic_energy[reason]:10.4g} GeV: {reason.text}"
            for reason in Reason
            if self.entries[reason]
        ]
        lines.append(f"  {self.decision_seconds:.3f} s deciding, {self.model_seconds:.3f} s in batches of the models")
        return "\n".join(lines)
