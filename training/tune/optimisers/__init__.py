# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers behind one interface: `make_optimiser`."""

from __future__ import annotations

from collections.abc import Sequence

from ..space import Point, Space
from .base import Optimiser, Proposal, Strategy
from .random import RandomSearch, design_points

__all__ = ["Optimiser", "Proposal", "Strategy", "make_optimiser", "make_strategy"]


def make_strategy(name: str) -> Strategy:
    """The strategy of a name: ``gp``, ``optuna`` or ``random``.

    Raises
    ------
    MissingDependencyError
        Its library is not installed.
    """
    if name == "random":
        return RandomSearch()
    if name == "optuna":
        from .optuna import OptunaGP

        return OptunaGP()
    from .gp import GaussianProcess

    return GaussianProcess()


def make_optimiser(
    name: str, space: Space, seed: int, *, initial: int = 8, design: str = "sobol", start: Sequence[Point] = ()
) -> Optimiser:
    """An optimiser that tries known points first, then those of an initial design, then those of a strategy.

    Parameters
    ----------
    name : str
        ``gp``, ``optuna`` or ``random``. Random search, the baseline, has no design.
    space : Space
    seed : int
    initial : int
        Points of the design.
    design : str
        ``sobol``, ``lhs`` or ``random``.
    start : sequence of points
        Known points.

    Raises
    ------
    MissingDependencyError
        The library of the strategy or of the design is not installed.
    """
    strategy = make_strategy(name)
    design_ID = None if name == "random" else design_points(design, initial, len(space), seed)
    return Optimiser(space, strategy, seed, start=start, design_ID=design_ID)
