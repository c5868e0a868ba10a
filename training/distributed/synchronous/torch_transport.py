# SPDX-License-Identifier: BSD-3-Clause
"""Transport of gradients by torch.distributed, among processes started by MPI."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from .gpu_transport import StreamEvent
from .mpi_transport import Request


class _Work:
    """One message."""

    def __init__(self, work: Any) -> None:
        self._work = work

    def Test(self) -> bool:
        """Whether it is there."""
        if not self._work.is_completed():
            return False
        self.wait()
        return True

    def wait(self) -> None:
        """Have the current stream wait for it; where there are no streams, this process."""
        self._work.wait()


class _Done:
    def Test(self) -> bool:
        """It is there."""
        return True


class TorchTransport:
    """Messages of a backend of torch.distributed: NCCL between GPUs; gloo, between CPUs, is for tests.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
        By it the ranks exchange the address where they meet.
    device : torch.device
        Of the buffers.
    backend : str
    patience : float
        Seconds after which the backend gives up.
    """

    def __init__(self, world: Any, device: torch.device, backend: str, patience: float) -> None:
        self._group = join(world, device, backend, patience)
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.rank, self.size = int(world.rank), int(world.size)
        self.sent_bytes = 0

    def sum(self, flat: Tensor) -> Request:
        """All-reduce."""
        self._count(2 * flat.numel() * flat.element_size())
        return _Work(dist.all_reduce(flat, group=self._group, async_op=True))

    def scatter(self, out: Tensor, got: Tensor) -> Request:
        """All-to-all."""
        self._count(out.numel())
        return _Work(dist.all_to_all_single(got, out, group=self._group, async_op=True))

    def gather(self, row: Tensor, got: Tensor) -> Request:
        """All-gather."""
        self._count(got.numel())
        return _Work(dist.all_gather(list(got), row, group=self._group, async_op=True))

    def run(self, steps: Iterator[Request]) -> Request:
        """All steps at once, into a stream of their own; where there are no streams, this process waits.

        So none has to be polled, and messages leave in the same order on all ranks.
        """
        if self._beside is None:
            self._through(steps)
            return _Done()
        self._beside.wait_stream(torch.cuda.current_stream(self._beside.device))
        with torch.cuda.stream(self._beside):
            self._through(steps)
        return StreamEvent(self._beside)

    def _through(self, steps: Iterator[Request]) -> None:
        for message in steps:
            cast(_Work, message).wait()

    def _count(self, size: int) -> None:
        self.sent_bytes += size * (self.size - 1) // self.size


def join(world: Any, device: torch.device, backend: str, patience: float) -> Any:
    """Group of torch.distributed with MPI's ranks.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    device : torch.device
    backend : str
    patience : float
        Seconds.
    """
    limit = timedelta(seconds=patience)
    nodes = set(world.allgather(os.uname().nodename))
    # names of nodes are known to each other, but of a lone machine not always to itself
    host = "127.0.0.1" if len(nodes) == 1 else os.uname().nodename
    store = None
    if not world.rank:
        store = TCPStore(host, 0, world.size, True, limit, wait_for_workers=False)
    host, port = world.bcast((host, store.port) if store else None)
    store = store or TCPStore(host, port, world.size, False, limit)
    if dist.is_initialized():
        dist.destroy_process_group()
    else:
        atexit.register(_leave)
    gpu = device if device.type == "cuda" else None
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size, timeout=limit, device_id=gpu)
    return dist.group.WORLD


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
