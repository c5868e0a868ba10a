# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the energies of hits: each layer's energy is shared in a Loop over the rank of hits.

Hits are laid out rank by rank, layers with most hits first, so that every pass of the Loop works on the head of
the state and on one contiguous piece of the hits. What is known of a hit is a row over the hits, not a column: ONNX
Runtime broadcasts along the last axis fast, and along a short one slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastcalo.training.architectures.hit_lists.hit_networks import (
    CODES,
    LEAST,
    OF_FIXED_ENERGY,
    RATE_OFFSET,
    SHARE_COMPONENTS,
    HitNetworks,
)
from fastcalo.training.architectures.hit_lists.layer_model import MEV_TENTH
from fastcalo.training.architectures.hits.cell_model import BLOBS, SHARE_INPUTS, HitModel

from ..onnx_graph import BOOL, FLOAT, INT64, Graph
from .layers import FloatArray, Weights, weights_of
from .points import Blobs, Placed, layers_of_hits

# columns of the sharing network's inputs that change from hit to hit; see HitModel.share_mixture
_REST, _LEFT, _PREVIOUS, _LAST_TWO = range(SHARE_INPUTS - 4, SHARE_INPUTS)
_ALL = 100.0
"""Logit of a share that leaves nothing, in single precision."""
_LARGEST_LOGIT = 80.0
"""Its exponential is still finite."""


@dataclass(frozen=True)
class Ranks:
    """Layout of the hits rank by rank: names of int64 tensors.

    ``by_count`` [G]: layers of showers, those with most hits first; ``place`` [H]: where each hit goes; ``order`` [H]:
    which hit comes there; ``start``, ``size`` [R]: first place and number of each rank's hits.
    """

    by_count: str
    place: str
    order: str
    start: str
    size: str


def by_rank(g: Graph, hits: Placed) -> Ranks:
    """How hits, ordered by layer, are laid out rank by rank."""
    by_count = g.ops("TopK", 2, hits.count, g.size(hits.count), axis=0, largest=1, sorted=1)[1]
    groups = g.size(hits.count)
    position = g.op("ScatterElements", g.full(groups, 0), by_count, g.arange(groups), axis=0)
    passes = g.op("ReduceMax", g.op("Concat", hits.count, g.const([0], np.int64), axis=0), keepdims=1)
    ones = g.full(g.size(hits.rank), 1)
    size = g.op("ScatterElements", g.full(passes, 0), hits.rank, ones, axis=0, reduction="add")
    start = g.op("CumSum", size, g.const(0, np.int64), exclusive=1)
    place = g.op("Add", g.at(start, hits.rank), g.at(position, hits.group))
    index = g.arange(g.size(place))
    return Ranks(by_count, place, g.op("ScatterElements", index, place, index, axis=0), start, size)


def reordered(g: Graph, hits: Placed, order: str) -> Placed:
    """The same hits in another order."""
    names = ("group", "row", "rank", "x", "y", "a", "b")
    return replace(hits, **{name: g.at(getattr(hits, name), order) for name in names})


def share_energies(
    g: Graph,
    model: HitModel,
    blobs: Blobs,
    hits: Placed,
    beside: list[str],
    ranks: Ranks,
    cond: dict[str, str],
    energy_G: str,
    numbers: list[str],
) -> str:
    """Deposits of all hits, float32 [H].

    All that can be known before the Loop is worked out before it, for all hits at once: what is left for the Loop is
    the energy that remains and the draw before.

    Parameters
    ----------
    g : Graph
    model : HitModel
    blobs : Blobs
    hits : Placed
        Rank by rank.
    beside : list of str
        `neighbour_counts` of these, float32 [H].
    ranks : Ranks
    cond : dict
    energy_G : str
    numbers : list of str
        Uniform and logistic number of each hit, float32 [H].
    """
    first, *_ = weights_of(model.share)
    left = hits_left(g, hits)
    known = _known(g, first, blobs, hits, beside, left, cond)
    return serve_hits(g, model, known, hits, ranks, energy_G, numbers)


def hits_left(g: Graph, hits: Placed) -> str:
    """Hits of its layer not yet served when it is each hit's turn, itself included, float32 [H]."""
    return g.cast(g.op("Sub", g.at(hits.count, hits.group), hits.rank), FLOAT)


