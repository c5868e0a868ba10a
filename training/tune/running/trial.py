# SPDX-License-Identifier: BSD-3-Clause
"""Trial: a training in a folder of its own, with a callback that may stop it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastcalo.errors import FastCaloError

from ...architectures.base import Architecture
from ...config import TrainConfig
from ...run import checkpoint
from ...run.callback import Callback
from ..config import TuneConfig
from ..objective import Exporter
from ..space import Point
from ..study.study import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchSetup:
    """What all trials of a search have in common.

    Attributes
    ----------
    folder : Path
        Of the search.
    tune : TuneConfig
    base : TrainConfig
    where : str
        The search's file, for messages.
    exporter : Exporter
        Writes models to be evaluated.
    """

    folder: Path
    tune: TuneConfig
    base: TrainConfig
    where: str
    exporter: Exporter

    def run_of(self, trial: int, fold: int = 0) -> Path:
        """Folder of a training; there are several in a trial with several folds."""
        folder = trial_folder(self.folder, trial)
        return folder / f"fold{fold}" if self.tune.objective.folds > 1 else folder


@dataclass(frozen=True)
class Task:
    """A trial to work on."""

    number: int
    point: Point
    limit_s: float


class SearchLink(Protocol):
    """What the leader of a group knows of the search."""

    def next(self, quit_: Callable[[], bool]) -> Task | None:
        """Wait for the next trial; None if there is none, or at once if `quit_` is true."""

    def rung(self, trial: int, step: int, value: float) -> None:
        """Report what a trial has reached on its way."""

    def verdict(self, trial: int) -> StopReason | None:
        """Why a trial must be stopped; asked often."""

    def ended(self, trial: int, outcome: Outcome) -> None:
        """Report how a trial ended."""

    def interrupted(self, trial: int | None) -> None:
        """Report that nothing more comes from this group, as it was signalled."""


@dataclass(frozen=True)
class StopReason:
    """Why a trial is stopped.

    Attributes
    ----------
    status : str
        As which it is reported: ``stopped``, ``failed``, or empty if it is to go on another time.
    reason : str
    """

    status: str
    reason: str


class TrialCallback(Callback):
    """Looks at a trial for its group's leader: whether its time is up, or it is hopeless.

    Parameters
    ----------
    task : Task
    link : SearchLink
    evaluate : callable, optional
        Gives the objective's value of networks; a trial is evaluated on its way only if there is one.
    before : dict of str to int
        For each stage in which that makes sense, the steps of those before it.
    signalled : callable
        Whether a signal came before the training began.

    Attributes
    ----------
    evaluate : callable or None
    verdict : StopReason or None
    """

    def __init__(
        self,
        task: Task,
        link: SearchLink,
        evaluate: Callable[[Architecture], float] | None,
        before: dict[str, int],
        signalled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._task, self._link, self.evaluate, self._before, self._signalled = task, link, evaluate, before, signalled
        self._end = time.monotonic() + task.limit_s
        self.verdict: StopReason | None = None

    def halt(self) -> bool:
        """Whether the trial is to stop."""
        if self.verdict is None and time.monotonic() > self._end:
            self.verdict = StopReason("failed", f"took longer than trial_limit_s = {self._task.limit_s:g}")
        if self.verdict is None and self._signalled():
            self.verdict = StopReason("", "a signal")
        self.verdict = self.verdict or self._link.verdict(self._task.number)
        return self.verdict is not None

    def evaluated(self, networks: Architecture, stage: str, step: int) -> None:
        """Report the value of the networks so far to the search."""
        if self.evaluate is None or stage not in self._before:
            return
        try:
            value = self.evaluate(networks)
        # a look on the way must not end a training
        except Exception as error:  # noqa: BLE001
            log.info(
                "trial %d cannot be evaluated at step %d of %s: %s", self._task.number, step, stage, describe(error)
            )
            return
        self._link.rung(self._task.number, self._before[stage] + step, value)


def evaluated_stages(config: TrainConfig, networks: Architecture) -> dict[str, int]:
    """Stages in which all parts of the generator are trained, and the steps of the stages before each."""
    kept = {s.name: {n for n in networks.kept_by(s.name) if n != "critic"} for s in config.stage}
    needed, trained, before, out = set().union(*kept.values()), set(), 0, {}
    for stage in config.stage:
        trained |= kept[stage.name]
        if trained == needed:
            out[stage.name] = before
        before += stage.steps
    return out


def trial_folder(study: Path, trial: int) -> Path:
    """Where a trial keeps its checkpoints."""
    return study / "trials" / f"{trial:04d}"


def steps_saved(folder: Path) -> int:
    """Steps in the checkpoints of a trial, all stages and folds together; damaged ones count as none."""
    total = 0
    for path in sorted(folder.glob("**/*.pt")):
        try:
            total += int(checkpoint.load(path)["step"])
        except FastCaloError:
            log.warning("%s is damaged", path)
    return total


def describe(error: BaseException) -> str:
    """An error in one line."""
    return str(error) if isinstance(error, FastCaloError) else f"{type(error).__name__}: {error}"


def outcome_table(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON can hold it."""
    return vars(outcome) | {"folds": list(outcome.folds), "metrics": dict(outcome.metrics)}


def outcome_from(table: dict[str, Any]) -> Outcome:
    """What `outcome_table` has reported."""
    return Outcome(**(table | {"folds": tuple(table["folds"])}))
