"""How fast one training is on several numbers of ranks: strong and weak scaling, measured on real steps."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import ConfigError

from ..config import TrainConfig
from ..curves import read_metrics
from ..exchange import Exchange, SingleProcess
from ..loop import train
from ..signals import Stopped
from .allreduce import AllReduce
from .measure import time_sums, wait_for
from .samples import SIZES, Sample, Target, describe
from .world import open_exchange

_WEEK_S = 7 * 24 * 3600.0

Report = Callable[[str], None]


class Stopwatch:
    """Time and waiting of every step; evaluations and checkpoints do not count."""

    def begin(self, exchange: Exchange) -> None:
        """Begin anew."""
        self._exchange = exchange
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self._start = time.perf_counter(), exchange.waited

    def lap(self, name: str) -> None:
        """Note the end of a step."""
        if name not in ("log", "preparation", "evaluation", "checkpoint"):
            return
        now, waited = time.perf_counter(), self._exchange.waited
        if name == "log":
            self.seconds.append(now - self._start[0])
            self.waited.append(waited - self._start[1])
        self._start = now, waited


def measure_scaling(
    config: TrainConfig,
    where: str,
    world: Any,
    folder: Path,
    ranks: Sequence[int],
    *,
    steps: int = 100,
    repeats: int = 3,
    target: Target | None = None,
    report: Report | None = None,
) -> dict[str, Any] | None:
    """Train the first stage on each number of ranks, several times in turn.

    Parameters
    ----------
    config : TrainConfig
    where : str
        Its file, for messages.
    world : mpi4py.MPI.Comm
    folder : Path
        Seen by all ranks. What trainings leave there is removed.
    ranks : sequence of int
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
        Numbers of ranks that cannot be had, or a strategy other than ``allreduce``.
    """
    numbers = check_ranks(config, where, ranks, int(world.size))
    plans = [("strong", p) for p in numbers] + [("weak", p) for p in numbers if p > 1]
    samples: dict[tuple[str, int], list[Sample]] = {plan: [] for plan in plans}
    worlds = {p: world.Split(0 if world.rank < p else 1, world.rank) for p in numbers}
    nodes = len(set(world.allgather(os.uname().nodename)))
    sums: dict[int, NDArray[np.float64]] = {}
    runs = Path(world.bcast(None if world.rank else tempfile.mkdtemp(prefix=".runs-", dir=folder)))
    # in turn, so that a machine that grows slower does not look like one that scales badly
    for repeat in range(repeats):
        for kind, p in plans:
            if report and not world.rank:
                report(f"{kind} scaling, {p} ranks, {repeat + 1} of {repeats}")
            if world.rank < p:
                samples[kind, p].append(_one(config, where, worlds[p], kind, runs / f"{kind}-{p}", steps, target))
            # the others take no time from those that train
            wait_for(world.Ibarrier(), _WEEK_S, "other ranks", pause=0.01)
    for p in numbers:
        if p > 1 and world.rank < p:
            sums[p] = time_sums(worlds[p], SIZES)
        wait_for(world.Ibarrier(), _WEEK_S, "other ranks", pause=0.01)
    if world.rank:
        return None
    shutil.rmtree(runs)
    return describe(config, where, samples, sums, steps, target, nodes)


def check_ranks(config: TrainConfig, where: str, ranks: Sequence[int], size: int) -> list[int]:
    """Numbers of ranks, ascending.

    Raises
    ------
    ConfigError
    """
    numbers = sorted(set(ranks))
    if not numbers or numbers[0] < 1 or numbers[-1] > size:
        raise ConfigError(f"--ranks {list(ranks)}: must be between 1 and {size}, the number of processes")
    if config.parallel.strategy != "allreduce":
        raise ConfigError(f"{where}: parallel.strategy = {config.parallel.strategy!r}: only 'allreduce' is measured")
    if config.stage[0].batch < numbers[-1]:
        raise ConfigError(
            f"{where}: stage {config.stage[0].name!r}: batch = {config.stage[0].batch} is less than {numbers[-1]} ranks"
        )
    return numbers


def _one(
    config: TrainConfig, where: str, world: Any, kind: str, run: Path, steps: int, target: Target | None
) -> Sample:
    """Train once, on all ranks of a world."""
    stage = config.stage[0]
    batch = stage.batch * (world.size if kind == "weak" else 1)
    every = max(1, steps // 10) if target else steps
    stage = replace(stage, steps=steps, batch=batch, evaluate_every=every, checkpoint_every=steps)
    exchange: Exchange = SingleProcess()
    if world.size > 1:
        exchange = open_exchange(config.parallel, world, run)
    watch = Stopwatch()
    try:
        train(replace(config, stage=(stage,)), run, where=where, exchange=exchange, trace=watch)
    except Stopped as stop:
        # those that wait know nothing of it
        raise SystemExit(stop.code) from stop
    sample = _sample(watch, exchange, world, batch, every)
    if not world.rank:
        if target:
            sample = replace(sample, target=_time_to(target, run, watch))
        shutil.rmtree(run)
    return sample


def _sample(watch: Stopwatch, exchange: Exchange, world: Any, batch: int, every: int) -> Sample:
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
    return Sample(
        batch=batch,
        rate=batch * steps / float(everyone[0, 0]),
        share=float(shares.mean()),
        share_max=float(shares.max()),
        computing=float((everyone[:, 0] - everyone[:, 1]).mean()) / steps,
        messages=messages,
        size=size,
        target=None,
    )


def _time_to(target: Target, run: Path, watch: Stopwatch) -> float | None:
    lines = sorted(read_metrics(run), key=lambda line: line["step"])
    known = {name for line in lines for name in line if name not in ("stage", "kind", "step")}
    if target.name not in known:
        raise ConfigError(f"--target {target.name}: is no number of this stage; there are {', '.join(sorted(known))}")
    step = next((line["step"] for line in lines if target.reached(line)), None)
    return None if step is None else float(sum(watch.seconds[:step]))
