"""Small pieces that several networks are made of."""

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


TAIL = 1e-4
"""Least and, from above, largest quantile of a component that is drawn: beyond it rounding would decide."""


def choose(log_weight_HM: Tensor, uniform_H: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a component of a mixture by inversion, and keep what is left of the number that drew it.

    Parameters
    ----------
    log_weight_HM : float32 [H, M]
        Normalised log weights.
    uniform_H : float32 [H]
        Uniform in (0, 1).

    Returns
    -------
    index_H : int64 [H]
    rest_H : float32 [H]
        Where in its component's interval the number fell: again uniform in (0, 1). Every second component counts
        from its upper end, so that a number beside an edge gives an extreme of the same side in both components
        and rounding does little harm.
    """
    weight = log_weight_HM.exp()
    upper = torch.cumsum(weight, 1)
    index = (uniform_H[:, None] > upper[:, :-1]).sum(1)
    top, part = (t.gather(1, index[:, None])[:, 0] for t in (upper, weight))
    rest = 1 - (top - uniform_H) / part.clamp_min(1e-12)
    rest = torch.where(index % 2 == 1, 1 - rest, rest)
    return index, rest.clamp(TAIL, 1 - TAIL)
