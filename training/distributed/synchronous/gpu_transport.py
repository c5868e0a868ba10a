# SPDX-License-Identifier: BSD-3-Clause
"""MPI transport of buffers in GPU memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .mpi_transport import MpiTransport, Request, RequestSequences


class StreamEvent:
    """A place in the work of a stream; reached is what `Test` returns."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record(stream)

    def Test(self) -> bool:
        """Whether the GPU is there."""
        return bool(self._event.query())  # type: ignore[no-untyped-call]


class _GpuTransport(MpiTransport):
    """Each message begins when the GPU has written what it is to carry."""

    def __init__(self, world: Any, several: bool = False) -> None:
        super().__init__(world, several)
        # of a communicator each
        self._sums, self._gathers = RequestSequences(), RequestSequences()

    def sum(self, flat: Tensor) -> Request:
        """Sum, once the GPU is ready."""
        return self._sums.begin(self._carried(super().sum, flat))

    def scatter(self, out: Tensor, got: Tensor) -> Request:
        """Scatter, once the GPU is ready."""
        return self._sums.begin(self._carried(super().scatter, out, got))

    def gather(self, row: Tensor, got: Tensor) -> Request:
        """Gather, once the GPU is ready."""
        return self._gathers.begin(self._carried(super().gather, row, got))

    def _carried(self, send: Callable[..., Request], *buffers: Tensor) -> Iterator[Request]:
        raise NotImplementedError


class GpuAwareTransport(_GpuTransport):
    """Messages of an MPI that reads and writes the GPU's memory.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    several : bool
        As of `MpiTransport`.
    """

    def _carried(self, send: Callable[..., Request], *buffers: Tensor) -> Iterator[Request]:
        # MPI knows nothing of streams
        yield StreamEvent(torch.cuda.current_stream(buffers[0].device))
        yield send(*buffers)


class StagedTransport(_GpuTransport):
    """Messages copied to pinned memory of the CPU, and back, while the GPU computes.

    Parameters
    ----------
    world : mpi4py.MPI.Comm
    device : torch.device
    several : bool
        As of `MpiTransport`.
    """

    def __init__(self, world: Any, device: torch.device, several: bool = False) -> None:
        super().__init__(world, several)
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pinned: dict[int, Tensor] = {}

    def _carried(self, send: Callable[..., Request], *buffers: Tensor) -> Iterator[Request]:
        """The first buffer is read, the last one is written; they may be the same."""
        here = [self._pinned_copy(buffer) for buffer in buffers]
        self._copies.wait_stream(torch.cuda.current_stream(buffers[0].device))
        yield self._copied(buffers[0], here[0])
        yield send(*here)
        yield self._copied(here[-1], buffers[-1])

    def _copied(self, source: Tensor, target: Tensor) -> StreamEvent:
        with torch.cuda.stream(self._copies):
            target.copy_(source, non_blocking=True)
        return StreamEvent(self._copies)

    def _pinned_copy(self, buffer: Tensor) -> Tensor:
        """Memory of the CPU that stays a buffer's own."""
        key = buffer.data_ptr()
        if key not in self._pinned:
            self._pinned[key] = torch.empty(buffer.shape, dtype=buffer.dtype, pin_memory=True)
        return self._pinned[key]
