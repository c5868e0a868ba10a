# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the positions of hits: points drawn from blobs, and the distinct cells among them.

A shower has about a thousand points. Every tensor over points is a plain vector, since ONNX Runtime broadcasts
short inner dimensions slowly, whatever is the same for all points of a layer is computed per layer, and places are
int32, which holds up to 100,000 showers a call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastcalo.training.architectures.hit_lists import drawn_hits
from fastcalo.training.architectures.hit_lists import points as reference
from fastcalo.training.architectures.hit_lists.conditions import Geometry
from fastcalo.training.architectures.hits.cell_model import BLOBS
from fastcalo.training.architectures.hits.neighbours import DIRECTIONS

from ..onnx_graph import FLOAT, INT16, INT32, INT64, Graph


@dataclass(frozen=True)
class Blobs:
    """Names of the profile's tensors over the G = N L layers of all showers."""

    weight_GK: str
    inverse_GK: str
    centre_x_GK: str
    centre_y_GK: str
    log_rate_G: str
    kappa_G: str
    codes_GC: str


@dataclass(frozen=True)
class Placed:
    """Names of tensors over the hits, ordered by layer of a shower and by distance from the axis.

    ``group``, ``row``, ``rank``: int64 [H]; ``x``, ``y``: float32 [H], cells from the centre of the window; ``a``,
    ``b``: float32 [H], along and across the azimuth of incidence; ``count``: int64 [G].
    """

    group: str
    row: str
    rank: str
    x: str
    y: str
    a: str
    b: str
    count: str


@dataclass(frozen=True)
class _Points:
    """Names of vectors over the points.

    ``first``: int64 [G], place of each layer's first point; ``pair``: int32 [P], where the first of its two numbers
    stands in each tensor of noise, if that is known.
    """

    group: str
    first: str
    x: str
    y: str
    pair: str = ""


def place_hits(
    g: Graph,
    geometry: Geometry,
    blobs: Blobs,
    count_G: str,
    capacity_N: str,
    cond: dict[str, str],
    noise: dict[str, str],
) -> Placed:
    """Points of all layers and what they bring about, thinned to the first `count` distinct cells of each.

    Parameters
    ----------
    g : Graph
    geometry : Geometry
    blobs : Blobs
    count_G : str
        Hits asked for, int64 [G].
    capacity_N : str
        Rows of noise that a shower may use, int64 [N].
    cond : dict
        ``along_x``, ``along_y`` [N], ``offset_x``, ``offset_y`` [G], ``row`` int64 [G].
    noise : dict
        ``point_uniform``, ``point_logistic`` [N, P, 2].
    """
    points = _points(g, blobs, count_G, capacity_N, cond, noise)
    keep = _first_distinct(g, geometry, points, count_G)
    points = _with_successors(g, geometry, points, keep, blobs.kappa_G, cond, noise["point_uniform"])
    keep = _first_distinct(g, geometry, points, count_G)
    return _order(g, cond, points, keep, count_G)


def _number(g: Graph, count_G: str, log_rate_G: str) -> str:
    """`reference.points_of`, int64 [G]."""
    zero, count = g.const(0.0), g.cast(count_G, FLOAT)
    least, each = (g.const(float(v)) for v in reference.MOST_POINTS)
    most = g.op("Add", least, g.op("Mul", each, count))
    most = g.op("Where", g.op("Greater", count, zero), most, zero)
    constant, linear, square = (g.const(v) for v in reference.POINTS_BY_RATE)
    root = g.op("Exp", g.op("Div", log_rate_G, g.const(2.0)))
    number = g.op("Add", constant, g.op("Mul", g.op("Add", linear, g.op("Mul", square, root)), root))
    hits = g.op("Mul", count, g.const(reference.POINTS_BY_COUNT))
    return g.cast(g.op("Min", most, g.op("Add", number, hits)), INT64)


