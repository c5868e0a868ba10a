"""How ranks agree on gradients. One process agrees with itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Exchange(Protocol):
    """Turns a loss into gradients that all ranks share."""

    rank: int
    size: int

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Leave in each parameter's ``grad`` the gradient of the loss, averaged over ranks."""


class SingleProcess:
    """The exchange of a training without partners."""

    rank = 0
    size = 1

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Gradients of `loss` with respect to `parameters`, and to nothing else."""
        torch.autograd.backward(loss, inputs=list(parameters))
