# SPDX-License-Identifier: BSD-3-Clause
"""Scaling measurement: real training steps on several numbers of ranks and strategies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import ConfigError

from ..config import ServerConfig, TrainConfig
from ..distributed.allreduce_timing import time_allreduce, wait_for
from ..distributed.asynchronous.exchange import ServerExchange
from ..distributed.synchronous.allreduce import AllReduce
from ..exchange import Exchange, SingleProcess
from ..run.curves import read_metrics
from ..run.signals import Stopped
from ..strategies import open_exchange
from ..trainer import run_stages
from .runs import SIZES, ScalingRun, Target, scaling_report
from .step_times import StepTimes

_WEEK_S = 7 * 24 * 3600.0

Report = Callable[[str], None]


Plan = tuple[str, str, int]
"""Strategy, kind of scaling, number of ranks."""


def measure_scaling(
    config: TrainConfig,
    where: str,
    world: Any,
    folder: Path,
    ranks: Sequence[int],
    strategies: Sequence[str] = (),
    *,
    steps: int = 100,
    repeats: int = 3,
    target: Target | None = None,
    report: Report | None = None,
) -> dict[str, Any] | None:
    """Train the first stage on each number of ranks under each strategy, several times in turn.

    Parameters
    ----------
    config : TrainConfig
    where : str
        Its file, for messages.
    world : mpi4py.MPI.Comm
    folder : Path
        Seen by all ranks. What trainings leave there is removed.
    ranks : sequence of int
    strategies : sequence of str
        The configuration's own if empty.
    steps : int
        Of each training. The first fifth is not counted.
    repeats : int
    target : Target, optional
    report : callable, optional
        Called with what is being done.

    Returns
    -------
    dict or None
        What ``scaling.json`` holds; None on all ranks but the first.

    Raises
    ------
    ConfigError
        Numbers of ranks that cannot be had, or are too few for a strategy.
    """
    plans = make_plans(config, where, ranks, strategies, int(world.size))
    numbers = sorted({p for _, _, p in plans})
    samples: dict[Plan, list[ScalingRun]] = {plan: [] for plan in plans}
    worlds = {p: world.Split(0 if world.rank < p else 1, world.rank) for p in numbers}
    nodes = len(set(world.allgather(os.uname().nodename)))
    sums: dict[int, NDArray[np.float64]] = {}
    runs = Path(world.bcast(None if world.rank else tempfile.mkdtemp(prefix=".runs-", dir=folder)))
    # in turn, so that a machine that grows slower does not look like one that scales badly
    for repeat in range(repeats):
        for plan in plans:
            strategy, kind, p = plan
            if report and not world.rank:
                report(f"{strategy}, {kind}, {p} ranks, {repeat + 1} of {repeats}")
            if world.rank < p:
                run = runs / f"{strategy}-{kind}-{p}"
                own = with_strategy(config, strategy, where)
                samples[plan].append(_one(own, where, worlds[p], kind, run, steps, target))
            # the others take no time from those that train
            wait_for(world.Ibarrier(), _WEEK_S, "other ranks", pause=0.01)
    for p in sorted({p for strategy, _, p in plans if strategy == "allreduce" and p > 1}):
        if world.rank < p:
            sums[p] = time_allreduce(worlds[p], SIZES)
        wait_for(world.Ibarrier(), _WEEK_S, "other ranks", pause=0.01)
    if world.rank:
        return None
    shutil.rmtree(runs)
    return scaling_report(config, where, samples, sums, steps, target, nodes)


def with_strategy(config: TrainConfig, strategy: str, where: str) -> TrainConfig:
    """A configuration, under another strategy; keys of its own strategy are left out.

    Raises
    ------
    ConfigError
        There is no such strategy, or the stages cannot be trained under it.
    """
    return config.updated(where, parallel=config.parallel.with_strategy(strategy, where))


def make_plans(
    config: TrainConfig, where: str, ranks: Sequence[int], strategies: Sequence[str], size: int
) -> list[Plan]:
    """What to train: strong and weak scaling, or asynchronous, and one process whatever the strategy.

    Numbers of ranks that are too few for a strategy are left out.

    Raises
    ------
    ConfigError
    """
    numbers = sorted(set(ranks))
    if not numbers or numbers[0] < 1 or numbers[-1] > size:
        raise ConfigError(f"--ranks {list(ranks)}: must be between 1 and {size}, the number of processes")
    plans: list[Plan] = [("allreduce", "strong", 1)] if numbers[0] == 1 else []
    masters = config.parallel.masters if isinstance(config.parallel, ServerConfig) else 1
    for strategy in dict.fromkeys(strategies or [config.parallel.strategy]):
        with_strategy(config, strategy, where)
        in_step = strategy == "allreduce"
        least = 2 if in_step or masters == 1 else 1 + 2 * masters
        own = [p for p in numbers if p >= least]
        if not own and not (in_step and plans):
            raise ConfigError(f"--ranks {list(ranks)}: {strategy} needs {least} at least, with masters = {masters}")
        for kind in ("strong", "weak") if in_step else ("asynchronous",):
            plans += [(strategy, kind, p) for p in own]
    if config.stage[0].batch < max((p for _, kind, p in plans if kind == "strong"), default=1):
        raise ConfigError(
            f"{where}: stage {config.stage[0].name!r}: batch = {config.stage[0].batch} is less than {numbers[-1]} ranks"
        )
    return plans


def _one(
    config: TrainConfig, where: str, world: Any, kind: str, run: Path, steps: int, target: Target | None
) -> ScalingRun:
    """Train once, on all ranks of a world."""
    stage = config.stage[0]
    batch = stage.batch * (world.size if kind == "weak" else 1)
    every = max(1, steps // 10) if target else steps
    stage = stage.updated(where, steps=steps, batch=batch, evaluate_every=every, checkpoint_every=steps)
    exchange: Exchange = SingleProcess()
    if world.size > 1:
        exchange = open_exchange(config.parallel, world, run)
    watch = StepTimes()
    try:
        run_stages(config.updated(where, stage=(stage,)), run, where=where, exchange=exchange, trace=watch)
    except Stopped as stop:
        # those that wait know nothing of it
        raise SystemExit(stop.code) from stop
    if isinstance(exchange, ServerExchange):
        sample = _asynchronous(watch, exchange, world, batch, steps)
    else:
        sample = _in_step(watch, exchange, world, batch, every)
    if not world.rank:
        if target:
            seconds, closest = time_to(target, run, watch)
            sample = replace(sample, target=seconds, closest=closest)
        shutil.rmtree(run)
    return sample


def _in_step(watch: StepTimes, exchange: Exchange, world: Any, batch: int, every: int) -> ScalingRun:
    seconds, waited = np.array(watch.seconds), np.array(watch.waited)
    number = np.arange(len(seconds))
    # after an evaluation all wait for the first rank
    counted = (number >= len(seconds) // 5) & ((number % every != 0) | (number == 0) | (every == 1))
    total, idle = float(seconds[counted].sum()), float(waited[counted].sum())
    everyone = np.array(world.allgather((total, idle)))
    shares = everyone[:, 1] / everyone[:, 0]
    steps = int(counted.sum())
    messages = size = 0.0
    if isinstance(exchange, AllReduce):
        # of sums that send as much
        summed = exchange.sent_bytes * world.size / (2 * (world.size - 1))
        # and one that asks whether to stop
        messages, size = exchange.messages / len(seconds) + 1, summed / len(seconds) + 4
    return ScalingRun(
        batch=batch,
        rate=batch * steps / float(everyone[0, 0]),
        share=float(shares.mean()),
        share_max=float(shares.max()),
        computing=float((everyone[:, 0] - everyone[:, 1]).mean()) / steps,
        messages=messages,
        size=size,
    )


def _asynchronous(watch: StepTimes, exchange: ServerExchange, world: Any, batch: int, steps: int) -> ScalingRun:
    """Rate as the first rank sees it; waiting is that of workers, for masters have nothing else to do."""
    counted = slice(len(watch.seconds) // 5, None)
    seconds, waited = sum(watch.seconds[counted]), sum(watch.waited[counted])
    everyone = np.array(world.allgather((seconds, waited)))
    working = everyone[1 + exchange.tree.between :]
    # a worker may have come too late to make a step
    shares = working[working[:, 0] > 0]
    shares = shares[:, 1] / shares[:, 0]
    # messages report as many steps, but for the last ones
    part = len(watch.seconds[counted]) / max(1, len(watch.seconds))
    return ScalingRun(
        batch=batch,
        rate=batch * steps * part / float(everyone[0, 0]),
        share=float(shares.mean()),
        share_max=float(shares.max()),
    )


def time_to(target: Target, run: Path, watch: StepTimes) -> tuple[float | None, float]:
    """Seconds from the start of a training to the evaluation that was good enough, and how near the best one came.

    Raises
    ------
    ConfigError
        It is no number of the evaluations.
    """
    lines = sorted((line for line in read_metrics(run) if line["kind"] == "test"), key=lambda line: line["step"])
    known = {name for line in lines for name in line if name not in ("stage", "kind", "step", "seconds")}
    if target.name not in known:
        raise ConfigError(
            f"--target {target.name}: is no physics number of this stage's evaluations; there are "
            f"{', '.join(sorted(known))}"
        )
    distances = [target.distance(line) for line in lines]
    at = next((k for k, distance in enumerate(distances) if distance <= target.value), None)
    return None if at is None else watch.evaluations[at], min(distances)
