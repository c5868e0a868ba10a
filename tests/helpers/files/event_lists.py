# SPDX-License-Identifier: BSD-3-Clause
"""Events of lists of particles, for tests."""

from __future__ import annotations

import numpy as np

from fastcalo import Events, particles


def make_events(*events, run=1):
    """Events of lists of particles, each a dictionary of pdg, momentum and perhaps vertex, final and mass."""
    flat = [particle for event in events for particle in event]
    pdg = np.array([p["pdg"] for p in flat], np.int32)
    mass = np.nan_to_num(particles.mass(pdg))
    return Events(
        offsets=np.cumsum([0, *map(len, events)]),
        pdg=pdg,
        momentum=np.array([p["momentum"] for p in flat], np.float64).reshape(-1, 3),
        mass=np.array([p.get("mass", m) for p, m in zip(flat, mass, strict=True)], np.float64),
        vertex=np.array([p.get("vertex", (0, 0, 0)) for p in flat], np.float64).reshape(-1, 3),
        final=np.array([p.get("final", True) for p in flat], bool),
        run=np.full(len(events), run),
        event=np.arange(len(events)) + 100,
    )
