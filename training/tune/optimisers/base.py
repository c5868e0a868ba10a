# SPDX-License-Identifier: BSD-3-Clause
"""Interface of optimisers: `Optimiser` records trials, a `Strategy` proposes points.

A strategy's choice is a pure function of the history (what was reported, what is pending, how many points were asked
for) and of the seed. An optimiser can so be rebuilt by reporting the same to another one in the same order, and goes on
alike. Letters: N reported points, P pending ones, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...config import Value
from ..space import Floats, Point, Space

_ENUMERABLE = 20_000


@dataclass(frozen=True)
class History:
    """All that a strategy may look at.

    Attributes
    ----------
    space : Space
    unit_ND : float64 [N, D]
        Points in the unit cube whose values were reported, in the order of the reports.
    value_N, variance_N : float64 [N]
        What was reported of them; failed points have `penalty` as their value.
    failed_N : bool [N]
    pending_PD : float64 [P, D]
        Points that were asked for and not reported.
    seed : tuple of int
        Seed of the next point: that of the search, and the number of points that were asked for.
    """

    space: Space
    unit_ND: Floats
    value_N: Floats
    variance_N: Floats
    failed_N: NDArray[np.bool_]
    pending_PD: Floats
    seed: tuple[int, int]

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers for the next point."""
        return np.random.default_rng(self.seed)

    def untried(self, unit_CD: Floats) -> NDArray[np.bool_]:
        """Which points are neither reported nor pending, bool [C]; coordinates must be snapped."""
        tried = {row.tobytes() for row in np.concatenate([self.unit_ND, self.pending_PD])}
        return np.array([row.tobytes() not in tried for row in np.ascontiguousarray(unit_CD)], bool)


class Strategy(Protocol):
    """How the next point is chosen.

    Attributes
    ----------
    name : str
        Stands in the journal as the source of its points.
    """

    name: str

    def propose(self, history: History) -> Floats:
        """The next point in the unit cube, float64 [D]. A point that was tried already will be replaced."""


@dataclass(frozen=True)
class Proposal:
    """A point to try, and where it comes from: "start", "design", or the name of a strategy."""

    point: Point
    source: str


class Optimiser:
    """Points to try, first known ones, then those of a design, then those of a strategy; no point comes twice.

    Parameters
    ----------
    space : Space
    strategy : Strategy
    seed : int
    start : sequence of points
        Known points, tried first.
    design_ID : float64 [I, D]
        Points of the initial design in the unit cube.
    """

    def __init__(
        self,
        space: Space,
        strategy: Strategy,
        seed: int,
        *,
        start: Sequence[Point] = (),
        design_ID: Floats | None = None,
    ) -> None:
        self.space, self._strategy, self._seed = space, strategy, seed
        self._given = [Proposal(p, "start") for p in start]
        if design_ID is not None:
            self._given += [Proposal(p, "design") for p in space.points(design_ID)]
        self._asked = 0
        self._pending: dict[tuple[Value, ...], Point] = {}
        self._reported: list[Point] = []
        self._values: list[float | None] = []
        self._variances: list[float] = []

    def ask(self, count: int = 1) -> list[Proposal]:
        """The next points; each is pending until it is reported.

        A strategy knows pending points, so that asking twice does not give the same point.
        """
        out = []
        for _ in range(count):
            proposal = self._next()
            self.pend(proposal.point)
            out.append(proposal)
        return out

    def pend(self, point: Point) -> None:
        """Take note of a point that was asked for in an earlier life."""
        self._asked += 1
        self._pending[self.space.identity(point)] = point

    def tell(self, point: Point, value: float | None, variance: float = 0.0) -> None:
        """Take note of a point's value, which is minimised.

        Parameters
        ----------
        point : dict
            Any point of the space, asked for or not.
        value : float or None
            None for a trial that failed: it counts as `penalty`, by the values of all others reported so far.
        variance : float
            Variance of the value, if it is known.

        Raises
        ------
        ValueError
            Value or variance are not finite.
        """
        if not math.isfinite(value or 0.0) or not 0 <= variance < math.inf:
            raise ValueError(f"value {value} and variance {variance} must be finite")
        self._pending.pop(self.space.identity(point), None)
        self._reported.append(point)
        self._values.append(None if value is None else float(value))
        self._variances.append(float(variance))

    def history(self) -> History:
        """All that was reported and asked for."""
        worst = penalty([v for v in self._values if v is not None])
        return History(
            space=self.space,
            unit_ND=self.space.units(self._reported),
            value_N=np.array([worst if v is None else v for v in self._values], float),
            variance_N=np.array(self._variances, float),
            failed_N=np.array([v is None for v in self._values], bool),
            pending_PD=self.space.units(list(self._pending.values())),
            seed=(self._seed, self._asked),
        )

    def _next(self) -> Proposal:
        history = self.history()
        if self._asked < len(self._given):
            given = self._given[self._asked]
            if given.source == "start" or history.untried(self.space.units([given.point]))[0]:
                return given
            return Proposal(self._point(_random_untried(history)), "design")
        unit_D = self.space.snap(self._strategy.propose(history)[None])[0]
        if not history.untried(unit_D[None])[0]:
            unit_D = _random_untried(history)
        return Proposal(self._point(unit_D), self._strategy.name)

    def _point(self, unit_D: Floats) -> Point:
        return self.space.points(unit_D[None])[0]


def penalty(values: Sequence[float]) -> float:
    """What a failed trial counts as: the worst value of the others, and the spread of all on top of it.

    It is bad enough to be avoided, and near enough to the others not to flatten a model of them.
    """
    if not values:
        return 0.0
    return max(values) + (max(values) - min(values))


def _random_untried(history: History) -> Floats:
    """A random point that was not tried; any point if there is none left."""
    space, rng = history.space, history.rng
    if space.size <= _ENUMERABLE:
        grid_CD = space.grid()
        left = np.flatnonzero(history.untried(grid_CD))
        return np.asarray(grid_CD[rng.choice(left)] if len(left) else grid_CD[rng.integers(len(grid_CD))])
    drawn_CD = space.snap(rng.random((1_000, len(space))))
    return np.asarray(drawn_CD[np.argmax(history.untried(drawn_CD))])


def kept_points(history: History, most: int) -> NDArray[np.intp]:
    """Which reported points a model holds: all, or the best half of `most` and a random half, in order of report."""
    count = len(history.value_N)
    if count <= most:
        return np.arange(count)
    order = np.argsort(history.value_N, kind="stable")
    rest = np.random.default_rng([history.seed[0], count]).permutation(order[most // 2 :])
    return np.sort(np.concatenate([order[: most // 2], rest[: most - most // 2]]))
