# SPDX-License-Identifier: BSD-3-Clause
"""Acceptance map: final particles of a conversion by species, polar angle, azimuth, energy and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..event.events import Events, Reason

THETA_DEG = np.linspace(0, 180, 19)
PHI_DEG = np.linspace(-180, 180, 13)
ENERGY_GEV = np.array([0.0, *np.geomspace(0.01, 1000, 11), np.inf])
"""Edges of the bins of the momentum's polar angle and azimuth, and of the kinetic energy."""

MAPPED = tuple(reason for reason in Reason if reason not in (Reason.NOT_FINAL_STATE, Reason.DECAYED))
"""What became of the particles that are counted: those of the final state that did not decay."""

_SHAPE = (len(THETA_DEG) - 1, len(PHI_DEG) - 1, len(ENERGY_GEV) - 1)


@dataclass
class AcceptanceMap:
    """Numbers of particles by species, and by bins and what became of them. Grows chunk by chunk.

    Attributes
    ----------
    counts : dict of int to int64 [theta, phi, energy, number of reasons]
        By PDG code. Particles whose numbers are not finite have no place in it.
    """

    counts: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, events: Events, reason: NDArray[np.int8]) -> None:
        """Count a chunk.

        Parameters
        ----------
        events : Events
        reason : int8 [n_particles]
        """
        with np.errstate(all="ignore"):
            size = np.linalg.norm(events.momentum, axis=1)
            theta = np.degrees(np.arccos(events.momentum[:, 2] / size))
            phi = np.degrees(np.arctan2(events.momentum[:, 1], events.momentum[:, 0]))
            energy = events.kinetic_energy
        chosen = np.isin(reason, MAPPED) & np.isfinite(theta) & np.isfinite(energy)
        bins = [
            np.clip(np.searchsorted(edges, values[chosen], side="right") - 1, 0, len(edges) - 2)
            for edges, values in ((THETA_DEG, theta), (PHI_DEG, phi), (ENERGY_GEV, energy))
        ]
        cell = np.ravel_multi_index((*bins, reason[chosen]), (*_SHAPE, len(Reason)))
        codes, species = np.unique(events.pdg[chosen], return_inverse=True)
        for k, code in enumerate(codes.tolist()):
            made = np.bincount(cell[species == k], minlength=int(np.prod(_SHAPE)) * len(Reason))
            if code not in self.counts:
                self.counts[code] = np.zeros((*_SHAPE, len(Reason)), np.int64)
            self.counts[code] += made.reshape(*_SHAPE, len(Reason))

    def to_dict(self) -> dict[str, Any]:
        """Edges of the bins, and for each species the bins that are not empty, as JSON can hold it.

        A bin is a list of its numbers in polar angle, azimuth and energy, of the reason's name, and of the particles.
        """
        species = {}
        for code, counts in sorted(self.counts.items()):
            at = np.argwhere(counts)
            species[str(code)] = [
                [*place, Reason(reason).name.lower(), int(counts[(*place, reason)])] for *place, reason in at.tolist()
            ]
        return {
            "theta_deg": THETA_DEG.tolist(),
            "phi_deg": PHI_DEG.tolist(),
            "energy_gev": [*ENERGY_GEV[:-1].tolist(), None],
            "species": species,
        }
