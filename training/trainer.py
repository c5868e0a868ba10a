"""Training loop: stages one after the other, each resumable bit by bit.

A step depends on nothing but the configuration, the data, the step's number and the state in the checkpoint:
its random numbers are functions of (seed, stage, step, place in the batch), its batch of (seed, stage, epoch). So it is
the same, but for rounding, on any number of ranks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, TrainingError

from .architectures.base import Architecture, Metrics
from .config import StageConfig, TrainConfig, from_dict
from .data.folds import Fold
from .data.showers import Batch, ShowerData
from .data.splits import open_splits
from .device import choose_device
from .distributed.malloc import keep_freed_memory
from .exchange import Exchange, SingleProcess
from .gradient_accumulation import partial_losses
from .optimisers import make_optimiser, set_rate
from .run import checkpoint
from .run.callback import Callback
from .run.curves import draw_curves
from .run.run_folder import MetricsLog, Report, open_run
from .run.signals import Signals, Stopped
from .run.throughput import Throughput
from .run.timeline import NoTimeline, Timeline

log = logging.getLogger(__name__)
EVALUATION_SHOWERS = 2_000
CALIBRATION_SHOWERS = 3_000
LOG_EVERY = 50


def build_architecture(config: TrainConfig) -> Architecture:
    """Networks of a configuration, initialised from its seed."""
    torch.manual_seed(config.seed)
    if config.arch == "hits":
        from .architectures.hits.gan import HitGan

        return HitGan(config)
    from .architectures.dense_gan.gan import DenseGan

    return DenseGan(config)


def run_stages(
    config: TrainConfig,
    run: Path,
    *,
    only: Sequence[str] = (),
    resume: bool = False,
    where: str = "configuration",
    exchange: Exchange | None = None,
    report: Report | None = None,
    trace: Timeline | None = None,
    tensorboard: bool = False,
    curves: bool = True,
    device: torch.device | None = None,
    fold: Fold | None = None,
    watch: Callback | None = None,
) -> None:
    """Run the stages of a training, each from where it stands.

    Parameters
    ----------
    config : TrainConfig
    run : path
        Folder of the run: checkpoints, ``config.json``, ``metrics.jsonl``, ``curves.png``.
    only : sequence of str
        Names of the stages to run; all when empty. Stages that do not build on each other may run at the same
        time, in processes of their own.
    resume : bool
        Whether `run` may hold checkpoints already; finished stages are then passed over.
    where : str
        The configuration's file, for messages.
    exchange : Exchange, optional
        Partners that gradients are averaged with.
    report : callable, optional
    trace : Timeline, optional
        Notes what this rank does when.
    tensorboard : bool
        Whether metrics are written for TensorBoard, too.
    curves : bool
        Whether they are drawn after each stage.
    device : torch.device, optional
        Instead of the one that follows from the configuration and the ranks of this node.
    fold : Fold, optional
        Showers that are held out for tests, in place of those of the configuration.
    watch : Callback, optional
        Looks at the training while it goes on, and may stop it.

    Raises
    ------
    TrainingError
        The folder holds a run and `resume` is false, or another configuration's run; a loss is not finite; ranks see
        different configurations or showers.
    ConfigError
        A device, or a folder, that cannot be used.
    MissingDependencyError
        TensorBoard is not installed.
    Stopped
        By a signal, SIGTERM or SIGUSR1, or by `watch`. A checkpoint is kept.
    """
    unknown = set(only) - {s.name for s in config.stage}
    if unknown:
        raise TrainingError(f"{where} has no stage {sorted(unknown)}; it has {[s.name for s in config.stage]}")
    exchange = exchange or SingleProcess()
    kind = stage_training_class(config, exchange, where)
    detector = load_detector(config.detector)
    device = device or choose_device(config, exchange, where)
    exchange.same({"configuration": _digest(json.dumps([config.as_dict(), resume, list(only)]).encode())})
    notes = None if exchange.rank else MetricsLog(run, report, tensorboard)
    if not exchange.rank:
        open_run(config, run, resume or bool(only))
    # the others go on when the folder is there
    exchange.any(False)
    trace = trace or NoTimeline()
    trace.begin(exchange)
    keep_freed_memory()
    if config.threads:
        torch.set_num_threads(config.threads)
    networks = build_architecture(config)
    networks.networks.to(device)
    watch = watch or Callback()
    with Signals(watch.halt) as signals, closing(notes) if notes else nullcontext():
        for index, stage in enumerate(config.stage):
            done = _restore(networks, run, stage)
            exchange.same({f"checkpoint of the stage {stage.name}": str(done)})
            if done == stage.steps or (only and stage.name not in only):
                continue
            seed = combine_seeds(config.seed, index)
            data, test = open_splits(config, detector, where, seed, fold)
            exchange.same({"set of showers": data.hash, "networks": checkpoint.fingerprint(networks.networks)})
            leg = kind(config, stage, networks, run, seed, data, test, exchange, signals, notes, trace, device, watch)
            leg.run()
            if curves and not exchange.rank:
                draw_curves(run)


def stage_training_class(config: TrainConfig, exchange: Exchange, where: str) -> type[StageTraining]:
    """How a stage is run under the strategy of a configuration.

    Raises
    ------
    ConfigError
        The strategy needs more processes: a master and a worker, or sub-masters and a worker for each.
    """
    strategy, masters = config.parallel.strategy, config.parallel.masters
    if strategy == "allreduce":
        return StageTraining
    if exchange.size == 1:
        raise ConfigError(
            f"{where}: parallel.strategy = {strategy!r} needs a master and at least one worker, but there is one "
            "process only; start two or more, as in 'mpiexec -n 4 fastcalo train ...', or choose 'allreduce'"
        )
    if masters > 1 and exchange.size < 1 + 2 * masters:
        raise ConfigError(
            f"{where}: parallel.masters = {masters} needs a master above them and a worker below each, "
            f"{1 + 2 * masters} processes, but there are {exchange.size}; start more, or lower masters (1 is no tree)"
        )
    from .distributed.asynchronous.stage import AsynchronousStageTraining

    return AsynchronousStageTraining


def load_run(run: Path) -> tuple[TrainConfig, Architecture, dict[str, Any]]:
    """Configuration, networks and state of a run whose stages are all finished.

    Raises
    ------
    TrainingError
        No run there, or a stage is not finished.
    """
    file = run / "config.json"
    if not file.is_file():
        raise TrainingError(f"{run} holds no training (there is no {file})")
    table = json.loads(file.read_text())
    version = table.pop("fastcalo")
    config: TrainConfig = from_dict(TrainConfig, table, str(file))
    networks = build_architecture(config)
    data_hash = ""
    for stage in config.stage:
        done = _restore(networks, run, stage)
        if done < stage.steps:
            raise TrainingError(f"{run}: stage {stage.name!r} stands at step {done} of {stage.steps}; train --resume")
        data_hash = str(checkpoint.load(_file(run, stage))["data_hash"])
    return config, networks, {"fastcalo": version, "data_hash": data_hash}


def _file(run: Path, stage: StageConfig) -> Path:
    return run / f"{stage.name}.pt"


def _restore(networks: Architecture, run: Path, stage: StageConfig) -> int:
    """Load a stage's networks if its checkpoint is there; return the steps done."""
    file = _file(run, stage)
    if not file.exists():
        return 0
    state = checkpoint.load(file)
    done = int(state["step"])
    for name in networks.kept_by(stage.name):
        networks.networks[name].load_state_dict(state["networks"][name])
    return done


