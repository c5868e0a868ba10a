# SPDX-License-Identifier: BSD-3-Clause
"""State of a search, rebuilt from its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastcalo.errors import InputError

from ...config import TrainConfig, recorded_config
from ..config import TuneConfig, recorded_tune
from ..space import Point
from .journal import read_journal

JOURNAL = "journal.jsonl"


@dataclass
class Trial:
    """A point and what became of it.

    Attributes
    ----------
    number : int
    point : dict
        From dotted paths to values.
    source : str
        "start", "design", or the name of the optimiser.
    status : str
        ``asked``, ``running``, ``done``, ``failed`` or ``stopped``.
    value, variance : float or None
        What the journal has of it: of failed and stopped trials, what `study.Study.tell` states.
    rungs : list of (step, value)
        What it reported on its way, by increasing step.
    reported : dict
        The journal's line of its end; empty before.
    begins : list of dict
        The journal's lines of its starts: more than one if it was queued again.
    asked_at : float
        When it was asked for, in seconds since 1970.
    """

    number: int
    point: Point
    source: str
    status: str = "asked"
    value: float | None = None
    variance: float = 0.0
    rungs: list[tuple[int, float]] = field(default_factory=list)
    reported: dict[str, Any] = field(default_factory=dict)
    begins: list[dict[str, Any]] = field(default_factory=list)
    asked_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether it was reported."""
        return bool(self.reported)


@dataclass
class Record:
    """What a journal reports; for reports, and for a search that goes on.

    Attributes
    ----------
    config : TuneConfig
    base : TrainConfig
        The training that trials are variations of.
    trials : list of Trial
        By their numbers.
    lines : list of dict
        The whole journal.
    """

    config: TuneConfig
    base: TrainConfig
    trials: list[Trial]
    lines: list[dict[str, Any]]

    @property
    def best(self) -> Trial | None:
        """The trial with the smallest value of those that are done; the first one of equals."""
        done = [t for t in self.trials if t.status == "done" and t.value is not None]
        return min(done, key=lambda t: t.value or 0.0, default=None)

    @property
    def pending(self) -> list[Trial]:
        """Trials that were asked for and not reported, by their numbers."""
        return [t for t in self.trials if not t.ended]


def read_record(folder: str | Path) -> Record:
    """Read the journal of a search, finished or not; another process may be writing to it.

    Raises
    ------
    InputError
        There is no journal, or it cannot be understood; the message names file and line.
    """
    path = Path(folder) / JOURNAL
    lines = read_journal(path)
    headers = [line for line in lines if line["kind"] == "study"]
    if not headers:
        raise InputError(f"{path}: is no journal of a search: it has no line of kind 'study'")
    header = headers[-1]
    if lacking := [key for key in ("base", "config") if key not in header]:
        raise InputError(f"{path}: its line of kind 'study' lacks {lacking}; it is damaged")
    base = recorded_config(header["base"], f"{path}: base")
    record = Record(recorded_tune(header["config"], base, f"{path}: config"), base, [], lines)
    for number, line in enumerate(lines, 1):
        try:
            apply_line(record.trials, line)
        except (KeyError, IndexError, TypeError, ValueError) as e:
            raise InputError(f"{path}: line {number}, of kind {line['kind']!r}, makes no sense there: {e!r}") from e
    return record


def apply_line(trials: list[Trial], line: dict[str, Any]) -> None:
    """Let trials have what a line of the journal states of one of them."""
    kind = line["kind"]
    if kind == "ask":
        if line["trial"] != len(trials):
            raise ValueError(f"trial {line['trial']} follows {len(trials) - 1}")
        trials.append(Trial(line["trial"], line["point"], line["source"], asked_at=line["time"]))
    elif kind in ("begin", "rung", "tell"):
        trial = trials[line["trial"]]
        if kind == "begin":
            trial.status = "running"
            trial.begins.append(line)
        elif kind == "rung":
            _add_rung(trial, line["step"], line["value"])
        else:
            trial.status, trial.value, trial.variance = line["status"], line["value"], line["variance"]
            trial.reported = line


def _add_rung(trial: Trial, step: int, value: float) -> None:
    # a trial that was queued again comes a second time to steps after its last checkpoint
    trial.rungs = [(s, v) for s, v in trial.rungs if s < step] + [(step, value)]
