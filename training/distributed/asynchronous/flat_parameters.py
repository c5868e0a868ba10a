# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of several optimisers as one flat vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class FlatParameters:
    """Parameters that are views of one vector: who changes one changes the other.

    Parameters
    ----------
    parameters : mapping of str to sequence of Parameter
        Of each optimiser, float32, on one device. No parameter twice.

    Attributes
    ----------
    values_N : float32 [N]
    parts : dict of str to slice
        Where the parameters of each optimiser are.
    """

    def __init__(self, parameters: Mapping[str, Sequence[nn.Parameter]]) -> None:
        self._parameters = {name: list(ps) for name, ps in parameters.items()}
        everything = [p for ps in self._parameters.values() for p in ps]
        self.values_N = torch.cat([p.detach().reshape(-1) for p in everything])
        self.parts: dict[str, slice] = {}
        start = 0
        for name, ps in self._parameters.items():
            first = start
            for p in ps:
                p.data = self.values_N[start : start + p.numel()].view_as(p)
                start += p.numel()
            self.parts[name] = slice(first, start)

    def part(self, name: str) -> Tensor:
        """Parameters of one optimiser, a view."""
        return self.values_N[self.parts[name]]

    def gradient(self, name: str) -> Tensor:
        """Gradient of one optimiser's parameters, a new vector; 0 where there is none."""
        return torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._parameters[name]]
        )

    def set_gradient(self, name: str, gradient: Tensor) -> None:
        """Cut a vector into the gradients of one optimiser's parameters."""
        ps = self._parameters[name]
        for p, piece in zip(ps, torch.split(gradient, [p.numel() for p in ps]), strict=True):
            p.grad = piece.view_as(p)
