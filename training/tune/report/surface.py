# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian process fitted to the trials, and the dependence on each dimension.

Its kernel is a constant times a Matérn kernel with ν = 5/2 and a length for each feature (Rasmussen & Williams,
Gaussian Processes for Machine Learning, 2006, eq. 4.17), with white noise besides the variances that were reported. It
serves to look at, not to search with: it shows values as they are.
Letters: N trials, M points, G values on an axis, B points of the background, D dimensions, F features.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...config import Value
from ..space import Choice, Dimension, Floats, Space

_LENGTHS = (0.1, 20.0)
_BACKGROUND = 64
_AXIS = 41
_STRATA = 16
_DRAWS = 100


@dataclass(frozen=True)
class Dependence:
    """What becomes of the value along one dimension, the mean of all others.

    Attributes
    ----------
    key : str
    values : list
        On the axis [G].
    mean, error : float64 [G]
        Mean and standard deviation of the process averaged over the other dimensions.
    share, share_error : float
        First-order Sobol index: the share of the variance over the whole space that this dimension has by itself.
        Mean and standard deviation over functions that the process holds possible.
    """

    key: str
    values: list[Value]
    mean: Floats
    error: Floats
    share: float
    share_error: float


class ResponseSurface:
    """A Gaussian process conditioned on trials.

    Parameters
    ----------
    space : Space
    unit_ND : float64 [N, D]
        Points in the unit cube, two different ones at least.
    value_N, variance_N : float64 [N]
        Values, not all the same, and their variances; 0 where unknown.
    """

    def __init__(self, space: Space, unit_ND: Floats, value_N: Floats, variance_N: Floats) -> None:
        self.space = space
        self._feature_NF = space.features(unit_ND)
        self._middle, self._scale = float(value_N.mean()), float(value_N.std())
        relative_N = variance_N / self._scale**2
        fitted = _fit(self._feature_NF, (value_N - self._middle) / self._scale, relative_N)
        self._kernel, noise = fitted.k1, float(fitted.k2.noise_level)
        cov_NN = self._kernel(self._feature_NF) + np.diag(relative_N + noise + 1e-10)
        self._factor_NN = np.linalg.cholesky(cov_NN)
        self._white_N = self._whiten((value_N - self._middle) / self._scale)
        self.noise = noise * self._scale**2
        """Variance of values besides what was reported, as fitted."""

    def _whiten(self, columns: Floats) -> Floats:
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self._factor_NN, columns, lower=True))

    def posterior(self, unit_MD: Floats) -> tuple[Floats, Floats]:
        """Mean [M] and covariance [M, M] of the values without their noise (Rasmussen & Williams, eq. 2.23, 2.24)."""
        feature_MF = self.space.features(unit_MD)
        white_NM = self._whiten(self._kernel(self._feature_NF, feature_MF))
        cov_MM = self._kernel(feature_MF) - white_NM.T @ white_NM
        return self._middle + self._scale * (white_NM.T @ self._white_N), self._scale**2 * cov_MM

    @cached_property
    def _background_BD(self) -> Floats:
        from scipy.stats import qmc

        # always the same points, so that a report made again is the same
        return self.space.snap(np.asarray(qmc.Sobol(len(self.space), rng=np.random.default_rng(0)).random(_BACKGROUND)))

    def dependence(self, key: str) -> Dependence:
        """Average over all dimensions but one (Friedman, Ann. Statist. 29 (2001) 1189, sec. 8.2)."""
        number = self.space.keys.index(key)
        dimension = self.space.dimensions[number]
        axis_G = _axis(dimension)
        mean_G, error_G = np.transpose([self._average(number, u) for u in axis_G])
        share, share_error = self._share(number)
        return Dependence(key, dimension.values(axis_G), mean_G, error_G, share, share_error)

    def _across(self, number: int, unit_G: Floats) -> Floats:
        """The background with one coordinate replaced, by each of some, float64 [G B, D]."""
        unit_GBD = np.repeat(self._background_BD[None], len(unit_G), axis=0)
        unit_GBD[:, :, number] = unit_G[:, None]
        return unit_GBD.reshape(-1, len(self.space))

    def _average(self, number: int, unit: float) -> tuple[float, float]:
        mean_B, cov_BB = self.posterior(self._across(number, np.array([unit])))
        return float(mean_B.mean()), math.sqrt(max(float(cov_BB.mean()), 0.0))

    def _share(self, number: int) -> tuple[float, float]:
        """First-order Sobol index of drawn functions (Saltelli et al., Global Sensitivity Analysis, 2008, sec. 4.5)."""
        strata_G = _strata(self.space.dimensions[number])
        mean_M, cov_MM = self.posterior(self._across(number, strata_G))
        jitter = 1e-8 * max(float(np.trace(cov_MM)) / len(cov_MM), 1e-12)
        values, vectors = np.linalg.eigh(cov_MM)
        root_MM = vectors * np.sqrt(np.maximum(values, jitter))
        drawn = mean_M + np.random.default_rng(0).normal(size=(_DRAWS, len(mean_M))) @ root_MM.T
        drawn = drawn.reshape(_DRAWS, len(strata_G), _BACKGROUND)
        share = drawn.mean(2).var(1) / np.maximum(drawn.var((1, 2)), 1e-300)
        return float(share.mean()), float(share.std())


def _fit(feature_NF: Floats, value_N: Floats, variance_N: Floats) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.full(feature_NF.shape[1], 0.5)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * Matern(lengths, _LENGTHS, nu=2.5) + WhiteKernel(1e-2, (1e-6, 2.0))
    regressor = GaussianProcessRegressor(kernel, alpha=variance_N + 1e-10, n_restarts_optimizer=4, random_state=0)
    with warnings.catch_warnings():
        # a length at its bound is an answer: the dimension does not matter
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regressor.fit(feature_NF, value_N).kernel_


def _axis(dimension: Dimension) -> Floats:
    if isinstance(dimension, Choice):
        return dimension.units(dimension.every())
    return np.unique(dimension.units(dimension.values(np.linspace(0, 1, _AXIS))))


def _strata(dimension: Dimension) -> Floats:
    """Coordinates that stand for equal parts of an axis."""
    if isinstance(dimension, Choice):
        return dimension.units(dimension.every())
    return dimension.units(dimension.values((np.arange(_STRATA) + 0.5) / _STRATA))
