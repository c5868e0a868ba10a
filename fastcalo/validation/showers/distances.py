# SPDX-License-Identifier: BSD-3-Clause
"""Distances between two samples of observables, as published, each with its error.

Rows are showers, columns observables; the reference comes first. None of them is zero for two samples of the same
truth: compare with the baseline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..estimates import REPLICAS, bootstrap

FloatArray = NDArray[np.float64]

BINS = 50
_QUANTILES = 200
_NEIGHBOURS = 5
_FARTHEST = 2.0
"""Times the largest size of an observable in the reference: what is beyond counts as this much in `kpd`."""
_ROWS = 1_000
"""Rows of a matrix of distances that are worked on at a time."""


def histogram_edges(reference: FloatArray, other: FloatArray, bins: int = BINS) -> FloatArray:
    """Equal bins over the range of both samples [n], but for the outermost thousandth on either side.

    Bins of whole numbers all hold as many of them.
    """
    both = np.concatenate([reference, other])
    low, high = np.quantile(both, [0.001, 0.999])
    if high <= low:
        low, high = both.min(), max(both.max(), both.min() + 1e-12)
    if (both == np.round(both)).all():
        step = np.ceil((high - low + 1) / bins)
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + step, step)
    return np.linspace(low, high, bins + 1)


def separation(reference: FloatArray, other: FloatArray, bins: int = BINS, seed: int = 0) -> tuple[float, float]:
    """Separation power of two histograms, S = 1/2 sum (a - b)^2 / (a + b): 0 if alike, 1 if they share no bin.

    As in the CaloChallenge (arXiv:2410.21611, section 5.1), after Diefenbacher et al., arXiv:2009.03796, eq. 15.
    Values beyond the edges count in the outermost bins.

    Parameters
    ----------
    reference, other : float64 [n], [m]
    bins : int
    seed : int
        Of the bootstrap.

    Returns
    -------
    value, error : float
    """
    edges = histogram_edges(reference, other, bins)
    a, b = (_histograms(x, edges, seed + k) for k, x in enumerate((reference, other)))
    total = a + b
    power = 0.5 * np.divide((a - b) ** 2, total, out=np.zeros_like(total), where=total > 0).sum(1)
    return float(power[0]), float(power[1:].std())


def _histograms(values: FloatArray, edges: FloatArray, seed: int) -> FloatArray:
    """Normalised histogram, and those of its replicas [1 + replicas, bins]."""
    n, bins = len(values), len(edges) - 1
    at = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    counts = np.bincount(at, minlength=bins)
    # a bootstrap of showers is one of bins: both are multinomial
    replicas = np.random.default_rng([seed, n]).multinomial(n, counts / n, size=REPLICAS)
    return np.concatenate([counts[None], replicas]) / n


def wasserstein(reference: FloatArray, other: FloatArray, seed: int = 0) -> tuple[float, float]:
    """First Wasserstein distance: the area between two cumulative distributions, over the reference's deviation.

    Parameters
    ----------
    reference, other : float64 [n], [m]
    seed : int
        Of the bootstrap.

    Returns
    -------
    value, error : float
        Both 0 where the reference does not vary.
    """
    from scipy.stats import wasserstein_distance

    spread = reference.std()
    if spread == 0:
        return 0.0, 0.0
    # the replicas' distances, from histograms with bins so fine that what happens within one is of no matter
    edges = np.unique(np.quantile(np.concatenate([reference, other]), np.linspace(0, 1, _QUANTILES + 1)))
    a, b = (np.cumsum(_histograms(x, edges, seed + k), axis=1)[:, :-1] for k, x in enumerate((reference, other)))
    middle = (edges[:-1] + edges[1:]) / 2
    replicas = np.abs(a - b)[1:] @ np.diff(middle)
    return float(wasserstein_distance(reference, other) / spread), float(replicas.std() / spread)


def frechet(reference: FloatArray, other: FloatArray) -> float:
    """Frechet distance of the normal distributions with the samples' means and covariances.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): Dowson & Landau, J. Multivar. Anal. 12 (1982) 450, eq. 4.
    """
    a, b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (reference, other))
    root = _root(a)
    # the eigenvalues of C1 C2 = R R' C2 are those of the symmetric R' C2 R
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ b @ root), 0)).sum()
    shift = reference.mean(0) - other.mean(0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * cross)


def _root(covariance: FloatArray) -> FloatArray:
    """A matrix R with R R' = covariance."""
    try:
        root = np.linalg.cholesky(covariance).astype(np.float64)
    except np.linalg.LinAlgError:
        # an observable does not vary, or is a sum of others
        weights, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(weights, 0))
    return root


