# SPDX-License-Identifier: BSD-3-Clause
"""Analysis of a search: convergence, comparison with the default training and with other searches.

All that stands here is about trials that were reported, in the order in which they were reported. Small values are
good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from fastcalo.errors import InputError

from ...config import value_at
from ..space import Space
from ..study.record import Record, Trial
from .surface import ResponseSurface


def ended_trials(record: Record, *status: str) -> list[Trial]:
    """Trials that ended, with one of some statuses or with any, in the order in which they did."""
    chosen = [t for t in record.trials if t.ended and (t.status in status or not status)]
    numbers = [line["trial"] for line in record.lines if line["kind"] == "tell"]
    place = {number: k for k, number in enumerate(numbers)}
    return sorted(chosen, key=lambda t: place[t.number])


def value_of(trial: Trial) -> float:
    """The value of a trial; NaN if it has none."""
    return math.nan if trial.value is None else trial.value


def seconds_of(trial: Trial) -> float:
    """Time of a group that a trial took, as it was reported."""
    return float(trial.reported.get("seconds") or 0.0)


@dataclass(frozen=True)
class SearchTime:
    """How long a search took.

    Attributes
    ----------
    wall_seconds : float
        From the first line of the journal to the last, without breaks after an end.
    group_seconds : float
        Sum of the times of all trials that were reported.
    groups : int
    busy : float
        Share of the wall time that groups were busy: as the search reports in the end, else of the times above.
    ended : bool
        Whether the search came to an end by itself.
    """

    wall_seconds: float
    group_seconds: float
    groups: int
    busy: float
    ended: bool

    @classmethod
    def of(cls, record: Record) -> SearchTime:
        """Read it from the journal."""
        times = [line["time"] for line in record.lines]
        kinds = [line["kind"] for line in record.lines]
        breaks = sum(b - a for a, b, kind in zip(times, times[1:], kinds, strict=False) if kind == "end")
        wall = max(times[-1] - times[0] - breaks, 0.0)
        used = sum(seconds_of(t) for t in record.trials)
        groups = len({line.get("group") for t in record.trials for line in t.begins})
        shares = [line["busy"] for line in record.lines if line["kind"] == "end" and line.get("busy") is not None]
        computed = used / (groups * wall) if groups and wall > 0 else math.nan
        busy = float(shares[-1]) if shares else computed
        # a trial is timed by its group, the wall time is that of the journal's lines: nobody is busier than always
        return cls(wall, used, groups, min(busy, 1.0) if math.isfinite(busy) else busy, kinds[-1] == "end")


@dataclass(frozen=True)
class Convergence:
    """The lowest value so far.

    Attributes
    ----------
    trials : list of int
        Number of trials reported by then.
    group_hours : list of float
        Their time.
    best : list of float
        NaN before the first trial is done.
    """

    trials: list[int]
    group_hours: list[float]
    best: list[float]

    @classmethod
    def of(cls, record: Record) -> Convergence:
        """Go through the trials of a search; those that failed or were stopped take time and bring nothing."""
        ended = ended_trials(record)
        values = np.array([value_of(t) if t.status == "done" else math.nan for t in ended])
        hours = np.cumsum([seconds_of(t) for t in ended]) / 3600
        best = np.fmin.accumulate(values) if len(values) else values
        return cls(list(range(1, len(ended) + 1)), hours.tolist(), best.tolist())


@dataclass(frozen=True)
class RandomOrder:
    """The lowest of the first k values of a set in random order.

    Attributes
    ----------
    of : str
        Where the values come from, in words.
    trials : list of int
    mean, spread : list of float
        Expectation and standard deviation.
    """

    of: str
    trials: list[int]
    mean: list[float]
    spread: list[float]

    @classmethod
    def expected(cls, values: Sequence[float], of: str) -> RandomOrder:
        """Take means over all orders.

        The i-th smallest of n values is the lowest of k drawn without replacement with the probability
        C(n - i, k - 1) / C(n, k).
        """
        v = np.sort(np.asarray(values, float))
        n = len(v)
        mean, spread = [], []
        for k in range(1, n + 1):
            chance = np.array([math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)])
            mean.append(float(chance @ v))
            spread.append(math.sqrt(max(float(chance @ (v - mean[-1]) ** 2), 0.0)))
        return cls(of, list(range(1, n + 1)), mean, spread)


@dataclass(frozen=True)
class TrialComparison:
    """The best trial beside another one.

    Attributes
    ----------
    what : str
        What the other is, in words.
    trial : int
        Its number.
    value, error : float
        The error is NaN if it is not known.
    difference, difference_error : float
        By how much the best trial is lower.
    sigmas : float
        The difference in units of its error.
    p : float
        Chance that noise alone makes as large a difference of two trials that were fixed beforehand.
    p_chosen : float
        The same for the lowest of all trials that were done: 1 - (1 - p)^n (Šidák, JASA 62 (1967) 626).
    smooth, smooth_error : float
        By how much the best trial is lower on the surface through all trials.
    """

    what: str
    trial: int
    value: float
    error: float
    difference: float
    difference_error: float
    sigmas: float
    p: float
    p_chosen: float
    smooth: float
    smooth_error: float


def compare_trials(
    what: str, best: Trial, other: Trial, chosen_of: int, surface: ResponseSurface | None
) -> TrialComparison:
    """Hold the best trial against another.

    Parameters
    ----------
    what : str
    best, other : Trial
    chosen_of : int
        Number of trials that the best was chosen of; 1 if the other was chosen in the same way.
    surface : ResponseSurface, optional
        Through the trials of both.
    """
    difference = value_of(other) - value_of(best)
    error = math.hypot(error_of(best, surface), error_of(other, surface))
    sigmas = difference / error if error > 0 else math.nan
    p = 0.5 * math.erfc(sigmas / math.sqrt(2))
    smooth, smooth_error = math.nan, math.nan
    if surface is not None:
        mean, cov = surface.posterior(surface.space.units([best.point, other.point]))
        smooth = float(mean[1] - mean[0])
        smooth_error = math.sqrt(max(float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]), 0.0))
    return TrialComparison(
        what, other.number, value_of(other), error_of(other, surface), difference, error, sigmas, p,
        -math.expm1(chosen_of * math.log1p(-min(p, 1 - 1e-15))), smooth, smooth_error,
    )  # fmt: skip


def error_of(trial: Trial, surface: ResponseSurface | None) -> float:
    """Standard error of a trial's value; NaN if nothing is known of it.

    What was reported of it (of folds, or of the showers that were evaluated) leaves out how trainings differ from seed
    to seed. The scatter of trials about the surface, as far as their own errors do not explain it, stands for that.
    """
    variance = trial.variance + (surface.noise if surface is not None else 0.0)
    return math.sqrt(variance) if variance > 0 else math.nan


def default_trial(record: Record) -> tuple[Trial | None, str]:
    """The trial with the training's own values, or else the first starting point; and which it is."""
    own = {key: value_at(record.base, key, str(record.config.base)) for key in record.config.space.keys}
    done = [t for t in record.trials if t.status == "done"]
    for t in done:
        if t.point == own:
            return t, "the training's own values"
    start = next((t for t in done if t.source == "start"), None)
    return start, "the first starting point" if start else ""


