"""Graph of the first network: counts and energies of all layers, in a Scan over layers."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fastcalo.training.hits import layers as twin
from fastcalo.training.hits.layers import LayerModel
from fastcalo.training.nets import linear_layers

from .builder import FLOAT, INT64, Graph

FloatArray: TypeAlias = NDArray[np.float32]
Weights: TypeAlias = list[tuple[FloatArray, FloatArray]]
_PAST = 3


def weights_of(net: nn.Sequential) -> Weights:
    """Weight [in, out] and bias of each linear layer."""
    return [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy().copy()) for m in linear_layers(net)]


def draw_layers(g: Graph, model: LayerModel, cond: dict[str, str], noise: dict[str, str]) -> tuple[str, str]:
    """Energies and counts of all layers, names of float32 [N, L].

    The first linear layers of both networks are cut in two: what is known beforehand is multiplied once for all
    layers, what has been drawn inside the Scan.
    """
    geometry = model.geometry
    layers, n_globals = geometry.layers, geometry.n_globals
    count, energy = weights_of(model.count), weights_of(model.energy)
    first = np.concatenate([count[0][0], energy[0][0][: model.n_inputs]], 1)
    bias = np.concatenate([count[0][1], energy[0][1]])
    static = [*range(n_globals + 4 + layers)]
    dynamic = [*range(len(static), model.n_inputs)]
    known = g.op(
        "Add",
        g.op("Unsqueeze", g.gemm(cond["globals"], first[:n_globals], bias), g.const([0], np.int64)),
        g.const(first[n_globals + 4 : len(static)][:, None]),
    )
    fold = cond["folded"]  # [L, N, 2]
    following = g.op("Concat", g.slice(fold, 0, 1, layers), g.slice(fold, 0, layers - 1, layers), axis=0)
    pair = g.op("Concat", fold, following, axis=2)
    known = g.op("Add", known, g.op("MatMul", pair, g.const(first[n_globals : n_globals + 4])))
    zeros = g.op(
        "Expand", g.const([[0.0]]), g.op("Concat", g.size(cond["log_energy"]), g.const([layers], np.int64), axis=0)
    )
    padded = g.op("Concat", g.slice(zeros, 1, 0, _PAST), zeros, axis=1)
    scanned = [
        known,
        g.op("Transpose", noise["layer_uniform"], perm=[1, 0, 2]),
        *(
            g.op("Unsqueeze", g.op("Transpose", noise[f"layer_{kind}"], perm=[1, 0]), g.const([2], np.int64))
            for kind in ("logistic", "normal")
        ),
        g.const(np.eye(layers)),
        g.const(np.arange(layers)[:, None] + np.arange(_PAST), np.int64),
        g.const(model.threshold_L.numpy()[:, None]),
    ]
    if model.n_history:
        away = np.arange(layers)[:, None] - np.arange(layers)
        scanned += [
            g.const(np.arange(layers)[:, None]),
            g.const(away <= 0),
            g.const((away > 0) & (away <= twin.RECENT)),
        ]
    energy_1 = g.column(g.op("Exp", cond["log_energy"]))
    log_1 = g.column(cond["log_energy"])
    state = [padded, padded, zeros, zeros]

    def body(b: Graph) -> None:
        _one_layer(b, model, first[dynamic], count, energy, energy_1, log_1)

    out = g.ops("Scan", 4, *state, *scanned, body=g.body("one_layer", body), num_scan_inputs=len(scanned))
    return out[2], out[3]


def _one_layer(b: Graph, model: LayerModel, dynamic: NDArray[np.float32], count: Weights, energy: Weights,
               energy_1: str, log_1: str) -> None:  # fmt: skip
    layers = model.geometry.layers
    shape: list[int | str] = ["N", layers]
    padded: list[int | str] = ["N", layers + _PAST]
    root = b.input("root", FLOAT, padded)
    log_e = b.input("log_e", FLOAT, padded)
    e, n = b.input("e", FLOAT, shape), b.input("n", FLOAT, shape)
    known = b.input("known", FLOAT, ["N", dynamic.shape[1]])
    u = b.input("u", FLOAT, ["N", 2])
    quantile, z = b.input("quantile", FLOAT, ["N", 1]), b.input("z", FLOAT, ["N", 1])
    here, last = b.input("here", FLOAT, [layers]), b.input("last", INT64, [_PAST])
    threshold = b.input("threshold", FLOAT, [1])
    x = _dynamic_inputs(b, model, root, log_e, e, n, last, energy_1, log_1)
    if model.n_history:
        x = b.op("Concat", x, _history(b, model, root, log_e, e, n, log_1), axis=1)
    hidden = b.op("Add", b.op("MatMul", x, b.const(dynamic)), known)
    width = count[0][0].shape[1]
    h = b.silu(b.slice(hidden, 1, 0, width))
    h = b.silu(b.gemm(h, *count[1]))
    weight, centre, spread = b.ops("Split", 3, b.gemm(h, *count[2]), axis=1, num_outputs=3)
    centre, spread = pick(b, weight, b.slice(u, 1, 0, 1), centre, spread)
    spread = b.op("Exp", b.clip(b.op("Sub", spread, b.const(1.0)), -5.0, 2.0))
    value = b.op("Add", b.op("Mul", centre, b.const(2.0)), b.const(1.0))
    value = b.op("Add", value, b.op("Mul", spread, quantile))
    value = b.op("Relu", value)
    number = b.clip(b.op("Floor", b.op("Mul", value, value)), None, twin.MAX_COUNT)
    sqrt = b.op("Sqrt", number)
    extra = b.op(
        "Concat",
        b.op("Div", sqrt, b.const(3.0)),
        b.op("Log", b.op("Add", number, b.const(0.5))),
        b.cast(b.op("Equal", number, b.const(1.0)), FLOAT),
        axis=1,
    )
    h = b.op(
        "Add", b.slice(hidden, 1, width, 2 * width), b.op("MatMul", extra, b.const(energy[0][0][model.n_inputs :]))
    )
    h = b.silu(b.gemm(b.silu(h), *energy[1]))
    weight, centre, spread = b.ops("Split", 3, b.gemm(h, *energy[2]), axis=1, num_outputs=3)
    centre, spread = pick(b, weight, b.slice(u, 1, 1, 2), centre, spread)
    spread = b.op("Exp", b.clip(b.op("Sub", spread, b.const(0.7)), -5.0, 1.5))
    log_mean = b.op("Add", b.op("Add", centre, b.const(1.0)), b.op("Mul", spread, z))
    mean = b.op("Mul", b.op("Exp", b.clip(log_mean, *twin.LOG_MEAN_RANGE)), b.const(twin.MEV_TENTH))
    deposit = b.op("Mul", number, b.op("Add", mean, threshold))
    here_padded = b.op("Concat", b.const([0.0] * _PAST), here, axis=0)
    scale = b.op("Div", b.op("Log", b.op("Add", b.op("Div", deposit, b.const(twin.FLOOR)), b.const(1.0))), b.const(4.0))
    for name, old, new, at, kind in (
        ("root_out", root, sqrt, here_padded, padded),
        ("log_e_out", log_e, scale, here_padded, padded),
        ("e_out", e, deposit, here, shape),
        ("n_out", n, number, here, shape),
    ):
        b.output(b.op("Add", old, b.op("Mul", new, at)), name, FLOAT, kind)


def _dynamic_inputs(b: Graph, model: LayerModel, root: str, log_e: str, e: str, n: str, last: str,
                    energy_1: str, log_1: str) -> str:  # fmt: skip
    """The part of `LayerModel.inputs` that depends on what has been drawn."""
    layers = model.geometry.layers
    depth_row = b.const(model.depth_L.numpy()[None])
    total = b.sum(e, 1)
    safe = b.op("Add", total, b.const(1e-7))
    depth = b.op("Div", b.sum(b.op("Mul", e, depth_row), 1), safe)
    away = b.op("Sub", depth_row, depth)
    spread = b.op("Div", b.sum(b.op("Mul", e, b.op("Mul", away, away)), 1), safe)
    largest = b.op("ReduceMax", e, b.const([1], np.int64), keepdims=1)
    return b.op(
        "Concat",
        b.op("Div", b.slice(root, 1, _PAST, layers + _PAST), b.const(3.0)),
        b.slice(log_e, 1, _PAST, layers + _PAST),
        b.op("Div", b.op("Gather", root, last, axis=1), b.const(2.0)),
        b.op("Gather", log_e, last, axis=1),
        b.op("Sub", b.op("Mul", b.op("Div", total, energy_1), b.const(40.0)), b.const(0.5)),
        b.op("Add", b.op("Sub", b.op("Log", b.op("Add", total, b.const(1e-4))), log_1), b.const(4.0)),
        b.op("Div", b.op("Sqrt", b.sum(n, 1)), b.const(6.0)),
        depth,
        b.op("Sqrt", b.op("Add", spread, b.const(1e-6))),
        b.op("Add", b.op("Log", b.op("Add", b.op("Div", largest, energy_1), b.const(1e-3))), b.const(3.0)),
        axis=1,
    )


def _history(b: Graph, model: LayerModel, root: str, log_e: str, e: str, n: str, log_1: str) -> str:
    """`LayerModel.history` and what follows it, for models of several sections."""
    layers, axis, one = model.geometry.layers, b.const([1], np.int64), b.const(1.0)
    layer, future = b.input("layer", FLOAT, [1]), b.input("future", FLOAT, [layers])
    recent = b.op("Unsqueeze", b.input("recent", FLOAT, [layers]), axis)
    index, nowhere = b.const(np.arange(layers)), b.const(-1.0)
    # a layer still to come counts as one of exactly one hit
    track = b.op("Equal", b.op("Add", n, future), one)
    many = b.op("GreaterOrEqual", n, b.const(float(twin.SHOWERING)))
    first = b.op("ReduceMin", b.op("Where", many, index, layer), axis, keepdims=1)
    places = [
        b.op("Where", many, index, nowhere),
        b.op("Where", track, nowhere, index),
        b.op("Where", b.op("Greater", n, b.const(0.0)), index, nowhere),
    ]
    last = [b.op("Add", b.op("ReduceMax", place, axis, keepdims=1), one) for place in places]
    since = b.op("Sub", b.op("Add", layer, one), b.op("Concat", first, *last, axis=1))
    means = [
        b.op("Div", b.op("MatMul", b.slice(x, 1, _PAST, layers + _PAST), recent), b.const(float(twin.RECENT)))
        for x in (root, log_e)
    ]
    sums = b.op("Log", b.op("Add", b.op("MatMul", e, b.const(model.section_LS.numpy())), b.const(1e-4)))
    sums = b.op("Add", b.op("Sub", sums, log_1), b.const(4.0))
    return b.op("Concat", b.op("Div", b.op("Log", since), b.const(2.0)), *means, sums, axis=1)


def pick(b: Graph, logits: str, uniform: str, *tables: str) -> list[str]:
    """Draw a component of a mixture by inversion and return its entry of each table, [n, 1].

    `logits` and `tables` are [n, M], `uniform` is [n, 1].
    """
    upper = b.op("CumSum", b.op("Softmax", logits, axis=1), b.const(1, np.int64))
    passed = b.cast(b.op("Less", b.slice(upper, 1, 0, -1), uniform), INT64)
    index = b.sum(passed, 1)
    return [b.op("GatherElements", t, index, axis=1) for t in tables]
