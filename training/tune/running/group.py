# SPDX-License-Identifier: BSD-3-Clause
"""Leader of a group of ranks: runs one trial after the other and reports the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from ...architectures.base import Architecture
from ...config import TrainConfig, with_values
from ...data.folds import Fold
from ...run.signals import Signals
from ...trainer import build_architecture, load_run
from ..objective import Evaluation, Evaluator
from ..study.study import Outcome
from .group_training import GroupTraining
from .trial import SearchLink, SearchSetup, StopReason, Task, TrialCallback, describe, evaluated_stages

log = logging.getLogger(__name__)


class Group:
    """The ranks of a group and their leader.

    Parameters
    ----------
    setup : SearchSetup
    group_training : GroupTraining
    link : SearchLink
    """

    def __init__(self, setup: SearchSetup, group_training: GroupTraining, link: SearchLink) -> None:
        self._setup, self._group_training, self._link = setup, group_training, link
        # full simulation is the same for all trials
        self._judges: dict[int, Evaluator] = {}

    def run(self, signals: Signals) -> None:
        """Work on trials until there are none, or until a signal."""
        while task := self._link.next(lambda: signals.received != 0):
            outcome = self._work(task, signals)
            if outcome is None:
                self._link.interrupted(task.number)
                break
            self._link.ended(task.number, outcome)
        else:
            if signals.received:
                self._link.interrupted(None)
        self._group_training.release()

    def _work(self, task: Task, signals: Signals) -> Outcome | None:
        """How a trial ended; None if it is to go on another time."""
        start, found = time.monotonic(), list[Evaluation]()
        try:
            config = with_values(self._setup.base, task.point, f"trial {task.number}")
            stages = evaluated_stages(config, build_architecture(config))
        # other points may be possible
        except Exception as error:  # noqa: BLE001
            return _failed(describe(error), start)
        watch = TrialCallback(
            task, self._link, self._intermediate_evaluation(config), stages, lambda: signals.received != 0
        )
        for fold in range(self._setup.tune.objective.folds):
            ending = self._group_training.train(task.number, task.point, fold, watch)
            if ending.error:
                return _failed(ending.error, start)
            if ending.halted:
                return _halted(watch.verdict, start)
            try:
                networks = load_run(self._setup.run_of(task.number, fold))[1]
                found.append(self._evaluator(fold).evaluate(config, networks))
            # nor are all models such that they can be evaluated
            except Exception as error:
                log.debug("trial %d", task.number, exc_info=True)
                return _failed(describe(error), start)
            # rungs are those of the first fold
            watch.evaluate = None
        return _done(found, time.monotonic() - start)

    def _intermediate_evaluation(self, config: TrainConfig) -> Callable[[Architecture], float] | None:
        """How the first fold is evaluated on its way."""
        if self._setup.tune.stopping.rule == "none":
            return None
        return lambda networks: self._evaluator(0).evaluate(config, networks).value

    def _evaluator(self, fold: int) -> Evaluator:
        if fold not in self._judges:
            setup, tune = self._setup, self._setup.tune
            part = Fold(fold, tune.objective.folds, tune.seed) if tune.objective.folds > 1 else None
            self._judges[fold] = Evaluator(setup.base, tune.objective, tune.seed, setup.where, setup.exporter, part)
        return self._judges[fold]


def _failed(reason: str, start: float) -> Outcome:
    return Outcome("failed", reason=reason, seconds=time.monotonic() - start)


def _halted(verdict: StopReason | None, start: float) -> Outcome | None:
    """By a signal if there is no verdict."""
    if verdict is None or not verdict.status:
        return None
    return Outcome(verdict.status, reason=verdict.reason, seconds=time.monotonic() - start)


def _done(found: list[Evaluation], seconds: float) -> Outcome:
    """Mean over the folds; its variance is that between them, or that of the only one."""
    values = [j.value for j in found]
    variance = found[0].variance if len(found) == 1 else float(np.var(values, ddof=1)) / len(found)
    latencies = [j.latency_ms for j in found if j.latency_ms is not None]
    return Outcome(
        "done",
        value=float(np.mean(values)),
        variance=variance,
        seconds=seconds,
        folds=tuple(values),
        distance=float(np.mean([j.distance for j in found])),
        floor=float(np.mean([j.floor for j in found])),
        latency_ms=float(np.mean(latencies)) if latencies else None,
    )