def combine_seeds(*words: int) -> int:
    """A 63-bit number that depends on all of `words`."""
    return int(_digest(repr(words).encode()), 16) >> 1


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass
class StageTraining:
    """One stage being run."""

    config: TrainConfig
    stage: StageConfig
    architecture: Architecture
    directory: Path
    seed: int
    data: ShowerData
    test: ShowerData
    exchange: Exchange
    signals: Signals
    log: MetricsLog | None
    trace: Timeline
    device: torch.device
    watch: Callback
    optimisers: dict[str, torch.optim.AdamW] = field(init=False)
    averages: dict[str, dict[str, torch.Tensor]] = field(init=False)
    share: float = 1.0
    seconds: float = 0.0

    def run(self) -> None:
        """From the checkpoint, or from the start, to the last step."""
        stage, parameters = self.stage, self.architecture.trained_by(self.stage.name)
        step = self._prepare()
        judged = self._judged()
        pinned = self.device.type == "cuda"
        batches = self.data.batches(stage.batch, step, self.exchange.rank, self.exchange.size, pinned=pinned)
        log.info("stage %s: %d showers, from step %d to %d", stage.name, len(self.data), step, stage.steps)
        self.trace.lap("preparation")
        pace, clock = Throughput(self.exchange, step), time.perf_counter()
        while step < stage.steps:
            batch = next(batches)
            self.trace.lap("data")
            metrics = self._step(step, batch, parameters)
            stopped = self._agreed(step, metrics)
            step += 1
            now = time.perf_counter()
            self.seconds, clock = self.seconds + now - clock, now
            last = step == stage.steps
            stopped = stopped and not last
            if step % LOG_EVERY == 0 or last:
                means = self.exchange.mean(metrics, self.share)
                self._log(step, "train", {**means, **pace.look(step, stage.batch)})
            self.trace.lap("log")
            if last and stage.ema:
                self._use_averages()
            if (step % stage.evaluate_every == 0 or last) and not self.exchange.rank:
                torch.manual_seed(0)
                self._log(step, "test", self.architecture.evaluate(stage, judged))
                self.trace.lap("evaluation")
            if step % stage.checkpoint_every == 0 or last or stopped:
                self._save(step)
                self.trace.lap("checkpoint")
            if stopped:
                log.warning("stage %s: stopped after step %d, which is saved", stage.name, step)
                raise Stopped(128 + self.signals.received)
            clock += time.perf_counter() - now

    def _prepare(self) -> int:
        """Make optimisers, and return the step from which to go on."""
        stage, parameters = self.stage, self.architecture.trained_by(self.stage.name)
        self.optimisers = {name: make_optimiser(stage, name, p) for name, p in parameters.items()}
        self.averages = {}
        step = self._resume()
        if step == 0:
            sample = self.data.sample(min(CALIBRATION_SHOWERS, len(self.data)))
            self.architecture.begin(stage.name, sample.to(self.device))
        if self.log:
            self.log.begin(stage.name, step)
        return step

    def _judged(self) -> Batch:
        return self.test.sample(min(EVALUATION_SHOWERS, len(self.test))).to(self.device)

    def _step(self, step: int, batch: Batch, parameters: dict[str, list[nn.Parameter]]) -> Metrics:
        self.share = len(batch) / batch.size
        metrics: Metrics = {}
        for name, loss, first, last in partial_losses(
            self.architecture, self.stage, batch, step, metrics, combine_seeds(self.seed, step), self.device
        ):
            self.trace.lap("compute")
            optimiser = self.optimisers[name]
            if first:
                optimiser.zero_grad(set_to_none=True)
            self.exchange.backward(loss, parameters[name], self.share, last=last)
            self.trace.lap("backward")
            if not last:
                continue
            set_rate(optimiser, self.stage, name, step)
            if name == "generator":
                norm = nn.utils.clip_grad_norm_(parameters[name], self.stage.clip)
                metrics["gradient"] = norm.item()
            optimiser.step()
            self.trace.lap("optimiser")
        if "gradient" in metrics and self.stage.ema:
            self._average(step)
        self.trace.lap("optimiser")
        return metrics

    def _agreed(self, step: int, metrics: Metrics) -> bool:
        """Whether any rank has been told to stop; all raise if a number of any is not finite."""
        bad = [k for k, v in metrics.items() if not math.isfinite(v)]
        # one message for both, as it is sent in every step
        verdict = self.exchange.highest(2.0 if bad else float(self.signals.received != 0))
        if verdict > 1:
            raise TrainingError(
                f"stage {self.stage.name!r}, step {step}: {', '.join(bad) or 'a number elsewhere'} is not finite; "
                f"the last checkpoint is kept in {self.directory}: lower learning_rate and go on with --resume"
            )
        return verdict > 0

    @torch.no_grad()
    def _average(self, step: int, steps: int = 1) -> None:
        """Exponential moving average of the generator over some more steps, short at first."""
        decay = min(self.stage.ema, (1 + step) / (50 + step)) ** steps
        for name in self.architecture.kept_by(self.stage.name):
            if name == "critic":
                continue
            now = self.architecture.networks[name].state_dict()
            if name not in self.averages:
                self.averages[name] = {k: v.clone() for k, v in now.items()}
            for key, value in self.averages[name].items():
                value.lerp_(now[key], 1 - decay)

    def _use_averages(self) -> None:
        for name, state in self.averages.items():
            self.architecture.networks[name].load_state_dict(state)

    def _save(self, step: int) -> None:
        if self.exchange.rank:
            return
        kept = self.architecture.kept_by(self.stage.name)
        checkpoint.save(
            _file(self.directory, self.stage),
            {
                "step": step,
                "stage": json.dumps(asdict(self.stage)),
                "data_hash": self.data.hash,
                "seconds": self.seconds,
                # to be read on any machine
                "networks": checkpoint.to_device(
                    {name: self.architecture.networks[name].state_dict() for name in kept}, "cpu"
                ),
                "ema": checkpoint.to_device(self.averages, "cpu"),
                "optimisers": checkpoint.to_device(
                    {name: o.state_dict() for name, o in self.optimisers.items()}, "cpu"
                ),
            },
        )

    def _resume(self) -> int:
        file = _file(self.directory, self.stage)
        if not file.exists():
            return 0
        state = checkpoint.load(file)
        if state["data_hash"] != self.data.hash:
            raise TrainingError(f"{file} was trained on other showers than {[str(p) for p in self.data.paths]}")
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.averages, self.seconds = checkpoint.to_device(state["ema"], self.device), float(state["seconds"])
        return int(state["step"])

    def _log(self, step: int, kind: str, metrics: Metrics) -> None:
        if self.log:
            self.log.line(self.stage.name, step, self.stage.steps, kind, self.seconds, metrics)
        if kind == "test" and (step < self.stage.steps or self.stage.name != self.config.stage[-1].name):
            self.watch.evaluated(self.architecture, self.stage.name, step)
