# SPDX-License-Identifier: BSD-3-Clause
"""Where showers stand, by where their particles entered: a model may draw them beside their place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..estimates import REPLICAS
from .hit_patterns import position_shift
from .sample import ShowerSample

_BINS = 5


def position_difference(
    reference: ShowerSample, other: ShowerSample, section: str, seed: int = 0
) -> tuple[float, float]:
    """Root mean square, over bins of the entry point, of how far another sample's showers stand from the reference's.

    Along the direction from the origin to the entry point, in five bins of its distance with as many showers of the
    reference each; medians, lest a few far hits decide.

    Parameters
    ----------
    reference, other : ShowerSample
    section : str
    seed : int
        Of the bootstrap.

    Returns
    -------
    value, error : float
        mm.
    """
    distance = np.hypot(*reference.entry.T.astype(np.float64))
    edges = np.quantile(distance, np.arange(1, _BINS) / _BINS)
    means = [_means(sample, section, edges, seed + k) for k, sample in enumerate((reference, other))]
    with np.errstate(invalid="ignore"):
        found = np.sqrt(np.nanmean((means[1] - means[0]) ** 2, axis=1))
    return float(np.nan_to_num(found[0])), float(np.nan_to_num(found[1:].std()))


def _means(sample: ShowerSample, section: str, edges: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Medians of each bin, first of the sample and then of bootstrap replicas, float64 [1 + replicas, bins]."""
    shift, where = position_shift(sample, section, edges)
    rng = np.random.default_rng([seed, len(shift)])
    out = np.zeros((1 + REPLICAS, _BINS))
    for b in range(_BINS):
        values = shift[where == b]
        if len(values):
            out[0, b] = np.median(values)
            drawn = rng.integers(len(values), size=(REPLICAS, len(values)))
            out[1:, b] = np.median(values[drawn], axis=1)
    return out
