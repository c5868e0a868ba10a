# SPDX-License-Identifier: BSD-3-Clause
"""Stage of asynchronous training: rank 0 is the parameter server, workers make steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from fastcalo.errors import InputError

from ...architectures.base import Architecture, Metrics
from ...config import EasgdConfig, ServerConfig, StageConfig
from ...data.batch import Batch
from ...data.showers import ShowerData
from ...random_numbers import combine_seeds
from ...run.signals import Stopped
from ...stages.gradient_accumulation import PartialLoss, partial_losses
from ...stages.stage import LOG_EVERY, StageSetup, StageState
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
    device : torch.device or str
        Where losses are computed.

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
        device: torch.device | str = "cpu",
    ) -> None:
        self._architecture, self._stage, self._seed, self._device = architecture, stage, seed, device
        if stage.batch * workers > len(data):
            raise InputError(
                f"stage {stage.name!r}: batches of {stage.batch} showers for {workers} workers take "
                f"{stage.batch * workers}, but there are only {len(data)}; ask for smaller batches or fewer workers"
            )
        pinned = torch.device(device).type == "cuda"
        self._batches = data.batches(stage.batch * workers, step // workers, worker, workers, pinned=pinned)
        self.parameters: Mapping[str, Sequence[nn.Parameter]] = architecture.trained_by(stage.name)

    def losses(self, step: int, metrics: Metrics) -> Iterator[PartialLoss]:
        """Terms of the losses of one step, with random numbers of the step's own."""
        key = combine_seeds(self._seed, step)
        return partial_losses(self._architecture, self._stage, next(self._batches), step, metrics, key, self._device)