def usable(records: Sequence[Record]) -> list[Trial]:
    """Trials that a surface goes through: done, or stopped with a guess of what they would have come to."""
    return [t for r in records for t in ended_trials(r, "done", "stopped") if t.value is not None]


def least_trials(space: Space) -> int:
    """Number of trials below which a surface is not drawn."""
    return max(4, len(space) + 1)


def fit(records: Sequence[Record]) -> ResponseSurface | None:
    """The surface through the trials of searches of one space; None if there are too few, or all are alike."""
    space, trials = records[0].config.space, usable(records)
    values, variances = (np.array(v, float) for v in ([t.value for t in trials], [t.variance for t in trials]))
    if len(trials) < least_trials(space) or np.ptp(values) == 0:
        return None
    return ResponseSurface(space, space.units([t.point for t in trials]), values, variances)


def trials_with_latency(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that reported both distance and latency."""
    return [t for t in trials if {"distance", "latency_ms"} <= objective_parts(t).keys()]


def pareto(trials: Sequence[Trial]) -> list[Trial]:
    """Trials of which no other is better in distance and latency at once, by latency."""
    rows = sorted(trials_with_latency(trials), key=lambda t: (latency(t), relative_distance(t)))
    front: list[Trial] = []
    for _, alike in groupby(rows, key=latency):
        first = next(alike)
        if not front or relative_distance(first) < relative_distance(front[-1]):
            front.append(first)
    return front


def objective_parts(trial: Trial) -> dict[str, float]:
    """What a trial's value was made of, as far as it was reported: ``distance``, ``floor``, ``latency_ms``."""
    found = {key: trial.reported.get(key) for key in ("distance", "floor", "latency_ms")}
    return {key: float(value) for key, value in found.items() if value is not None}


def latency(trial: Trial) -> float:
    """Milliseconds a shower."""
    return objective_parts(trial)["latency_ms"]


def relative_distance(trial: Trial) -> float:
    """Distance in units of its baseline."""
    found = objective_parts(trial)
    return found["distance"] / found.get("floor", 1.0)


def within_budget(record: Record, count: int) -> Trial | None:
    """The best of the first trials that were reported."""
    done = [t for t in ended_trials(record)[:count] if t.status == "done"]
    return min(done, key=value_of, default=None)


def check_comparable(record: Record, other: Record, where: str) -> None:
    """Refuse to hold searches against each other that did not look for the same.

    Raises
    ------
    InputError
        The other has another space, objective or training; the key is named.
    """
    mine, theirs = record.config.as_dict(), other.config.as_dict()
    for key, a, b in (
        ("[space]", mine["space"], theirs["space"]),
        ("[objective]", mine["objective"], theirs["objective"]),
        *((f"base: {key}", value, other.base.as_dict()[key]) for key, value in record.base.as_dict().items()),
    ):
        if a != b:
            raise InputError(f"{where}: is no baseline: its {key} is {b}, that of the search reported is {a}")
