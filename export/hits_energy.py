"""Graph of the last part: each layer's energy shared among its hits, in a Loop over their rank.

Hits are laid out rank by rank, layers with most hits first, so that every pass of the Loop works on the head of
the state and on one contiguous piece of the hits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastcalo.training.hits.layers import MEV_TENTH
from fastcalo.training.hits.model import (
    BLOBS,
    CODES,
    RATE_FLOOR,
    SHARE_COMPONENTS,
    SHARE_INPUTS,
    THRESHOLD_SLACK,
    HitModel,
)

from .builder import BOOL, FLOAT, INT64, Graph
from .hits_layers import weights_of
from .hits_points import Blobs, Placed

_DYNAMIC = 4


def share_energies(
    g: Graph, model: HitModel, blobs: Blobs, hits: Placed, cond: dict[str, str], energy_G: str
) -> tuple[str, str]:
    """Deposits of all hits, and the place of each in `hits`: names of float32 [H] and int64 [H]."""
    order, start, size = _by_rank(g, hits)
    weights = weights_of(model.share)
    static = _static_inputs(g, model, blobs, hits, cond)
    known = g.op("Gather", g.gemm(static, weights[0][0][: SHARE_INPUTS - _DYNAMIC], weights[0][1]), order, axis=0)
    uniform = g.column(g.op("Gather", hits.uniform, order))
    by_count = _groups_by_count(g, hits)
    rest = g.op("Gather", energy_G, by_count)
    count = g.cast(g.op("Gather", hits.count, by_count), FLOAT)
    previous = g.op("Mul", rest, g.const(0.0))
    empty = g.slice(rest, 0, 0, 0)
    passes = g.op("Squeeze", g.size(size))

    def body(b: Graph) -> None:
        _one_rank(b, model, known, uniform, count, start, size)

    loop = g.body("one_rank", body)
    out = g.ops("Loop", 3, passes, "", rest, previous, empty, body=loop)
    return out[2], order


def _groups_by_count(g: Graph, hits: Placed) -> str:
    """Layers of showers, those with most hits first, int64 [G]."""
    return g.ops("TopK", 2, hits.count, g.size(hits.count), axis=0, largest=1, sorted=1)[1]


def _by_rank(g: Graph, hits: Placed) -> tuple[str, str, str]:
    """Layout rank by rank: order int64 [H], first place int64 [R] and number int64 [R] of each rank's hits."""
    by_count = _groups_by_count(g, hits)
    groups = g.size(hits.count)
    position = g.op("ScatterElements", g.full(groups, 0), by_count, g.arange(groups), axis=0)
    passes = g.op("ReduceMax", g.op("Concat", hits.count, g.const([0], np.int64), axis=0), keepdims=1)
    ones = g.full(g.size(hits.rank), 1)
    size = g.op("ScatterElements", g.full(passes, 0), hits.rank, ones, axis=0, reduction="add")
    start = g.op("CumSum", size, g.const(0, np.int64), exclusive=1)
    place = g.op("Add", g.op("Gather", start, hits.rank), g.op("Gather", position, hits.group))
    index = g.arange(g.size(place))
    return g.op("ScatterElements", index, place, index, axis=0), start, size


def _static_inputs(g: Graph, model: HitModel, blobs: Blobs, hits: Placed, cond: dict[str, str]) -> str:
    """`HitModel.share_static` for all hits, [H, SHARE_INPUTS - 4]."""
    weight, inverse = (g.op("Gather", t, hits.group, axis=0) for t in (blobs.weight_GK, blobs.inverse_GK))
    half = g.op("Mul", inverse, g.const(0.25))
    p = weight
    for centre, place in ((blobs.centre_x_GK, hits.x), (blobs.centre_y_GK, hits.y)):
        distance = g.op("Sub", g.column(place), g.op("Gather", centre, hits.group, axis=0))
        middle = g.op("Mul", g.op("Mul", distance, inverse), g.const(0.5))
        upper, lower = g.op("Tanh", g.op("Add", middle, half)), g.op("Tanh", g.op("Sub", middle, half))
        p = g.op("Mul", p, g.op("Mul", g.op("Sub", upper, lower), g.const(0.5)))
    p = g.op("MatMul", p, g.const(np.ones((BLOBS, 1))))
    log_p = g.op("Log", g.op("Add", p, g.const(RATE_FLOOR)))
    log_rate = g.op("Add", log_p, g.op("Gather", g.column(blobs.log_rate_G), hits.group, axis=0))
    per_layer = g.op("Gather", g.op("Concat", cond["per_layer"], blobs.codes_GC, axis=1), hits.group, axis=0)
    a, b = g.column(hits.a), g.column(hits.b)
    return g.op(
        "Concat",
        g.op("Div", g.op("Add", g.clip(log_rate, -9.0, 4.0), g.const(1.0)), g.const(2.0)),
        g.op("Div", a, g.const(3.0)),
        g.op("Div", g.op("Abs", b), g.const(3.0)),
        g.slice(per_layer, 1, 0, 3),
        g.op("Gather", g.op("Gather", cond["globals"], g.const([0, 2], np.int64), axis=1), hits.row, axis=0),
        g.slice(per_layer, 1, 3, 3 + CODES),
        axis=1,
    )


