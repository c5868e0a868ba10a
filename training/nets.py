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


def group_sum(values_H: Tensor, group_H: Tensor, groups: int) -> Tensor:
    """Sum of values per group, [groups]."""
    return torch.zeros(groups, dtype=values_H.dtype, device=values_H.device).index_add(0, group_H, values_H)


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
    upper = torch.cumsum(log_weight_HM.exp(), 1)
    index = (uniform_H[:, None] > upper[:, :-1]).sum(1)
    top = upper.gather(1, index[:, None])[:, 0]
    weight = log_weight_HM.exp().gather(1, index[:, None])[:, 0]
    rest = 1 - (top - uniform_H) / weight.clamp_min(1e-12)
    rest = torch.where(index % 2 == 1, 1 - rest, rest)
    return index, rest.clamp(1e-6, 1 - 1e-6)
