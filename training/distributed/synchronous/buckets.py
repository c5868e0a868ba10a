# SPDX-License-Identifier: BSD-3-Clause
"""Gradient buckets: flat buffers whose allreduce starts as soon as backward has filled them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .mpi_transport import keep_until_done


class Bucket:
    """Memory for the gradients of some parameters.

    Parameters
    ----------
    parameters : sequence of Parameter
        Of one type, on one device.

    Attributes
    ----------
    flat : Tensor [numbers + len(parameters)]
        Their gradients, then one number for each: on how many ranks it has one.
    numbers : int
        Of the gradients.
    present : list of bool
        Whether each has a gradient on this rank.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        sizes = [p.numel() for p in self.parameters]
        self.numbers = sum(sizes)
        first = self.parameters[0]
        self.flat = torch.zeros(self.numbers + len(sizes), dtype=first.dtype, device=first.device)
        ends = torch.tensor(sizes).cumsum(0).tolist()
        self._slices = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        self._views = [self.flat[s].view_as(p) for s, p in zip(self._slices, self.parameters, strict=True)]
        self.present = [False] * len(sizes)
        self._flags: dict[tuple[bool, ...], Tensor] = {}

    def open(self) -> None:
        """Let backward add gradients up in the buffer. Those that are there already are taken in."""
        self.present = [p.grad is not None for p in self.parameters]
        for p, view in zip(self.parameters, self._views, strict=True):
            if p.grad is None:
                view.zero_()
            else:
                view.copy_(p.grad)
            p.grad = view

    def close(self) -> None:
        """Note which gradients are there; none comes after this."""
        self.flat[self.numbers :] = self._flag()

    def _flag(self) -> Tensor:
        key = tuple(self.present)
        if key not in self._flags:
            self._flags[key] = torch.tensor(key, dtype=self.flat.dtype, device=self.flat.device)
        return self._flags[key]

    def absent(self) -> list[slice]:
        """Where in `flat` there is no gradient on this rank."""
        return [s for s, here in zip(self._slices, self.present, strict=True) if not here]

    def take(self) -> None:
        """Leave the parameters the sums as their gradients; one that has a gradient on no rank has none."""
        for p, count in zip(self.parameters, self.flat[self.numbers :].tolist(), strict=True):
            if not count > 0:
                p.grad = None


class Buckets:
    """Gradients of parameters in buckets, in the order in which backward makes them.

    Parameters
    ----------
    parameters : sequence of Parameter
        Of one type, on one device.
    size : int
        Bytes of a bucket at least, but for the last.
    send : callable
        Called with a bucket once all its gradients are in it, bucket by bucket in the same order on all ranks.
        Returns what `poll` takes.
    poll : callable
        Called with what is under way, each time a gradient is done: messages make no way by themselves.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        size: int,
        send: Callable[[Bucket], Any],
        poll: Callable[[list[Any]], object],
    ) -> None:
        self._parameters, self._send, self._poll = list(parameters), send, poll
        members: list[list[int]] = [[]]
        length = 0
        # backward goes from the last layer to the first
        for index in reversed(range(len(self._parameters))):
            if length * 4 >= size:
                members.append([])
                length = 0
            members[-1].append(index)
            length += self._parameters[index].numel()
        self._buckets = [Bucket([self._parameters[i] for i in each]) for each in members]
        self._missing, self._active, self._sent = [0] * len(members), False, 0
        self._under_way: list[Any] = []
        places = [(self._parameters[i], k, place) for k, each in enumerate(members) for place, i in enumerate(each)]
        self._hooks = [
            p.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                lambda _, k=k, place=place: self._filled(k, place)
            )
            for p, k, place in places
        ]

    def backward(self, loss: Tensor, share: float) -> list[Any]:
        """Run backward from a share of the loss and send every bucket.

        Gradients that are there already, of other terms of the loss, are part of it.

        Returns
        -------
        list
            What is still under way, in the order of the buckets.
        """
        self._active, self._sent = True, 0
        self._missing = [len(bucket.parameters) for bucket in self._buckets]
        self._under_way = []
        for bucket in self._buckets:
            bucket.open()
        try:
            torch.autograd.backward(loss, torch.full_like(loss, share), inputs=self._parameters)
        except BaseException:
            keep_until_done(self._under_way)
            raise
        finally:
            self._active = False
        # the loss does not depend on these here, but it may elsewhere
        self._missing = [0] * len(self._buckets)
        self._send_filled()
        return self._under_way

    def take(self) -> None:
        """Make the buffers the parameters' gradients; where the loss depends on one on no rank, it has none."""
        for bucket in self._buckets:
            bucket.take()

    def _filled(self, k: int, place: int) -> None:
        if not self._active:
            return
        self._buckets[k].present[place] = True
        self._missing[k] -= 1
        if not self._missing[k]:
            self._send_filled()
        self._poll(self._under_way)

    def _send_filled(self) -> None:
        # never out of turn: messages must begin in the same order everywhere
        while self._sent < len(self._buckets) and not self._missing[self._sent]:
            bucket = self._buckets[self._sent]
            bucket.close()
            self._under_way.append(self._send(bucket))
            self._sent += 1
