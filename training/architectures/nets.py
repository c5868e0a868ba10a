# SPDX-License-Identifier: BSD-3-Clause
"""Building blocks shared by several networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module] = nn.SiLU) -> nn.Sequential:
    """Fully connected network with the activation between its layers, none after the last."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        if i:
            layers.append(activation())
        layers.append(nn.Linear(a, b))
    return nn.Sequential(*layers)


def linear_layers(net: nn.Sequential) -> list[nn.Linear]:
    """The linear layers of a network, in their order."""
    return [m for m in net if isinstance(m, nn.Linear)]


def group_sum(values_H: Tensor, group_H: Tensor, groups: int) -> Tensor:
    """Sum of values per group, [groups]."""
    return torch.zeros(groups, dtype=values_H.dtype, device=values_H.device).index_add(0, group_H, values_H)
