# SPDX-License-Identifier: BSD-3-Clause
"""Study: space, optimiser and journal of a search in one folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastcalo._version import __version__
from fastcalo.errors import ConfigError, InputError, OutputError

from ...config import TrainConfig
from ..config import TuneConfig
from ..optimisers import Optimiser, make_optimiser
from ..optimisers.base import penalty
from .journal import Journal, read_journal
from .record import JOURNAL, Record, Trial, apply_line, read_record
from .stopping import extrapolated, hopeless

__all__ = ["JOURNAL", "Outcome", "Record", "Study", "Trial", "read_record"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes
    ----------
    status : str
        ``done``, ``failed`` or ``stopped`` (as hopeless).
    value : float
        What is minimised; of trials that are done only.
    variance : float
        Variance of the value: of its mean over the folds.
    reason : str
        Why it failed or was stopped.
    seconds : float
        Wall time.
    folds : tuple of float
        Value of each fold.
    distance, floor, latency_ms : float or None
        What the value was made of.
    metrics : mapping
        Whatever else is worth a line.
    """

    status: str
    value: float = math.nan
    variance: float = 0.0
    reason: str = ""
    seconds: float = 0.0
    folds: tuple[float, ...] = ()
    distance: float | None = None
    floor: float | None = None
    latency_ms: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Study:
    """A search that goes on. Made by `create` or `resume`; one process at a time may have it.

    Attributes
    ----------
    folder : Path
    record : Record
    """

    def __init__(self, folder: Path, record: Record, journal: Journal) -> None:
        self.folder, self.record, self._journal = folder, record, journal
        self._optimiser = _rebuilt(record)

    @classmethod
    def create(cls, folder: str | Path, config: TuneConfig, base: TrainConfig) -> Self:
        """Begin a search in a folder, which is made if it is not there.

        Raises
        ------
        OutputError
            There is a search in it already, or it cannot be written to.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: cannot be made: {e.strerror or e}") from e
        journal = Journal(folder / JOURNAL)
        try:
            if read_journal(journal.path):
                raise OutputError(f"{journal.path}: exists already; go on with it (--resume) or take another folder")
            line = _header(journal, config, base)
            return cls(folder, Record(config, base, [], [line]), journal)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def resume(cls, folder: str | Path, config: TuneConfig | None = None) -> Self:
        """Go on with a search, as if it had never been interrupted.

        Trials that were under way are in `pending`: they are to begin again, from checkpoints of their own. Without a
        configuration the journal's counts. With one, `trials`, `group_size`, `trial_limit_s` and ``[stopping]`` may
        have changed.

        Raises
        ------
        ConfigError
            Another key has changed; it is named.
        InputError
            There is no search in the folder, or its journal is damaged.
        OutputError
            Another process has the search.
        """
        folder = Path(folder)
        if not (folder / JOURNAL).is_file():
            raise InputError(f"{folder / JOURNAL}: there is no such file; begin a search there without --resume")
        journal = Journal(folder / JOURNAL)
        try:
            record = read_record(folder)
            if config is not None and config != record.config:
                _check_same(config, record.config, str(folder))
                record.config = config
                record.lines.append(_header(journal, config, record.base))
            return cls(folder, record, journal)
        except BaseException:
            journal.close()
            raise

    @property
    def config(self) -> TuneConfig:
        """The search's configuration."""
        return self.record.config

    @property
    def base(self) -> TrainConfig:
        """The training that trials are variations of."""
        return self.record.base

    @property
    def trials(self) -> list[Trial]:
        """All trials, by their numbers."""
        return self.record.trials

    @property
    def pending(self) -> list[Trial]:
        """Trials that were asked for and not reported, by their numbers."""
        return self.record.pending

    @property
    def best(self) -> Trial | None:
        """The trial with the smallest value of those that are done."""
        return self.record.best

    def ask(self) -> Trial | None:
        """A new trial; None if all `trials` of the configuration were asked for."""
        if len(self.trials) >= self.config.trials:
            return None
        proposal = self._optimiser.ask()[0]
        self._write("ask", trial=len(self.trials), point=proposal.point, source=proposal.source)
        return self.trials[-1]

    def begin(self, trial: Trial, group: int, ranks: list[int], **more: Any) -> None:
        """Note that a group of processes works on a trial from now on, and whatever else is worth noting then."""
        self._write("begin", trial=trial.number, group=group, ranks=ranks, **more)

    def rung(self, trial: Trial, step: int, value: float) -> str:
        """Note what a trial has come to on its way.

        Returns
        -------
        str
            Why it should be stopped, by ``[stopping]``; empty if it should not. A value that is not finite is not
            noted, and no reason to stop: the training itself reports when it has diverged.
        """
        if not math.isfinite(value):
            return ""
        self._write("rung", trial=trial.number, step=step, value=value)
        others = [t.rungs for t in self.trials if t is not trial]
        return hopeless(trial.rungs, others, self.config.stopping)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Note how a trial ended, and let the optimiser know.

        - A trial that is done is reported as it is. One whose value or variance is not finite has failed.
        - One that failed is reported as `penalty`: the worst of the finite values, and their spread on top. The journal
        has
          what that was at the time; the optimiser raises it along with the worst value.
        - One that was stopped is reported as `extrapolated` gives it, with the variance of that guess. If it reported
        nothing on
          its way it counts as failed.

        Raises
        ------
        ValueError
            The trial was reported already, or the status is unknown.
        """
        if trial.ended or outcome.status not in ("done", "failed", "stopped"):
            raise ValueError(f"trial {trial.number} ({trial.status}) cannot be reported as {outcome.status!r}")
        line = asdict(outcome)
        if outcome.status == "done" and not (math.isfinite(outcome.value) and 0 <= outcome.variance < math.inf):
            wrong = f"value {outcome.value} with variance {outcome.variance}"
            line |= {"status": "failed", "reason": outcome.reason or f"{wrong} makes no sense"}
        if outcome.status == "stopped" and not trial.rungs:
            line |= {"status": "failed", "reason": f"{outcome.reason or 'stopped'}; it had reported nothing by then"}
        if line["status"] == "stopped":
            finished = [(t.rungs, t.value) for t in self.trials if t.status == "done" and t.value is not None]
            others = [t.rungs for t in self.trials if t is not trial]
            line["value"], line["variance"] = extrapolated(trial.rungs, finished, others)
        elif line["status"] == "failed":
            reported = [t.value for t in self.trials if t.status in ("done", "stopped") and t.value is not None]
            line["value"], line["variance"] = penalty(reported), 0.0
        self._write("tell", trial=trial.number, **line)
        _report(self._optimiser, trial)

    def end(self, **values: Any) -> None:
        """Note that the search has ended for now."""
        self._write("end", **values)

    def close(self) -> None:
        """Let others have the search."""
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, kind: str, **values: Any) -> None:
        line = self._journal.append(kind, **values)
        self.record.lines.append(line)
        apply_line(self.trials, line)


def _header(journal: Journal, config: TuneConfig, base: TrainConfig) -> dict[str, Any]:
    return journal.append("study", fastcalo=__version__, config=config.as_dict(), base=base.as_dict())


def _rebuilt(record: Record) -> Optimiser:
    """An optimiser that has been through all that the journal reports, in its order."""
    c = record.config
    optimiser = make_optimiser(c.optimiser, c.space, c.seed, initial=c.initial, design=c.design, start=c.start)
    for line in record.lines:
        if line["kind"] == "ask":
            optimiser.pend(record.trials[line["trial"]].point)
        elif line["kind"] == "tell":
            _report(optimiser, record.trials[line["trial"]])
    return optimiser


def _report(optimiser: Optimiser, trial: Trial) -> None:
    optimiser.tell(trial.point, None if trial.status == "failed" else trial.value, trial.variance)


_MAY_CHANGE = ("trials", "group_size", "trial_limit_s", "stopping", "base")


def _check_same(config: TuneConfig, before: TuneConfig, where: str) -> None:
    for key, value in config.as_dict().items():
        if key not in _MAY_CHANGE and value != before.as_dict()[key]:
            raise ConfigError(
                f"{where}: was begun with another {key}; --resume needs the same (only {', '.join(_MAY_CHANGE[:-1])} "
                "may change), or begin anew in another folder"
            )
