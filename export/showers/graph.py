# SPDX-License-Identifier: BSD-3-Clause
"""The sampler of ``arch = "showers"`` as one ONNX graph: kinematics and noise in, deposits out.

Layers are drawn in a Scan, positions of hits in a Loop over layers, shares of energy in a Loop over ranks. The
same in torch is `fastcalo.training.architectures.showers.sampler`; the export compares the two.
"""

from __future__ import annotations

import numpy as np
import onnx

from fastcalo._version import __version__
from fastcalo.model.contract import Contract
from fastcalo.training.architectures.hit_lists import points as reference
from fastcalo.training.architectures.hit_lists.conditions import Geometry
from fastcalo.training.architectures.hit_lists.hit_networks import LATENT
from fastcalo.training.architectures.hit_lists.layer_model import LayerModel
from fastcalo.training.architectures.hit_lists.noise import layer_numbers
from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.choice import SMALL_LAYER, ChoiceNetwork
from fastcalo.training.architectures.showers.conditions import EXTRA_ENERGY

from ..hit_lists import Capacity
from ..hits.energies import by_rank, reordered, serve_hits
from ..hits.graph import conditions, noise_rows
from ..hits.layers import draw_layers
from ..hits.points import Placed, layers_of_hits, lines_for_hits
from ..onnx_graph import BOOL, FLOAT, INT32, INT64, Graph
from .choice import choice_tables
from .energies import known_of_hits
from .order import ordered
from .points import Points, place_hits
from .tables import Tables, profile_tables

SLACK = 1e-6
"""Ranges are widened by this, relatively, against rounding."""
LENGTH_SLACK = 1e-3
"""Of the length of a direction, as the runtime has it."""


def build_graph(
    layers: LayerModel, hits: HitModel, choice: ChoiceNetwork | None, contract: Contract, capacity: Capacity,
    hit_capacity: Capacity,
) -> onnx.ModelProto:  # fmt: skip
    """The whole sampler.

    Parameters
    ----------
    layers, hits, choice : trained networks
        The last one where each layer is drawn more than once.
    contract : Contract
        Its ranges determine which particles are drawn.
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
        "layer_uniform": g.input("layer_uniform", FLOAT, ["N", n_layers, layer_numbers(chooses=choice is not None)]),
        "layer_logistic": g.input("layer_logistic", FLOAT, ["N", n_layers]),
        "layer_normal": g.input("layer_normal", FLOAT, ["N", n_layers]),
        "latent_normal": g.input("latent_normal", FLOAT, ["N", LATENT]),
        "point_uniform": g.input("point_uniform", FLOAT, ["N", "P", 3]),
        "point_normal": g.input("point_normal", FLOAT, ["N", "P", 2]),
        "hit_uniform": g.input("hit_uniform", FLOAT, ["N", "Q", 1]),
        "hit_logistic": g.input("hit_logistic", FLOAT, ["N", "Q", 1]),
    }
    valid = _valid(g, contract, energy, direction, entry, species)
    energy, direction, entry = _made_safe(g, contract, valid, energy, direction, entry)
    showers = g.size(energy)
    cond = _conditions(g, geometry, energy, direction, entry, species)
    energy_NL, count_NL = draw_layers(g, layers, cond, noise)
    drawn = g.column(g.cast(valid, FLOAT))
    energy_NL, count_NL = g.op("Mul", energy_NL, drawn), g.op("Mul", count_NL, drawn)
    tables = profile_tables(g, hits, cond, energy_NL, count_NL, noise["latent_normal"])
    count = g.cast(count_NL, INT64)
    rows = noise_rows(g, energy, capacity, noise["point_uniform"])
    hit_rows = noise_rows(g, energy, hit_capacity, noise["hit_uniform"])
    points, asked = _points(g, tables, cond, count, rows, noise, showers, choice)
    choices = None
    if choice:
        uniform = g.slice(noise["layer_uniform"], 2, 2, 3)
        choices = choice_tables(g, choice, cond, tables.per_layer, uniform, showers)
    groups = g.size(cond["row"])
    placed, seen = ordered(g, cond, n_layers, place_hits(g, hits, tables, points, showers, choices), groups)
    ranks = by_rank(g, placed)
    seen = [g.at(n, ranks.order) for n in seen]
    served = reordered(g, placed, ranks.order)
    lines = lines_for_hits(g, served, g.flat(count), hit_rows, cond["row"], noise["hit_uniform"])
    numbers = [g.at(g.flat(noise[f"hit_{kind}"]), lines) for kind in ("uniform", "logistic")]
    known = known_of_hits(g, hits, tables, served, seen, cond, showers)
    deposit = serve_hits(g, hits, known, served, ranks, g.flat(energy_NL), numbers)
    _outputs(g, geometry, placed, g.at(deposit, ranks.place))
    wanted = g.sum(count, 1, keep=False)
    enough = [g.op("LessOrEqual", a, b) for a, b in ((asked, rows), (wanted, hit_rows))]
    g.output(valid, "valid", BOOL, ["N"])
    g.output(g.op("And", *enough), "complete", BOOL, ["N"])
    return g.model("_".join(["fastcalo", *(name for name, _ in geometry.sections)]), __version__)


def _valid(g: Graph, contract: Contract, energy: str, direction: str, entry: str, species: str) -> str:
    """Whether each particle is in the model's domain, bool [N]; numbers that are none are not."""
    low, high = contract.kinetic_energy
    cosine = g.flat(g.slice(direction, 1, 2, 3))
    squared = g.sum(g.op("Mul", direction, direction), 1, keep=False)
    known = g.op("Equal", g.column(species), g.const(contract.species, np.int64))
    tests = [
        g.op("Greater", g.sum(g.cast(known, FLOAT), 1, keep=False), g.const(0.0)),
        g.op("GreaterOrEqual", energy, g.const(low * (1 - SLACK))),
        g.op("LessOrEqual", energy, g.const(high * (1 + SLACK))),
        g.op("GreaterOrEqual", cosine, g.const(np.cos(contract.max_angle) - SLACK)),
        g.op("LessOrEqual", g.op("Abs", g.op("Sub", squared, g.const(1.0))), g.const(2 * LENGTH_SLACK)),
        g.op("LessOrEqual", g.sum(g.op("Abs", entry), 1, keep=False), g.const(1e6)),
    ]
    valid = tests[0]
    for test in tests[1:]:
        valid = g.op("And", valid, test)
    return valid


