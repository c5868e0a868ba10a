"""Graph of the last part: each layer's energy shared among its hits, in a Loop over their rank.

Hits are laid out rank by rank, layers with most hits first, so that every pass of the Loop works on the head of
the state and on one contiguous piece of the hits.
"""

from __future__ import annotations

import numpy as np

from fastcalo.training.hits.layers import MEV_TENTH
from fastcalo.training.hits.model import (
    BLOBS,
    CODES,
    LEAST,
    RATE_FLOOR,
    SHARE_COMPONENTS,
    SHARE_INPUTS,
    HitModel,
)

from .builder import BOOL, FLOAT, INT64, Graph
from .hits_layers import FloatArray, Weights, weights_of
from .hits_points import Blobs, Placed, layers_of_hits, neighbour_counts

# columns of the sharing network's inputs that change from hit to hit; see HitModel.share_mixture
_REST, _LEFT, _PREVIOUS, _LAST_TWO = range(SHARE_INPUTS - 4, SHARE_INPUTS)
_ALL = 100.0
"""Logit of a share that leaves nothing, in single precision."""


def share_energies(
    g: Graph, model: HitModel, blobs: Blobs, hits: Placed, cond: dict[str, str], energy_G: str, numbers: list[str]
) -> tuple[str, str]:
    """Deposits of all hits, and the place of each in `hits`: names of float32 [H, 1] and int64 [H].

    All that can be known before the Loop is worked out before it, for all hits at once: what is left for the Loop is
    the energy that remains and the draw before.
    """
    order, start, size = _by_rank(g, hits)
    first, *others = weights_of(model.share)
    known = g.op("Gather", _static_inputs(g, model, blobs, hits, cond), order, axis=0)
    floor, threshold = _per_hit(g, model, hits, order)
    left = g.op("Sub", g.at(hits.count, hits.group), hits.rank)
    left = g.column(g.cast(g.at(left, order), FLOAT))
    # the log of the mean energy that remains enters as ln(x) / 2 - 1/2: the scale is put into the weights
    weight = first[0].copy()
    weight[_REST] *= 0.5
    weight[_PREVIOUS] *= 0.5
    bias = first[1] - 0.5 * first[0][_REST]
    dynamic = weight[[_REST, _PREVIOUS]]
    two = g.cast(g.op("Equal", left, g.const(2.0)), FLOAT)
    known = g.op("Concat", known, half_log(g, left, 1.0), two, axis=1)
    known = g.gemm(known, np.delete(weight, (_REST, _PREVIOUS), 0), bias)
    columns = [g.column(g.at(t, order)) for t in numbers]
    table = _scalars(g, floor, columns, left)
    held = g.reshape(g.cast(hits.count, FLOAT), -1, model.geometry.layers)
    held = g.flat(g.op("Mul", held, g.const(model.floor_L.numpy())))
    free = g.at(g.op("Relu", g.op("Sub", energy_G, held)), _groups_by_count(g, hits))
    free = g.column(free)
    previous, empty = g.op("Mul", free, g.const(0.0)), g.slice(free, 0, 0, 0)

    def body(b: Graph) -> None:
        _one_rank(b, (dynamic, others), (known, table), (start, size))

    passes = g.op("Squeeze", g.size(size))
    out = g.ops("Loop", 3, passes, "", free, previous, empty, body=g.body("one_rank", body))
    return g.op("Max", g.op("Add", out[2], floor), threshold), order


def _per_hit(g: Graph, model: HitModel, hits: Placed, order: str) -> tuple[str, str]:
    """Energy that each hit gets before the rest is shared, and the least that it ends with, [H, 1]."""
    layer = g.at(layers_of_hits(g, hits, model.geometry.layers), order)
    threshold = model.threshold_L.numpy()
    pair = [g.column(g.at(g.const(x), layer)) for x in (model.floor_L.numpy(), LEAST * threshold)]
    return pair[0], pair[1]


