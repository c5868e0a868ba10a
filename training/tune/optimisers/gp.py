# SPDX-License-Identifier: BSD-3-Clause
"""Bayesian optimisation with the Gaussian process of scikit-optimize.

Model: a constant times a Matérn kernel with ν = 5/2 and a length for each feature, and white noise, all with log-normal
priors; variances that were reported stand on the diagonal besides. Acquisition: augmented expected improvement (Huang,
Allen, Notz & Zeng, J. Global Optim. 34 (2006) 441, eqs. 12 and 13): expected improvement on the mean at the reported
point of the smallest mean plus standard deviation, times a factor that is small where a value would show little but its
noise. Where no variances are reported, it is plain expected improvement. Pending points have the mean of all values as
a constant lie, as noisy as a value (Ginsbourger, Le Riche & Carraro, in Computational Intelligence in Expensive
Optimization Problems, 2010, section 4.2): with the smallest value as the lie, four points at a time kept 62 % of what
Bayesian optimisation gains on Hartmann-6, with the mean 88 %.

A proposal's cost is bounded: the model holds `MOST` reported points, its hyper-parameters are fitted to `FITTED`, and
only each time that there is a tenth more.

Letters: N points, P pending ones, C candidates, D dimensions, F features, T hyper-parameters.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line

from ..space import Floats, Space
from .base import History, kept_points, penalty

MOST = 400
"""Reported points that the model holds: of more, the best half and a random half."""
FITTED = 150
"""The same, for its hyper-parameters."""
_GROWTH = 0.1
_RESTARTS = 1
_CANDIDATES = 1_000
_CLIMBED = 4
_WALL = 2.0
_XI = 0.01  # least improvement that counts, in standard deviations of the target
_LEAST = 1e-6  # least standard deviation that rounding leaves to be reported from nothing
# middle and width of the priors' logarithms; the length's middle is for one dimension, and grows with their root
_AMPLITUDE = (0.0, 1.0)
_LENGTH = (math.log(0.2), 1.0)
_NOISE = (math.log(1e-3), 1.5)


class GaussianProcess:
    """Augmented expected improvement by a Gaussian process."""

    name = "gp"

    def __init__(self) -> None:
        try:
            import skopt.learning  # noqa: F401
        except ImportError as e:
            raise MissingDependencyError(f"scikit-optimize is missing: {install_line('tune')}") from e
        self._fitted: tuple[int, Any, float] = (0, None, 0.0)

    def propose(self, history: History) -> Floats:
        """The untried point of the largest expected improvement."""
        if len(history.value_N) < 2:
            return history.rng.random(len(history.space))
        return _climb(self._model(history), history)

    def _model(self, history: History) -> _Model:
        space = history.space
        kernel, white = self._kernel(history)
        kept = kept_points(history, MOST)
        target_N, slope_N = _target(history.value_N[kept])
        variance_N = white + history.variance_N[kept] * slope_N**2
        feature_NF = space.features(history.unit_ND[kept])
        model = _regressor(kernel, variance_N).fit(feature_NF, target_N)
        mean_N, spread_N = _posterior(model, feature_NF)
        level = float(mean_N[np.argmin(mean_N + spread_N)]) - _XI
        reported = _typical_variance(history, kept) * float(slope_N.max()) ** 2
        pending = len(history.pending_PD)
        if pending:
            lied_NF = np.concatenate([feature_NF, space.features(history.pending_PD)])
            lied_N = np.concatenate([target_N, np.zeros(pending)])  # the mean
            variance_N = np.concatenate([variance_N, np.full(pending, white + reported)])
            model = _regressor(kernel, variance_N).fit(lied_NF, lied_N)
        # white noise that is fitted where none is reported is mostly what the model cannot follow yet: news
        return _Model(model, level, math.sqrt(white + reported) if reported else 0.0)

    def _kernel(self, history: History) -> tuple[Any, float]:
        """Kernel and noise, fitted to as many of the first points as a fixed schedule states.

        Thus they follow from what was reported alone, no matter when points were asked for, or how often.
        """
        count = 2
        while (following := count + max(1, int(_GROWTH * count))) <= len(history.value_N):
            count = following
        if self._fitted[0] != count:
            self._fitted = (count, *_fit(_first(history, count)))
        return self._fitted[1:]


@dataclass
class _Model:
    """A fitted process, the value that is to be improved on, and the standard deviation of a value's noise."""

    model: Any
    level: float
    noise: float

    def improvement(self, feature_CF: Floats) -> Floats:
        """Augmented expected improvement, float64 [C]."""
        return self._improvement(*_posterior(self.model, feature_CF))[0]

    def slope(self, feature_F: Floats) -> tuple[float, Floats]:
        """Minus the logarithm of the augmented expected improvement, and its gradient, float64 [F]."""
        mean, spread, mean_F, spread_F = self.model.predict(
            feature_F[None], return_std=True, return_mean_grad=True, return_std_grad=True
        )
        gain, by_mean, by_spread = (float(x[0]) for x in self._improvement(mean, np.maximum(spread, _LEAST)))
        if not gain > 1e-200:
            return 460.0, np.zeros_like(feature_F)
        return -math.log(gain), -(by_mean * np.asarray(mean_F) + by_spread * np.asarray(spread_F)) / gain

    def _improvement(self, mean_C: Floats, spread_C: Floats) -> tuple[Floats, Floats, Floats]:
        """Augmented expected improvement, and its derivatives by mean and spread, float64 [C] each."""
        from scipy.special import ndtr

        z_C = (self.level - mean_C) / spread_C
        below_C, density_C = ndtr(z_C), np.exp(-0.5 * z_C**2) / math.sqrt(2 * math.pi)
        plain_C = spread_C * (z_C * below_C + density_C)
        total_C = np.hypot(spread_C, self.noise)
        news_C = 1 - self.noise / total_C
        by_spread_C = density_C * news_C + plain_C * self.noise * spread_C / total_C**3
        return plain_C * news_C, -below_C * news_C, by_spread_C


