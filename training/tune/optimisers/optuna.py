# SPDX-License-Identifier: BSD-3-Clause
"""Bayesian optimisation with the Gaussian process of Optuna (needs PyTorch).

Optuna fits the noise itself: it cannot be reported the variance of a value. Pending points are integrated over instead
of lied about.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line

from ..space import Choice, Dimension, Floats, Integer, Point
from .base import History, kept_points

_MOST = 200


class OptunaGP:
    """Expected improvement by ``optuna.samplers.GPSampler``, which is given the history anew for every point."""

    name = "optuna"

    def __init__(self) -> None:
        try:
            import optuna
            import torch  # noqa: F401
        except ImportError as e:
            raise MissingDependencyError(f"Optuna or PyTorch is missing: {install_line('tune')}") from e
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def propose(self, history: History) -> Floats:
        """Optuna's choice."""
        import optuna

        space = history.space
        if len(history.value_N) < 2:
            return history.rng.random(len(space))
        where = {d.key: _distribution(d) for d in space.dimensions}
        kept = kept_points(history, _MOST)
        reported = space.points(history.unit_ND[kept])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is experimental
            sampler = optuna.samplers.GPSampler(seed=int(history.rng.integers(2**31)), n_startup_trials=1)
            study = optuna.create_study(sampler=sampler)
            for point, value in zip(reported, history.value_N[kept], strict=True):
                study.add_trial(_trial(point, where, float(value)))
            for point in space.points(history.pending_PD):
                study.add_trial(_trial(point, where, None))
            found: Point = study.ask(where).params
        return np.asarray(space.units([found])[0])


def _distribution(d: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(d, Choice):
        return CategoricalDistribution(d.choices)
    if isinstance(d, Integer):
        return IntDistribution(d.low, d.high, log=d.log)
    return FloatDistribution(d.low, d.high, log=d.log)


def _trial(point: Point, where: dict[str, Any], value: float | None) -> Any:
    from optuna.trial import TrialState, create_trial

    state = TrialState.RUNNING if value is None else TrialState.COMPLETE
    return create_trial(state=state, value=value, params=point, distributions=where)