def _draw_logit(b: Graph, last: tuple[NDArray[np.float32], NDArray[np.float32]], h: str, uniform: str) -> str:
    """A draw from the logistic mixture, [n, 1]; see `fastcalo.training.nets.choose`."""
    m, zero = SHARE_COMPONENTS, b.const(0, np.int64)
    weight = b.op("Softmax", b.gemm(h, last[0][:, :m], last[1][:m]), axis=1)
    upper = b.op("MatMul", weight, b.const(np.triu(np.ones((m, m)))))
    passed = b.cast(b.op("Less", b.slice(upper, 1, 0, -1), uniform), FLOAT)
    index = b.cast(b.op("MatMul", passed, b.const(np.ones((m - 1, 1)))), INT64)
    row = b.column(b.op("Range", zero, b.op("Mul", b.op("Size", uniform), b.const(m, np.int64)), b.const(m, np.int64)))
    flat = b.op("Add", index, row)
    top, part = (b.op("Gather", b.flat(t), flat) for t in (upper, weight))
    moments = b.flat(b.gemm(h, last[0][:, m:], last[1][m:]))  # of each hit all centres, then all widths
    centre = b.op("Gather", moments, b.op("Add", flat, row))
    spread = b.op("Gather", moments, b.op("Add", flat, b.op("Add", row, b.const(m, np.int64))))
    inside = b.op("Sub", b.const(1.0), b.op("Div", b.op("Sub", top, uniform), b.clip(part, 1e-12, None)))
    # every second component counts from its upper end
    side = b.op("Gather", b.const([1.0 - 2 * (j % 2) for j in range(m)]), index)
    spread = b.op("Mul", b.op("Exp", b.clip(b.op("Sub", spread, b.const(0.7)), -5.0, 2.0)), side)
    return b.op("Add", centre, b.op("Mul", spread, b.logit(b.clip(inside, 1e-6, 1 - 1e-6))))


def half_log(g: Graph, x: str, minus: float) -> str:
    """ln(x) / 2 - minus."""
    return g.op("Sub", g.op("Div", g.op("Log", x), g.const(2.0)), g.const(minus))


def _one_rank(b: Graph, model: HitModel, known: str, uniform: str, count: str, start: str, size: str) -> None:
    threshold, weights = model.geometry.threshold, weights_of(model.share)
    rank = b.input("rank", INT64, [])
    go_on = b.input("go_on", BOOL, [])
    rest, previous = b.input("rest", FLOAT, ["G"]), b.input("previous", FLOAT, ["G"])
    served = b.input("served", FLOAT, ["H"])
    at = b.op("Unsqueeze", rank, b.const([0], np.int64))
    first, n = b.op("Gather", start, at), b.op("Gather", size, at)
    end = b.op("Add", first, n)
    rest, previous = b.column(b.slice(rest, 0, 0, n)), b.column(b.slice(previous, 0, 0, n))
    left = b.column(b.op("Sub", b.slice(count, 0, 0, n), b.cast(at, FLOAT)))
    mean = b.clip(b.op("Div", b.op("Div", rest, left), b.const(MEV_TENTH)), 1e-3, None)
    dynamic = b.op(
        "Concat",
        half_log(b, mean, 0.5),
        half_log(b, left, 1.0),
        b.op("Div", b.clip(previous, -6.0, 6.0), b.const(2.0)),
        b.cast(b.op("Equal", left, b.const(2.0)), FLOAT),
        axis=1,
    )
    h = b.op("Add", b.slice(known, 0, first, end), b.op("MatMul", dynamic, b.const(weights[0][0][-_DYNAMIC:])))
    h = b.silu(b.gemm(b.silu(h), *weights[1]))
    y = _draw_logit(b, weights[2], h, b.slice(uniform, 0, first, end))
    others = b.clip(b.op("Sub", left, b.const(1.0)), 1.0, None)
    share = b.op("Sigmoid", b.op("Sub", y, b.op("Log", others)))
    base = THRESHOLD_SLACK * threshold
    free = b.op("Relu", b.op("Sub", rest, b.op("Mul", left, b.const(base))))
    deposit = b.op("Add", b.op("Mul", share, free), b.const(base))
    deposit = b.op("Where", b.op("LessOrEqual", left, b.const(1.0)), rest, deposit)
    deposit = b.clip(deposit, 1.005 * threshold, None)
    b.output(go_on, "go_on_out", BOOL, [])
    b.output(b.flat(b.clip(b.op("Sub", rest, deposit), 1e-9, None)), "rest_out", FLOAT, ["G"])
    b.output(b.flat(y), "previous_out", FLOAT, ["G"])
    b.output(b.op("Concat", served, b.flat(deposit), axis=0), "served_out", FLOAT, ["H"])