def _rows(g: Graph, number_G: str, capacity_N: str, row_G: str) -> tuple[str, str]:
    """`reference.rows_of` over layers of showers: first row and number of rows, int64 [G]."""
    zero, one = (g.const(v, np.int64) for v in (0, 1))
    capacity = g.at(capacity_N, row_G)
    number = g.op("Min", number_G, capacity)
    before = g.op("CumSum", number, zero, exclusive=1)
    shower = g.at(before, _first_groups(g, number_G, capacity_N))
    first = g.op("Sub", before, g.at(shower, row_G))
    free = g.op("Sub", capacity, number)
    moved = g.op("Mod", first, g.op("Add", free, one))
    return g.op("Where", g.op("Greater", first, free), moved, first), number


def lines_for_hits(g: Graph, hits: Placed, count_G: str, capacity_N: str, row_G: str, noise: str) -> str:
    """Where each hit's numbers stand in noise [N, Q, 1] seen as a vector, int64 [H].

    Layers follow each other; a shower that needs more rows than its capacity, int64 [N], begins again.
    """
    before = g.op("CumSum", count_G, g.const(0, np.int64), exclusive=1)
    shower = g.at(before, _first_groups(g, count_G, capacity_N))
    before = g.op("Sub", before, g.at(shower, row_G))
    slot = g.op("Add", g.at(before, hits.group), hits.rank)
    slot = g.op("Mod", slot, g.at(capacity_N, hits.row))
    return g.op("Add", g.op("Mul", hits.row, g.op("Shape", noise, start=1, end=2)), slot)


def layers_of_hits(g: Graph, hits: Placed, layers: int) -> str:
    """Layer of each hit, counted through all sections, int64 [H]."""
    return g.op("Sub", hits.group, g.op("Mul", hits.row, g.const(layers, np.int64)))


def _first_groups(g: Graph, count_G: str, capacity_N: str) -> str:
    """Index of each shower's first layer, int64 [N]."""
    layers = g.op("Div", g.size(count_G), g.op("Max", g.size(capacity_N), g.const([1], np.int64)))
    return g.op("Mul", g.arange(g.size(capacity_N)), layers)


def _points(
    g: Graph, blobs: Blobs, count_G: str, capacity_N: str, cond: dict[str, str], noise: dict[str, str]
) -> _Points:
    zero = g.const(0, np.int64)
    number = _number(g, count_G, blobs.log_rate_G)
    first_row, number = _rows(g, number, capacity_N, cond["row"])
    end = g.op("CumSum", number, zero)
    first = g.op("Sub", end, number)
    total = g.sum(number, 0)
    group = _owners(g, end, total)
    shift = g.op("Mul", cond["row"], g.op("Shape", noise["point_uniform"], start=1, end=2))
    shift = g.cast(g.op("Sub", g.op("Add", shift, first_row), first), INT32)
    index = g.arange(total, np.int32)
    line = g.op("Add", index, g.at(shift, group))
    pair = g.op("Mul", line, g.const(2, np.int32))
    which = g.at(g.flat(noise["point_uniform"]), pair)
    logistic = g.flat(noise["point_logistic"])
    quantiles = [g.at(logistic, place) for place in (pair, g.op("Add", pair, g.const(1, np.int32)))]
    upper = g.op("CumSum", blobs.weight_GK, g.const(1, np.int64))
    blob = g.op("Mul", group, g.const(BLOBS, np.int32))
    for edge in g.ops("Split", BLOBS, upper, axis=1, num_outputs=BLOBS)[:-1]:
        passed = g.op("Greater", which, g.at(g.flat(edge), group))
        blob = g.op("Add", blob, g.cast(passed, INT32))
    inverse = g.at(g.flat(blobs.inverse_GK), blob)
    late = g.op("GreaterOrEqual", index, g.at(_first_late(g, first, number), group))
    inverse = g.op("Where", late, g.clip(inverse, None, 1 / reference.LATE_WIDTH), inverse)
    xy = []
    for centre, quantile in zip((blobs.centre_x_GK, blobs.centre_y_GK), quantiles, strict=True):
        away = g.op("Div", quantile, inverse)
        place = g.op("Add", g.at(g.flat(centre), blob), away)
        xy.append(g.op("Floor", g.op("Add", place, g.const(0.5))))
    return _Points(group, first, xy[0], xy[1], pair)


