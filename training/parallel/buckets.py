"""Gradients in flat buffers, each of which sets off as soon as backward has filled it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Buckets:
    """Gradients of parameters in buckets, in the order in which backward makes them.

    Parameters
    ----------
    parameters : sequence of Parameter
        Of one type, on one device.
    size : int
        Bytes of a bucket at least, but for the last.
    send : callable
        Called with a flat buffer once all its gradients are in it, bucket by bucket in the same order on all ranks.
        Returns what `poll` takes.
    poll : callable
        Called with what is under way, each time a gradient is done: messages make no way by themselves.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        size: int,
        send: Callable[[Tensor], Any],
        poll: Callable[[list[Any]], None],
    ) -> None:
        self._parameters, self._send, self._poll = list(parameters), send, poll
        self._flat: list[Tensor] = []
        self._members: list[list[int]] = [[]]
        length = 0
        # backward goes from the last layer to the first
        for index in reversed(range(len(self._parameters))):
            if length * 4 >= size:
                self._members.append([])
                length = 0
            self._members[-1].append(index)
            length += self._parameters[index].numel()
        self._bucket_of = {index: k for k, members in enumerate(self._members) for index in members}
        self._views: dict[int, Tensor] = {}
        self._touched: dict[int, Tensor] = {}
        for members in self._members:
            first = self._parameters[members[0]]
            numbers = sum(self._parameters[i].numel() for i in members)
            # behind the gradients one number for each parameter: on how many ranks it has one
            flat = torch.zeros(numbers + len(members), dtype=first.dtype, device=first.device)
            start = 0
            for k, i in enumerate(members):
                p = self._parameters[i]
                self._views[i] = flat[start : start + p.numel()].view_as(p)
                self._touched[i] = flat[numbers + k]
                start += p.numel()
            self._flat.append(flat)
        self._share, self._active, self._sent = 1.0, False, 0
        self._missing: list[int] = []
        self._left: set[int] = set()
        self._under_way: list[Any] = []
        self._hooks = [
            p.register_post_accumulate_grad_hook(lambda _, i=i: self._filled(i))  # type: ignore[no-untyped-call]
            for i, p in enumerate(self._parameters)
        ]

    def backward(self, loss: Tensor, share: float) -> list[Any]:
        """Run backward and send every bucket; return what is still under way, in the order of the buckets.

        Gradients that are there already, of other terms of the loss, are part of it.
        """
        self._share, self._active, self._sent = share, True, 0
        self._missing = [len(members) for members in self._members]
        self._under_way = []
        self._left = set(range(len(self._parameters)))
        try:
            torch.autograd.backward(loss, inputs=self._parameters)
        finally:
            self._active = False
        # the loss does not depend on these here, but it may elsewhere
        for i in list(self._left):
            self._fill(i)
        return self._under_way

    def take(self) -> None:
        """Make the buffers the parameters' gradients; where the loss depends on one on no rank, it has none."""
        for i, p in enumerate(self._parameters):
            p.grad = self._views[i] if self._touched[i] > 0 else None

    def _filled(self, index: int) -> None:
        if self._active:
            self._fill(index)
            self._poll(self._under_way)

    def _fill(self, index: int) -> None:
        gradient = self._parameters[index].grad
        if gradient is None:
            self._views[index].zero_()
            self._touched[index].zero_()
        else:
            torch.mul(gradient, self._share, out=self._views[index])
            self._touched[index].fill_(1)
        self._count(index)

    def _count(self, index: int) -> None:
        self._left.discard(index)
        self._missing[self._bucket_of[index]] -= 1
        # never out of turn: collectives must begin in the same order everywhere
        while self._sent < len(self._flat) and self._missing[self._sent] == 0:
            self._under_way.append(self._send(self._flat[self._sent]))
            self._sent += 1
