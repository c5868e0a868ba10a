# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the choice between candidates of a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastcalo.training.architectures.showers import choice as reference
from fastcalo.training.architectures.showers.choice import (
    ACROSS,
    ALONG,
    FEATURES,
    OF_LAYER,
    SPREAD,
    WIDTHS,
    ChoiceNetwork,
)

from ..hits.layers import weights_of
from ..onnx_graph import FLOAT, INT64, Graph
from .surroundings import Surroundings


@dataclass(frozen=True)
class Choice:
    """Names of what the Loop over layers takes to choose.

    ``known``: float32 [L, FEATURES + WIDTHS[1], N]; ``uniform``: float32 [L, N]; ``first``: number of each shower's
    first candidate, int64 [N].
    """

    network: ChoiceNetwork
    known: str
    uniform: str
    first: str


def choice_tables(
    g: Graph, network: ChoiceNetwork, cond: dict[str, str], per_layer: str, uniform: str, showers: str
) -> Choice:
    """`ChoiceNetwork.known_of_layers` of all layers.

    Parameters
    ----------
    g : Graph
    network : ChoiceNetwork
    cond : dict
        ``globals`` [N, G]; ``folded`` [L, N, 2].
    per_layer : str
        As in `Tables`.
    uniform : str
        Uniform numbers, float32 [N, L, 1].
    showers : str
    """
    energies, counts = (g.slice(per_layer, 1, i, i + 1) for i in range(2))
    first = g.op("Add", g.op("Mul", g.slice(counts, 0, 0, 1), g.const(0.0)), g.const(math.sqrt(0.5) / 3 - 1))
    before = g.op("Concat", first, g.slice(counts, 0, 0, -1), axis=0)
    root = g.op("Mul", g.op("Add", counts, g.const(1.0)), g.const(3.0))
    rows = g.op("Concat", counts, before, g.op("Reciprocal", root), energies, axis=1)
    rows = g.op("Concat", g.op("Transpose", rows, perm=[0, 2, 1]), cond["folded"], axis=2)
    (weight, bias), *others = weights_of(network.known)
    width = WIDTHS[0]
    of_shower = g.row(g.gemm(cond["globals"], weight[:-OF_LAYER], bias))
    of_layer = g.reshape(g.gemm(g.reshape(rows, -1, OF_LAYER), weight[-OF_LAYER:]), len(network.layer), -1, width)
    x = g.op("Add", g.op("Add", of_layer, g.const(_array(network.layer)[:, None])), of_shower)
    x = g.reshape(x, -1, width)
    for weight, bias in others:
        x = g.gemm(g.silu(x), weight, bias)
    x = g.op("Transpose", g.reshape(x, len(network.layer), -1, FEATURES + WIDTHS[1]), perm=[0, 2, 1])
    uniform = g.op("Squeeze", g.op("Transpose", uniform, perm=[1, 0, 2]), g.const([2], np.int64))
    first_of = g.op("Mul", g.arange(showers), g.const(network.candidates, np.int64))
    return Choice(network, x, uniform, first_of)


def kept_hits(
    s: Surroundings, choice: Choice, at: str, candidate: str, row: str, d: list[str], near: tuple[str, ...]
) -> str:
    """Indices of the hits of the candidates that are kept, int64 [H].

    Parameters
    ----------
    s : Surroundings
    choice : Choice
    at : str
        The layer, int64 [1].
    candidate, row : str
        Of each hit, and its shower.
    d : list of str
        Position from the line of flight.
    near : tuple of str
        Hits across an edge, across a corner and in the layer before, the length of the row of layers that leads to
        those, and the step along x and y from them.
    """
    b = s.b
    known, uniform = (
        b.op("Squeeze", b.op("Gather", t, at, axis=0), b.const([0], np.int64)) for t in (choice.known, choice.uniform)
    )
    tilt, code = b.ops("Split", 2, known, b.const([FEATURES, WIDTHS[1]], np.int64), axis=0)
    feature, root = _features(s, _columns(s, row, d, near), candidate)
    network = choice.network
    z = b.op("Div", b.op("Sub", feature, _column(b, network.mean_F)), _column(b, network.deviation_F))
    weighted = b.op("Mul", z, b.row(root))
    (hidden, hidden_bias), (last, _) = weights_of(network.score)
    seen = _array(network.seen.weight).copy()
    seen[:, FEATURES:] /= 3
    x = b.op("MatMul", b.const(seen), b.op("Concat", z, weighted, axis=0))
    x = b.silu(b.op("Add", b.reshape(x, WIDTHS[1], -1, network.candidates), _third_axis(b, code)))
    x = b.op("Add", b.op("MatMul", b.const(hidden.T), b.reshape(x, WIDTHS[1], -1)), b.const(hidden_bias[:, None]))
    score = b.op("MatMul", b.const(last.T), b.silu(x))
    by_shower = b.op("Mul", b.reshape(weighted, FEATURES, -1, network.candidates), _third_axis(b, tilt))
    score = b.op("Add", b.reshape(score, -1, network.candidates), b.sum(by_shower, 0, keep=False))
    there = b.op("Greater", b.reshape(root, -1, network.candidates), b.const(0.0))
    score = b.op("Where", there, score, b.const(reference.NOT_DRAWN))
    upper = b.op("CumSum", b.op("Softmax", score, axis=1), b.const(1, np.int64))
    end = network.candidates - 1
    upper, total = b.slice(upper, 1, 0, end), b.slice(upper, 1, end, end + 1)
    which = b.sum(b.cast(b.op("Greater", b.op("Mul", b.column(uniform), total), upper), INT64), 1, keep=False)
    kept = b.op("Add", choice.first, which)
    return b.flat(b.op("NonZero", b.op("Equal", candidate, b.at(kept, row))))


