# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the energies of hits: what is known of each before the Loop over ranks of `export.hits.energies`."""

from __future__ import annotations

import math

import numpy as np

from fastcalo.training.architectures.hit_lists.hit_networks import CODES, RATE_OFFSET
from fastcalo.training.architectures.showers.blobs import BLOBS, NARROW, WIDE
from fastcalo.training.architectures.showers.cell_model import SHARE_INPUTS, HitModel

from ..hits.energies import hits_left
from ..hits.layers import weights_of
from ..hits.points import Placed, layers_of_hits
from ..onnx_graph import FLOAT, Graph
from .tables import Tables


def known_of_hits(
    g: Graph, model: HitModel, tables: Tables, hits: Placed, seen: list[str], cond: dict[str, str], showers: str
) -> str:
    """What the sharing network's first layer makes of all that is known of the hits beforehand, [H, W].

    Parameters
    ----------
    g : Graph
    model : HitModel
    tables : Tables
    hits : Placed
        Rank by rank.
    seen : list of str
        `Drawn.seen` of these, float32 [H] each.
    cond : dict
    showers : str
        Their number, int64 [1].
    """
    weight, bias = weights_of(model.share)[0]
    layer = layers_of_hits(g, hits, model.geometry.layers)
    left = hits_left(g, hits)
    two = g.cast(g.op("Equal", left, g.const(2.0)), FLOAT)
    of_shower = [g.at(g.flat(g.slice(cond["globals"], 1, i, i + 1)), hits.row) for i in (0, 2)]
    b = g.op("Abs", hits.b)
    rows = g.op(
        "Concat",
        g.row(g.clip(_log_rate(g, tables, hits, layer, cond, showers), -9.0, 4.0)),
        g.row(_limited(g, hits.a)),
        g.row(_limited(g, b)),
        _rows_of(g, tables.per_layer, 3, layer, hits.row, showers),
        *(g.row(x) for x in (*of_shower, *seen)),
        _rows_of(g, tables.codes, CODES, layer, hits.row, showers),
        *(g.row(x) for x in (g.op("Log", left), two)),
        axis=0,
    )
    # inputs in the order and on the scale of HitModel.share_static and share_mixture
    rest, ln_left, _, last_two = range(SHARE_INPUTS - 4, SHARE_INPUTS)
    columns = [*range(SHARE_INPUTS - 4), ln_left, last_two]
    scale = np.ones(SHARE_INPUTS, np.float32)
    scale[[0, 8, 9, ln_left]], scale[[1, 2, 10, 11]], scale[12] = 1 / 2, 1 / 3, 1 / 8
    bias = bias + 0.5 * weight[0] - 0.5 * weight[rest] - weight[ln_left]
    return g.op("Gemm", rows, g.const((weight * scale[:, None])[columns]), g.const(bias), transA=1)


def _limited(g: Graph, x: str) -> str:
    return g.op("Div", x, g.op("Add", g.op("Mul", g.op("Abs", x), g.const(0.1)), g.const(1.0)))


def _rows_of(g: Graph, table: str, width: int, layer: str, row: str, showers: str) -> str:
    """``table[layer, :, row].T`` of a table [L, width, N], [width, H]."""
    first = g.op("Mul", g.op("Mul", layer, g.const(width, np.int64)), showers)
    place = g.row(g.op("Add", first, row))
    steps = g.op("Mul", g.const(np.arange(width)[:, None], np.int64), showers)
    return g.reshape(g.at(g.flat(table), g.flat(g.op("Add", place, steps))), width, -1)


def _log_rate(g: Graph, t: Tables, hits: Placed, layer: str, cond: dict[str, str], showers: str) -> str:
    """`Profile.log_probability` and the log of the number of draws, [H]."""

    def rows(table: str, width: int) -> str:
        return _rows_of(g, table, width, layer, hits.row, showers)

    weight, inverse, scale = rows(t.weight, BLOBS), rows(t.inverse, NARROW), rows(t.scale, WIDE)
    tail, stretch = rows(t.tail, WIDE), rows(t.stretch, WIDE)
    dx, dy = (g.op("Sub", g.row(p), rows(c, BLOBS)) for p, c in ((hits.x, t.centre_x), (hits.y, t.centre_y)))
    half = g.op("Mul", inverse, g.const(0.5 * math.sqrt(0.5)))
    narrow = g.slice(weight, 0, 0, NARROW)
    for d in (dx, dy):
        middle = g.op("Mul", g.op("Mul", g.slice(d, 0, 0, NARROW), inverse), g.const(math.sqrt(0.5)))
        mass = g.op("Sub", g.op("Erf", g.op("Add", middle, half)), g.op("Erf", g.op("Sub", middle, half)))
        narrow = g.op("Mul", narrow, g.op("Mul", mass, g.const(0.5)))
    dx, dy = (g.slice(d, 0, NARROW, BLOBS) for d in (dx, dy))
    u, v = (g.row(g.at(cond[f"along_{axis}"], hits.row)) for axis in "xy")
    along = g.op("Div", g.op("Add", g.op("Mul", dx, u), g.op("Mul", dy, v)), stretch)
    across = g.op("Sub", g.op("Mul", dy, u), g.op("Mul", dx, v))
    square = g.op("Mul", scale, scale)
    q = g.op("Div", g.op("Add", g.op("Mul", along, along), g.op("Mul", across, across)), square)
    fall = g.op("Mul", g.op("Neg", g.op("Add", tail, g.const(1.0))), g.op("Log", g.op("Add", q, g.const(1.0))))
    top = g.op("Div", tail, g.op("Mul", g.op("Mul", square, stretch), g.const(math.pi)))
    wide = g.op("Mul", g.slice(weight, 0, NARROW, BLOBS), g.op("Mul", top, g.op("Exp", fall)))
    mass = g.op("Relu", g.op("Add", g.sum(narrow, 0, keep=False), g.sum(wide, 0, keep=False)))
    log_rate = g.flat(_rows_of(g, t.log_rate, 1, layer, hits.row, showers))
    return g.op("Add", g.op("Log", g.op("Add", mass, g.const(RATE_OFFSET))), log_rate)
