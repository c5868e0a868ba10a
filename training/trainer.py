# SPDX-License-Identifier: BSD-3-Clause
"""Training loop: stages one after the other, each resumable bit by bit.

A step depends on nothing but the configuration, the data, the step's number and the state in the checkpoint:
its random numbers are functions of (seed, stage, step, place in the batch), its batch of (seed, stage, epoch). So it is
the same, but for rounding, on any number of ranks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, TrainingError
from fastcalo.model.onnx_session import MOST_THREADS

from .architectures.base import Architecture
from .config import TrainConfig, run_folder
from .data.folds import Fold
from .data.memory import check_showers_fit
from .data.splits import open_splits
from .distributed.malloc import keep_freed_memory
from .exchange import Exchange, SingleProcess
from .random_numbers import combine_seeds, short_digest
from .registry import architecture_entry, load_object
from .run import checkpoint
from .run.callback import Callback
from .run.curves import draw_curves
from .run.device import choose_device
from .run.metrics_log import MetricsLog, Report
from .run.run_folder import forgotten_if_it_fails, open_run, read_config
from .run.signals import Signals
from .run.threads import set_threads
from .run.timeline import NoTimeline, Timeline
from .stages.stage import StageSetup
from .strategies import check_ranks, make_stage


def build_architecture(config: TrainConfig) -> Architecture:
    """Networks of a configuration, initialised from its seed."""
    torch.manual_seed(config.seed)
    architecture: Architecture = load_object(architecture_entry(config.arch).networks)(config)
    return architecture


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
    origin: Mapping[str, Any] | None = None,
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
    origin : mapping, optional
        Where the configuration is from, for ``config.json``: the file, and what the command line has changed.

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
    if config.threads > MOST_THREADS:
        raise ConfigError(f"{where}: threads must be at most {MOST_THREADS}, not {config.threads}")
    exchange = exchange or SingleProcess()
    check_ranks(config, exchange, where)
    detector = load_detector(config.detector)
    device = device or choose_device(config, exchange, where)
    exchange.same({"configuration": short_digest(json.dumps([config.as_dict(), resume, list(only)]).encode())})
    notes = None if exchange.rank else MetricsLog(run, report, tensorboard)
    # the others go on when the folder is there
    begins = exchange.any(not exchange.rank and open_run(config, run, resume or bool(only), only, origin))
    trace = trace or NoTimeline()
    trace.begin(exchange)
    keep_freed_memory()
    set_threads(config.threads, exchange)
    watch = watch or Callback()
    closed = closing(notes) if notes else nullcontext()
    with forgotten_if_it_fails(run, begins), Signals(watch.halt) as signals, closed:
        networks = build_architecture(config)
        if config.start:
            _start_from(networks, run_folder(config.start, where))
        networks.networks.to(device)
        for index, stage in enumerate(config.stage):
            done = checkpoint.restore(networks, run, stage)
            exchange.same({f"checkpoint of the stage {stage.name}": str(done)})
            if done == stage.steps or (only and stage.name not in only):
                continue
            seed = combine_seeds(config.seed, index)
            data, test = open_splits(config, detector, where, seed, fold)
            exchange.same({"set of showers": data.hash, "networks": checkpoint.fingerprint(networks.networks)})
            check_showers_fit(data, exchange)
            setup = StageSetup(
                stage=stage,
                last_stage=stage.name == config.stage[-1].name,
                architecture=networks,
                folder=run,
                seed=seed,
                data=data,
                test=test,
                exchange=exchange,
                signals=signals,
                metrics_log=notes,
                timeline=trace,
                device=device,
                callback=watch,
            )
            make_stage(config.parallel, setup).run()
            if curves and not exchange.rank:
                draw_curves(run)
        # the others sleep until the first has drawn; the end of MPI would keep their cores busy
        exchange.any(False)


def load_run(run: Path) -> tuple[TrainConfig, Architecture, dict[str, Any]]:
    """Configuration, networks and state of a run whose stages are all finished.

    Raises
    ------
    TrainingError
        No run there, or a stage is not finished.
    """
    config, version = read_config(run)
    networks = build_architecture(config)
    data_hash = ""
    for stage in config.stage:
        done = checkpoint.restore(networks, run, stage)
        if done < stage.steps:
            raise TrainingError(f"{run}: stage {stage.name!r} stands at step {done} of {stage.steps}; train --resume")
        with checkpoint.fitting(file := checkpoint.path_of(run, stage)):
            data_hash = str(checkpoint.load(file)["data_hash"])
    return config, networks, {"fastcalo": version, "data_hash": data_hash}


def _start_from(networks: Architecture, run: Path) -> None:
    """Give networks the weights of another run, all stages of which are finished.

    Raises
    ------
    TrainingError
        No run there, a stage is not finished, or its networks have other shapes.
    """
    config, _ = read_config(run)
    for stage in config.stage:
        done = checkpoint.restore(networks, run, stage)
        if done < stage.steps:
            raise TrainingError(f"{run}: stage {stage.name!r} stands at step {done} of {stage.steps}; train --resume")
