# SPDX-License-Identifier: BSD-3-Clause
"""One stage of a training: what it is given, its state and checkpoints, and its loop where all ranks take each step."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fastcalo.errors import TrainingError

from ..architectures.base import Architecture, Metrics
from ..config import StageConfig
from ..data.batch import Batch
from ..data.showers import ShowerData
from ..exchange import Exchange
from ..random_numbers import combine_seeds
from ..run import checkpoint
from ..run.callback import Callback
from ..run.metrics_log import MetricsLog
from ..run.signals import Signals, Stopped
from ..run.throughput import Throughput
from ..run.timeline import Timeline
from .gan_step import GanStep
from .gradient_accumulation import partial_losses
from .optimisers import load_optimiser, make_optimiser

log = logging.getLogger(__name__)
EVALUATION_SHOWERS = 2_000
CALIBRATION_SHOWERS = 10_000
LOG_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class StageSetup:
    """What a stage is given.

    Attributes
    ----------
    stage : StageConfig
    last_stage : bool
        Whether no stage comes after it.
    architecture : Architecture
        Its networks are on `device`.
    folder : Path
        Folder of the run.
    seed : int
        Of the stage's random numbers.
    data, test : ShowerData
        Showers to train with, and to evaluate with.
    exchange : Exchange
    signals : Signals
    metrics_log : MetricsLog or None
        None on all ranks but the first.
    timeline : Timeline
    device : torch.device
    callback : Callback
    """

    stage: StageConfig
    last_stage: bool
    architecture: Architecture
    folder: Path
    seed: int
    data: ShowerData
    test: ShowerData
    exchange: Exchange
    signals: Signals
    metrics_log: MetricsLog | None
    timeline: Timeline
    device: torch.device
    callback: Callback


class StageState:
    """Optimisers, averaged parameters and training time of a stage: what its checkpoint holds besides networks.

    Parameters
    ----------
    setup : StageSetup

    Attributes
    ----------
    step : int
        Of the checkpoint from which the stage goes on; 0 at its start.
    optimisers : dict of str to AdamW
    averages : dict of str to dict of str to Tensor
        Exponential moving averages of the networks' parameters, by network.
    seconds : float
        Time spent in training, evaluations and checkpoints not counted.

    Raises
    ------
    TrainingError
        The checkpoint is damaged, was trained on other showers, or is of another training.
    """

    def __init__(self, setup: StageSetup) -> None:
        self._setup = setup
        stage, architecture = setup.stage, setup.architecture
        self.optimisers = {n: make_optimiser(stage, n, p) for n, p in architecture.trained_by(stage.name).items()}
        self.averages: dict[str, dict[str, torch.Tensor]] = {}
        self.seconds = 0.0
        self.step = self._load()
        if self.step == 0:
            sample = setup.data.sample(min(CALIBRATION_SHOWERS, len(setup.data)))
            architecture.begin(stage.name, sample.to(setup.device))
        if setup.metrics_log:
            setup.metrics_log.begin(stage.name, self.step)

    def evaluation_sample(self) -> Batch:
        """True showers that generated ones are compared with, on the device."""
        test = self._setup.test
        return test.sample(min(EVALUATION_SHOWERS, len(test))).to(self._setup.device)

    @torch.no_grad()
    def average(self, step: int, steps: int = 1) -> None:
        """Exponential moving average of the generator over some more steps, short at first."""
        stage, architecture = self._setup.stage, self._setup.architecture
        decay = min(stage.ema, (1 + step) / (50 + step)) ** steps
        for name in architecture.kept_by(stage.name):
            if name == "critic":
                continue
            now = architecture.networks[name].state_dict()
            if name not in self.averages:
                self.averages[name] = {k: v.clone() for k, v in now.items()}
            for key, value in self.averages[name].items():
                value.lerp_(now[key], 1 - decay)

    def use_averages(self) -> None:
        """Give the networks the averaged parameters."""
        for name, state in self.averages.items():
            self._setup.architecture.networks[name].load_state_dict(state)

    def evaluate(self, step: int, sample: Batch) -> None:
        """Compare generated showers with a sample of true ones, log the numbers, and let the callback see the networks.

        To be called on the first rank only.
        """
        setup = self._setup
        torch.manual_seed(0)
        self.log_metrics(step, "test", setup.architecture.evaluate(setup.stage, sample))
        if step < setup.stage.steps or not setup.last_stage:
            setup.callback.evaluated(setup.architecture, setup.stage.name, step)

    def log_metrics(self, step: int, kind: str, metrics: Metrics) -> None:
        """Write a line of metrics; nothing on ranks that have no log."""
        if self._setup.metrics_log:
            stage = self._setup.stage
            self._setup.metrics_log.line(stage.name, step, stage.steps, kind, self.seconds, metrics)

    def save(self, step: int) -> None:
        """Write the checkpoint; nothing on ranks other than the first."""
        setup = self._setup
        if setup.exchange.rank:
            return
        networks = setup.architecture.networks
        kept = {name: networks[name].state_dict() for name in setup.architecture.kept_by(setup.stage.name)}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        checkpoint.save(
            checkpoint.path_of(setup.folder, setup.stage),
            {
                "step": step,
                "stage": json.dumps(setup.stage.as_dict()),
                "data_hash": setup.data.hash,
                "data_hash_version": checkpoint.HASH_VERSION,
                "seconds": self.seconds,
                # on the CPU, to be read on any machine
                "networks": checkpoint.to_device(kept, "cpu"),
                "ema": checkpoint.to_device(self.averages, "cpu"),
                "optimisers": checkpoint.to_device(optimisers, "cpu"),
            },
        )

    def _load(self) -> int:
        setup = self._setup
        file = checkpoint.path_of(setup.folder, setup.stage)
        if not file.exists():
            return 0
        state = checkpoint.load(file)
        with checkpoint.fitting(file):
            checkpoint.check_showers(file, state, setup.data)
            for name, optimiser in self.optimisers.items():
                load_optimiser(optimiser, state["optimisers"][name])
            self.averages, self.seconds = checkpoint.to_device(state["ema"], setup.device), float(state["seconds"])
            self._check_averages()
        return checkpoint.step_of(file, state, setup.stage.steps, setup.stage.name)

    def _check_averages(self) -> None:
        for name, average in self.averages.items():
            now = self._setup.architecture.networks[name].state_dict()
            if {k: v.shape for k, v in average.items()} != {k: v.shape for k, v in now.items()}:
                raise ValueError(f"the averages of {name} have other sizes")


class StageTraining:
    """A stage in which all ranks compute a part of every batch and take the same steps.

    Parameters
    ----------
    setup : StageSetup
    """

    def __init__(self, setup: StageSetup) -> None:
        self._setup, self._state = setup, StageState(setup)
        self._step = GanStep(
            setup.stage,
            setup.architecture.trained_by(setup.stage.name),
            self._state.optimisers,
            setup.exchange.backward,
            lap=setup.timeline.lap,
        )

    def run(self) -> None:
        """Train from the checkpoint, or from the start, to the last step.

        Raises
        ------
        TrainingError
            A number is not finite, on any rank.
        Stopped
            By a signal, or by the callback. A checkpoint is kept.
        """
        setup, state, stage, step = self._setup, self._state, self._setup.stage, self._state.step
        exchange, lap = setup.exchange, setup.timeline.lap
        sample = state.evaluation_sample()
        pinned = setup.device.type == "cuda"
        batches = setup.data.batches(stage.batch, step, exchange.rank, exchange.size, pinned=pinned)
        log.info("stage %s: %d showers, from step %d to %d", stage.name, len(setup.data), step, stage.steps)
        lap("preparation")
        throughput, clock = Throughput(exchange, step), time.perf_counter()
        while step < stage.steps:
            batch = next(batches)
            lap("data")
            metrics = self._one(step, batch)
            stopped = self._agreed(step, metrics)
            step += 1
            now = time.perf_counter()
            state.seconds, clock = state.seconds + now - clock, now
            last = step == stage.steps
            stopped = stopped and not last
            if step % LOG_EVERY == 0 or last:
                means = exchange.mean(metrics, len(batch) / batch.size)
                state.log_metrics(step, "train", {**means, **throughput.look(step, stage.batch)})
            lap("log")
            if last and stage.ema:
                state.use_averages()
            if (step % stage.evaluate_every == 0 or last) and not exchange.rank:
                state.evaluate(step, sample)
                lap("evaluation")
            if step % stage.checkpoint_every == 0 or last or stopped:
                state.save(step)
                lap("checkpoint")
            if stopped:
                log.warning("stage %s: stopped after step %d, which is saved", stage.name, step)
                raise Stopped(128 + setup.signals.received)
            clock += time.perf_counter() - now

    def _one(self, step: int, batch: Batch) -> Metrics:
        setup, metrics = self._setup, Metrics()
        key = combine_seeds(setup.seed, step)
        losses = partial_losses(setup.architecture, setup.stage, batch, step, metrics, key, setup.device)
        self._step.run(step, losses, metrics, len(batch) / batch.size)
        if "gradient" in metrics and setup.stage.ema:
            self._state.average(step)
        setup.timeline.lap("optimiser")
        return metrics

    def _agreed(self, step: int, metrics: Metrics) -> bool:
        """Whether any rank has been signalled to stop; all raise if a number of any is not finite."""
        setup = self._setup
        bad = [k for k, v in metrics.items() if not math.isfinite(v)]
        # one message for both, as it is sent in every step
        verdict = setup.exchange.highest(2.0 if bad else float(setup.signals.received != 0))
        if verdict > 1:
            raise TrainingError(
                f"stage {setup.stage.name!r}, step {step}: {', '.join(bad) or 'a number elsewhere'} is not finite; "
                f"the last checkpoint is kept in {setup.folder}: lower learning_rate and go on with --resume"
            )
        return verdict > 0
