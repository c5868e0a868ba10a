# SPDX-License-Identifier: BSD-3-Clause
"""Queue of trials: resumed ones first, given up after repeated starts without progress."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ..study.study import Outcome, Study, Trial
from .trial import steps_saved, trial_folder

ATTEMPTS = 3
"""Starts without a step saved in between after which a trial is given up."""


class Display(Protocol):
    """Shows how a search goes."""

    def began(self, trial: Trial, group: int, again: bool) -> None:
        """A group works on a trial, or goes on with one."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """A trial was reported."""

    def note(self, text: str) -> None:
        """Anything else worth a line."""

    def refresh(self) -> None:
        """Time has passed."""


class NoDisplay:
    """Shows nothing."""

    def began(self, trial: Trial, group: int, again: bool) -> None:
        """Nothing."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def refresh(self) -> None:
        """Nothing."""


def unfinished_trials(study: Study, display: Display) -> deque[Trial]:
    """Trials that were under way when the search was interrupted.

    One that began `ATTEMPTS` times and never got further than before is reported as failed: whatever ends it would end
    the search each time.
    """
    queue: deque[Trial] = deque()
    for trial in study.pending:
        saved = steps_saved(trial_folder(study.folder, trial.number))
        in_vain = 0
        for line in reversed(trial.begins):
            if line.get("saved", 0) != saved:
                break
            in_vain += 1
        if in_vain >= ATTEMPTS:
            reason = f"ended {in_vain} times together with the search, at step {saved}, without another step saved"
            study.tell(trial, Outcome("failed", reason=reason))
            display.ended(trial, study.best)
        else:
            queue.append(trial)
    if queue:
        numbers = ", ".join(str(t.number) for t in queue)
        display.note(f"trials that were under way go on: {numbers}")
    return queue


def begin_trial(study: Study, trial: Trial, group: int, ranks: list[int]) -> None:
    """Note that a group works on a trial, and how far it had come."""
    study.begin(trial, group, ranks, saved=steps_saved(trial_folder(study.folder, trial.number)))
