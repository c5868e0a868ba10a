# SPDX-License-Identifier: BSD-3-Clause
"""Non-blocking MPI transport of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from torch import Tensor


class Request(Protocol):
    """A message under way; requests of MPI are such."""

    def Test(self) -> bool:
        """Progress the request, and return whether it is complete."""


_LEFT: list[Request] = []


def keep_until_done(messages: Iterable[Request]) -> None:
    """Wait for messages no more, but keep them and their memory as long as this process lives.

    MPI may yet write what another rank has sent; where Python had freed that memory, into something else.
    """
    _LEFT.extend(messages)


class Transport(Protocol):
    """How buffers travel. All ranks must call the same in the same order.

    Attributes
    ----------
    rank, size : int
    sent_bytes : int
        Bytes that this rank has sent so far, by the algorithms that send least: p ranks sum n bytes by sending
        2(p - 1)/p n each (Patarasuk & Yuan, J. Parallel Distrib. Comput. 69 (2009) 117, eq. 1).
    """

    rank: int
    size: int
    sent_bytes: int

    def sum(self, flat: Tensor) -> Request:
        """Sum over all ranks, in place, float32 [N]."""

    def scatter(self, out: Tensor, got: Tensor) -> Request:
        """Row k goes to rank k; row k of `got` is from rank k. uint8 [size, N] both."""

    def gather(self, row: Tensor, got: Tensor) -> Request:
        """Every rank's row, uint8 [N], in the order of ranks, uint8 [size, N]."""

    def run(self, steps: Iterator[Request]) -> Request:
        """Take steps, each when the message that the one before returned is there."""


class RequestSequences:
    """Sequences of steps, of which none overtakes one that began before.

    Messages must leave in the same order on all ranks, whenever they arrive.
    """

    def __init__(self) -> None:
        self._last: _Turn | None = None

    def begin(self, steps: Iterator[Request]) -> Request:
        """Take the first step, and the others when they are polled."""
        self._last = _Turn(steps, self._last)
        return self._last


class _Turn:
    def __init__(self, steps: Iterator[Request], before: _Turn | None) -> None:
        self._steps, self._before = steps, before
        self._message: Request | None = None
        self.taken, self.over = 0, False
        self.Test()

    def Test(self) -> bool:
        """Take as many steps as can be taken."""
        while not self.over and self._may() and (self._message is None or self._message.Test()):
            self._message = next(self._steps, None)
            self.taken += 1
            self.over = self._message is None
        if self.over:
            # or each would keep all that were before it
            self._before = None
        return self.over

    def _may(self) -> bool:
        before = self._before
        return before is None or before.over or before.taken > self.taken


class MpiTransport:
    """Messages of MPI, to and from memory that MPI can read.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    several : bool
        Whether `gather` is used besides the others: it needs a communicator of its own, for messages of one must leave
        in the same order everywhere.
    """

    def __init__(self, world: Any, several: bool = False) -> None:
        from mpi4py import MPI

        self._mpi, self._world = MPI, world
        self._second = world.Dup() if several else world
        self._turns = RequestSequences()
        self.rank, self.size = int(world.rank), int(world.size)
        self.sent_bytes = 0

    def sum(self, flat: Tensor) -> Request:
        """Iallreduce."""
        self._count(2 * flat.numel() * flat.element_size())
        request: Request = self._world.Iallreduce(self._mpi.IN_PLACE, _buffer(flat))
        return request

    def scatter(self, out: Tensor, got: Tensor) -> Request:
        """Ialltoall."""
        self._count(out.numel())
        request: Request = self._world.Ialltoall(_buffer(out), _buffer(got))
        return request

    def gather(self, row: Tensor, got: Tensor) -> Request:
        """Iallgather."""
        self._count(got.numel())
        request: Request = self._second.Iallgather(_buffer(row), _buffer(got))
        return request

    def run(self, steps: Iterator[Request]) -> Request:
        """Steps in turn."""
        return self._turns.begin(steps)

    def _count(self, size: int) -> None:
        self.sent_bytes += size * (self.size - 1) // self.size


def _buffer(tensor: Tensor) -> Any:
    # of a GPU's memory mpi4py takes the address from the tensor itself
    return tensor if tensor.is_cuda else tensor.numpy()
