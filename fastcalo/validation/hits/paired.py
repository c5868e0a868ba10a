# SPDX-License-Identifier: BSD-3-Clause
"""Paired statistics of two simulations of the same events, accumulated chunk by chunk.

Both simulations start from the same particles, so their results are correlated event by event, and deposits are
correlated within an event. Everything here therefore rests on the events' differences, which are independent of each
other: means have the error of the mean difference, and spectra the covariance of the differences. The test of a
spectrum is Hotelling's for paired samples (H. Hotelling, Ann. Math. Stat. 2 (1931) 360); for counts of events it is
that of Bhapkar (J. Am. Stat. Assoc. 61 (1966) 228), and for many events that of Stuart and Maxwell as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# below this many events for each bin the covariance is too poorly known for a test
_EVENTS_PER_BIN = 4
# bins with a difference in fewer events than this are not normally distributed: they are left out of the test
_FEWEST = 10
# a smaller difference, relative to the larger content, is rounding: engines that draw the same showers sum otherwise
_ROUNDING = 1e-5
# directions with less of the variance than this are sums that cannot differ, or rounding
_NEGLIGIBLE = 1e-9


@dataclass
class PairedMean:
    """One number of each event in both simulations.

    Attributes
    ----------
    n : int
        Events in which both have it.
    """

    n: int = 0
    _sums: FloatArray = field(default_factory=lambda: np.zeros(2))
    _squares: FloatArray = field(default_factory=lambda: np.zeros((2, 2)))

    def add(self, full: FloatArray, fast: FloatArray) -> None:
        """Add events.

        Parameters
        ----------
        full, fast : float64 [n_events]
            NaN where an event has no such number.
        """
        both = np.stack([full, fast])[:, np.isfinite(full) & np.isfinite(fast)]
        self.n += both.shape[1]
        self._sums += both.sum(axis=1)
        self._squares += both @ both.T

    @property
    def mean(self) -> FloatArray:
        """Means in the full and the fast simulation, float64 [2]."""
        return self._sums / self.n if self.n else np.full(2, np.nan)

    @property
    def _covariance(self) -> FloatArray:
        if self.n < 2:
            return np.full((2, 2), np.nan)
        return (self._squares - np.outer(self._sums, self._sums) / self.n) / (self.n - 1)

    @property
    def rms(self) -> FloatArray:
        """Spread from event to event, float64 [2]."""
        return np.sqrt(np.maximum(self._covariance.diagonal(), 0))

    @property
    def correlation(self) -> float:
        """Pearson's coefficient over events; NaN where one of them does not vary."""
        scale = float(self.rms.prod())
        return float(self._covariance[0, 1]) / scale if scale > 0 else math.nan

    @property
    def ratio(self) -> tuple[float, float]:
        """Mean of the fast simulation over that of the full one, and its error from the paired events."""
        full, fast = self.mean
        if not full:
            return math.nan, math.nan
        weights = np.array([-fast / full, 1.0])
        variance = float(weights @ self._covariance @ weights)
        return float(fast / full), math.sqrt(max(variance, 0.0) / max(self.n, 1)) / abs(float(full))

    @property
    def p_value(self) -> float:
        """Two-sided probability of means that differ as much or more: Student's test for pairs. NaN for one event."""
        if self.n < 2:
            return math.nan
        weights = np.array([-1.0, 1.0])
        difference = float(weights @ self.mean)
        variance = float(weights @ self._covariance @ weights) / self.n
        if not variance > 0:
            return math.nan if math.isnan(difference) else float(difference == 0)
        from scipy.stats import t

        return 2 * float(t.sf(abs(difference) / math.sqrt(variance), self.n - 1))

    def to_dict(self) -> dict[str, float | int | None]:
        """Everything, as JSON can hold it."""
        ratio, error = self.ratio
        return {
            "events": self.n,
            "full_mean": plain(self.mean[0]),
            "fast_mean": plain(self.mean[1]),
            "full_rms": plain(self.rms[0]),
            "fast_rms": plain(self.rms[1]),
            "ratio": plain(ratio),
            "ratio_error": plain(error),
            "correlation": plain(self.correlation),
            "p_value": plain(self.p_value),
        }