def _first_late(g: Graph, first_G: str, number_G: str) -> str:
    """`reference.first_late`, counted over the points of all layers, int32 [G]."""
    part, whole = reference.LATE
    number = g.op("Add", g.op("Mul", number_G, g.const(part, np.int64)), g.const(whole - 1, np.int64))
    return g.cast(g.op("Add", first_G, g.op("Div", number, g.const(whole, np.int64))), INT32)


def _with_successors(
    g: Graph,
    geometry: Geometry,
    p: _Points,
    keep: str,
    kappa_G: str,
    cond: dict[str, str],
    uniform: str,
) -> _Points:
    """The points that are kept, each followed by the one that it brings about or by one outside the window."""
    group, x, y, pair = (g.at(t, keep) for t in (p.group, p.x, p.y, p.pair))
    dx = g.op("Sub", x, g.at(cond["offset_x"], group))
    dy = g.op("Sub", y, g.at(cond["offset_y"], group))
    square = g.op("Add", g.op("Mul", dx, dx), g.op("Mul", dy, dy))
    rate = g.op("Mul", g.at(kappa_G, group), g.op("Div", square, g.op("Add", square, g.const(1.0))))
    number = g.at(g.flat(uniform), g.op("Add", pair, g.const(1, np.int32)))
    nowhere = g.const(float(geometry.window))
    next_x = next_y = nowhere
    end = g.op("Mul", rate, g.const(0.0))
    for step_x, step_y in DIRECTIONS:
        along = g.op("Mul", dx, g.const(step_x)) if step_x else g.op("Mul", dy, g.const(step_y))
        out = g.cast(g.op("Greater", along, g.const(-0.5)), FLOAT)
        begin, end = end, g.op("Add", end, g.op("Mul", rate, out))
        here = g.op("And", g.op("GreaterOrEqual", number, begin), g.op("Less", number, end))
        next_x = g.op("Where", here, g.op("Add", x, g.const(step_x)), next_x)
        next_y = g.op("Where", here, g.op("Add", y, g.const(step_y)), next_y)
    size = g.size(p.first)
    two = [g.op("Concat", g.column(a), g.column(b), axis=1) for a, b in ((x, next_x), (y, next_y), (group, group))]
    ones = g.full(g.size(group), 2)
    count = g.op("ScatterElements", g.full(size, 0), g.cast(group, INT64), ones, axis=0, reduction="add")
    first = g.op("CumSum", count, g.const(0, np.int64), exclusive=1)
    return _Points(g.flat(two[2]), first, g.flat(two[0]), g.flat(two[1]))


def neighbour_counts(g: Graph, geometry: Geometry, hits: Placed, offset: tuple[str, str]) -> list[str]:
    """How many nearer and how many farther neighbours of each hit are hit, float32 [H] each.

    Parameters
    ----------
    g : Graph
    geometry : Geometry
    hits : Placed
    offset : (str, str)
        ``offset_x``, ``offset_y`` [G].
    """
    width = geometry.window + 2
    cell = g.op("Add", g.op("Mul", hits.x, g.const(float(width))), hits.y)
    cell = g.op("Add", cell, g.const(float((geometry.half + 1) * (width + 1))))
    cell = g.op("Add", g.cast(cell, INT32), g.op("Mul", g.cast(hits.group, INT32), g.const(width**2, np.int32)))
    cells = g.op("Mul", g.size(hits.count), g.const([width**2], np.int64))
    hit = g.full(cells, 0, np.uint8)
    hit = g.op("ScatterElements", hit, cell, g.full(g.size(cell), 1, np.uint8), axis=0)
    sums: list[list[str]] = [[], []]
    for place, axis, stride in ((hits.x, offset[0], width), (hits.y, offset[1], 1)):
        d = g.op("Sub", place, g.at(axis, hits.group))
        for sign in (1, -1):
            beside = g.at(hit, g.op("Add", cell, g.const(sign * stride, np.int32)))
            beside = g.op("Equal", beside, g.const(1, np.uint8))
            out = g.op("Greater", g.op("Mul", d, g.const(float(sign))), g.const(-0.5))
            for side, of in ((sums[0], g.op("Not", out)), (sums[1], out)):
                side.append(g.cast(g.op("And", beside, of), FLOAT))
    return [g.op("Sum", *terms) for terms in sums]