def fpd(
    reference: FloatArray,
    other: FloatArray,
    *,
    smallest: int | None = None,
    largest: int | None = None,
    batches: int = 20,
    points: int = 10,
    seed: int = 0,
) -> tuple[float, float]:
    """Frechet physics distance: `frechet`, extrapolated to samples without end.

    Kansal et al., Phys. Rev. D 107 (2023) 076017, section III.C. Observables are divided by their largest size in the
    reference; the distance, averaged over batches drawn with replacement, is fitted by a straight line in 1/N. As the
    batches are of the same samples, what is left is the distance of these, and not 0 where their truth is the same.

    Parameters
    ----------
    reference, other : float64 [n, f], [m, f]
    smallest, largest : int, optional
        Sizes N that the line is fitted between; two fifths of the smaller sample, and all of it, unless given. The
        paper's are 20 000 and 50 000.
    batches, points : int
        Batches for each size, and sizes.
    seed : int

    Returns
    -------
    value, error : float
        Of the line where 1/N is 0.
    """
    from scipy.optimize import curve_fit

    largest = largest or min(len(reference), len(other))
    smallest = smallest or max(2, 2 * largest // 5)
    a, b = _normalised(reference, other)
    rng = np.random.default_rng(seed)
    sizes = (1 / np.linspace(1 / smallest, 1 / largest, points)).astype(np.int64)
    means = [np.mean([frechet(_drawn(a, size, rng), _drawn(b, size, rng)) for _ in range(batches)]) for size in sizes]
    line, covariance = curve_fit(
        lambda x, value, slope: value + slope * x, 1 / sizes, means, bounds=([0, 0], [np.inf, np.inf])
    )
    return float(line[0]), float(np.sqrt(covariance[0, 0]))


def kpd(
    reference: FloatArray, other: FloatArray, *, batches: int = 10, size: int = 5_000, seed: int = 0
) -> tuple[float, float]:
    """Kernel physics distance: maximum mean discrepancy with the kernel (x y / f + 1)^4.

    Kansal et al., Phys. Rev. D 107 (2023) 076017, section III.C; the estimator is that of Gretton et al., J. Mach.
    Learn. Res. 13 (2012) 723, eq. 3. That is unbiased, so that it may come out negative; but showers that are drawn
    twice into a batch move it up a little. Observables are divided by their largest size in the reference; what is then
    beyond 2 counts as 2, which the paper does not have.

    Parameters
    ----------
    reference, other : float64 [n, f], [m, f]
    batches : int
    size : int
        Showers in a batch, drawn with replacement; not more than there are in either sample.
    seed : int

    Returns
    -------
    value, error : float
        Median over the batches, and half the width of the 68 % of them in the middle.
    """
    size = min(size, len(reference), len(other))
    # to the power of four, one shower far beyond all of the reference would make value and error any number
    a, b = (np.clip(x, -_FARTHEST, _FARTHEST) for x in _normalised(reference, other))
    rng = np.random.default_rng(seed)
    found = [polynomial_mmd(_drawn(a, size, rng), _drawn(b, size, rng)) for _ in range(batches)]
    low, high = np.percentile(found, [16.275, 83.725])
    return float(np.median(found)), float((high - low) / 2)


def polynomial_mmd(a: FloatArray, b: FloatArray) -> float:
    """Maximum mean discrepancy of samples [n, f] and [m, f], squared, with the kernel of `kpd`; unbiased."""

    def mean_kernel(x: FloatArray, y: FloatArray, *, itself: bool) -> float:
        kernel = (x @ y.T / x.shape[1] + 1) ** 4
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)) if itself else kernel.mean())

    return mean_kernel(a, a, itself=True) + mean_kernel(b, b, itself=True) - 2 * mean_kernel(a, b, itself=False)


def precision_recall(
    reference: FloatArray, other: FloatArray, neighbours: int = _NEIGHBOURS, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Precision, recall, density, coverage and distance, from nearest neighbours in standardised observables.

    Precision and recall: Kynkaanniemi et al., arXiv:1904.06991, eqs. 1 and 2; density and coverage: Naeem et al.,
    arXiv:2002.09797, eqs. 3 and 5. A generator that forgets a part of the truth has a low recall and coverage; one that
    repeats the reference is nearer to it than showers of full simulation are.

    Parameters
    ----------
    reference, other : float64 [n, f], [m, f]
    neighbours : int
        The ball around a shower reaches to its neighbour of this rank.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict of str to (float, float)
        ``precision``, ``recall``, ``density``, ``coverage``, and ``nearest``: mean distance to the nearest shower of
        the reference, over the root of the number of observables; each with its error.
    """
    scale = reference.std(0)
    varies = scale > 0
    a, b = ((x[:, varies] - reference[:, varies].mean(0)) / scale[varies] for x in (reference, other))
    of_a, of_b = _radii(a, a, neighbours, itself=True), _radii(b, b, neighbours, itself=True)
    inside_a, inside_b = np.zeros(len(b)), np.zeros(len(a), bool)
    nearest, to_reference = np.zeros(len(a)), np.full(len(b), np.inf)
    for start in range(0, len(a), _ROWS):
        part = slice(start, start + _ROWS)
        distance = _distances(a[part], b)
        inside_a += (distance <= of_a[part, None]).sum(0)
        inside_b[part] = (distance <= of_b).any(1)
        nearest[part] = distance.min(1)
        np.minimum(to_reference, distance.min(0), out=to_reference)
    shares = {
        "precision": inside_a > 0,
        "recall": inside_b,
        "density": inside_a / neighbours,
        "coverage": nearest <= of_a,
        "nearest": to_reference / np.sqrt(max(varies.sum(), 1)),
    }
    return {
        name: (float(share.mean()), float((bootstrap(len(share), seed) @ share / len(share)).std()))
        for name, share in shares.items()
    }


def _radii(a: FloatArray, b: FloatArray, rank: int, *, itself: bool) -> FloatArray:
    """Distance of each row of a to the row of b of that rank; itself does not count."""
    parts = [_distances(a[start : start + _ROWS], b) for start in range(0, len(a), _ROWS)]
    return np.concatenate([np.partition(part, rank - 1 + itself, axis=1)[:, rank - 1 + itself] for part in parts])


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    distance: FloatArray = np.sqrt(np.maximum(square, 0))
    return distance


def _normalised(reference: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    largest = np.abs(reference).max(0)
    # what the reference never has would count in its own unit
    largest = np.where(largest > 0, largest, np.abs(other).max(0))
    largest[largest == 0] = 1
    return reference / largest, other / largest


def _drawn(rows: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    drawn: FloatArray = rows[rng.integers(len(rows), size=size)]
    return drawn
