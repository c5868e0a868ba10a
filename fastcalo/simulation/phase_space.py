# SPDX-License-Identifier: BSD-3-Clause
"""Decays by phase space: momenta of two or three daughters, for many parents at once.

Two bodies fly apart back to back, isotropically. For three the mass of the first two is drawn from the density
q(m12; m1, m2) q(M; m12, m3), with q the momentum of two bodies in their rest frame, and both pairs are isotropic: that
is uniform in the Dalitz plot (Particle Data Group, "Kinematics", three-body decays). Matrix elements are taken for
constant.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# nodes of the tables of masses of pairs: the mass is right to a part in a million of its range
_NODES = 4097
# least mass of a pair, over that of their parent
_LEAST_PAIR = 1e-9


def break_up_momentum(mass: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """Momentum of two bodies of masses `one` and `other` in the rest frame of their parent, GeV; 0 below threshold."""
    product = (mass - one - other) * (mass + one + other) * (mass - one + other) * (mass + one - other)
    # two massless particles may have no mass together: then they have no momentum in their own frame
    return np.sqrt(np.maximum(product, 0)) / np.maximum(2 * mass, np.finfo(np.float64).tiny)


def boosted(vector: FloatArray, energy: FloatArray, frame: FloatArray, mass: FloatArray) -> FloatArray:
    """Momenta [n, 3] in the laboratory.

    Parameters
    ----------
    vector : float64 [n, 3]
        Momenta in a rest frame, GeV.
    energy : float64 [n]
        Energies there, GeV.
    frame : float64 [n, 3]
        Momentum in the laboratory of what is at rest in that frame, GeV.
    mass : float64 [n]
        Its mass, GeV.
    """
    total = np.sqrt(np.einsum("ij,ij->i", frame, frame) + mass**2)
    along = np.einsum("ij,ij->i", vector, frame)
    boost: FloatArray = vector + (along / (mass * (total + mass)) + energy / mass)[:, None] * frame
    return boost


def directions(u: FloatArray, v: FloatArray) -> FloatArray:
    """Isotropic unit vectors [n, 3] of numbers between 0 and 1."""
    cosine, azimuth = 2 * u - 1, 2 * np.pi * v
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)


def daughters(parent: FloatArray, mass: FloatArray, masses: FloatArray, u: FloatArray) -> FloatArray:
    """Momenta of the daughters.

    Parameters
    ----------
    parent : float64 [n, 3]
        GeV.
    mass : float64 [n]
        Of the parents, GeV.
    masses : float64 [n, 3]
        Of their daughters, GeV; NaN where there are fewer. One daughter is its parent by another name.
    u : float64 [n, 5]
        Numbers between 0 and 1: two for the directions of the last daughter, for three-body decays two more for that of
        the first in the frame of the first two, and one for the mass of these.

    Returns
    -------
    float64 [n, 3, 3]
        GeV, by parent, daughter and axis; NaN where there is no such daughter.
    """
    n = len(mass)
    out = np.full((n, 3, 3), np.nan)
    several = np.sum(~np.isnan(masses), axis=1)
    alone, two, three = several == 1, several == 2, several == 3
    out[alone, 0] = parent[alone]
    pair = masses[:, 0].copy()
    pair[three] = _pair_masses(mass[three], masses[three], u[three, 4])
    last = np.where(three, masses[:, 2], masses[:, 1])
    rest = np.flatnonzero(two | three)
    q = break_up_momentum(mass[rest], pair[rest], last[rest])
    away = q[:, None] * directions(u[rest, 0], u[rest, 1])
    frame, m = parent[rest], mass[rest]
    last_momentum = boosted(away, np.sqrt(q**2 + last[rest] ** 2), frame, m)
    pair_momentum = boosted(-away, np.sqrt(q**2 + pair[rest] ** 2), frame, m)
    is_two = two[rest]
    out[rest[is_two], 0], out[rest[is_two], 1] = pair_momentum[is_two], last_momentum[is_two]
    rows, pair_momentum = rest[~is_two], pair_momentum[~is_two]
    out[rows, 2] = last_momentum[~is_two]
    inner = break_up_momentum(pair[rows], masses[rows, 0], masses[rows, 1])
    apart = inner[:, None] * directions(u[rows, 2], u[rows, 3])
    for k, way in enumerate((apart, -apart)):
        energy = np.sqrt(inner**2 + masses[rows, k] ** 2)
        out[rows, k] = boosted(way, energy, pair_momentum, pair[rows])
    return out


def _pair_masses(mass: FloatArray, masses: FloatArray, u: FloatArray) -> FloatArray:
    """Masses of the first two daughters [n], by numbers [n] between 0 and 1."""
    out = np.empty(len(mass))
    kinds, which = np.unique(np.column_stack([mass, masses]), axis=0, return_inverse=True)
    for k, kind in enumerate(kinds.tolist()):
        chosen = which.ravel() == k
        grid, upto = _quantiles(*kind)
        out[chosen] = np.interp(u[chosen], upto, grid)
    # a pair without mass has no frame of its own to be boosted from
    return np.maximum(out, _LEAST_PAIR * mass)


@lru_cache(maxsize=256)
def _quantiles(mass: float, one: float, other: float, third: float) -> tuple[FloatArray, FloatArray]:
    """Masses of the pair, and the probability of less, at the nodes of a grid that is finer towards its ends."""
    low, high = one + other, mass - third
    grid = low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, _NODES))) / 2
    first, second = np.full_like(grid, one), np.full_like(grid, other)
    density = break_up_momentum(grid, first, second) * break_up_momentum(
        np.full_like(grid, mass), grid, 0 * grid + third
    )
    upto = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    return grid, upto / upto[-1]
