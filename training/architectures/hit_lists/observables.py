# SPDX-License-Identifier: BSD-3-Clause
"""Differentiable observables of lists of hits, by section and by layer, that critics look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from ...data.batch import Batch
from ..nets import group_sum
from .conditions import Geometry
from .drawn_hits import DrawnHits

SPECTRUM = (3e-5, 5e-5, 7e-5, 1e-4, 1.4e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
"""Edges of the spectrum of deposits, GeV.

As close as their soft steps are wide, and down to the thresholds: deposits gather beside an edge that stands alone.
"""

HitLike: TypeAlias = Batch | DrawnHits
"""Hits of a batch, true or drawn."""


def n_section_observables(rings: Sequence[tuple[float, float]]) -> int:
    """Length of what `section_observables` gives of a section."""
    return 5 + 3 * len(rings) + len(SPECTRUM) + 1 + 3


N_LAYER_OBSERVABLES = 8
"""Length of what `layer_observables` gives of a layer."""


def section_observables(
    groups: int, group: Tensor, x: Tensor, y: Tensor, radius: Tensor, e: Tensor, h: Tensor,
    rings: Sequence[tuple[float, float]],
) -> Tensor:  # fmt: skip
    """Observables of each section of each shower, [groups, F].

    Parameters
    ----------
    groups : int
    group : int64 [H]
        Section of a shower, counted through the batch.
    x, y, radius : float32 [H]
        In cells.
    e, h : float32 [H]
        Energy in GeV, and how much each counts as a hit.
    rings : sequence of (float, float)
        Edges of the radius.
    """

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, groups)

    sum_e = total(e) + 1e-9
    share = e / sum_e[group]
    mx, my = total(share * x), total(share * y)
    vx = (total(share * x * x) - mx**2).clamp_min(1e-4)
    vy = (total(share * y * y) - my**2).clamp_min(1e-4)
    out = [mx * 2, my * 2, vx.sqrt() * 2 - 1, vy.sqrt() * 2 - 1, total(share * x * y) - mx * my]
    for low, high in rings:
        ring = ((radius >= low) & (radius < high)).float()
        part = total(share * ring)
        out += [(part + 1e-4).sqrt() * 3 - 1, (total(h * ring) + 0.3).clamp_min(0.01).sqrt() / 3 - 1, part * 4 - 1]
    # parts of the spectrum, and not the number of hits, which the layers' counts give
    above = [total(h), *(total(h * _soft_step(e, edge)) for edge in SPECTRUM), torch.zeros_like(sum_e)]
    out += [(a - b + 0.3).clamp_min(0.1).sqrt() / 2 - 1 for a, b in pairwise(above)]
    peak = (total(share**4) + 1e-12) ** 0.25
    out += [peak * 4 - 1, torch.log(peak + 1e-3) + 2, torch.log(sum_e) / 2 + 1]
    return torch.stack(out, 1)


def layer_observables(
    geometry: Geometry, batch: int, group: Tensor, x: Tensor, y: Tensor, central: Tensor, e: Tensor, h: Tensor,
    pairs: Tensor,
) -> Tensor:  # fmt: skip
    """Eight observables of each layer of each shower, [B, 8 L].

    Parameters
    ----------
    geometry : Geometry
    batch : int
        Number of showers.
    group : int64 [H]
        Layer of a shower, counted through the batch.
    x, y, central, e, h, pairs : float32 [H]
        Position in cells, whether it is the cell that is crossed, energy in GeV, how much it counts as a hit, and how
        many neighbours it has.
    """

    def total(values: Tensor) -> Tensor:
        return group_sum(values, group, batch * geometry.layers).view(batch, geometry.layers)

    energy = total(e) + 1e-7
    on = (energy > torch.tensor(geometry.threshold, device=energy.device)).float()
    mx, my = total(e * x) / energy, total(e * y) / energy
    spread = (total(e * (x * x + y * y)) / energy - mx**2 - my**2).clamp_min(0) + 1e-3
    return torch.cat(
        [
            (total(e * central) / energy - 0.4) * 2 * on,
            mx * on,
            my * on,
            spread.sqrt() * on - 0.5,
            ((total(e**4) + 1e-20) ** 0.25 / energy * 1.5 - 1) * on,
            total(h * central) - 0.5,
            torch.log(energy + 1e-5) / 3 + 2.5,
            (total(h * pairs) + 0.3).clamp_min(0.1).sqrt() / 2 - 1,
        ],
        1,
    )


def canonical(along_B2: Tensor, row: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Cells in a frame turned by quarter turns so that the azimuth of incidence is within 45 degrees of its x axis.

    Mirrored showers stay apart: a model that shifts hits to one side of the azimuth of incidence would look like a
    symmetric one if they were not.
    """
    u = along_B2[row]
    return _turned(u, x, y)


def canonical_azimuth(along_B2: Tensor) -> Tensor:
    """The azimuth of incidence in the frame of `canonical`, [B, 2]."""
    return torch.stack(_turned(along_B2, *along_B2.unbind(1)), 1)


def _turned(along: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    swap = along[:, 1].abs() > along[:, 0].abs()
    x, y = torch.where(swap, y, x), torch.where(swap, -x, y)
    backwards = torch.where(swap, along[:, 1], along[:, 0]) < 0
    return torch.where(backwards, -x, x), torch.where(backwards, -y, y)


def _soft_step(e: Tensor, edge: float) -> Tensor:
    """One where the deposit exceeds the edge; its gradient is that of a sigmoid in the logarithm."""
    soft = torch.sigmoid((torch.log(e.clamp_min(1e-6)) - math.log(edge)) / 0.2)
    return soft + ((e >= edge).float() - soft).detach()
