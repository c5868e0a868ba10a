# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the order of hits: by layer of a shower, and by distance from the line of flight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastcalo.training.architectures.hit_lists import drawn_hits

from ..hits.points import Placed
from ..onnx_graph import INT64, Graph


@dataclass(frozen=True)
class Drawn:
    """Names of tensors over the hits, in the order in which they are drawn.

    ``row``, ``layer``: int64 [H]; ``x``, ``y``: float32 [H]; ``seen``: nearer and farther neighbours, hits before and
    behind, length of the row of layers before, float32 [H] each.
    """

    row: str
    layer: str
    x: str
    y: str
    seen: tuple[str, str, str, str, str]


def ordered(g: Graph, cond: dict[str, str], layers: int, hits: Drawn, groups: str) -> tuple[Placed, list[str]]:
    """Hits by shower and layer, and within a layer by distance in steps that all engines share; what each has around.

    Parameters
    ----------
    g : Graph
    cond : dict
        ``along_x``, ``along_y`` [N]; ``offset_x_G``, ``offset_y_G`` [G].
    layers : int
    hits : Drawn
    groups : str
        Number of layers of showers, int64 [1].
    """
    row, layer, x, y = hits.row, hits.layer, hits.x, hits.y
    group = g.op("Add", g.op("Mul", row, g.const(layers, np.int64)), layer)
    dx = g.op("Sub", x, g.at(cond["offset_x_G"], group))
    dy = g.op("Sub", y, g.at(cond["offset_y_G"], group))
    distance = g.op("Add", g.op("Mul", dx, dx), g.op("Mul", dy, dy))
    distance = g.cast(g.op("Mul", distance, g.const(drawn_hits.STEPS_PER_CELL2)), INT64)
    key = g.op("Add", g.op("Mul", group, g.const(drawn_hits.KEY_STRIDE, np.int64)), distance)
    order = g.ops("TopK", 2, key, g.size(key), axis=0, largest=0, sorted=1)[1]
    group, row, x, y, dx, dy = (g.at(t, order) for t in (group, row, x, y, dx, dy))
    ux, uy = (g.at(cond[f"along_{axis}"], row) for axis in "xy")
    a = g.op("Add", g.op("Mul", dx, ux), g.op("Mul", dy, uy))
    b = g.op("Sub", g.op("Mul", dy, ux), g.op("Mul", dx, uy))
    count = g.op("ScatterElements", g.full(groups, 0), group, g.full(g.size(group), 1), axis=0, reduction="add")
    before = g.op("CumSum", count, g.const(0, np.int64), exclusive=1)
    rank = g.op("Sub", g.arange(g.size(group)), g.at(before, group))
    return Placed(group, row, rank, x, y, a, b, count), [g.at(t, order) for t in hits.seen]
