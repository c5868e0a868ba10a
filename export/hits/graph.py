# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the sampler of ``arch = "hits"``: kinematics and noise in, deposits out.

Layers are drawn in a Scan, shares of energy in a Loop; what lies between works on flat lists of points and hits.
The same in torch is `fastcalo.training.architectures.hits.sampler`; the export compares the two.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from fastcalo._version import __version__
from fastcalo.model.description import WINDOWS
from fastcalo.training.architectures.hit_lists.conditions import Geometry
from fastcalo.training.architectures.hit_lists.hit_networks import CODES, LATENT, HitNetworks
from fastcalo.training.architectures.hit_lists.layer_model import MEV_TENTH, LayerModel
from fastcalo.training.architectures.hits.cell_model import BLOBS, LARGEST_NEIGHBOUR_RATE, HitModel

from ..hit_lists import Capacity
from ..onnx_graph import FLOAT, INT64, Graph
from .energies import by_rank, reordered, share_energies
from .layers import draw_layers, weights_of
from .points import Blobs, Placed, layers_of_hits, lines_for_hits, neighbour_counts, place_hits


def build_graph(layers: LayerModel, hits: HitModel, capacity: Capacity, hit_capacity: Capacity) -> onnx.ModelProto:
    """The whole sampler.

    Parameters
    ----------
    layers, hits : trained networks
    capacity, hit_capacity : (float, float, float)
        A shower of kinetic energy E uses at most a + b E^c rows of the noise of points, and of hits.
    """
    g, geometry = Graph(), layers.geometry
    n_layers = geometry.layers
    energy = g.input("kinetic_energy", FLOAT, ["N"])
    direction = g.input("direction", FLOAT, ["N", 3])
    entry = g.input("entry", FLOAT, ["N", 2])
    species = g.input("species", INT64, ["N"])
    noise = {
        "layer_uniform": g.input("layer_uniform", FLOAT, ["N", n_layers, 2]),
        "layer_logistic": g.input("layer_logistic", FLOAT, ["N", n_layers]),
        "layer_normal": g.input("layer_normal", FLOAT, ["N", n_layers]),
        "latent_normal": g.input("latent_normal", FLOAT, ["N", LATENT]),
        "point_uniform": g.input("point_uniform", FLOAT, ["N", "P", 2]),
        "point_logistic": g.input("point_logistic", FLOAT, ["N", "P", 2]),
        "hit_uniform": g.input("hit_uniform", FLOAT, ["N", "Q", 1]),
        "hit_logistic": g.input("hit_logistic", FLOAT, ["N", "Q", 1]),
    }
    cond = conditions(g, geometry, energy, direction, entry, species)
    energy_NL, count_NL = draw_layers(g, layers, cond, noise)
    blobs = _profile(g, hits, cond, energy_NL, count_NL, noise["latent_normal"])
    rows = noise_rows(g, energy, capacity, noise["point_uniform"])
    hit_rows = noise_rows(g, energy, hit_capacity, noise["hit_uniform"])
    count = g.cast(g.flat(count_NL), INT64)
    placed = place_hits(g, geometry, blobs, count, rows, cond, noise)
    ranks = by_rank(g, placed)
    beside = neighbour_counts(g, geometry, placed, (cond["offset_x"], cond["offset_y"]))
    beside = [g.at(n, ranks.order) for n in beside]
    served = reordered(g, placed, ranks.order)
    lines = lines_for_hits(g, served, count, hit_rows, cond["row"], noise["hit_uniform"])
    numbers = [g.at(g.flat(noise[f"hit_{kind}"]), lines) for kind in ("uniform", "logistic")]
    deposit = share_energies(g, hits, blobs, served, beside, ranks, cond, g.flat(energy_NL), numbers)
    deposit = g.at(deposit, ranks.place)
    _outputs(g, geometry, placed, deposit, g.size(energy))
    return g.model("_".join(["fastcalo", *(name for name, _ in geometry.sections)]), __version__)


def noise_rows(g: Graph, energy: str, capacity: Capacity, noise: str) -> str:
    """Rows of a noise tensor that each shower may use, int64 [N]."""
    a, b, c = (g.const(v) for v in capacity)
    rows = g.cast(g.op("Floor", g.op("Add", a, g.op("Mul", b, g.op("Pow", energy, c)))), INT64)
    return g.op("Min", rows, g.op("Shape", noise, start=1, end=2))


