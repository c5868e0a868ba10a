# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the layer model: numbers of hits and energies of all layers, in a Scan over layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fastcalo.training.architectures.hit_lists import layer_model as reference
from fastcalo.training.architectures.hit_lists.layer_model import LayerModel
from fastcalo.training.architectures.nets import linear_layers

from ..onnx_graph import FLOAT, INT64, Graph

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
    energy, of each layer drawn before; ``summary``: what `_summary` gives. The energy is four times that of
    `log_energy_scale`: here, as in `_summary`, constant factors and terms are put into weights and bias.
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
        past = np.stack([root / 3, log_e / 4], 1)
        summary, more = _of_summary(model, summary)
        bias = np.concatenate([count[0][1], energy[0][1]]) + more
        return cls(known, offsets, layer, past.astype(np.float32), summary, bias.astype(np.float32))


def _of_summary(model: LayerModel, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights of what `_summary` gives, from those of `LayerModel.inputs`, and what they add to the bias."""
    roots, scales, (total, log_total, number, depth, spread, largest), *more = np.split(
        weight, np.cumsum([_PAST, _PAST, 6, *([_COUNTERS, 1, 1] if model.n_history else [])])
    )
    n_recent = _n_recent(model)
    recent = np.zeros((n_recent, 2, weight.shape[1]), np.float32)
    recent[-_PAST:, 0], recent[-_PAST:, 1] = roots / 2, scales / 4
    bias = 4 * log_total + 3 * largest - 0.5 * total
    since, sums = [], []
    if model.n_history:
        counters, mean_root, mean_scale, of_section = more
        recent += np.stack([mean_root, mean_scale / 4], 1) / n_recent
        since, sums = [counters / 2], [of_section]
        bias = bias + 4 * of_section.sum(0)
    rows = [recent.reshape(2 * n_recent, -1), [40 * total, log_total], *sums, [number / 6, depth, spread, largest]]
    return np.concatenate([*rows, *since]).astype(np.float32), bias


def _n_recent(model: LayerModel) -> int:
    return reference.RECENT if model.n_history else _PAST


def draw_layers(g: Graph, model: LayerModel, cond: dict[str, str], noise: dict[str, str]) -> tuple[str, str]:
    """Energies and counts of all layers, names of float32 [N, L].

    The first linear layers of both networks are cut: what is the same in all layers is multiplied once, and what a
    layer adds for all behind it is added up as it is drawn.
    """
    layers = model.geometry.layers
    count, energy = weights_of(model.count), weights_of(model.energy)
    first = _First.of(model, count, energy)
    uniform = [g.slice(noise["layer_uniform"], 2, i, i + 1) for i in range(2)]
    per_layer = [g.op("Unsqueeze", noise[f"layer_{kind}"], g.const([2], np.int64)) for kind in ("logistic", "normal")]
    sections = model.section_LS.numpy() if model.n_history else np.zeros((layers, 0), np.float32)
    fold = cond["folded"]  # [L, N, 2]
    scanned = [
        fold,
        g.op("Concat", g.slice(fold, 0, 1, layers), g.slice(fold, 0, layers - 1, layers), axis=0),
        g.const(first.layer[:, None]),
        *(g.op("Transpose", t, perm=[1, 0, 2]) for t in (*uniform, *per_layer)),
        g.const(np.eye(layers)[:, None]),
        g.const(first.past),
        g.const(model.threshold_L.numpy()[:, None]),
        g.const(np.concatenate([np.ones((layers, 1)), sections], 1)),
    ]
    widths = [first.past.shape[2], 2 * _n_recent(model), layers, 1 + sections.shape[1], 1, 1]
    widths += [_COUNTERS] if model.n_history else []
    showers = g.size(cond["log_energy"])
    state = [g.gemm(cond["globals"], first.globals, first.bias)] + [
        g.op("Expand", g.const([[0.0]]), g.op("Concat", showers, g.const([width], np.int64), axis=0))
        for width in widths[1:]
    ]
    outer = _Outer.of(g, cond["log_energy"], cond.get("extra"))

    def body(b: Graph) -> None:
        _one_layer(b, model, first, (count, energy), outer, widths)

    out = g.ops("Scan", len(state) + 2, *state, *scanned, body=g.body("one_layer", body), num_scan_inputs=len(scanned))
    both = [g.op("Squeeze", g.op("Transpose", t, perm=[1, 0, 2]), g.const([2], np.int64)) for t in out[-2:]]
    return both[0], both[1]


@dataclass(frozen=True)
class _Outer:
    """Of each shower [N, 1]: largest deposit, inverse of the kinetic energy, offsets of sums as parts of the energy."""

    largest: str
    inverse: str
    offset: str
    small: str

    @classmethod
    def of(cls, g: Graph, log_energy: str, extra: str | None) -> _Outer:
        energy, inverse = (g.column(g.op("Exp", x)) for x in (log_energy, g.op("Neg", log_energy)))
        largest = g.op("Add", energy, g.column(extra)) if extra else energy
        return cls(largest, inverse, *(g.op("Mul", inverse, g.const(x)) for x in (1e-4, 1e-7)))


def _one_layer(b: Graph, model: LayerModel, first: _First, nets: tuple[Weights, Weights], outer: _Outer,
               widths: list[int]) -> None:  # fmt: skip
    names = ("past", "recent", "part", "sums", "largest", "number", "since")[: len(widths)]
    shapes: list[list[int | str]] = [["N", width] for width in widths]
    state = {name: b.input(name, FLOAT, shape) for name, shape in zip(names, shapes, strict=True)}
    offsets = [b.input(name, FLOAT, ["N", 2]) for name in ("fold", "following")]
    layer = b.input("layer", FLOAT, [1, widths[0]])
    draws = [b.input(name, FLOAT, ["N", 1]) for name in ("u_count", "u_energy", "quantile", "z")]
    here, weight = b.input("here", FLOAT, [1, widths[2]]), b.input("weight", FLOAT, [2, widths[0]])
    threshold, section = b.input("threshold", FLOAT, [1]), b.input("section", FLOAT, [widths[3]])
    x = b.op("Concat", *_summary(b, model, state, outer), *offsets, axis=1)
    weights = b.const(np.concatenate([first.summary, first.offsets]))
    hidden = b.op("Add", b.op("Gemm", x, weights, layer), state["past"])
    number, root, deposit = _draw(b, model, nets, hidden, draws, threshold)
    deposit = b.op("Min", deposit, outer.largest)
    part = b.op("Mul", deposit, outer.inverse)
    scale = b.op("Log", b.op("Add", b.op("Mul", deposit, b.const(1 / reference.ENERGY_OFFSET)), b.const(1.0)))
    pair = b.op("Concat", root, scale, axis=1)
    new = {
        "past": b.op("Add", b.op("MatMul", pair, weight), state["past"]),
        "recent": b.op("Concat", b.slice(state["recent"], 1, 2, widths[1]), pair, axis=1),
        "part": b.op("Add", b.op("MatMul", part, here), state["part"]),
        "sums": b.op("Add", state["sums"], b.op("Mul", part, section)),
        "largest": b.op("Max", state["largest"], part),
        "number": b.op("Add", state["number"], number),
    }
    if model.n_history:
        new["since"] = _counted(b, state["since"], number)
    for name, shape in zip(names, shapes, strict=True):
        b.output(new[name], f"{name}_out", FLOAT, shape)
    b.output(deposit, "deposit_out", FLOAT, ["N", 1])
    b.output(number, "count_out", FLOAT, ["N", 1])


def _draw(b: Graph, model: LayerModel, nets: tuple[Weights, Weights], hidden: str, noise: list[str],
          threshold: str) -> tuple[str, str, str]:  # fmt: skip
    """Number of hits of a layer, its root and the energy from what both networks' first layers give, each [N, 1]."""
    (count, energy), (u_count, u_energy, quantile, z) = nets, noise
    width = count[0][0].shape[1]
    h = b.silu(b.gemm(b.silu(b.slice(hidden, 1, 0, width)), *count[1]))
    mixture = b.ops("Split", 3, b.gemm(h, *_scaled(count[2], (1, 2, 1), (0, 1, -1))), axis=1, num_outputs=3)
    centre, spread = pick(b, mixture[0], u_count, *mixture[1:])
    value = b.op("Mul", b.op("Exp", b.clip(spread, -5.0, 2.0)), quantile)
    value = b.op("Relu", b.op("Add", centre, value))
    number = b.clip(b.op("Floor", b.op("Mul", value, value)), None, model.largest_count)
    root = b.op("Sqrt", number)
    log_number = b.op("Log", b.op("Add", number, b.const(0.5)))
    extra = b.op("Concat", root, log_number, b.cast(b.op("Equal", number, b.const(1.0)), FLOAT), axis=1)
    weight = energy[0][0][model.n_inputs :] * np.array([[1 / 3], [1], [1]], np.float32)
    h = b.op("Add", b.op("MatMul", extra, b.const(weight)), b.slice(hidden, 1, width, 2 * width))
    h = b.silu(b.gemm(b.silu(h), *energy[1]))
    mixture = b.ops("Split", 3, b.gemm(h, *_scaled(energy[2], (1, 1, 1), (0, 1, -0.7))), axis=1, num_outputs=3)
    centre, spread = pick(b, mixture[0], u_energy, *mixture[1:])
    log_mean = b.op("Add", centre, b.op("Mul", b.op("Exp", b.clip(spread, -5.0, 1.5)), z))
    mean = b.op("Mul", b.op("Exp", b.clip(log_mean, *reference.LOG_MEAN_RANGE)), b.const(reference.MEV_TENTH))
    return number, root, b.op("Mul", number, b.op("Add", mean, threshold))


def _scaled(
    last: tuple[FloatArray, FloatArray], factor: tuple[float, ...], term: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    """A last layer with the factors and terms that weights, centres and widths of its mixture get put in."""
    each = len(last[1]) // 3
    factors, terms = (np.repeat(np.array(x, np.float32), each) for x in (factor, term))
    return last[0] * factors, last[1] * factors + terms


def _summary(b: Graph, model: LayerModel, state: dict[str, str], outer: _Outer) -> list[str]:
    """What `LayerModel.inputs` has behind the layers drawn before, less its constant factors and terms."""
    depth_row = b.const(model.depth_L.numpy()[None])
    part, sums = state["part"], state["sums"]
    total = b.slice(sums, 1, 0, 1) if model.n_history else sums
    safe = b.op("Add", total, outer.small)
    depth = b.op("Div", b.op("MatMul", part, b.const(model.depth_L.numpy()[:, None])), safe)
    away = b.op("Sub", depth_row, depth)
    spread = b.op("Div", b.sum(b.op("Mul", part, b.op("Mul", away, away)), 1), safe)
    columns = [
        state["recent"],
        total,
        b.op("Log", b.op("Add", sums, outer.offset)),
        b.op("Sqrt", state["number"]),
        depth,
        b.op("Sqrt", b.op("Add", spread, b.const(1e-6))),
        b.op("Log", b.op("Add", state["largest"], b.const(1e-3))),
    ]
    if model.n_history:
        columns.append(b.op("Log", b.op("Add", state["since"], b.const(1.0))))
    return columns


def _counted(b: Graph, since: str, number: str) -> str:
    """The numbers of `LayerModel.history` after one more layer: each grows by one, or begins again at none."""
    zero, one = b.const(0.0), b.const(1.0)
    many = b.op("GreaterOrEqual", number, b.const(float(reference.SHOWERING)))
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
