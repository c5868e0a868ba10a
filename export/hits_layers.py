"""Graph of the first network: counts and energies of all layers, in a Scan over layers."""

from __future__ import annotations

from dataclasses import dataclass
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
_COUNTERS = 4
"""Numbers of `LayerModel.history`."""


def weights_of(net: nn.Sequential) -> Weights:
    """Weight [in, out] and bias of each linear layer."""
    return [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy().copy()) for m in linear_layers(net)]


@dataclass(frozen=True)
class _First:
    """First linear layers of both networks side by side, cut by what they are multiplied with.

    ``globals``, ``offsets``, ``layer``: what is known beforehand; ``past`` [L, 2, W]: root of the number of hits, and
    energy, of each layer drawn before; ``summary``: the rest.
    """

    globals: FloatArray
    offsets: FloatArray
    layer: FloatArray
    past: FloatArray
    summary: FloatArray
    bias: FloatArray

    @classmethod
    def of(cls, model: LayerModel, count: Weights, energy: Weights) -> _First:
        weight = np.concatenate([count[0][0], energy[0][0][: model.n_inputs]], 1)
        layers, n_globals = model.geometry.layers, model.geometry.n_globals
        ends = np.cumsum([n_globals, 4, layers, layers, layers])
        known, offsets, layer, root, log_e, summary = np.split(weight, ends)
        past = np.stack([root / 3, log_e], 1)
        return cls(known, offsets, layer, past, summary, np.concatenate([count[0][1], energy[0][1]]))


def draw_layers(g: Graph, model: LayerModel, cond: dict[str, str], noise: dict[str, str]) -> tuple[str, str]:
    """Energies and counts of all layers, names of float32 [N, L].

    The first linear layers of both networks are cut: what is known beforehand is multiplied once for all layers, and
    what a layer adds for all behind it is added up as it is drawn.
    """
    layers = model.geometry.layers
    count, energy = weights_of(model.count), weights_of(model.energy)
    first = _First.of(model, count, energy)
    scanned = [
        _known(g, first, cond, layers),
        g.op("Transpose", noise["layer_uniform"], perm=[1, 0, 2]),
        *(
            g.op("Unsqueeze", g.op("Transpose", noise[f"layer_{kind}"], perm=[1, 0]), g.const([2], np.int64))
            for kind in ("logistic", "normal")
        ),
        g.const(np.eye(layers)),
        g.const(first.past),
        g.const(model.threshold_L.numpy()[:, None]),
    ]
    n_recent = twin.RECENT if model.n_history else _PAST
    widths = [first.past.shape[2], n_recent, n_recent, layers, layers]
    if model.n_history:
        scanned.append(g.const(model.section_LS.numpy()))
        widths += [_COUNTERS, len(model.geometry.sections)]
    showers = g.size(cond["log_energy"])
    state = [
        g.op("Expand", g.const([[0.0]]), g.op("Concat", showers, g.const([width], np.int64), axis=0))
        for width in widths
    ]
    outer = (g.column(g.op("Exp", cond["log_energy"])), g.column(cond["log_energy"]))

    def body(b: Graph) -> None:
        _one_layer(b, model, first, (count, energy), outer, widths)

    out = g.ops("Scan", len(state), *state, *scanned, body=g.body("one_layer", body), num_scan_inputs=len(scanned))
    return out[3], out[4]


def _known(g: Graph, first: _First, cond: dict[str, str], layers: int) -> str:
    """What both networks' first layers make of the conditions, [L, N, W]."""
    of_shower = g.op("Unsqueeze", g.gemm(cond["globals"], first.globals, first.bias), g.const([0], np.int64))
    fold = cond["folded"]  # [L, N, 2]
    following = g.op("Concat", g.slice(fold, 0, 1, layers), g.slice(fold, 0, layers - 1, layers), axis=0)
    of_offsets = g.op("MatMul", g.op("Concat", fold, following, axis=2), g.const(first.offsets))
    return g.op("Add", g.op("Add", of_shower, g.const(first.layer[:, None])), of_offsets)