@dataclass
class PairedSpectrum:
    """A spectrum, or profile, with a content of every bin in every event, in both simulations.

    Attributes
    ----------
    bins : int
    n : int
        Events.
    """

    bins: int
    n: int = 0

    def __post_init__(self) -> None:
        self._sums, self._squares = np.zeros((2, self.bins)), np.zeros((2, self.bins))
        self._difference, self._touched = np.zeros((self.bins, self.bins)), np.zeros(self.bins, np.int64)

    def add(self, full: FloatArray, fast: FloatArray) -> None:
        """Add events.

        Parameters
        ----------
        full, fast : float64 [n_events, bins]
        """
        difference = fast - full
        self.n += len(full)
        for i, content in enumerate((full, fast)):
            self._sums[i] += content.sum(axis=0)
            self._squares[i] += (content**2).sum(axis=0)
        self._difference += difference.T @ difference
        seen = np.abs(difference) > _ROUNDING * np.maximum(np.abs(full), np.abs(fast))
        self._touched += np.count_nonzero(seen, axis=0)

    @property
    def mean(self) -> FloatArray:
        """Content per event, float64 [2, bins]."""
        return self._sums / max(self.n, 1)

    @property
    def error(self) -> FloatArray:
        """Error of each mean by itself, from the spread of the events, float64 [2, bins]."""
        variance = np.maximum(self._squares / max(self.n, 1) - self.mean**2, 0)
        return np.sqrt(variance / max(self.n - 1, 1))

    @property
    def ratio(self) -> tuple[FloatArray, FloatArray]:
        """Fast over full, and the error of their difference in units of full, float64 [bins] each; NaN where empty."""
        full, fast = self.mean
        variance = np.maximum(self._covariance.diagonal(), 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(full > 0, fast / full, np.nan)
            return ratio, np.sqrt(variance / max(self.n, 1)) / np.where(full > 0, full, np.nan)

    @property
    def _covariance(self) -> FloatArray:
        mean = self.mean[1] - self.mean[0]
        covariance: FloatArray = (self._difference - self.n * np.outer(mean, mean)) / max(self.n - 1, 1)
        return covariance

    @property
    def test(self) -> tuple[float, int, float]:
        """Hotelling's test of equal means of all bins: chi2, degrees of freedom, p-value.

        Bins that hardly ever differ by more than rounding are left out. chi2 is corrected for the covariance that is
        estimated from few events: by (n − k) / (n − 1) for k degrees of freedom. All NaN, or no degree of freedom,
        where there are too few events for the bins.
        """
        kept = np.flatnonzero(self._touched >= _FEWEST)
        if not len(kept):
            return (0.0, 0, 1.0) if self.n and not self._touched.any() else (math.nan, 0, math.nan)
        if self.n < _EVENTS_PER_BIN * len(kept):
            return math.nan, 0, math.nan
        covariance = self._covariance[np.ix_(kept, kept)]
        scale = np.sqrt(covariance.diagonal())
        scale[scale == 0] = 1
        values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        free = values > _NEGLIGIBLE * len(kept)
        difference = vectors.T @ ((self.mean[1] - self.mean[0])[kept] / scale)
        degrees = int(free.sum())
        chi2 = float(self.n * (difference[free] ** 2 / values[free]).sum()) * (self.n - degrees) / (self.n - 1)
        return chi2, degrees, hotelling_probability(chi2, degrees, self.n)

    def part(self, start: int, stop: int) -> PairedSpectrum:
        """Bins `start` to `stop` only, of the same events."""
        few = PairedSpectrum(stop - start, self.n)
        few._sums, few._squares = self._sums[:, start:stop], self._squares[:, start:stop]
        few._difference = self._difference[start:stop, start:stop]
        few._touched = self._touched[start:stop]
        return few

    def merged(self, size: int) -> PairedSpectrum:
        """The same in wider bins, `size` of these in each, for a spectrum of events, each of which is in one bin."""
        starts = np.arange(0, self.bins, size)
        wide = PairedSpectrum(len(starts), self.n)
        # of contents that are never there together, squares add up
        wide._sums, wide._squares = (np.add.reduceat(x, starts, axis=1) for x in (self._sums, self._squares))
        wide._difference = np.add.reduceat(np.add.reduceat(self._difference, starts, axis=0), starts, axis=1)
        wide._touched = np.add.reduceat(self._touched, starts)
        return wide

    def to_dict(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        chi2, degrees, p_value = self.test
        ratio, error = self.ratio
        return {
            "events": self.n,
            "full_mean": self.mean[0].tolist(),
            "fast_mean": self.mean[1].tolist(),
            "ratio": [plain(x) for x in ratio],
            "ratio_error": [plain(x) for x in error],
            "chi2": plain(chi2),
            "degrees_of_freedom": degrees,
            "p_value": plain(p_value),
        }


def hotelling_probability(chi2: float, degrees: int, n: int) -> float:
    """Probability of a chi2 as large or larger, where the covariance is that of n events themselves.

    chi2 over its degrees of freedom k then has an F distribution with k and n - k. Abramowitz and Stegun, Handbook of
    Mathematical Functions (1964), 26.6.2.
    """
    if not 1 <= degrees < n or not math.isfinite(chi2):
        return math.nan
    from scipy.stats import f

    return float(f.sf(max(chi2, 0.0) / degrees, degrees, n - degrees))


def plain(number: float) -> float | None:
    """Return a number as JSON can hold it: None for what is none."""
    return float(number) if math.isfinite(number) else None