def _owners(g: Graph, end_G: str, total: str) -> str:
    """For each point the layer of a shower that it belongs to: how many layers end at or before it, int32."""
    marks = g.full(g.op("Add", total, g.const([1], np.int64)), 0, np.int32)
    marks = g.op("ScatterElements", marks, end_G, g.full(g.size(end_G), 1, np.int32), axis=0, reduction="add")
    return g.op("CumSum", g.slice(marks, 0, 0, total), g.const(0, np.int64))


def _first_distinct(g: Graph, geometry: Geometry, p: _Points, count_G: str) -> str:
    """Indices of the points that are kept, int64 [H]."""
    half, window = float(geometry.half), geometry.window
    inside = g.op("LessOrEqual", g.op("Max", g.op("Abs", p.x), g.op("Abs", p.y)), g.const(half))
    cells = g.op("Mul", g.size(count_G), g.const([window**2], np.int64))
    cell = g.op("Add", g.op("Mul", p.x, g.const(float(window))), g.op("Add", p.y, g.const(half * (window + 1))))
    cell = g.cast(g.op("Where", inside, cell, g.const(0.0)), INT32)
    cell = g.op("Add", cell, g.op("Mul", p.group, g.const(window**2, np.int32)))
    cell = g.op("Where", inside, cell, g.cast(cells, INT32))
    index = g.op("Sub", g.arange(g.size(p.x), np.int32), g.at(g.cast(p.first, INT32), p.group))
    # there are hundreds of cells to a hit: what is noted of each must be small
    seen = g.full(g.op("Add", cells, g.const([1], np.int64)), np.iinfo(np.int16).max, np.int16)
    seen = g.op("ScatterElements", seen, cell, g.cast(index, INT16), axis=0, reduction="min")
    new = g.op("And", g.op("Equal", g.cast(g.at(seen, cell), INT32), index), inside)
    before = g.op("CumSum", g.cast(new, INT32), g.const(0, np.int64), exclusive=1)
    padded = g.op("Concat", before, g.const([0], np.int32), axis=0)
    limit = g.op("Add", g.at(padded, p.first), g.cast(count_G, INT32))
    keep = g.op("And", new, g.op("Less", before, g.at(limit, p.group)))
    return g.flat(g.op("NonZero", keep))


def _order(g: Graph, cond: dict[str, str], p: _Points, keep: str, count_G: str) -> Placed:
    """Hits by layer, and within a layer by distance in steps that all engines share."""
    zero = g.const(0, np.int64)
    group, x, y = (g.at(t, keep) for t in (p.group, p.x, p.y))
    group = g.cast(group, INT64)
    dx = g.op("Sub", x, g.at(cond["offset_x"], group))
    dy = g.op("Sub", y, g.at(cond["offset_y"], group))
    distance = g.op("Add", g.op("Mul", dx, dx), g.op("Mul", dy, dy))
    distance = g.cast(g.op("Mul", distance, g.const(drawn_hits.STEPS_PER_CELL2)), INT64)
    key = g.op("Add", g.op("Mul", group, g.const(drawn_hits.KEY_STRIDE, np.int64)), distance)
    order = g.ops("TopK", 2, key, g.size(key), axis=0, largest=0, sorted=1)[1]
    group, x, y, dx, dy = (g.at(t, order) for t in (group, x, y, dx, dy))
    row = g.at(cond["row"], group)
    ux, uy = (g.at(cond[f"along_{axis}"], row) for axis in "xy")
    a = g.op("Add", g.op("Mul", dx, ux), g.op("Mul", dy, uy))
    b = g.op("Sub", g.op("Mul", dy, ux), g.op("Mul", dx, uy))
    ones = g.full(g.size(group), 1)
    count = g.op("ScatterElements", g.full(g.size(count_G), 0), group, ones, axis=0, reduction="add")
    before = g.op("CumSum", count, zero, exclusive=1)
    rank = g.op("Sub", g.arange(g.size(group)), g.at(before, group))
    return Placed(group, row, rank, x, y, a, b, count)
