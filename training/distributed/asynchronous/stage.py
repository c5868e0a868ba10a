"""Stage of asynchronous training: rank 0 is the parameter server, workers make steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from fastcalo.errors import InputError

from ...architectures.base import Architecture, Metrics
from ...config import StageConfig
from ...data.showers import Batch, ShowerData
from ...random_numbers import ShowerRandom
from ...run.signals import Stopped
from ...trainer import LOG_EVERY, StageTraining, combine_seeds
from .exchange import ServerExchange
from .flat_parameters import FlatParameters
from .message_metrics import MessageMetrics
from .messages import Pull
from .parameter_server import ParameterServer
from .sub_server import SubServer
from .worker import Worker
from .worker_state import WorkerState

log = logging.getLogger(__name__)


class WorkerBatches:
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
        draws = ShowerRandom(combine_seeds(self._seed, step), batch.slot)
        return self._architecture.losses(self._stage, batch, step, metrics, draws)


class AsynchronousStageTraining(StageTraining):
    """One stage being run by a master and its workers, maybe with sub-masters in between.

    The stage's steps are those of all workers together, each on a batch of the stage's size; so as many showers are
    seen as in a training of one process. Warm-up and annealing go by the centre's step.
    """

    def run(self) -> None:
        """From the checkpoint, or from the start, to the last step."""
        exchange, step = cast(ServerExchange, self.exchange), self._prepare()
        tree, stopped, reached, state = exchange.tree, 0, 0, {}
        if not exchange.rank:
            stopped, reached = self._serve(exchange, step)
        elif exchange.rank <= tree.between:
            state = self._pass_on(exchange, step)
        else:
            state = self._work(exchange, step)
        stopped, reached = exchange.tell(stopped, reached)
        own = self._own(exchange)
        if stopped:
            own.save(state, reached)
            raise Stopped(128 + stopped)
        own.remove()
        kept = self.architecture.kept_by(self.stage.name)
        exchange.spread(self.architecture.networks[name].state_dict() for name in kept)

    def _own(self, exchange: ServerExchange) -> WorkerState:
        applies = self.config.parallel.strategy == "easgd" and exchange.rank > 0
        return WorkerState(self.directory, self.stage.name, exchange.rank, exchange.tree, applies)

    def _work(self, exchange: ServerExchange, step: int) -> dict[str, Any]:
        """Make steps until there are no more; return what only this worker knows then."""
        number, tree, config = exchange.number, exchange.tree, self.config.parallel
        problem = WorkerBatches(self.architecture, self.stage, self.data, self.seed, step, number, tree.workers)
        worker = Worker(number, tree.workers, problem, self.stage, config, exchange.heartbeat.beat)
        worker.resume(self.optimisers)
        # every rank can work out what each has to do at first
        first = tree.first(number, range(step, self.stage.steps), config)
        pull = Pull(first.start, len(first), 0, worker.flat.values_N.clone())
        own = self._own(exchange)
        if state := own.load(step):
            pull = worker.load_state(state, pull)
        self.trace.lap("preparation")
        while pull.steps:
            push = worker.round(pull, lambda: self.signals.received)
            self.trace.lap("steps")
            pull = exchange.push(push)
            self.trace.lap("exchange")
            if pull.checkpoint:
                own.save(worker.state(pull), pull.checkpoint)
                self.trace.lap("checkpoint")
        return worker.state(pull)

    def _pass_on(self, exchange: ServerExchange, step: int) -> dict[str, Any]:
        """Serve a block of workers until all are done; return what only this rank knows then."""
        config, tree = self.config.parallel, exchange.tree
        flat, own = FlatParameters(self.architecture.trained_by(self.stage.name)), self._own(exchange)
        lease = tree.leases(range(step, self.stage.steps), config)[exchange.number]
        pull = Pull(lease.start, len(lease), 0, flat.values_N.clone())
        if state := own.load(step):
            flat.values_N.copy_(state["values"])
        desk = SubServer(exchange.number, flat, self.optimisers, tree.workers, self.stage, config, pull, exchange.push)
        exchange.expect(desk.busy)
        self.trace.lap("preparation")
        while desk.busy:
            push = exchange.receive(desk.rows, len(flat.values_N))
            self.trace.lap("message")
            desk.signal, told = desk.signal or self.signals.received, desk.checkpoint
            answer = desk.serve(push)
            exchange.reply(push.worker, answer, desk.busy)
            self.trace.lap("centre")
            if desk.checkpoint != told:
                own.save({"values": flat.values_N}, desk.checkpoint)
                self.trace.lap("checkpoint")
        return {"values": flat.values_N}

    def _serve(self, exchange: ServerExchange, step: int) -> tuple[int, int]:
        """Serve all until they are done; return the signal that has ended it, or 0, and the step reached."""
        stage, flat = self.stage, FlatParameters(self.architecture.trained_by(self.stage.name))
        centre = ParameterServer(flat, self.optimisers, exchange.tree.workers, stage, self.config.parallel, step)
        judged, stopped = self._judged(), 0
        tally, speed = MessageMetrics("staleness_top" if exchange.tree.between else "staleness"), _Speed(step)
        log.info("stage %s: %d showers, from step %d to %d", stage.name, len(self.data), step, stage.steps)
        exchange.expect(centre.busy)
        self.trace.lap("preparation")
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
            exchange.reply(push.worker, pull, centre.busy)
            self.trace.lap("centre")
            now = time.perf_counter()
            self.seconds, clock = self.seconds + now - clock, now
            self._reached(before, centre, tally, speed, judged, bool(stopped) and not centre.busy)
            clock += time.perf_counter() - now
        return stopped if centre.step < stage.steps else 0, centre.step

    def _reached(
        self, before: int, centre: ParameterServer, tally: MessageMetrics, speed: _Speed, judged: Batch, stopped: bool
    ) -> None:
        """What is due at a step, or would have been at one that a message has passed over."""
        stage, step = self.stage, centre.step
        last = step == stage.steps

        def due(every: int) -> bool:
            return last or step // every > before // every

        if due(LOG_EVERY):
            self._log(step, "train", {**tally.take(), "showers_per_second": speed.look(step, stage.batch)})
        if last and stage.ema:
            self._use_averages()
        if due(stage.evaluate_every):
            torch.manual_seed(0)
            self._log(step, "test", self.architecture.evaluate(stage, judged))
            self.trace.lap("evaluation")
        if due(stage.checkpoint_every) or stopped:
            self._save(step)
            centre.note_checkpoint(step)
            self.trace.lap("checkpoint")
        if stopped and not last:
            log.warning("stage %s: stopped after step %d, which is saved", stage.name, step)


class _Speed:
    """Showers per second since the last look."""

    def __init__(self, step: int) -> None:
        self._step, self._time = step, time.perf_counter()

    def look(self, step: int, batch: int) -> float:
        now = time.perf_counter()
        rate = (step - self._step) * batch / (now - self._time)
        self._step, self._time = step, now
        return round(rate, 3)
