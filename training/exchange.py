# SPDX-License-Identifier: BSD-3-Clause
"""Gradient exchange between ranks: interface, and the exchange of a single process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Exchange(Protocol):
    """Turns the losses of ranks into gradients that all of them share.

    Attributes
    ----------
    rank, size : int
    waited : float
        Seconds in which nothing was computed because messages were under way.
    computes : bool
        Whether this rank computes losses and gradients; the masters of an asynchronous training do not.
    """

    rank: int
    size: int
    waited: float

    @property
    def computes(self) -> bool:
        """Whether this rank computes losses and gradients."""

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter], share: float, *, last: bool = True) -> None:
        """Leave in each parameter's ``grad`` the gradient of the global batch's loss.

        Parameters
        ----------
        loss : Tensor
            Mean over this rank's showers, or one of several terms of it.
        parameters : sequence of Parameter
            The same, in the same order, on all ranks. At the first term they must have no ``grad``.
        share : float
            This rank's part of the global batch's showers.
        last : bool
            Whether no other terms come. Ranks talk to each other with the last one only, so that they may have
            different numbers of them.
        """

    def mean(self, numbers: Mapping[str, float], share: float) -> dict[str, float]:
        """Numbers of the same names on all ranks, averaged by their shares."""

    def highest(self, number: float) -> float:
        """The largest of a number of all ranks."""

    def any(self, here: bool) -> bool:
        """Whether something is so on any rank; all ranks must ask at the same point."""

    def on_node(self, fact: str) -> tuple[int, list[str]]:
        """Place among the ranks of this node, and what each of them reports; all ranks must ask at the same point.

        The processes of other exchanges on the node do not count.
        """

    def same(self, facts: Mapping[str, str]) -> None:
        """Make sure that facts of the same names are the same on all ranks.

        Raises
        ------
        TrainingError
            Names the fact, and the ranks that differ from the first.
        """


class SingleProcess:
    """The exchange of a training without partners."""

    rank = 0
    size = 1
    waited = 0.0
    computes = True

    def backward(
        self,
        loss: Tensor,
        parameters: Sequence[nn.Parameter],
        share: float,  # noqa: ARG002
        *,
        last: bool = True,  # noqa: ARG002
    ) -> None:
        """Gradients of `loss` with respect to `parameters`, and to nothing else, added to what is there."""
        torch.autograd.backward(loss, inputs=list(parameters))

    def mean(self, numbers: Mapping[str, float], share: float) -> dict[str, float]:  # noqa: ARG002
        """The numbers themselves."""
        return dict(numbers)

    def highest(self, number: float) -> float:
        """The number itself."""
        return number

    def any(self, here: bool) -> bool:
        """Whether it is so here."""
        return here

    def on_node(self, fact: str) -> tuple[int, list[str]]:
        """Alone."""
        return 0, [fact]

    def same(self, facts: Mapping[str, str]) -> None:
        """A process is like itself."""