def conditions(g: Graph, geometry: Geometry, energy: str, direction: str, entry: str, species: str) -> dict[str, str]:
    """`hit_conditions` of the torch model, and offsets without the cell's symmetries."""
    log_energy = g.op("Log", energy)
    half = g.op("Mul", log_energy, g.const(0.5))
    cosine = g.slice(direction, 1, 2, 3)
    one_hot = g.cast(g.op("Equal", g.column(species), g.const(geometry.species, np.int64)), FLOAT)
    globals_ = g.op(
        "Concat",
        g.column(half),
        g.column(g.op("Div", g.op("Mul", half, half), g.const(3.0))),
        g.op("Mul", g.op("Sub", cosine, g.const(0.78)), g.const(4.0)),
        one_hot,
        axis=1,
    )
    transverse = g.slice(direction, 1, 0, 2)
    length = g.op("Sqrt", g.sum(g.op("Mul", transverse, transverse), 1))
    normal = g.op("Less", length, g.const(1e-6))
    unit = g.op("Div", transverse, g.clip(length, 1e-6, None))
    along = g.op("Where", normal, g.const([[1.0, 0.0]]), unit)
    slope = g.op("Unsqueeze", g.op("Div", transverse, cosine), g.const([1], np.int64))
    z = g.const(np.array(geometry.sensor_z)[None, :, None])
    flown = g.op("Add", g.op("Unsqueeze", entry, g.const([1], np.int64)), g.op("Mul", z, slope))
    crossing = g.op("Div", flown, g.const(np.array(geometry.cell)[None, :, None]))
    offset = g.op("Sub", crossing, g.op("Floor", g.op("Add", crossing, g.const(0.5))))
    layers = geometry.layers
    showers = g.arange(g.size(energy))
    row = g.op("Add", g.column(showers), g.full(g.const([layers], np.int64), 0))
    size = g.op("Abs", offset)
    two = [g.op(kind, size, g.const([2], np.int64), keepdims=1) for kind in ("ReduceMin", "ReduceMax")]
    folded = g.op("Mul", g.op("Sub", g.op("Concat", *two, axis=2), g.const(0.25)), g.const(4.0))
    return {
        "log_energy": log_energy,
        "globals": globals_,
        "row": g.flat(row),
        **{f"along_{name}": g.flat(g.slice(along, 1, i, i + 1)) for i, name in enumerate("xy")},
        **{f"offset_{name}": g.flat(g.slice(offset, 2, i, i + 1)) for i, name in enumerate("xy")},
        "folded": g.op("Transpose", folded, perm=[1, 0, 2]),
    }


def _profile(
    g: Graph, model: HitModel, cond: dict[str, str], energy_NL: str, count_NL: str, latent_normal: str
) -> Blobs:
    """Latent vector from the prior, blobs of all layers; adds ``per_layer`` [G, 3] to the conditions."""
    layers = model.geometry.layers
    raw, counts, energies = raw_profile(g, model, cond, energy_NL, count_NL, latent_normal)
    raw = g.reshape(raw, -1, model.n_outputs)
    parts = [g.slice(raw, 1, i * BLOBS, (i + 1) * BLOBS) for i in range(4)]
    weight = g.op("Softmax", g.op("Add", parts[0], g.const(model.weight_bias.detach().numpy())), axis=1)
    width = g.op("Add", g.op("Mul", parts[1], g.const(0.5)), g.const(model.width_bias.detach().numpy()))
    inverse = g.op("Exp", g.op("Neg", g.clip(width, -3.5, 2.2)))
    ux, uy = (g.column(g.at(cond[f"along_{axis}"], cond["row"])) for axis in "xy")
    shift_x = g.op("Sub", g.op("Mul", parts[2], ux), g.op("Mul", parts[3], uy))
    shift_y = g.op("Add", g.op("Mul", parts[2], uy), g.op("Mul", parts[3], ux))
    centre_x = g.op("Add", g.column(cond["offset_x"]), shift_x)
    centre_y = g.op("Add", g.column(cond["offset_y"]), shift_y)
    rate = g.op("Mul", g.slice(raw, 1, 4 * BLOBS, 4 * BLOBS + 1), g.const(0.3))
    rate = g.op("Add", g.op("Log", g.op("Add", g.flat(count_NL), g.const(0.8))), g.flat(rate))
    depth = g.const((np.arange(layers) / ((layers - 1) / 2) - 1)[None])
    depth = g.op("Add", depth, g.op("Mul", counts, g.const(0.0)))
    cond["per_layer"] = g.op("Concat", *(g.reshape(t, -1, 1) for t in (energies, counts, depth)), axis=1)
    kappa = g.op("Sub", g.flat(g.slice(raw, 1, 4 * BLOBS + 1, 4 * BLOBS + 2)), g.const(2.0))
    kappa = g.op("Mul", g.op("Sigmoid", kappa), g.const(LARGEST_NEIGHBOUR_RATE))
    codes = g.slice(raw, 1, 4 * BLOBS + 2, 4 * BLOBS + 2 + CODES)
    return Blobs(weight, inverse, centre_x, centre_y, rate, kappa, codes)


