# SPDX-License-Identifier: BSD-3-Clause
"""Training of one trial by all ranks of a group, abandoned by all when one fails.

An error that all ranks have alike ends the training of all. One that a single rank has is reported to the others, which
react to it where they wait; their messages that are then still under way belong to a communicator which is given up.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from fastcalo.errors import TrainingError

from ...config import with_values
from ...data.folds import Fold
from ...exchange import Exchange
from ...run.callback import Callback
from ...run.signals import Signals, Stopped
from ...strategies import open_exchange
from ...trainer import run_stages
from ..space import Point
from .mpi_messages import MessageChannel, sleep_briefly
from .trial import SearchSetup, describe

log = logging.getLogger(__name__)
_SLACK_S = 60.0
"""Longer than a step, and than a look at a rung; added to the patience of the training itself."""


class _OtherRankFailed(TrainingError):
    """Another rank has failed."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended.

    Attributes
    ----------
    halted : bool
        Whether it was stopped, and saved.
    error : str
        What went wrong, on which rank; empty if nothing did.
    """

    halted: bool = False
    error: str = ""


class GroupTraining:
    """The ranks of one group, of which the first leads.

    Parameters
    ----------
    setup : SearchSetup
    comm : mpi4py.MPI.Comm or None
        None for a rank that works alone.
    """

    def __init__(self, setup: SearchSetup, comm: Any = None) -> None:
        self._setup, self._comm = setup, comm if comm is not None and comm.size > 1 else None
        self._channel = MessageChannel(self._comm) if self._comm is not None else None
        self._inbox: list[tuple[int, dict[str, Any]]] = []
        self._attempt, self._clean = 0, True
        self._used: Any = None

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return 1 if self._channel is None else self._channel.size

    # the leader's

    def train(self, trial: int, point: Point, fold: int, watch: Callback) -> TrainingOutcome:
        """Train with all ranks; return when all have left.

        Raises
        ------
        TrainingError
            A rank does not leave: the others cannot go on without it.
        """
        self._attempt += 1
        self._order(do="train", trial=trial, point=point, fold=fold, clean=self._clean)
        mine = self._train(trial, point, fold, watch, self._clean)
        endings = {0: mine} | self._gather(trial)
        errors = {rank: e.error for rank, e in endings.items() if e.error}
        self._clean = not errors
        if not errors:
            return TrainingOutcome(halted=any(e.halted for e in endings.values()))
        rank, error = min(errors.items())
        return TrainingOutcome(error=error if self._channel is None else f"rank {rank} of {self.size}: {error}")

    def release(self) -> None:
        """Let the others go."""
        self._order(do="end", clean=self._clean)
        if self._channel is not None:
            self._channel.flush(10.0)

    def _order(self, **message: Any) -> None:
        for rank in range(1, self.size):
            assert self._channel is not None
            self._channel.send(rank, attempt=self._attempt, **message)

    def _gather(self, trial: int) -> dict[int, TrainingOutcome]:
        """Endings of the others; those that have only been called away have no error of their own."""
        found: dict[int, TrainingOutcome] = {}
        end = time.monotonic() + self._setup.base.parallel.patience_s + _SLACK_S
        while len(found) < self.size - 1:
            self._look()
            for rank, message in self._taken("ended"):
                found[rank] = TrainingOutcome(message["halted"], message["error"])
            if time.monotonic() > end:
                missing = [r for r in range(1, self.size) if r not in found]
                raise TrainingError(
                    f"trial {trial}: ranks {missing} of its group of {self.size} do not leave the training; "
                    "checkpoints are kept: go on with --resume"
                )
            sleep_briefly()
        return found

    # the others'

    def follow(self, signals: Signals) -> None:
        """Do what the leader sends, until it sends that this is all."""
        assert self._channel is not None
        while True:
            self._look()
            for _, message in self._taken("order"):
                self._attempt = message["attempt"]
                if message["do"] == "end":
                    return
                fold, clean = message["fold"], message["clean"]
                ending = self._train(message["trial"], message["point"], fold, _Signalled(signals), clean)
                self._channel.send(0, attempt=self._attempt, halted=ending.halted, error=ending.error, do="ended")
            sleep_briefly()

    # everyone's

    def _train(self, trial: int, point: Point, fold: int, watch: Callback, clean: bool) -> TrainingOutcome:
        """Train as one of the ranks, and let the others know if that fails here."""
        try:
            # first, as all must do this
            exchange = self._exchange(trial, fold, clean)
            setup, folds = self._setup, self._setup.tune.objective.folds
            config = with_values(setup.base, point, f"trial {trial}")
            part = Fold(fold, folds, setup.tune.seed) if folds > 1 else None
            run = setup.run_of(trial, fold)
            run_stages(
                config, run, resume=True, where=setup.where, exchange=exchange, curves=False, fold=part, watch=watch
            )
        except Stopped:
            return TrainingOutcome(halted=True)
        except _OtherRankFailed:
            return TrainingOutcome()
        # whatever it is, other trials may fare better
        except Exception as error:
            log.debug("trial %d", trial, exc_info=True)
            if self._channel is not None:
                for rank in range(self.size):
                    if rank != self._channel.rank:
                        self._channel.send(rank, attempt=self._attempt, do="fail")
            return TrainingOutcome(error=describe(error))
        return TrainingOutcome()

    def _exchange(self, trial: int, fold: int, clean: bool) -> Exchange | None:
        """Of this training only, for one that fails may leave messages behind."""
        if self._comm is None:
            return None
        if self._used is not None and clean:
            self._used.Free()
        self._used = self._comm.Dup()
        setup = self._setup
        exchange = open_exchange(setup.base.parallel, self._used, setup.run_of(trial, fold))
        exchange.heartbeat.listen = self._listen
        return exchange

    def _listen(self) -> None:
        self._look()
        if any(message["attempt"] == self._attempt for _, message in self._taken("fail")):
            raise _OtherRankFailed("another rank has failed")

    def _look(self) -> None:
        while self._channel is not None and (found := self._channel.look()):
            self._inbox.append(found)

    def _taken(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Messages of a kind, which are then gone."""
        kinds = ("train", "end") if kind == "order" else (kind,)
        mine = [item for item in self._inbox if item[1]["do"] in kinds]
        self._inbox = [item for item in self._inbox if item[1]["do"] not in kinds]
        return mine


class _Signalled(Callback):
    """Heeds a signal that came before the training."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def halt(self) -> bool:
        """Whether there was one."""
        return self._signals.received != 0