def serve_hits(
    g: Graph, model: HitNetworks, known: str, hits: Placed, ranks: Ranks, energy_G: str, numbers: list[str]
) -> str:
    """Deposits of all hits, rank by rank, float32 [H].

    Parameters
    ----------
    g : Graph
    model : HitNetworks
    known : str
        What the sharing network's first layer makes of all that is known of the hits beforehand, [H, W].
    hits : Placed
    ranks : Ranks
    energy_G : str
    numbers : list of str
    """
    first, *others = weights_of(model.share)
    rest, _, previous_input, _ = range(len(first[0]) - 4, len(first[0]))
    left = hits_left(g, hits)
    layer = layers_of_hits(g, hits, model.geometry.layers)
    threshold = model.threshold_L.numpy()
    minimum, least = (g.at(g.const(x), layer) for x in (model.minimum_deposit_L.numpy(), LEAST * threshold))
    table = _scalars(g, minimum, numbers, left)
    held = g.reshape(g.cast(hits.count, FLOAT), -1, model.geometry.layers)
    held = g.flat(g.op("Mul", held, g.const(model.minimum_deposit_L.numpy())))
    free = g.row(g.at(g.op("Relu", g.op("Sub", energy_G, held)), ranks.by_count))
    previous, empty = g.op("Mul", free, g.const(0.0)), g.slice(free, 1, 0, 0)
    # the log of the mean energy that remains enters as ln(x) / 2 - 1/2: scales are put into weights and biases
    dynamic = 0.5 * first[0][[rest, previous_input]]

    def body(b: Graph) -> None:
        _one_rank(b, (dynamic, others), (known, table), (ranks.start, ranks.size))

    passes = g.op("Squeeze", g.size(ranks.size))
    out = g.ops("Loop", 3, passes, "", free, previous, empty, body=g.body("one_rank", body))
    return g.op("Max", g.op("Add", g.flat(out[2]), minimum), least)


def _scalars(g: Graph, minimum: str, numbers: list[str], left: str) -> str:
    """Per hit [5, H]: its two numbers; 1 / (hits left 0.1 MeV); energy held for those left; log of the others left."""
    one = g.const(1.0)
    scale = g.op("Div", g.const(1 / MEV_TENTH), left)
    held = g.op("Mul", left, minimum)
    others = g.op("Log", g.clip(g.op("Sub", left, one), 1.0, None))
    others = g.op("Where", g.op("LessOrEqual", left, one), g.const(-_ALL), others)
    return g.op("Concat", *(g.row(x) for x in (*numbers, scale, held, others)), axis=0)


def _known(
    g: Graph,
    first: tuple[FloatArray, FloatArray],
    blobs: Blobs,
    hits: Placed,
    beside: list[str],
    left: str,
    cond: dict[str, str],
) -> str:
    """What the sharing network's first layer makes of all that is known of the hits beforehand, [H, W]."""
    weight, bias = first
    of_layer = g.op("Concat", cond["per_layer"], blobs.codes_GC, axis=1)
    two = g.cast(g.op("Equal", left, g.const(2.0)), FLOAT)
    of_shower = [g.at(g.flat(g.slice(cond["globals"], 1, i, i + 1)), hits.row) for i in (0, 2)]
    rows = g.op(
        "Concat",
        g.row(g.clip(_log_rate(g, blobs, hits), -9.0, 4.0)),
        g.row(hits.a),
        g.row(g.op("Abs", hits.b)),
        _rows_of(g, of_layer, 3 + CODES, hits.group),
        *(g.row(x) for x in (*of_shower, *beside, g.op("Log", left), two)),
        axis=0,
    )
    # inputs in the order and on the scale of HitModel.share_static and share_mixture
    columns = [0, 1, 2, 3, 4, 5, *range(10, 10 + CODES), 6, 7, 8, 9, _LEFT, _LAST_TWO]
    scale = np.ones(SHARE_INPUTS, np.float32)
    scale[[0, 8, 9, _LEFT]], scale[[1, 2]] = 1 / 2, 1 / 3
    bias = bias + 0.5 * weight[0] - 0.5 * weight[_REST] - weight[_LEFT]
    return g.op("Gemm", rows, g.const((weight * scale[:, None])[columns]), g.const(bias), transA=1)


def _rows_of(g: Graph, table: str, width: int, index_H: str) -> str:
    """``table[index].T`` of a table of `width` columns, [width, H]."""
    place = g.op("Mul", g.row(index_H), g.const(width, np.int64))
    place = g.op("Add", place, g.const(np.arange(width)[:, None], np.int64))
    return g.reshape(g.at(g.flat(table), g.flat(place)), width, -1)