def _scalars(g: Graph, floor: str, numbers: list[str], left: str) -> str:
    """Per hit [H, 5]: its two numbers; 1 / (hits left 0.1 MeV); energy held for those left; log of the others left."""
    one = g.const(1.0)
    scale = g.op("Div", g.const(1 / MEV_TENTH), left)
    least = g.op("Mul", left, floor)
    others = g.op("Log", g.clip(g.op("Sub", left, one), 1.0, None))
    others = g.op("Where", g.op("LessOrEqual", left, one), g.const(-_ALL), others)
    return g.op("Concat", *numbers, scale, least, others, axis=1)


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
    place = g.op("Add", g.at(start, hits.rank), g.at(position, hits.group))
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
    beside = neighbour_counts(g, model.geometry, hits, (cond["offset_x"], cond["offset_y"]))
    return g.op(
        "Concat",
        g.op("Div", g.op("Add", g.clip(log_rate, -9.0, 4.0), g.const(1.0)), g.const(2.0)),
        g.op("Div", a, g.const(3.0)),
        g.op("Div", g.op("Abs", b), g.const(3.0)),
        g.slice(per_layer, 1, 0, 3),
        g.op("Gather", g.op("Gather", cond["globals"], g.const([0, 2], np.int64), axis=1), hits.row, axis=0),
        *(g.op("Div", g.column(n), g.const(2.0)) for n in beside),
        g.slice(per_layer, 1, 3, 3 + CODES),
        axis=1,
    )


def half_log(g: Graph, x: str, minus: float) -> str:
    """ln(x) / 2 - minus."""
    return g.op("Sub", g.op("Div", g.op("Log", x), g.const(2.0)), g.const(minus))


def _one_rank(b: Graph, nets: tuple[FloatArray, Weights], hits: tuple[str, str], ranks: tuple[str, str]) -> None:
    """One hit of every layer that has as many."""
    rank = b.input("rank", INT64, [])
    go_on = b.input("go_on", BOOL, [])
    free, previous = b.input("free", FLOAT, ["G", 1]), b.input("previous", FLOAT, ["G", 1])
    served = b.input("served", FLOAT, ["H", 1])
    at = b.op("Unsqueeze", rank, b.const([0], np.int64))
    first, n = (b.op("Gather", t, at) for t in ranks)
    end = b.op("Add", first, n)
    free, previous = b.slice(free, 0, 0, n), b.slice(previous, 0, 0, n)
    known, table = (b.slice(t, 0, first, end) for t in hits)
    uniform, quantile, scale, least, others = b.ops("Split", 5, table, axis=1, num_outputs=5)
    mean = b.op("Log", b.clip(b.op("Mul", b.op("Add", free, least), scale), 1e-3, None))
    dynamic = b.op("Concat", mean, b.clip(previous, -6.0, 6.0), axis=1)
    h = b.silu(b.op("Add", known, b.op("MatMul", dynamic, b.const(nets[0]))))
    h = b.silu(b.gemm(h, *nets[1][0]))
    y = _draw_logit(b, b.gemm(h, *_shifted(nets[1][1])), uniform, quantile)
    z = b.op("Sub", y, others)
    taken = b.op("Mul", b.op("Sigmoid", z), free)
    b.output(go_on, "go_on_out", BOOL, [])
    b.output(b.op("Mul", b.op("Sigmoid", b.op("Neg", z)), free), "free_out", FLOAT, ["G", 1])
    b.output(y, "previous_out", FLOAT, ["G", 1])
    b.output(b.op("Concat", served, taken, axis=0), "served_out", FLOAT, ["H", 1])


def _shifted(last: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Last layer of the sharing network, with the offset of the log widths in its bias."""
    bias = last[1].copy()
    bias[2 * SHARE_COMPONENTS :] -= 0.7
    return last[0], bias


def _draw_logit(b: Graph, mixture: str, uniform: str, quantile: str) -> str:
    """A draw from a logistic mixture, [n, 1].

    Every component is worked out and the drawn one is kept by a mask, which costs less than gathering.
    """
    m = SHARE_COMPONENTS
    logits, centre, width = b.ops("Split", 3, mixture, axis=1, num_outputs=3)
    lower = b.op("MatMul", b.op("Softmax", logits, axis=1), b.const(np.triu(np.ones((m, m)), 1)))
    reached = b.cast(b.op("Less", lower, uniform), FLOAT)
    drawn = b.op("MatMul", reached, b.const(np.eye(m) - np.eye(m, k=-1)))
    value = b.op("Add", centre, b.op("Mul", b.op("Exp", b.clip(width, -5.0, 2.0)), quantile))
    return b.op("MatMul", b.op("Mul", value, drawn), b.const(np.ones((m, 1))))
