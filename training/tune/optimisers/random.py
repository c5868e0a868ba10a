# SPDX-License-Identifier: BSD-3-Clause
"""Random search (the baseline) and initial designs."""

from __future__ import annotations

import numpy as np

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line

from ..space import Floats
from .base import History


class RandomSearch:
    """Every point is drawn uniformly from the unit cube."""

    name = "random"

    def propose(self, history: History) -> Floats:
        """A random point."""
        return history.rng.random(len(history.space))


def design_points(kind: str, count: int, dimensions: int, seed: int) -> Floats:
    """Points that fill the unit cube evenly, float64 [count, dimensions].

    Parameters
    ----------
    kind : str
        ``sobol`` (scrambled), ``lhs`` (Latin hypercube) or ``random``.
    count, dimensions, seed : int

    Raises
    ------
    MissingDependencyError
        SciPy is not there.
    """
    if kind == "random":
        return np.random.default_rng([seed, 0]).random((count, dimensions))
    try:
        from scipy.stats import qmc
    except ImportError as e:
        raise MissingDependencyError(f"SciPy is missing: {install_line('tune')}") from e
    rng = np.random.default_rng([seed, 0])
    if kind == "lhs":
        return np.asarray(qmc.LatinHypercube(dimensions, rng=rng).random(count))
    # whole powers of two only are balanced; the first of them are the most even that can be had
    power = max(0, (count - 1).bit_length())
    return np.asarray(qmc.Sobol(dimensions, rng=rng).random_base2(power))[:count]
