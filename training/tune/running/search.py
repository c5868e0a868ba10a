# SPDX-License-Identifier: BSD-3-Clause
"""Search from its file to its end, on all ranks that were started."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastcalo.errors import ConfigError

from ...config import data_paths, recorded_config
from ...data.folds import Fold
from ...run.signals import Signals, Stopped
from ..config import load_tune, recorded_tune
from ..objective import Exporter, evaluation_rows
from ..study.study import Outcome, Study, Trial
from .coordinator import Coordinator, GroupState, RemoteLink, busy_shares
from .group import Group
from .group_training import GroupTraining
from .mpi_messages import MessageChannel, sleep_briefly
from .trial import SearchSetup, StopReason, Task
from .trial_queue import Display, NoDisplay, begin_trial, unfinished_trials


def search(
    file: Path,
    folder: Path,
    exporter: Exporter,
    *,
    resume: bool = False,
    threads: int = 0,
    world: Any = None,
    display: Display | None = None,
) -> Study | None:
    """Run a search, or go on with one.

    Parameters
    ----------
    file : Path
        The search's TOML.
    folder : Path
        Of the search.
    exporter : Exporter
        Writes models to be evaluated; needed on every rank.
    resume : bool
        Whether it goes on; any number of ranks will do.
    threads : int
        Threads of torch in each rank; as in the training's configuration if 0.
    world : mpi4py.MPI.Comm, optional
        All ranks. The first one coordinates, and the others form groups. One process alone works on one trial after
        the other.
    display : Display, optional
        Shows on the first rank how it goes.

    Returns
    -------
    Study or None
        On the first rank.

    Raises
    ------
    ConfigError
        The search or its training make no sense, or there are too few ranks.
    InputError, OutputError
        See `Study`; or showers cannot be read, or are too few.
    TrainingError
        A group does not answer any more.
    Stopped
        By a signal. All trials under way are saved.
    """
    display = display or NoDisplay()
    if world is None or world.size == 1:
        with _open(file, folder, resume, 1) as study:
            _work_alone(study, _setup(study, threads, file, exporter), display)
            return study
    channel = MessageChannel(world)
    if world.rank:
        _follow(world, channel, exporter)
        return None
    with _open(file, folder, resume, int(world.size)) as study:
        setup = _setup(study, threads, file, exporter)
        for rank in range(1, world.size):
            channel.send(rank, **_setup_table(setup))
        size = study.config.group_size
        world.Split(communicator_colour(0, size, world.size), 0)
        groups = (world.size - 1) // size
        if idle := (world.size - 1) % size:
            display.note(f"{idle} of {world.size} ranks are left over: {groups} groups of {size}, and the first rank")
        states = [GroupState(g, list(range(1 + g * size, 1 + (g + 1) * size))) for g in range(groups)]
        Coordinator(study, states, channel, display).run()
        return study


def communicator_colour(rank: int, group_size: int, ranks: int) -> int:
    """Part of the world that a rank belongs to: 0 is the coordinator, then come groups, and last who is left over."""
    groups = (ranks - 1) // group_size
    return 0 if rank == 0 else min((rank - 1) // group_size, groups) + 1


def _open(file: Path, folder: Path, resume: bool, ranks: int) -> Study:
    """The study, after a look at all that could keep its trials from running."""
    config, base = load_tune(file)
    where, size, strategy = str(file), config.group_size, base.parallel.strategy
    if size == 1 and strategy != "allreduce":
        raise ConfigError(
            f"{where}: parallel.strategy = {strategy!r} of {config.base} needs a master and a worker: set group_size "
            "to 2 or more, or the strategy to 'allreduce'"
        )
    needed = 1 if ranks == 1 and size == 1 else size + 1
    if ranks < needed:
        raise ConfigError(
            f"{where}: group_size = {size} needs {needed} processes at least, one that coordinates and a group, but "
            f"there {'is' if ranks == 1 else 'are'} {ranks}: mpiexec -n {needed} fastcalo tune ..., or more"
        )
    data_paths(base.data.train, where)
    folds = config.objective.folds
    for fold in range(folds):
        part = Fold(fold, folds, config.seed) if folds > 1 else None
        evaluation_rows(base, config.objective, config.seed, where, part)
    return Study.resume(folder, config) if resume else Study.create(folder, config, base)


def _setup(study: Study, threads: int, file: Path, exporter: Exporter) -> SearchSetup:
    base = study.base.updated("--threads", threads=threads) if threads else study.base
    return SearchSetup(study.folder, study.config, base, str(file), exporter)


def _setup_table(setup: SearchSetup) -> dict[str, Any]:
    return {
        "folder": str(setup.folder),
        "tune": setup.tune.as_dict(),
        "base": setup.base.as_dict(),
        "where": setup.where,
    }


def _setup_from(table: dict[str, Any], exporter: Exporter) -> SearchSetup:
    where = table["where"]
    base = recorded_config(table["base"], where)
    return SearchSetup(Path(table["folder"]), recorded_tune(table["tune"], base, where), base, where, exporter)


def _follow(world: Any, channel: MessageChannel, exporter: Exporter) -> None:
    """Be any rank but the first."""
    with Signals() as signals:
        while not (found := channel.look()):
            sleep_briefly()
        setup = _setup_from(found[1], exporter)
        size = setup.tune.group_size
        color = communicator_colour(world.rank, size, world.size)
        comm = world.Split(color, world.rank)
        if color > (world.size - 1) // size:
            # left over: the end comes when the search is over, and nothing before
            link = RemoteLink(channel)
            while link.next(lambda: signals.received != 0):
                pass
            return
        link = RemoteLink(channel, setup.base.parallel.patience_s)
        group_training = GroupTraining(setup, comm)
        if comm.rank:
            group_training.follow(signals)
        else:
            Group(setup, group_training, link).run(signals)


def _work_alone(study: Study, setup: SearchSetup, display: Display) -> None:
    state, start = GroupState(0, [0]), time.monotonic()
    with Signals() as signals:
        link = _LocalLink(study, state, display)
        Group(setup, GroupTraining(setup), link).run(signals)
    study.end(**busy_shares([state], start, time.monotonic()))
    if link.stopped:
        display.note("stopped; the trial under way is saved: go on with --resume")
        raise Stopped(128 + signals.received)


class _LocalLink:
    """A group's link to a study in the same process."""

    def __init__(self, study: Study, state: GroupState, display: Display) -> None:
        self._study, self._state, self._display = study, state, display
        self._queue: deque[Trial] = unfinished_trials(study, display)
        self._verdict: StopReason | None = None
        self.stopped = False

    def next(self, quit_: Callable[[], bool]) -> Task | None:
        """A trial that was interrupted, or a new one."""
        trial = None if quit_() else self._queue.popleft() if self._queue else self._study.ask()
        if trial is None:
            return None
        self._display.began(trial, 0, bool(trial.begins))
        begin_trial(self._study, trial, 0, self._state.ranks)
        self._state.trial, self._state.since, self._verdict = trial, time.monotonic(), None
        return Task(trial.number, trial.point, self._study.config.trial_limit_s)

    def rung(self, trial: int, step: int, value: float) -> None:
        """Note a rung."""
        if reason := self._study.rung(self._study.trials[trial], step, value):
            self._verdict = StopReason("stopped", reason)

    def verdict(self, trial: int) -> StopReason | None:  # noqa: ARG002
        """Why the trial must be stopped."""
        self._display.refresh()
        return self._verdict

    def ended(self, trial: int, outcome: Outcome) -> None:
        """Report the outcome to the study."""
        self._state.busy += time.monotonic() - self._state.since
        self._study.tell(self._study.trials[trial], outcome)
        self._display.ended(self._study.trials[trial], self._study.best)

    def interrupted(self, trial: int | None) -> None:
        """Note that a signal came."""
        if trial is not None:
            self._state.busy += time.monotonic() - self._state.since
        self.stopped = True