def _one_layer(b: Graph, model: LayerModel, first: _First, nets: tuple[Weights, Weights], outer: tuple[str, str],
               widths: list[int]) -> None:  # fmt: skip
    names = ("past", "root", "log_e", "e", "n", "since", "sums")[: len(widths)]
    shapes: list[list[int | str]] = [["N", width] for width in widths]
    state = {name: b.input(name, FLOAT, shape) for name, shape in zip(names, shapes, strict=True)}
    known = b.input("known", FLOAT, ["N", widths[0]])
    u = b.input("u", FLOAT, ["N", 2])
    quantile, z = b.input("quantile", FLOAT, ["N", 1]), b.input("z", FLOAT, ["N", 1])
    here, weight = b.input("here", FLOAT, [widths[3]]), b.input("weight", FLOAT, [2, widths[0]])
    threshold = b.input("threshold", FLOAT, [1])
    x = _summary(b, model, state, outer)
    hidden = b.op("Add", b.op("Add", b.op("MatMul", x, b.const(first.summary)), known), state["past"])
    number, deposit = _draw(b, model, nets, hidden, (u, quantile, z), threshold)
    deposit = b.op("Min", deposit, outer[0])
    root = b.op("Sqrt", number)
    scale = b.op("Div", b.op("Log", b.op("Add", b.op("Div", deposit, b.const(twin.FLOOR)), b.const(1.0))), b.const(4.0))
    new = {
        "past": b.op("Add", state["past"], b.op("MatMul", b.op("Concat", root, scale, axis=1), weight)),
        **{
            name: b.op("Concat", b.slice(state[name], 1, 1, widths[1]), value, axis=1)
            for name, value in (("root", root), ("log_e", scale))
        },
        "e": b.op("Add", state["e"], b.op("Mul", deposit, here)),
        "n": b.op("Add", state["n"], b.op("Mul", number, here)),
    }
    if model.n_history:
        section = b.input("section", FLOAT, [widths[6]])
        new["since"] = _counted(b, state["since"], number)
        new["sums"] = b.op("Add", state["sums"], b.op("Mul", deposit, section))
    for name, shape in zip(names, shapes, strict=True):
        b.output(new[name], f"{name}_out", FLOAT, shape)


def _draw(b: Graph, model: LayerModel, nets: tuple[Weights, Weights], hidden: str, noise: tuple[str, str, str],
          threshold: str) -> tuple[str, str]:  # fmt: skip
    """Number of hits and energy of a layer from what both networks' first layers say, each [N, 1]."""
    (count, energy), (u, quantile, z) = nets, noise
    width = count[0][0].shape[1]
    h = b.silu(b.gemm(b.silu(b.slice(hidden, 1, 0, width)), *count[1]))
    weight, centre, spread = b.ops("Split", 3, b.gemm(h, *count[2]), axis=1, num_outputs=3)
    centre, spread = pick(b, weight, b.slice(u, 1, 0, 1), centre, spread)
    spread = b.op("Exp", b.clip(b.op("Sub", spread, b.const(1.0)), -5.0, 2.0))
    value = b.op("Add", b.op("Mul", centre, b.const(2.0)), b.const(1.0))
    value = b.op("Relu", b.op("Add", value, b.op("Mul", spread, quantile)))
    number = b.clip(b.op("Floor", b.op("Mul", value, value)), None, twin.MAX_COUNT)
    extra = b.op(
        "Concat",
        b.op("Div", b.op("Sqrt", number), b.const(3.0)),
        b.op("Log", b.op("Add", number, b.const(0.5))),
        b.cast(b.op("Equal", number, b.const(1.0)), FLOAT),
        axis=1,
    )
    h = b.op("MatMul", extra, b.const(energy[0][0][model.n_inputs :]))
    h = b.silu(b.op("Add", b.slice(hidden, 1, width, 2 * width), h))
    h = b.silu(b.gemm(h, *energy[1]))
    weight, centre, spread = b.ops("Split", 3, b.gemm(h, *energy[2]), axis=1, num_outputs=3)
    centre, spread = pick(b, weight, b.slice(u, 1, 1, 2), centre, spread)
    spread = b.op("Exp", b.clip(b.op("Sub", spread, b.const(0.7)), -5.0, 1.5))
    log_mean = b.op("Add", b.op("Add", centre, b.const(1.0)), b.op("Mul", spread, z))
    mean = b.op("Mul", b.op("Exp", b.clip(log_mean, *twin.LOG_MEAN_RANGE)), b.const(twin.MEV_TENTH))
    return number, b.op("Mul", number, b.op("Add", mean, threshold))