def _columns(s: Surroundings, row: str, d: list[str], near: tuple[str, ...]) -> str:
    """`reference.columns_of_hits`, float32 [FEATURES, H]."""
    b = s.b
    edge, corner, before, length, *step = near
    a, across = s.along_across(row, d)
    soft = b.const(1 / reference.SOFT_RADIUS)
    a, across = (
        b.op("Div", v, b.op("Mul", b.op("Add", b.op("Mul", b.op("Abs", v), soft), b.const(1.0)), b.const(3.0)))
        for v in (a, across)
    )
    square = s.square(d)
    beside = b.op("Add", edge, corner)

    def part(kind: str, x: str, limit: float) -> str:
        return b.cast(b.op(kind, x, b.const(limit)), FLOAT)

    far, in_row = part("Greater", square, reference.FAR**2), part("Greater", length, 2.5)
    sets = b.op("Reciprocal", b.op("Add", beside, b.const(1.0)))
    beside_3, before_3 = (b.op("Div", x, b.const(3.0)) for x in (beside, before))
    lone, alone = part("Less", beside, 0.5), part("Less", before, 0.5)
    within = [part("Less", square, radius**2) for radius in reference.RADII]
    rows = [
        edge, corner, lone, part("Greater", beside, 2.5),
        before_3, alone, part("Greater", before, 3.5), b.op("Mul", lone, alone),
        b.op("Mul", b.op("Log", b.op("Add", square, b.const(0.1))), b.const(0.5)), *within[:3],
        b.op("Sub", b.const(1.0), within[3]),
        a, b.op("Abs", across), b.op("Add", b.op("Mul", a, a), b.op("Mul", across, across)), across,
        b.op("Sqrt", s.square(step)), b.op("Mul", b.op("Mul", beside, before), b.const(1 / 9)),
        b.op("Mul", length, b.const(1 / 8)), in_row, sets, b.op("Mul", alone, sets), b.op("Mul", far, alone),
        b.op("Mul", far, beside_3), b.op("Mul", far, before_3), b.op("Mul", alone, beside_3),
        b.op("Mul", far, in_row), b.op("Mul", part("Greater", length, 0.5), part("Less", length, 1.5)),
    ]  # fmt: skip
    return b.op("Concat", *(b.row(r) for r in rows), axis=0)


def _features(s: Surroundings, columns: str, candidate: str) -> tuple[str, str]:
    """`reference.features` of all candidates, float32 [FEATURES, N K], and the roots of their numbers of hits."""
    b = s.b
    count = b.op("ScatterElements", b.full(s.sets, 0), candidate, b.full(b.size(candidate), 1), axis=0, reduction="add")
    number = b.cast(count, FLOAT)
    zeros = b.full(b.op("Concat", b.const([FEATURES], np.int64), s.sets, axis=0), 0.0, np.float32)
    place = b.op("Expand", b.row(candidate), s.shape(FEATURES, candidate))
    total = b.op("ScatterElements", zeros, place, columns, axis=1, reduction="add")
    mean = b.op("Div", total, b.row(b.clip(number, 1.0, None)))
    sizes = [ALONG, 1, SPREAD - ALONG - 1, 1, 1, FEATURES - ACROSS - 1]
    before, along, between, square, across, after = b.ops("Split", 6, mean, b.const(sizes, np.int64), axis=0)
    of_mean = b.op("Add", b.op("Mul", along, along), b.op("Mul", across, across))
    spread = b.op("Sqrt", b.clip(b.op("Sub", square, of_mean), reference.LEAST_SQUARE, None))
    feature = b.op("Concat", before, along, between, spread, b.op("Abs", across), after, axis=0)
    return feature, b.op("Sqrt", number)


def _third_axis(b: Graph, x: str) -> str:
    """What all candidates of a shower share, to be broadcast over them: [F, N] -> [F, N, 1]."""
    return b.op("Unsqueeze", x, b.const([2], np.int64))


def _column(b: Graph, values: Tensor) -> str:
    return b.const(_array(values)[:, None])


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().numpy()
    return array
