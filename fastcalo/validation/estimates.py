# SPDX-License-Identifier: BSD-3-Clause
"""Estimates with their baseline, and bootstrap errors of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICAS = 100
"""Bootstrap replicas: enough for an error to 7 %."""


@dataclass(frozen=True)
class Estimate:
    """How far a candidate is from full simulation, beside how far full simulation is from itself.

    Attributes
    ----------
    value, error : float
        Candidate against the reference.
    baseline, baseline_error : float
        Another sample of full simulation, of the same size, against the reference.
    """

    value: float
    error: float
    baseline: float
    baseline_error: float

    @classmethod
    def of(cls, candidate: tuple[float, float], baseline: tuple[float, float]) -> Estimate:
        """Put value and error of both together."""
        return cls(*(float(x) for x in (*candidate, *baseline)))


def bootstrap(n: int, seed: int, replicas: int = REPLICAS) -> NDArray[np.float64]:
    """How often each of n showers is drawn, float64 [replicas, n] (Efron, Ann. Statist. 7 (1979) 1)."""
    rng = np.random.default_rng([seed, n])
    return rng.multinomial(n, np.full(n, 1 / n), size=replicas).astype(np.float64)
