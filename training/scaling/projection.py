# SPDX-License-Identifier: BSD-3-Clause
"""Scaling projection: a model of step times beyond the measured number of ranks, with uncertainty.

A message of n bytes takes α + βn (Hockney, Parallel Computing 20 (1994) 389). A sum over p ranks by a ring takes
2(p − 1)α + 2(p − 1)/p βn; by recursive halving and doubling, 2 log₂(p) α + 2(p − 1)/p βn (Thakur, Rabenseifner & Gropp,
IJHPCA 19 (2005) 49, section 4; the addition itself is counted into β). The rest of a step takes t₀ + t₁b for the b
showers of a rank. Nothing is hidden behind computing, so that a good network does better; waiting for ranks that are
late is taken as it was measured, and a large machine may do worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearModel:
    """Coefficients of a linear model, none of them negative.

    Attributes
    ----------
    values : float64 [2]
    covariance : float64 [2, 2]
        Scaled up where the model misses the points by more than their errors.
    chi2 : float
        Per degree of freedom.
    """

    values: Array
    covariance: Array
    chi2: float


def fit(design: Array, y: Array, error: Array) -> LinearModel:
    """Least squares of ``design @ values`` to `y`.

    Parameters
    ----------
    design : float64 [N, 2]
    y, error : float64 [N]
    """
    weight = 1 / error
    free = list(range(design.shape[1]))
    while True:
        a = design[:, free] * weight[:, None]
        covariance = np.linalg.pinv(a.T @ a)
        found = covariance @ a.T @ (y * weight)
        # one that would have to be negative is nothing
        if np.all(found >= 0) or len(free) == 1:
            break
        del free[int(np.argmin(found * np.sqrt(np.diag(a.T @ a))))]
    chi2 = float(np.sum((a @ found - y * weight) ** 2)) / max(1, len(y) - len(free))
    values, full = np.zeros(design.shape[1]), np.zeros((design.shape[1],) * 2)
    values[free] = np.maximum(found, 0)
    full[np.ix_(free, free)] = covariance * max(1.0, chi2)
    return LinearModel(values, full, chi2)


def ring_cost(ranks: Array, messages: float, size: float | Array) -> Array:
    """Factors of (α, β) for sums by a ring.

    Parameters
    ----------
    ranks : float64 [N]
    messages : float
        How many sums.
    size : float or float64 [N]
        Bytes of all of them.

    Returns
    -------
    float64 [N, 2]
    """
    return np.stack([2 * (ranks - 1) * messages, 2 * (ranks - 1) / ranks * size], axis=1)


def halving_cost(ranks: Array, messages: float, size: float) -> Array:
    """Factors of (α, β) for sums by recursive halving and doubling; see `ring_cost`."""
    return np.stack([2 * np.log2(ranks) * messages, 2 * (ranks - 1) / ranks * size], axis=1)


def fit_network(ranks: Sequence[int], sizes: Sequence[int], seconds: Array, error: Array) -> LinearModel:
    """Calibrate (α, β): seconds, and seconds per byte.

    Parameters
    ----------
    ranks : sequence of int
        Of two and more.
    sizes : sequence of int
        Bytes.
    seconds, error : float64 [len(ranks), len(sizes)]
        Of a sum of each size over each number of ranks.
    """
    design = np.concatenate([ring_cost(np.full(len(sizes), float(p)), 1.0, np.array(sizes, np.float64)) for p in ranks])
    return fit(design, seconds.ravel(), error.ravel())


def fit_computing(showers: Array, seconds: Array, error: Array) -> LinearModel:
    """Calibrate (t₀, t₁): seconds of a step without waiting, for the showers of a rank.

    Parameters
    ----------
    showers, seconds, error : float64 [N]
        Showers of a rank, and seconds of a step.
    """
    design = np.stack([np.ones_like(showers), showers], axis=1)
    if np.ptp(showers) == 0:
        # one number of showers cannot distinguish the two
        design[:, 0] = 0
    return fit(design, seconds, error)


def project(
    ranks: Array,
    batch: Array,
    network: LinearModel,
    computing: LinearModel,
    messages: float,
    size: float,
    late: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Array]:
    """Showers per second for numbers of ranks that were not measured.

    Parameters
    ----------
    ranks, batch : float64 [N]
        Showers of the global batch.
    network, computing : LinearModel
    messages : float
        Sums in a step.
    size : float
        Bytes in a step.
    late : (float, float)
        Seconds of a step in which ranks wait for others that are late, and their error; the same for all numbers of
        ranks, for lack of anything better.

    Returns
    -------
    dict
        ``rate`` by a ring, ``low`` and ``high`` (one standard deviation of the fits), ``rate_halving`` by recursive
        halving and doubling, and ``share`` of a step spent waiting; float64 [N].
    """
    work = np.stack([np.ones_like(ranks), batch / ranks], axis=1)
    talk = ring_cost(ranks, messages, size)
    waiting = talk @ network.values + late[0]
    seconds = work @ computing.values + waiting
    variance = np.einsum("ni,ij,nj->n", work, computing.covariance, work)
    variance += np.einsum("ni,ij,nj->n", talk, network.covariance, talk)
    sigma = np.sqrt(variance + late[1] ** 2)
    quick = work @ computing.values + halving_cost(ranks, messages, size) @ network.values + late[0]
    return {
        "rate": batch / seconds,
        "low": batch / (seconds + sigma),
        "high": batch / np.maximum(seconds - sigma, 0.05 * seconds),
        "rate_halving": batch / quick,
        "share": waiting / seconds,
    }
