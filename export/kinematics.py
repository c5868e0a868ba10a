# SPDX-License-Identifier: BSD-3-Clause
"""Kinematics that fill the validity of a model, its corners among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.model.contract import Contract


def domain(contract: Contract, n: int, seed: int = 0) -> tuple[NDArray[Any], ...]:
    """Kinematics that fill a contract's validity, its corners among them.

    Returns
    -------
    tuple
        ``pdg`` int64 [n], ``kinetic_energy`` float32 [n], ``direction`` float32 [n, 3]; energies are uniform in
        their logarithm, directions in solid angle.
    """
    rng = np.random.default_rng(seed)
    low, high = contract.kinetic_energy
    energy = low * (high / low) ** rng.random(n)
    cosine = rng.uniform(math.cos(contract.max_angle), 1, n)
    azimuth = rng.uniform(-math.pi, math.pi, n)
    corners = [(e, c) for e in (low, high) for c in (1.0, math.cos(contract.max_angle))]
    k = min(n, 10 * len(corners))
    energy[:k], cosine[:k] = np.tile(np.array(corners), (10, 1))[:k].T
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], 1)
    return rng.choice(contract.species, n), energy.astype(np.float32), direction.astype(np.float32)