def raw_profile(
    g: Graph, model: HitNetworks, cond: dict[str, str], energy_NL: str, count_NL: str, latent_normal: str
) -> tuple[str, str, str]:
    """Latent vector from the prior; what the profile network gives [N, F], and counts and energies as it sees them."""
    mean_energy = g.op(
        "Div", g.op("Div", g.clip(energy_NL, 1e-9, None), g.clip(count_NL, 1.0, None)), g.const(MEV_TENTH)
    )
    hit = g.op("Greater", count_NL, g.const(0.0))
    log_mean = g.op("Where", hit, g.op("Log", mean_energy), g.const(0.0))
    energies = g.op("Sub", g.op("Div", log_mean, g.const(2.0)), g.const(0.5))
    root = g.op("Sqrt", g.op("Add", count_NL, g.const(0.5)))
    counts = g.op("Sub", g.op("Div", root, g.const(3.0)), g.const(1.0))
    x = g.op("Concat", cond["globals"], counts, energies, axis=1)
    mean, log_sd = g.ops("Split", 2, mlp(g, model.prior, x), axis=1, num_outputs=2)
    latent = g.op("Add", mean, g.op("Mul", g.op("Exp", g.clip(log_sd, -4.0, 2.0)), latent_normal))
    raw = mlp(g, model.profile, g.op("Concat", x, latent, axis=1))
    return raw, counts, energies


def mlp(g: Graph, net: nn.Sequential, x: str) -> str:
    """A network of linear layers with SiLU between them."""
    weights = weights_of(net)
    for weight, bias in weights[:-1]:
        x = g.silu(g.gemm(x, weight, bias))
    return g.gemm(x, *weights[-1])


def _outputs(g: Graph, geometry: Geometry, hits: Placed, deposit: str, batch: str) -> None:
    """Dense windows of each section, and the same hits as lists."""
    window, half, wanted = geometry.window, g.const(float(geometry.half)), g.option(WINDOWS)
    xy = [g.cast(g.op("Add", place, half), INT64) for place in (hits.x, hits.y)]
    columns = (hits.row, *xy, layers_of_hits(g, hits, geometry.layers), deposit)
    for (section, layers), first in zip(geometry.sections, geometry.first_layers, strict=True):
        row, x, y, layer, deposit = columns
        if len(geometry.sections) > 1:
            row, x, y, layer, deposit = _of_layers(g, columns, first, layers)
        cell = g.op("Add", g.op("Mul", x, g.const(window, np.int64)), y)
        cell = g.op("Add", g.op("Mul", cell, g.const(layers, np.int64)), layer)
        shape = g.op("Concat", batch, g.const([window, window, layers], np.int64), axis=0)
        g.output(_window(g, wanted, shape, (row, x, y, layer), deposit), section, FLOAT, ["N", window, window, layers])
        for name, value, kind in (("shower", row, INT64), ("cell", cell, INT64), ("deposit", deposit, FLOAT)):
            g.output(value, f"{section}_{name}", kind, [f"H_{section}"])


def _window(g: Graph, wanted: str, shape: str, place: tuple[str, ...], deposit: str) -> str:
    """Deposits in the window, or an empty tensor where the window is not wanted: filling it takes a tenth of all."""
    size: list[int | str] = ["N_", "x_", "y_", "z_"]

    def fill(b: Graph) -> None:
        index = b.op("Concat", *(b.column(i) for i in place), axis=1)
        b.output(b.op("ScatterND", b.full(shape, 0.0, np.float32), index, deposit), b.new_name("window"), FLOAT, size)

    def leave(b: Graph) -> None:
        b.output(b.full(b.const([0] * 4, np.int64), 0.0, np.float32), b.new_name("window"), FLOAT, size)

    return g.op("If", wanted, then_branch=g.body("fill", fill), else_branch=g.body("leave", leave))


def _of_layers(g: Graph, columns: tuple[str, ...], first: int, layers: int) -> list[str]:
    """Row, x, y, layer and deposit of the hits in some layers, which are counted from the first of these."""
    *where, layer, deposit = columns
    layer = g.op("Sub", layer, g.const(first, np.int64))
    behind = g.op("GreaterOrEqual", layer, g.const(0, np.int64))
    chosen = g.flat(g.op("NonZero", g.op("And", behind, g.op("Less", layer, g.const(layers, np.int64)))))
    return [g.at(values, chosen) for values in (*where, layer, deposit)]
