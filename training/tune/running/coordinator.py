# SPDX-License-Identifier: BSD-3-Clause
"""Coordinator of a search (rank 0): assigns trials to groups and records their results.

The study's own work (the next point, above all) is done in a thread beside the messages, and ahead of time: there is
always a trial at hand for the group that ends next. Its point does not know yet what that group's trial came to, which
is what asynchronous search in batches means anyway.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastcalo.errors import TrainingError

from ...run.signals import Signals, Stopped
from ..study.study import Outcome, Study, Trial
from .mpi_messages import MessageChannel, sleep_briefly
from .trial import StopReason, Task, outcome_from, outcome_table
from .trial_queue import Display, begin_trial, unfinished_trials

_AHEAD = 16
"""One trial is kept at hand for as many groups."""
_MORE_S = (5.0, 600.0)
"""A trial is given up when it has taken twice its limit; at least and at most so many seconds more than that."""
_HALT_S = 300.0
_ALIVE_S = 2.0
"""Seconds from one sign of life of the coordinator to the groups to the next."""


@dataclass
class GroupState:
    """A group, as the coordinator sees it.

    Attributes
    ----------
    number : int
    ranks : list of int
        In the world; the first leads.
    trial : Trial or None
        What it works on.
    since : float
        Since when.
    busy : float
        Seconds that it has worked before.
    free : float or None
        When it was found that there is no work left for it.
    """

    number: int
    ranks: list[int]
    trial: Trial | None = None
    since: float = 0.0
    busy: float = 0.0
    free: float | None = None


class BackgroundTasks:
    """Does one thing after the other in a thread; the results are taken up by whoever collects them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._under_way: deque[tuple[Future[Any], Callable[[Any], None]]] = deque()

    def do(self, what: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Do something after all that was asked for before."""
        self._under_way.append((self._pool.submit(what), then))

    def collect(self, everything: bool = False) -> None:
        """Take up what is done, or wait for all of it; raises what was raised there."""
        while self._under_way and (everything or self._under_way[0][0].done()):
            future, then = self._under_way.popleft()
            then(future.result())

    def close(self) -> None:
        """Let the thread go."""
        self._pool.shutdown()

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do or to take up."""
        return not self._under_way


class Clock:
    """Time, and how to let some of it pass."""

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def sleep(self) -> None:
        """Wait for a moment."""
        sleep_briefly()


class Coordinator:
    """Runs a search whose trials are worked on by groups of ranks.

    Parameters
    ----------
    study : Study
    states : list of GroupState
    channel : MessageChannel
        Of the world.
    display : Display
    background : BackgroundTasks, optional
    clock : Clock, optional
    """

    def __init__(
        self,
        study: Study,
        states: list[GroupState],
        channel: MessageChannel,
        display: Display,
        background: BackgroundTasks | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._study, self._states, self._channel, self._display = study, states, channel, display
        self._background, self._clock = background or BackgroundTasks(), clock or Clock()
        self._queue: deque[Trial] = deque()
        self._asking, self._exhausted, self._halted = 0, False, False
        self._limit, self._reported_at = study.config.trial_limit_s, -math.inf

    def run(self) -> None:
        """Until all trials are reported, or a signal comes.

        Raises
        ------
        Stopped
            By a signal, when all groups have saved their trials.
        TrainingError
            A group has not answered for too long; its trial was reported as failed.
        """
        start = self._clock.now()
        self._queue = unfinished_trials(self._study, self._display)
        with Signals() as signals:
            while not self._over():
                self._background.collect()
                while found := self._channel.look():
                    self._heed(*found)
                self._ask_ahead()
                self._hand_out()
                if signals.received and not self._halted:
                    self._halt()
                self._give_up()
                self._show_life()
                self._display.refresh()
                self._clock.sleep()
        self._background.collect(everything=True)
        self._dismiss()
        self._background.close()
        self._study.end(**busy_shares(self._states, start, self._clock.now()))
        if self._halted:
            self._display.note("stopped; all trials under way are saved: go on with --resume")
            # the signal may have come to another rank, which has notified this one
            raise Stopped(128 + (signals.received or signal.SIGTERM))

    def _over(self) -> bool:
        working = any(state.trial for state in self._states)
        left = self._queue or not self._exhausted or not self._background.idle
        return not working and (self._halted or not left)

    def _heed(self, rank: int, message: dict[str, Any]) -> None:
        state = next(state for state in self._states if state.ranks[0] == rank)
        trial = state.trial
        if message["do"] == "interrupted":
            self._rest(state)
            self._halt()
        elif trial is None or message["trial"] != trial.number:
            return
        elif message["do"] == "rung":
            step, value = message["step"], message["value"]
            self._background.do(lambda: self._study.rung(trial, step, value), lambda why: self._stop(state, trial, why))
        else:
            self._rest(state)
            self._record(trial, outcome_from(message["outcome"]))

    def _rest(self, state: GroupState) -> None:
        """A group has ended its trial; one that had no more work before was at work until now."""
        now = self._clock.now()
        if state.trial is not None:
            state.busy += now - state.since
        if state.free:
            state.free = now
        state.trial = None

    def _record(self, trial: Trial, outcome: Outcome) -> None:
        self._background.do(
            lambda: self._study.tell(trial, outcome), lambda _: self._display.ended(trial, self._study.best)
        )

    def _stop(self, state: GroupState, trial: Trial, reason: str) -> None:
        if reason and state.trial is trial:
            self._channel.send(state.ranks[0], do="stop", trial=trial.number, status="stopped", reason=reason)

    def _ask_ahead(self) -> None:
        """Have a trial ready for each group that waits, and some more."""
        waiting = sum(state.trial is None for state in self._states)
        wanted = waiting + max(1, len(self._states) // _AHEAD)
        while not (self._exhausted or self._halted) and len(self._queue) + self._asking < wanted:
            self._asking += 1
            self._background.do(self._study.ask, self._asked)

    def _asked(self, trial: Trial | None) -> None:
        self._asking -= 1
        if trial is None:
            self._exhausted = True
        else:
            self._queue.append(trial)

    def _hand_out(self) -> None:
        now = self._clock.now()
        for state in self._states:
            if state.trial is not None or self._halted:
                continue
            if self._queue:
                trial = self._queue.popleft()
                again = bool(trial.begins)
                state.trial, state.since, state.free = trial, now, None
                task = Task(trial.number, trial.point, self._limit)
                self._channel.send(state.ranks[0], do="trial", **vars(task))
                self._background.do(lambda t=trial, s=state: begin_trial(self._study, t, s.number, s.ranks))  # type: ignore[misc]
                self._display.began(trial, state.number, again)
            elif self._exhausted and state.free is None:
                state.free = now

    def _halt(self) -> None:
        """Let all groups save and stop."""
        if self._halted:
            return
        self._halted = True
        now = self._clock.now()
        for state in self._states:
            state.free = state.free or now
            if state.trial is not None:
                state.busy += now - state.since
                state.since = now
                self._channel.send(state.ranks[0], do="stop", trial=state.trial.number, status="", reason="")

    def _give_up(self) -> None:
        """End the search if a group is stuck: nobody can take its ranks back."""
        now = self._clock.now()
        for state in self._states:
            if state.trial is None:
                continue
            if self._halted and now - state.since > _HALT_S:
                raise TrainingError(f"trial {state.trial.number} does not stop; go on with --resume")
            if not self._halted and now - state.since > self._limit + patience(self._limit):
                trial = state.trial
                reason = (
                    f"no end in sight after {now - state.since:.0f} s, with trial_limit_s = {self._limit:g}: "
                    f"stuck within a step, on ranks {state.ranks}"
                )
                self._record(trial, Outcome("failed", reason=reason, seconds=now - state.since))
                self._background.collect(everything=True)
                raise TrainingError(f"trial {trial.number}: {reason}; it is reported as failed: go on with --resume")

    def _show_life(self) -> None:
        """Let groups know that they do not wait in vain."""
        if self._clock.now() - self._reported_at > _ALIVE_S:
            self._reported_at = self._clock.now()
            for state in self._states:
                self._channel.send(state.ranks[0], do="alive")

    def _dismiss(self) -> None:
        for rank in range(1, self._channel.size):
            self._channel.send(rank, do="end")
        self._channel.flush(10.0)


def patience(limit_s: float) -> float:
    """Seconds beyond its limit in which a trial must have answered."""
    return max(_MORE_S[0], min(limit_s, _MORE_S[1]))


def busy_shares(states: list[GroupState], start: float, end: float) -> dict[str, Any]:
    """How busy groups were, as long as there was work for them."""
    there = sum((state.free or end) - start for state in states)
    return {
        "busy": sum(state.busy for state in states) / there if there > 0 else 0.0,
        "wall_s": end - start,
        "groups": len(states),
    }


class RemoteLink:
    """A leader's link to the coordinator.

    Parameters
    ----------
    channel : MessageChannel
        Of the world.
    patience : float
        Seconds without any message after which the coordinator is given up.
    """

    def __init__(self, channel: MessageChannel, patience: float = math.inf) -> None:
        self._channel, self._patience, self._heard = channel, patience, time.monotonic()
        self._verdict: tuple[int, StopReason] | None = None

    def next(self, quit_: Callable[[], bool]) -> Task | None:
        """Wait for a trial; what comes meanwhile about earlier ones is of no matter.

        Raises
        ------
        TrainingError
            The coordinator gives no sign of life.
        """
        while not quit_():
            message = self._look()
            if message is None:
                sleep_briefly()
                continue
            kind = message.pop("do")
            if kind == "end":
                return None
            if kind == "trial":
                self._verdict = None
                return Task(**message)
        return None

    def _look(self) -> dict[str, Any] | None:
        """The next message from the coordinator, if there is one."""
        found, now = self._channel.look(), time.monotonic()
        if found is not None:
            self._heard = now
            return found[1]
        if (silent := now - self._heard) > self._patience:
            raise TrainingError(
                f"rank 0, which coordinates the search, has given no sign of life for {silent:.0f} s. Trials under way "
                "are kept: go on with --resume"
            )
        return None

    def rung(self, trial: int, step: int, value: float) -> None:
        """Send a rung; if the trial is hopeless, that comes later."""
        self._channel.send(0, do="rung", trial=trial, step=step, value=value)

    def verdict(self, trial: int) -> StopReason | None:
        """What the coordinator has reported of a trial."""
        while m := self._look():
            if m["do"] == "stop":
                self._verdict = m["trial"], StopReason(m["status"], m["reason"])
        return self._verdict[1] if self._verdict and self._verdict[0] == trial else None

    def ended(self, trial: int, outcome: Outcome) -> None:
        """Send an outcome."""
        self._channel.send(0, do="ended", trial=trial, outcome=outcome_table(outcome))

    def interrupted(self, trial: int | None) -> None:
        """Send that a signal came."""
        self._channel.send(0, do="interrupted", trial=trial)
        self._channel.flush(10.0)
