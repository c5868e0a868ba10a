# SPDX-License-Identifier: BSD-3-Clause
"""Strategies of parallel training: the exchange between ranks, and the loop of a stage, that each asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from fastcalo.errors import ConfigError

from .config import AllReduceConfig, Parallel, ServerConfig, TrainConfig
from .distributed.asynchronous.exchange import ServerExchange
from .distributed.asynchronous.stage import AsynchronousStageTraining
from .distributed.synchronous.allreduce import AllReduce
from .exchange import Exchange
from .stages.stage import StageSetup, StageTraining


class StageRunner(Protocol):
    """The loop of one stage."""

    def run(self) -> None:
        """Train from the checkpoint, or from the start, to the last step."""


def open_exchange(config: Parallel, world: Any, run: Path) -> AllReduce:
    """The exchange that the strategy of a configuration asks for.

    Parameters
    ----------
    config : ParallelConfig
    world : mpi4py.MPI.Comm
    run : Path
        Folder of the training.
    """
    if isinstance(config, ServerConfig):
        return ServerExchange(world, run, config.patience_s, masters=config.masters)
    return AllReduce(world, run, config.bucket_kib, config.patience_s, config.compression, config.transport)


def check_ranks(config: TrainConfig, exchange: Exchange, where: str) -> None:
    """Check that there are enough processes for the strategy of a configuration, and not too many for its batches.

    Raises
    ------
    ConfigError
        The strategy needs more: a master and a worker, or sub-masters and a worker for each. Or a process would have
        fewer showers of a batch than it has updates to make, so that ranks would wait for each other for ever.
    """
    for stage in config.stage:
        updates = getattr(stage, "updates", 1)
        if updates > 1 and stage.batch // (exchange.size * stage.accumulate) < updates:
            raise ConfigError(
                f"{where}: stage {stage.name!r}: a batch of {stage.batch} is too small for updates = {updates} in "
                f"{exchange.size} process(es), accumulate = {stage.accumulate}; it needs at least "
                f"{updates * exchange.size * stage.accumulate} showers"
            )
    if isinstance(config.parallel, AllReduceConfig):
        return
    strategy, masters = config.parallel.strategy, config.parallel.masters
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


def make_stage(parallel: Parallel, setup: StageSetup) -> StageRunner:
    """The loop of a stage under the strategy of a configuration, ready to run."""
    if isinstance(parallel, AllReduceConfig):
        return StageTraining(setup)
    return AsynchronousStageTraining(setup, parallel)
