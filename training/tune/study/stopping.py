# SPDX-License-Identifier: BSD-3-Clause
"""Early stopping of trials by their intermediate values (rungs).

A trial's rungs are pairs (step, value), in the order of their steps; small values are good. Rules are pure functions.
They return the reason to stop, or an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median, variance
from typing import TypeAlias

from ..config import StoppingConfig

Rungs: TypeAlias = Sequence[tuple[int, float]]


def hopeless(mine: Rungs, others: Sequence[Rungs], config: StoppingConfig) -> str:
    """Why a trial should be stopped after its last rung; empty if it should not.

    Parameters
    ----------
    mine : (step, value) pairs
        Rungs of the trial in question.
    others : sequence of the same
        Rungs of all other trials, finished or not.
    config : StoppingConfig
    """
    if not mine or mine[-1][0] < config.first or config.rule == "none":
        return ""
    if config.rule == "median":
        return median_rule(mine, others, config.least)
    return halving_rule(mine, others, config.least, config.first, config.reduction)


def median_rule(mine: Rungs, others: Sequence[Rungs], least: int) -> str:
    """Stop where the best so far is worse than the median of what others had on average by then.

    Golovin et al., "Google Vizier", KDD 2017 (automated early stopping), with all trials that came as far instead of
    the finished ones only.
    """
    step = mine[-1][0]
    averages = [fmean(v for s, v in o if s <= step) for o in others if o and o[0][0] <= step <= o[-1][0]]
    best = min(v for _, v in mine)
    if len(averages) < least or best <= (middle := median(averages)):
        return ""
    return f"median rule at step {step}: best {best:.4g}, median of {len(averages)} others {middle:.4g}"


def halving_rule(mine: Rungs, others: Sequence[Rungs], least: int, first: int, reduction: int) -> str:
    """Stop where the value is not among the best 1/`reduction` of those that came to a level.

    Asynchronous successive halving in the form that stops instead of pausing (Li et al., MLSys 2020, arXiv:1810.05934;
    the levels are steps `first`, `first` x `reduction`, ...). A level is evaluated once, at the first rung on or past
    it.
    """
    step = mine[-1][0]
    level = first
    while level * reduction <= step:
        level *= reduction
    if step < level or any(s >= level for s, _ in mine[:-1]):
        return ""
    value = mine[-1][1]
    there = [v for o in others if (v := _first_at(o, level)) is not None]
    if len(there) < least:
        return ""
    # as many go on as a level with this trial in it may keep, one at least
    kept = max(1, (len(there) + 1) // reduction)
    rank = sum(v < value for v in there)
    if rank < kept:
        return ""
    return f"halving rule at step {step}: {rank} of {len(there)} others were better, {kept} may go on"


def _first_at(rungs: Rungs, level: int) -> float | None:
    return next((v for s, v in rungs if s >= level), None)


def extrapolated(
    mine: Rungs, finished: Sequence[tuple[Rungs, float]], others: Sequence[Rungs] = ()
) -> tuple[float, float]:
    """What a stopped trial would have come to, and the variance of that guess.

    Its last value, and on top of it what finished trials gained from the same step to their end, in the mean. The
    variance is that of their gains. With less than two of them it is the variance of the last values of all trials:
    little is known then. To take the rung's value as if it were final would be too bad, and far too certain; to count
    the trial as failed would hide how good it was.

    Parameters
    ----------
    mine : (step, value) pairs
        At least one.
    finished : sequence of (rungs, final value)
        Trials that were not stopped.
    others : sequence of rungs
        All other trials.

    Returns
    -------
    value, variance : float
    """
    step, last = mine[-1]
    gains = [final - v for rungs, final in finished if (v := _first_at(rungs, step)) is not None]
    if len(gains) >= 2:
        return last + fmean(gains), variance(gains)
    lasts = [last, *(rungs[-1][1] for rungs in others if rungs)]
    return last + sum(gains), variance(lasts) if len(lasts) >= 2 else 0.0
