"""A stage under a master: rank 0 keeps the central parameters, all others make steps."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fastcalo.errors import InputError

from ..architecture import Architecture, Metrics
from ..config import StageConfig
from ..data import Batch, ShowerData
from ..draws import Draws
from ..loop import EVALUATION_SHOWERS, LOG_EVERY, Leg, mix
from ..signals import Stopped
from .asynchronous import Masters
from .centre import Centre
from .flat import Flat
from .messages import Push
from .worker import Worker

log = logging.getLogger(__name__)


class StageProblem:
    """A stage as one worker sees it.

    Parameters
    ----------
    architecture : Architecture
    stage : StageConfig
        The batch is that of a worker: of W workers' W batches, which together hold each shower once in an epoch, it
        takes its own.
    data : ShowerData
    seed : int
    step : int
        Of the stage, from which it goes on.
    worker, workers : int

    Raises
    ------
    InputError
        There are fewer showers than all workers' batches together hold.
    """

    def __init__(
        self,
        architecture: Architecture,
        stage: StageConfig,
        data: ShowerData,
        seed: int,
        step: int,
        worker: int,
        workers: int,
    ) -> None:
        self._architecture, self._stage, self._seed = architecture, stage, seed
        if stage.batch * workers > len(data):
            raise InputError(
                f"stage {stage.name!r}: batches of {stage.batch} showers for {workers} workers take "
                f"{stage.batch * workers}, but there are only {len(data)}; ask for smaller batches or fewer workers"
            )
        self._batches = data.batches(stage.batch * workers, step // workers, worker, workers)
        self.parameters: Mapping[str, Sequence[nn.Parameter]] = architecture.trained_by(stage.name)

    def losses(self, step: int, metrics: Metrics) -> Iterator[tuple[str, Tensor]]:
        """Losses of one step, with random numbers of the step's own."""
        batch = next(self._batches)
        draws = Draws(mix(self._seed, step), batch.slot)
        return self._architecture.losses(self._stage, batch, step, metrics, draws)


class AsynchronousLeg(Leg):
    """One stage being run by a master and its workers.

    The stage's steps are those of all workers together, each on a batch of the stage's size; so as many showers are
    seen as in a training of one process. Warm-up and annealing go by the centre's step.
    """

    def run(self) -> None:
        """From the checkpoint, or from the start, to the last step."""
        exchange, step = cast(Masters, self.exchange), self._prepare()
        stopped = 0
        if exchange.rank:
            self._work(exchange, step)
        else:
            stopped = self._serve(exchange, step)
        if stopped := exchange.tell(stopped):
            raise Stopped(128 + stopped)
        kept = self.architecture.kept_by(self.stage.name)
        exchange.spread(self.architecture.networks[name].state_dict() for name in kept)

    def _work(self, exchange: Masters, step: int) -> None:
        number, workers = exchange.rank - 1, exchange.workers
        problem = StageProblem(self.architecture, self.stage, self.data, self.seed, step, number, workers)
        worker = Worker(number, workers, problem, self.stage, self.config.parallel, exchange.heartbeat.beat)
        worker.resume(self.optimisers)
        # every rank can work out what the master gives to each at first
        centre = Centre(worker.flat, {}, workers, self.stage, self.config.parallel, step)
        pull = centre.first(number)
        while pull.steps:
            push = worker.round(pull, lambda: self.signals.received)
            self.trace.lap("steps")
            pull = exchange.push(push)
            self.trace.lap("exchange")

    def _serve(self, exchange: Masters, step: int) -> int:
        """Serve workers until all are done; return the signal that has ended it, or 0."""
        stage, flat = self.stage, Flat(self.architecture.trained_by(self.stage.name))
        centre = Centre(flat, self.optimisers, exchange.workers, stage, self.config.parallel, step)
        judged, tally, stopped = self.test.sample(min(EVALUATION_SHOWERS, len(self.test))), _Tally(), 0
        log.info("stage %s: %d showers, from step %d to %d", stage.name, len(self.data), step, stage.steps)
        exchange.expect(centre.busy)
        clock = time.perf_counter()
        while centre.busy:
            push = exchange.receive(centre.rows, len(flat.values_N))
            self.trace.lap("message")
            stopped = stopped or self.signals.received or push.signal
            if stopped:
                centre.stop()
            before, pull = centre.step, centre.serve(push)
            tally.add(push, centre.staleness)
            if "gradient" in push.metrics and stage.ema:
                self._average(before, push.steps)
            exchange.reply(push.worker, pull)
            self.trace.lap("centre")
            now = time.perf_counter()
            self.seconds, clock = self.seconds + now - clock, now
            self._reached(before, centre.step, tally, judged, bool(stopped) and not centre.busy)
            self.trace.lap("log, evaluation, checkpoint")
            clock += time.perf_counter() - now
        return stopped if centre.step < stage.steps else 0

    def _reached(self, before: int, step: int, tally: _Tally, judged: Batch, stopped: bool) -> None:
        """What is due at a step, or would have been at one that a message has passed over."""
        stage, last = self.stage, step == self.stage.steps

        def due(every: int) -> bool:
            return last or step // every > before // every

        if due(LOG_EVERY):
            self._log(step, "train", tally.take(stage.batch))
        if last and stage.ema:
            self._use_averages()
        if due(stage.evaluate_every):
            torch.manual_seed(0)
            self._log(step, "test", self.architecture.evaluate(stage, judged))
        if due(stage.checkpoint_every) or stopped:
            self._save(step)
        if stopped and not last:
            log.warning("stage %s: stopped after step %d, which is saved; go on with --resume", stage.name, step)


class _Tally:
    """Numbers of the messages since the last line of the log."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._staleness: list[int] = []
        self._steps, self._time = 0, time.perf_counter()

    def add(self, push: Push, staleness: int) -> None:
        for name, value in push.metrics.items():
            self._values[name].append(value)
        self._staleness.append(staleness)
        self._steps += push.steps

    def take(self, batch: int) -> Metrics:
        """Means, how stale messages were at most, and the speed; then start again."""
        now = time.perf_counter()
        metrics = {name: sum(values) / len(values) for name, values in self._values.items()}
        metrics["staleness"] = sum(self._staleness) / len(self._staleness)
        metrics["staleness_max"] = float(max(self._staleness))
        metrics["showers_per_second"] = round(self._steps * batch / (now - self._time), 3)
        self._steps, self._time = 0, now
        self._values.clear()
        self._staleness.clear()
        return metrics
