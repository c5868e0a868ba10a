# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of hits connected in three dimensions, as critics look at them.

Hits in neighbouring cells of a layer belong together, and so do hits within a cell of each other's projection along
the line of flight into the next layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..nets import group_sum

SIZES = (1, 2, 4, 10)
"""Least hits of the clusters that are counted."""
CLUSTER_OBSERVABLES = len(SIZES) + 3


@torch.no_grad()
def cluster_of_hits(number: int, lists: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Number of the first hit of each hit's cluster, int64 [H].

    Parameters
    ----------
    number : int
        Hits.
    lists : list of (int64 [P], int64 [P])
        Pairs of hits that belong together.
    """
    one, other = (torch.cat(ends) for ends in zip(*lists, strict=True))
    first = torch.arange(number, device=one.device)
    while True:
        lowest = torch.minimum(first[one], first[other])
        joined = first.scatter_reduce(0, one, lowest, "amin").scatter_reduce(0, other, lowest, "amin")
        joined = joined[joined]
        if torch.equal(joined, first):
            return first
        first = joined


def cluster_observables(groups: int, group: Tensor, e: Tensor, h: Tensor, lists: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Clusters of each section of each shower, [groups, CLUSTER_OBSERVABLES].

    Numbers of clusters of at least so many hits, each hit counting as its part of its cluster; parts of the energy in
    the two clusters that hold most, and the part of the hits in the first.

    Parameters
    ----------
    groups : int
    group : int64 [H]
        Section of a shower, counted through the batch.
    e, h : float32 [H]
        Energy in GeV, and how much each counts as a hit.
    lists : list of (int64 [P], int64 [P])
        Pairs of hits that belong together.
    """
    first = cluster_of_hits(len(e), lists)
    size = torch.bincount(first, minlength=len(e))[first].float()
    rank = _rank_by_energy(groups, group, e.detach(), first)

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, groups)

    n, sum_e = total(h).clamp_min(1e-3), total(e).clamp_min(1e-9)
    counts = [total(h * (size >= least) / size) for least in SIZES]
    out = [(count + 0.3).clamp_min(0.05).sqrt() for count in counts]
    out += [total(e * (rank == k)) / sum_e for k in (0, 1)]
    out.append(total(h * (rank == 0)) / n)
    return torch.stack(out, 1)


@torch.no_grad()
def _rank_by_energy(groups: int, group: Tensor, e: Tensor, first: Tensor) -> Tensor:
    """How many clusters of the same section of the shower hold more energy than the hit's own, int64 [H]."""
    heads = (first == torch.arange(len(e), device=e.device)).nonzero()[:, 0]
    held = group_sum(e, first, len(e))[heads]
    order = held.argsort(descending=True, stable=True)
    order = order[group[heads][order].argsort(stable=True)]
    number = torch.bincount(group[heads], minlength=groups)
    begin = torch.cumsum(number, 0) - number
    rank = torch.zeros_like(first)
    rank[heads[order]] = torch.arange(len(heads), device=e.device) - begin[group[heads][order]]
    return rank[first]