def _made_safe(
    g: Graph, contract: Contract, valid: str, energy: str, direction: str, entry: str
) -> tuple[str, str, str]:
    """Kinematics, those of particles that are not valid replaced by some that are."""
    column = g.column(valid)
    return (
        g.op("Where", valid, energy, g.const(contract.kinetic_energy[0])),
        g.op("Where", column, direction, g.const([[0.0, 0.0, 1.0]])),
        g.op("Where", column, entry, g.const([[0.0, 0.0]])),
    )


def _conditions(g: Graph, geometry: Geometry, energy: str, direction: str, entry: str, species: str) -> dict[str, str]:
    """Those of ``arch = "hits"``; offsets by layer [L, 1, N] as well as by layer of a shower [G]; ``extra`` [N]."""
    cond = conditions(g, geometry, energy, direction, entry, species)
    for axis in "xy":
        by_group = cond[f"offset_{axis}"]
        table = g.op("Transpose", g.reshape(by_group, -1, geometry.layers), perm=[1, 0])
        cond |= {f"offset_{axis}_G": by_group, f"offset_{axis}": g.op("Unsqueeze", table, g.const([1], np.int64))}
    known = g.cast(g.op("Equal", g.column(species), g.const(geometry.species, np.int64)), FLOAT)
    extra = g.op("MatMul", known, g.const([[EXTRA_ENERGY.get(s, 0.0)] for s in geometry.species]))
    return {**cond, "extra": g.flat(extra)}


