# SPDX-License-Identifier: BSD-3-Clause
"""One rank of the benchmark of distributed training; trains a few steps at a time on request.

Started by parallel.py. Several trainings live at once, of which one at a time computes, so that all meet the same
machine.
"""

from __future__ import annotations

import os

# before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import logging
import time
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fastcalo.training.config import load_config
from fastcalo.training.distributed.synchronous.allreduce import AllReduce
from fastcalo.training.distributed.synchronous.torch_transport import join
from fastcalo.training.distributed.world import join_world
from fastcalo.training.exchange import Exchange, SingleProcess
from fastcalo.training.strategies import open_exchange
from fastcalo.training.trainer import run_stages

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

PATIENCE_S = 600.0


class Conducted:
    """Waits for its turn between steps, and reports how long they took.

    Parameters
    ----------
    conductor : Connection
        Sends numbers of steps; 0 ends the training.
    """

    def __init__(self, conductor: Connection) -> None:
        self._conductor, self._left = conductor, 0
        self._seconds: list[float] = []
        self._waited: list[float] = []
        self._last = (0.0, 0.0)

    def begin(self, exchange: Exchange) -> None:
        """Note whose waiting is meant."""
        self._exchange = exchange

    def lap(self, name: str) -> None:
        """Note the end of a step, and of a turn."""
        if name == "preparation":
            self._conductor.send("ready")
            self._turn()
        if name != "log":
            return
        now, waited = time.perf_counter(), self._exchange.waited
        self._seconds.append(now - self._last[0])
        self._waited.append(waited - self._last[1])
        self._last = now, waited
        self._left -= 1
        if not self._left:
            self._conductor.send((self._seconds, self._waited))
            self._turn()

    def _turn(self) -> None:
        try:
            self._left = self._conductor.recv()
        except EOFError:
            # the conductor is gone
            self._left = 0
        if not self._left:
            raise SystemExit
        self._seconds, self._waited = [], []
        self._last = time.perf_counter(), self._exchange.waited


class _Identity(nn.Module):
    """What DistributedDataParallel wraps: the parameters of one optimiser, and a loss that is there already."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.own = nn.ParameterList(parameters)

    def forward(self, loss: Tensor) -> Tensor:
        """The loss."""
        return loss


class _Unagreed(AllReduce):
    """Ranks that ask each other nothing beside the gradients, as trainings with DistributedDataParallel do."""

    def any(self, here: bool) -> bool:
        """Without a message."""
        return here

    def highest(self, number: float) -> float:
        """Without a message."""
        return number


class Distributed(_Unagreed):
    """Gradients averaged by torch's DistributedDataParallel with gloo, in the same loop.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    run : Path
    unused : bool
        Whether a loss may depend on a part of the parameters only.
    """

    def __init__(self, world: Any, run: Path, unused: bool) -> None:
        super().__init__(world, run)
        self._unused = unused
        join(world, torch.device("cpu"), "gloo", PATIENCE_S)
        self._models: dict[tuple[int, ...], DistributedDataParallel] = {}

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], share: float, *, last: bool = True) -> None:
        """Average gradients."""
        from torch.nn.parallel import DistributedDataParallel

        if not last:
            raise NotImplementedError("a batch in one part only")
        key = tuple(map(id, parameters))
        if key not in self._models:
            # networks are known to be the same; writing them again would spoil the graph of this loss
            self._models[key] = DistributedDataParallel(
                _Identity(parameters),
                gradient_as_bucket_view=True,
                find_unused_parameters=self._unused,
                init_sync=False,
            )
        # it divides by the number of ranks
        torch.autograd.backward(self._models[key](loss * (share * self.size)), inputs=list(parameters))


class InStep(_Unagreed):
    """Gradients of each rank's own, after which it waits for the others: what training in step costs by itself."""

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], share: float, *, last: bool = True) -> None:
        """Gradients of this rank."""
        torch.autograd.backward(loss, torch.full_like(loss, share), inputs=list(parameters))
        if last:
            self._wait([self._world.Ibarrier()], "the other ranks")


def main() -> None:
    """Train until a number of 0 steps comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--core", type=int, default=-1, help="the first rank's; others take those after it")
    parser.add_argument("--ddp", action="store_true", help="by torch's DistributedDataParallel")
    parser.add_argument("--in-step", action="store_true", help="send no gradients, but wait for the others")
    options = parser.parse_args()

    logging.disable()
    world = join_world()
    rank = 0 if world is None else int(world.rank)
    if options.core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core + rank})
    config = load_config(options.config)
    exchange: Exchange = SingleProcess()
    if world is not None:
        run, p = options.run, config.parallel
        if options.ddp:
            exchange = Distributed(world, run, config.arch == "3dgan")
        else:
            exchange = InStep(world, run) if options.in_step else open_exchange(p, world, run)
    with Client(("127.0.0.1", options.port), authkey=options.key.encode()) as conductor:
        conductor.send((options.name, rank))
        run_stages(config, options.run, where=str(options.config), exchange=exchange, trace=Conducted(conductor))


if __name__ == "__main__":
    main()