def _log_rate(g: Graph, blobs: Blobs, hits: Placed) -> str:
    """`Profile.log_probability` and the log of the number of draws, [H]."""
    p, inverse, *centres = (
        _rows_of(g, table, BLOBS, hits.group)
        for table in (blobs.weight_GK, blobs.inverse_GK, blobs.centre_x_GK, blobs.centre_y_GK)
    )
    half = g.op("Mul", inverse, g.const(0.25))
    for centre, place in zip(centres, (hits.x, hits.y), strict=True):
        middle = g.op("Mul", g.op("Mul", g.op("Sub", g.row(place), centre), inverse), g.const(0.5))
        upper, lower = g.op("Tanh", g.op("Add", middle, half)), g.op("Tanh", g.op("Sub", middle, half))
        p = g.op("Mul", p, g.op("Mul", g.op("Sub", upper, lower), g.const(0.5)))
    # far from all blobs two equal numbers may differ by their last bit
    p = g.op("Relu", g.sum(p, 0, keep=False))
    return g.op("Add", g.op("Log", g.op("Add", p, g.const(RATE_OFFSET))), g.at(blobs.log_rate_G, hits.group))


def _one_rank(b: Graph, nets: tuple[FloatArray, Weights], hits: tuple[str, str], ranks: tuple[str, str]) -> None:
    """One hit of every layer that has as many."""
    rank = b.input("rank", INT64, [])
    go_on = b.input("go_on", BOOL, [])
    free, previous = b.input("free", FLOAT, [1, "G"]), b.input("previous", FLOAT, [1, "G"])
    served = b.input("served", FLOAT, [1, "H"])
    at = b.op("Unsqueeze", rank, b.const([0], np.int64))
    first, n = (b.op("Gather", t, at) for t in ranks)
    end = b.op("Add", first, n)
    free, previous = b.slice(free, 1, 0, n), b.slice(previous, 1, 0, n)
    known, table = b.slice(hits[0], 0, first, end), b.slice(hits[1], 1, first, end)
    uniform, quantile, scale, held, others = b.ops("Split", 5, table, axis=0, num_outputs=5)
    mean = b.op("Log", b.clip(b.op("Mul", b.op("Add", free, held), scale), 1e-3, None))
    dynamic = b.op("Concat", mean, b.clip(previous, -6.0, 6.0), axis=0)
    h = b.silu(b.op("Gemm", dynamic, b.const(nets[0]), known, transA=1))
    h = b.silu(b.gemm(h, *nets[1][0]))
    y = _draw_logit(b, h, nets[1][1], uniform, quantile, mean)
    z = b.op("Sub", y, others)
    taken = b.op("Mul", b.op("Sigmoid", z), free)
    b.output(go_on, "go_on_out", BOOL, [])
    b.output(b.op("Mul", b.op("Sigmoid", b.op("Neg", z)), free), "free_out", FLOAT, [1, "G"])
    b.output(y, "previous_out", FLOAT, [1, "G"])
    b.output(b.op("Concat", served, taken, axis=1), "served_out", FLOAT, [1, "H"])


def _draw_logit(b: Graph, h: str, last: tuple[FloatArray, FloatArray], uniform: str, quantile: str, mean: str) -> str:
    """A draw from the logistic mixture that the last layer of the sharing network gives, [1, n].

    Weights are taken relative to the first component's and left without their norm. Every component is worked out
    and the drawn one is kept by a mask, which costs less than gathering. `mean`: log of the mean energy that remains,
    from which components of fixed energy are counted.
    """
    m = SHARE_COMPONENTS
    weight, bias = (x.copy() for x in last)
    weight[:, :m] -= last[0][:, :1]
    bias[:m] -= last[1][0]
    bias[2 * m :] -= 0.7
    mixture = b.op("Gemm", b.const(weight), h, b.const(bias[:, None]), transA=1, transB=1)
    logits, centre, width = b.ops("Split", 3, mixture, axis=0, num_outputs=3)
    below = np.tril(np.ones((m + 1, m)), -1)
    sums = b.op("MatMul", b.const(below), b.op("Exp", b.clip(logits, None, _LARGEST_LOGIT)))
    lower, norm = b.slice(sums, 0, 0, m), b.slice(sums, 0, m, m + 1)
    reached = b.cast(b.op("Less", lower, b.op("Mul", norm, uniform)), FLOAT)
    drawn = b.op("MatMul", b.const(np.eye(m) - np.eye(m, k=1)), reached)
    value = b.op("Add", centre, b.op("Mul", b.op("Exp", b.clip(width, -5.0, 2.0)), quantile))
    fixed = (np.arange(m) >= m - OF_FIXED_ENERGY).astype(np.float32)
    from_mean = b.op("Mul", b.op("MatMul", b.const(fixed[None]), drawn), mean)
    return b.op("Sub", b.op("MatMul", b.const(np.ones((1, m))), b.op("Mul", value, drawn)), from_mean)