def _points(
    g: Graph, tables: Tables, cond: dict[str, str], count: str, rows: str, noise: dict[str, str], showers: str,
    choice: ChoiceNetwork | None,
) -> tuple[Points, str]:  # fmt: skip
    """`reference.points_of` and `reference.rows_of`, and how many points each shower asks for, int64 [N]."""
    count_LN = g.op("Transpose", count, perm=[1, 0])
    log_rate = g.op("Squeeze", tables.log_rate, g.const([1], np.int64))
    number = _number(g, count_LN, log_rate)
    candidates, one = choice.candidates if choice else 1, g.const(1, np.int64)
    times = _times(g, choice, count_LN)
    asked = g.sum(g.op("Mul", number, times), 0, keep=False)
    number = g.op("Min", number, rows)
    first = g.op("CumSum", g.op("Mul", number, times), g.const(0, np.int64), exclusive=1)
    # candidates stand beside each other, each with rows of its own
    third = g.const([2], np.int64)
    of_candidate = g.op("Mul", g.op("Unsqueeze", number, third), g.const(np.arange(candidates), np.int64))
    first = g.op("Add", g.op("Unsqueeze", first, third), of_candidate)
    free = g.op("Unsqueeze", g.op("Sub", rows, number), third)
    first = g.op("Where", g.op("Greater", first, free), g.op("Mod", first, g.op("Add", free, one)), first)
    shower = g.flat(g.op("Add", g.column(g.arange(showers)), g.const(np.zeros(candidates), np.int64)))
    lines = g.op("Mul", shower, g.op("Shape", noise["point_uniform"], start=1, end=2))
    number = g.op("Gather", number, shower, axis=1)
    if choice and choice.of_large < candidates:
        drawn = g.op("Less", g.const(np.arange(candidates), np.int64), g.op("Unsqueeze", times, third))
        number = g.op("Mul", number, g.op("Reshape", g.cast(drawn, INT64), g.op("Shape", number)))
    offset = g.op("Concat", cond["offset_x"], cond["offset_y"], axis=1)
    uniform, normal = (g.flat(noise[f"point_{kind}"]) for kind in ("uniform", "normal"))
    line = g.op("Add", g.op("Reshape", first, g.op("Shape", number)), lines)
    azimuth = cond["along_x"], cond["along_y"]
    return Points(count_LN, number, line, uniform, normal, *azimuth, offset, shower), asked


def _times(g: Graph, choice: ChoiceNetwork | None, count_LN: str) -> str:
    """`ChoiceNetwork.drawn`, int64 [L, N]; a single number where it is the same for all layers."""
    if not choice or choice.of_large == choice.candidates:
        return g.const(choice.candidates if choice else 1, np.int64)
    large = g.op("Greater", count_LN, g.const(SMALL_LAYER, np.int64))
    return g.op("Where", large, g.const(choice.of_large, np.int64), g.const(choice.candidates, np.int64))


def _number(g: Graph, count: str, log_rate: str) -> str:
    """`reference.points_of`, int64 of any shape."""
    zero, count = g.const(0.0), g.cast(count, FLOAT)
    least, each = (g.const(float(v)) for v in reference.MOST_POINTS)
    most = g.op("Where", g.op("Greater", count, zero), g.op("Add", least, g.op("Mul", each, count)), zero)
    constant, linear, square = (g.const(v) for v in reference.POINTS_BY_RATE)
    root = g.op("Exp", g.op("Div", log_rate, g.const(2.0)))
    number = g.op("Add", constant, g.op("Mul", g.op("Add", linear, g.op("Mul", square, root)), root))
    hits = g.op("Mul", count, g.const(reference.POINTS_BY_COUNT))
    return g.cast(g.op("Min", most, g.op("Add", number, hits)), INT64)


def _outputs(g: Graph, geometry: Geometry, hits: Placed, deposit: str) -> None:
    """Hits of each section as lists: shower, cell (x, y and layer, counted from the cell that is crossed), deposit."""
    layer = layers_of_hits(g, hits, geometry.layers)
    for (section, layers), first in zip(geometry.sections, geometry.first_layers, strict=True):
        of_section = g.op("Sub", layer, g.const(first, np.int64))
        behind = g.op("GreaterOrEqual", of_section, g.const(0, np.int64))
        chosen = g.op("And", behind, g.op("Less", of_section, g.const(layers, np.int64)))
        chosen = g.flat(g.op("NonZero", chosen))
        row, x, y, k, e = (g.at(v, chosen) for v in (hits.row, hits.x, hits.y, of_section, deposit))
        cell = g.op("Concat", *(g.column(g.cast(v, INT32)) for v in (x, y, k)), axis=1)
        g.output(row, f"{section}_shower", INT64, [f"H_{section}"])
        g.output(cell, f"{section}_cell", INT32, [f"H_{section}", 3])
        g.output(e, f"{section}_deposit", FLOAT, [f"H_{section}"])