class AsynchronousStageTraining:
    """A stage run by a master and its workers, with or without sub-masters in between.

    The stage's steps are those of all workers together, each on a batch of the stage's size; so as many showers are
    seen as in a training of one process. Warm-up and annealing go by the central step. Masters keep parameters on the
    CPU, where messages come from and go to; workers compute on the device of the setup.

    Parameters
    ----------
    setup : StageSetup
        Its exchange is a `ServerExchange`.
    parallel : ServerConfig
    """

    def __init__(self, setup: StageSetup, parallel: ServerConfig) -> None:
        self._setup, self._parallel = setup, parallel
        self._exchange, self._state = cast(ServerExchange, setup.exchange), StageState(setup)
        exchange = self._exchange
        applies = isinstance(parallel, EasgdConfig) and exchange.rank > 0
        self._own = WorkerState(setup.folder, setup.stage.name, exchange.rank, exchange.tree, applies)

    def run(self) -> None:
        """Train from the checkpoint, or from the start, to the last step.

        Raises
        ------
        TrainingError
            A number is not finite, on any worker.
        Stopped
            By a signal, or by the callback. A checkpoint is kept.
        """
        setup, exchange, stopped, reached, state = self._setup, self._exchange, 0, 0, {}
        if not exchange.rank:
            stopped, reached = self._serve()
        elif exchange.rank <= exchange.tree.between:
            state = self._pass_on()
        else:
            state = self._work()
        stopped, reached = exchange.broadcast(stopped, reached)
        if stopped:
            self._own.save(state, reached)
            raise Stopped(128 + stopped)
        self._own.remove()
        kept = setup.architecture.kept_by(setup.stage.name)
        exchange.spread(setup.architecture.networks[name].state_dict() for name in kept)

    def _flat_parameters(self) -> FlatParameters:
        return FlatParameters(self._setup.architecture.trained_by(self._setup.stage.name))

    def _work(self) -> dict[str, Any]:
        """Make steps until there are no more; return what only this worker knows then."""
        setup, exchange, step = self._setup, self._exchange, self._state.step
        number, tree, lap = exchange.number, exchange.tree, setup.timeline.lap
        batches = WorkerBatches(
            setup.architecture, setup.stage, setup.data, setup.seed, step, number, tree.workers, setup.device
        )
        worker = Worker(number, tree.workers, batches, setup.stage, self._parallel, exchange.heartbeat.beat)
        worker.resume(self._state.optimisers)
        # every rank can work out what each has to do at first
        first = tree.first(number, range(step, setup.stage.steps), self._parallel)
        pull = Pull(first.start, len(first), 0, worker.flat.values_N.clone().cpu())
        if state := self._own.load(step):
            pull = worker.load_state(state, pull)
        lap("preparation")
        while pull.steps:
            push = worker.round(pull, lambda: setup.signals.received)
            lap("steps")
            pull = exchange.push(push)
            lap("exchange")
            if pull.checkpoint:
                self._own.save(worker.state(pull), pull.checkpoint)
                lap("checkpoint")
        return worker.state(pull)

    def _pass_on(self) -> dict[str, Any]:
        """Serve a block of workers until all are done; return what only this rank knows then."""
        setup, exchange, step = self._setup, self._exchange, self._state.step
        tree, lap, flat = exchange.tree, setup.timeline.lap, self._flat_parameters()
        lease = tree.leases(range(step, setup.stage.steps), self._parallel)[exchange.number]
        pull = Pull(lease.start, len(lease), 0, flat.values_N.clone())
        if state := self._own.load(step):
            flat.values_N.copy_(state["values"])
        server = SubServer(
            exchange.number,
            flat,
            self._state.optimisers,
            tree.workers,
            setup.stage,
            self._parallel,
            pull,
            exchange.push,
        )
        exchange.expect(server.busy)
        lap("preparation")
        while server.busy:
            push = exchange.receive(server.rows, len(flat.values_N))
            lap("message")
            server.signal, known = server.signal or setup.signals.received, server.checkpoint
            answer = server.serve(push)
            exchange.reply(push.worker, answer, server.busy)
            lap("centre")
            if server.checkpoint != known:
                self._own.save({"values": flat.values_N}, server.checkpoint)
                lap("checkpoint")
        return {"values": flat.values_N}

    def _serve(self) -> tuple[int, int]:
        """Serve all until they are done; return the signal that has ended it, or 0, and the step reached."""
        setup, exchange, stage, state = self._setup, self._exchange, self._setup.stage, self._state
        flat, step, lap = self._flat_parameters(), state.step, setup.timeline.lap
        server = ParameterServer(flat, state.optimisers, exchange.tree.workers, stage, self._parallel, step)
        sample, stopped = state.evaluation_sample(), 0
        messages = MessageMetrics("staleness_top" if exchange.tree.between else "staleness")
        due = _Due(setup, state, server, sample, messages, _Speed(step))
        log.info("stage %s: %d showers, from step %d to %d", stage.name, len(setup.data), step, stage.steps)
        exchange.expect(server.busy)
        lap("preparation")
        clock = time.perf_counter()
        while server.busy:
            push = exchange.receive(server.rows, len(flat.values_N))
            lap("message")
            stopped = stopped or setup.signals.received or push.signal
            if stopped:
                server.stop()
            before, pull = server.step, server.serve(push)
            messages.add(push, server.staleness)
            if "gradient" in push.metrics and stage.ema:
                state.average(before, push.steps)
            exchange.reply(push.worker, pull, server.busy)
            lap("centre")
            now = time.perf_counter()
            state.seconds, clock = state.seconds + now - clock, now
            due.after(before, bool(stopped) and not server.busy)
            clock += time.perf_counter() - now
        return stopped if server.step < stage.steps else 0, server.step


@dataclass(frozen=True)
class _Due:
    """Log lines, evaluations and checkpoints of the first rank."""

    setup: StageSetup
    state: StageState
    server: ParameterServer
    sample: Batch
    messages: MessageMetrics
    speed: _Speed

    def after(self, before: int, stopped: bool) -> None:
        """Do what is due at the server's step, or would have been at one since `before` that a message passed over."""
        stage, state, step, lap = self.setup.stage, self.state, self.server.step, self.setup.timeline.lap
        last = step == stage.steps

        def due(every: int) -> bool:
            return last or step // every > before // every

        if due(LOG_EVERY):
            speed = self.speed.look(step, stage.batch)
            state.log_metrics(step, "train", {**self.messages.take(), "showers_per_second": speed})
        if last and stage.ema:
            state.use_averages()
        if due(stage.evaluate_every):
            state.evaluate(step, self.sample)
            lap("evaluation")
        if due(stage.checkpoint_every) or stopped:
            state.save(step)
            self.server.note_checkpoint(step)
            lap("checkpoint")
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