def _summary(b: Graph, model: LayerModel, state: dict[str, str], outer: tuple[str, str]) -> str:
    """What `LayerModel.inputs` has behind the layers drawn before."""
    (energy_1, log_1), e = outer, state["e"]
    depth_row, axis = b.const(model.depth_L.numpy()[None]), b.const([1], np.int64)
    total = b.sum(e, 1)
    safe = b.op("Add", total, b.const(1e-7))
    depth = b.op("Div", b.sum(b.op("Mul", e, depth_row), 1), safe)
    away = b.op("Sub", depth_row, depth)
    spread = b.op("Div", b.sum(b.op("Mul", e, b.op("Mul", away, away)), 1), safe)
    largest = b.op("ReduceMax", e, axis, keepdims=1)
    n_recent = twin.RECENT if model.n_history else _PAST
    roots, scales = (b.slice(state[name], 1, n_recent - _PAST, n_recent) for name in ("root", "log_e"))
    columns = [
        b.op("Div", roots, b.const(2.0)),
        scales,
        b.op("Sub", b.op("Mul", b.op("Div", total, energy_1), b.const(40.0)), b.const(0.5)),
        b.op("Add", b.op("Sub", b.op("Log", b.op("Add", total, b.const(1e-4))), log_1), b.const(4.0)),
        b.op("Div", b.op("Sqrt", b.sum(state["n"], 1)), b.const(6.0)),
        depth,
        b.op("Sqrt", b.op("Add", spread, b.const(1e-6))),
        b.op("Add", b.op("Log", b.op("Add", b.op("Div", largest, energy_1), b.const(1e-3))), b.const(3.0)),
    ]
    if model.n_history:
        sums = b.op("Log", b.op("Add", state["sums"], b.const(1e-4)))
        columns += [
            b.op("Div", b.op("Log", b.op("Add", state["since"], b.const(1.0))), b.const(2.0)),
            *(b.op("ReduceMean", state[name], axis, keepdims=1) for name in ("root", "log_e")),
            b.op("Add", b.op("Sub", sums, log_1), b.const(4.0)),
        ]
    return b.op("Concat", *columns, axis=1)


def _counted(b: Graph, since: str, number: str) -> str:
    """The numbers of `LayerModel.history` after one more layer: each grows by one, or begins again at none."""
    zero, one = b.const(0.0), b.const(1.0)
    many = b.op("GreaterOrEqual", number, b.const(float(twin.SHOWERING)))
    begun = b.op("Or", many, b.op("Greater", b.slice(since, 1, 0, 1), zero))
    grows = [begun, b.op("Not", many), b.op("Equal", number, one), b.op("Equal", number, zero)]
    return b.op("Mul", b.op("Concat", *(b.cast(x, FLOAT) for x in grows), axis=1), b.op("Add", since, one))


def pick(b: Graph, logits: str, uniform: str, *tables: str) -> list[str]:
    """Draw a component of a mixture by inversion and return its entry of each table, [n, 1].

    `logits` and `tables` are [n, M], `uniform` is [n, 1].
    """
    upper = b.op("CumSum", b.op("Softmax", logits, axis=1), b.const(1, np.int64))
    passed = b.cast(b.op("Less", b.slice(upper, 1, 0, -1), uniform), INT64)
    index = b.sum(passed, 1)
    return [b.op("GatherElements", t, index, axis=1) for t in tables]