def _typical_variance(history: History, kept: NDArray[np.intp]) -> float:
    """Median of the variances that were reported with values, 0 if there are none."""
    reported_N = history.variance_N[kept][~history.failed_N[kept]]
    return float(np.median(reported_N)) if len(reported_N) else 0.0


def _posterior(model: Any, feature_CF: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation without noise, float64 [C] each."""
    # scikit-optimize's own prediction sums over pairs of points, one by one
    cross_CN = model.kernel_(feature_CF, model.X_train_)
    variance_C = model.kernel_.diag(feature_CF) - np.einsum("cn,cn->c", cross_CN @ model.K_inv_, cross_CN)
    return cross_CN @ model.alpha_, np.sqrt(np.maximum(variance_C, _LEAST**2))


def _climb(model: _Model, history: History) -> Floats:
    space = history.space
    unit_CD = _candidates(history)
    gain_C = model.improvement(space.features(unit_CD))
    tops = unit_CD[np.argsort(-gain_C, kind="stable")[:_CLIMBED]]
    unit_CD = np.concatenate([unit_CD, space.snap(_polished(model, space, tops))])
    gain_C = model.improvement(space.features(unit_CD))
    gain_C[~history.untried(unit_CD)] = -1.0
    return np.asarray(unit_CD[np.argmax(gain_C)])


def _candidates(history: History) -> Floats:
    """Random points, and some near the best ones, snapped, float64 [C, D]."""
    space, rng = history.space, history.rng
    anywhere_CD = rng.random((_CANDIDATES, len(space)))
    best_BD = history.unit_ND[np.argsort(history.value_N, kind="stable")[:5]]
    scale = 10.0 ** rng.uniform(-3, -0.5, (40, 1, 1))
    near_CD = (best_BD + scale * rng.standard_normal((40, *best_BD.shape))).reshape(-1, len(space))
    return space.snap(np.clip(np.concatenate([anywhere_CD, near_CD]), 0, 1))


def _polished(model: _Model, space: Space, unit_CD: Floats) -> Floats:
    """Points with their continuous dimensions moved to where the acquisition is highest, float64 [C, D]."""
    from scipy.optimize import minimize

    real = np.flatnonzero(space.real)
    if not len(real):
        return unit_CD
    widths = [d.features(np.zeros(1)).shape[1] for d in space.dimensions]
    columns = np.concatenate([[0], np.cumsum(widths)])[real]
    feature_CF = space.features(unit_CD)
    out = unit_CD.copy()
    for row, feature_F in enumerate(feature_CF):

        def slope(x: Floats, at: Floats = feature_F) -> tuple[float, Floats]:
            full = at.copy()
            full[columns] = x
            value, slope_F = model.slope(full)
            return value, slope_F[columns]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variances that rounding makes negative
            found = minimize(
                slope, feature_F[columns], jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(real),
                options={"maxiter": 30},
            )  # fmt: skip
        out[row, real] = found.x
    return out


def _target(value_N: Floats) -> tuple[Floats, Floats]:
    """Values as the model sees them, and the derivative by the values, float64 [N] each.

    What is worse than the median by more than `_WALL` times as much as the median is worse than the best is compressed
    logarithmically: a model that follows a wall cannot see the valley. All are then standardised.
    """
    middle = np.median(value_N)
    scale = float(middle - value_N.min()) or float(value_N.std()) or 1.0
    z_N = (value_N - middle) / scale
    above_N = np.maximum(z_N - _WALL, 0)
    target_N = np.minimum(z_N, _WALL) + np.log1p(above_N)
    spread = float(target_N.std()) or 1.0
    return (target_N - target_N.mean()) / spread, 1 / (1 + above_N) / scale / spread


def _first(history: History, count: int) -> History:
    value_N, failed_N = history.value_N[:count].copy(), history.failed_N[:count]
    value_N[failed_N] = penalty(list(value_N[~failed_N]))
    return History(
        history.space, history.unit_ND[:count], value_N, history.variance_N[:count], failed_N,
        history.pending_PD[:0], (history.seed[0], -1),
    )  # fmt: skip


def _regressor(kernel: Any, variance_N: Floats, **options: Any) -> Any:
    from skopt.learning import GaussianProcessRegressor

    return GaussianProcessRegressor(kernel, alpha=variance_N + 1e-8, **{"optimizer": None, **options})


def _fit(history: History) -> tuple[Any, float]:
    """Kernel and noise of the largest posterior probability."""
    from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kept = kept_points(history, FITTED)
    feature_NF = history.space.features(history.unit_ND[kept])
    target_N, slope_N = _target(history.value_N[kept])
    lengths = feature_NF.shape[1]
    typical = _LENGTH[0] + 0.5 * math.log(len(history.space))
    middle_T = np.array([_AMPLITUDE[0], *[typical] * lengths, _NOISE[0]])
    width_T = np.array([_AMPLITUDE[1], *[_LENGTH[1]] * lengths, _NOISE[1]])
    kernel = (
        ConstantKernel(1.0, (1e-3, 1e3)) * Matern([math.exp(typical)] * lengths, [(1e-2, 1e2)] * lengths, nu=2.5)
        + WhiteKernel(math.exp(_NOISE[0]), (1e-6, 1.0))
    )  # fmt: skip
    rng = np.random.default_rng([history.seed[0], len(kept)])
    starts = [middle_T, *(middle_T + width_T * rng.standard_normal((_RESTARTS, len(middle_T))))]
    model = _regressor(
        kernel, history.variance_N[kept] * slope_N**2, optimizer=_posterior_maximum(starts, middle_T, width_T)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hyper-parameters at their bounds
        model.fit(feature_NF, target_N)
    return model.kernel_.k1, float(model.kernel_.k2.noise_level)


def _posterior_maximum(starts: list[Floats], middle_T: Floats, width_T: Floats) -> Callable[..., tuple[Floats, float]]:
    """An optimiser of hyper-parameters in the form that scikit-learn takes, with a log-normal prior for each."""
    from scipy.optimize import minimize

    def optimise(loss: Callable[[Floats], tuple[float, Floats]], _: Floats, bounds: Floats) -> tuple[Floats, float]:
        def posterior(theta_T: Floats) -> tuple[float, Floats]:
            value, slope_T = loss(theta_T)
            away_T = (theta_T - middle_T) / width_T
            return value + 0.5 * float(away_T @ away_T), slope_T + away_T / width_T

        runs = [minimize(posterior, np.clip(x, *bounds.T), jac=True, method="L-BFGS-B", bounds=bounds) for x in starts]
        best = min(runs, key=lambda r: r.fun)
        return best.x, float(best.fun)

    return optimise
