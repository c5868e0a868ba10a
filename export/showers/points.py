# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of the positions of hits: a Loop over layers, in which hits descend from those before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastcalo.training.architectures.hit_lists import points as reference
from fastcalo.training.architectures.showers import placing
from fastcalo.training.architectures.showers.blobs import BLOBS, GATES, NARROW, WIDE
from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.neighbours import DIRECTIONS, EDGES, SIDE

from ..hits.layers import weights_of
from ..onnx_graph import BOOL, FLOAT, INT16, INT32, INT64, UINT8, Graph
from .choice import Choice, kept_hits
from .order import Drawn
from .surroundings import STEPS, Surroundings
from .tables import Tables

_CELLS = SIDE * SIDE
_NOWHERE = 2 * placing.FARTHEST
_STATE = (
    *((name, FLOAT, "Q") for name in ("centre_x", "centre_y", "accepted")),
    *((name, INT64, "N") for name in ("first", "held")),
    ("hit", UINT8, "T"),
    ("last_row", INT64, "Q_"),
    *((name, FLOAT, "Q_") for name in ("last_dx", "last_dy")),
    *((name, INT64, "H") for name in ("rows", "layers")),
    *((name, FLOAT, "H") for name in ("all_x", "all_y", "nearer", "farther", "before", "lengths")),
    ("behind", FLOAT, "H_"),
)
"""What the Loop carries from layer to layer."""


@dataclass(frozen=True)
class Points:
    """Names of what the Loop takes besides the tables.

    ``count``: int64 [L, N], hits asked for; ``number``, ``line``: int64 [L, N K], points drawn for each candidate, and
    where the first point's row stands in the noise seen as rows; ``uniform``, ``normal``: flat noise; ``along_x``,
    ``along_y``: [N]; ``offset``: [L, 2, N]; ``shower``: that of each candidate, int64 [N K].
    """

    count: str
    number: str
    line: str
    uniform: str
    normal: str
    along_x: str
    along_y: str
    offset: str
    shower: str


def place_hits(g: Graph, model: HitModel, tables: Tables, points: Points, showers: str, choice: Choice | None) -> Drawn:
    """Hits of all layers.

    Parameters
    ----------
    g : Graph
    model : HitModel
    tables : Tables
    points : Points
    showers : str
        Their number, int64 [1].
    choice : Choice, optional
        Between candidates of each layer.
    """
    layers, t = model.geometry.layers, tables
    of_next = [
        g.op("Concat", g.slice(x, 0, 1, layers), g.slice(x, 0, layers - 1, layers), axis=0) for x in (t.drift, t.gates)
    ]
    offset_before = g.op("Concat", g.slice(points.offset, 0, 0, 1), g.slice(points.offset, 0, 0, -1), axis=0)
    upper = g.op("CumSum", t.weight, g.const(1, np.int64))
    pack = g.op(
        "Concat", upper, t.inverse, t.centre_x, t.centre_y, t.scale, t.tail, t.stretch, t.kappa, t.chained, t.kernel,
        t.kernel_inverse, *of_next, points.offset, offset_before, axis=1,
    )  # fmt: skip
    left = g.sum(points.count, 1, keep=False)
    left = g.op(
        "Greater", g.op("Sub", g.sum(left, 0), g.op("CumSum", left, g.const(0, np.int64))), g.const(0, np.int64)
    )
    same = np.array([float(i not in model.geometry.first_layers) for i in range(layers)], np.float32)
    zeros = g.full(showers, 0)
    padding = g.const([0.0])
    nothing, none = g.slice(padding, 0, 0, 0), g.slice(zeros, 0, 0, 0)
    torus = g.full(g.op("Mul", showers, g.const([_CELLS], np.int64)), 0, np.uint8)
    start = {
        "centre_x": padding, "centre_y": padding, "accepted": padding, "first": zeros, "held": zeros, "hit": torus,
        "last_row": none, "last_dx": nothing, "last_dy": nothing, "rows": none, "layers": none, "all_x": nothing,
        "all_y": nothing, "nearer": nothing, "farther": nothing, "before": nothing, "lengths": nothing,
        "behind": nothing,
    }  # fmt: skip

    def body(b: Graph) -> None:
        _Layer(b, model, points, showers, choice).build(pack, left, b.const(model.geometry.cell), b.const(same))

    state = list(start.values())
    passes, go_on = g.const(layers, np.int64), g.const(True, np.bool_)
    out = dict(
        zip(start, g.ops("Loop", len(state), passes, go_on, *state, body=g.body("one_layer", body)), strict=True)
    )
    # nothing stands behind hits of the last layer
    lacking = g.op("Sub", g.size(out["rows"]), g.size(out["behind"]))
    behind = g.op("Concat", out["behind"], g.full(lacking, 0.0, np.float32), axis=0)
    seen = (out["nearer"], out["farther"], out["before"], behind, out["lengths"])
    return Drawn(out["rows"], out["layers"], out["all_x"], out["all_y"], seen)


class _Layer(Surroundings):
    """One layer of all showers: the body of the Loop."""

    def __init__(self, b: Graph, model: HitModel, points: Points, showers: str, choice: Choice | None) -> None:
        super().__init__(b, showers, (points.along_x, points.along_y), choice.network.candidates if choice else 1)
        self.model, self.points, self.choice = model, points, choice

    def shower(self, candidate: str) -> str:
        """Shower of each candidate."""
        return self.b.at(self.points.shower, candidate) if self.choice else candidate

    def build(self, pack: str, left: str, cells: str, same: str) -> None:
        b = self.b
        layer = b.input("layer", INT64, [])
        b.input("go_on", BOOL, [])
        state = {name: b.input(name, kind, [length]) for name, kind, length in _STATE}
        parents = [state[name] for name in ("centre_x", "centre_y", "accepted")]
        first, held = state["first"], state["held"]
        at = b.op("Unsqueeze", layer, b.const([0], np.int64))

        def one(table: str) -> str:
            return b.op("Squeeze", b.op("Gather", table, at, axis=0), b.const([0], np.int64))

        sizes = [BLOBS, NARROW, BLOBS, BLOBS, WIDE, WIDE, WIDE, 2, 1, 1, 2, 1, GATES, 2, 2]
        p = b.ops("Split", len(sizes), one(pack), b.const(sizes, np.int64), axis=0)
        self.upper, self.inverse, self.cx, self.cy, self.scale, self.tail, self.stretch = p[:7]
        self.kappa, self.chained, self.kernel, self.kernel_inverse, self.drift, self.gates, offset, before = p[7:]
        self.offset = [b.flat(x) for x in b.ops("Split", 2, offset, axis=0, num_outputs=2)]
        before_xy = [b.flat(x) for x in b.ops("Split", 2, before, axis=0, num_outputs=2)]
        count = self._of_candidates(one(self.points.count))
        cell = b.op("Gather", cells, at, axis=0)
        candidate, start, xy, inside, place, numbers = self._points(one, cell, parents, first, held)
        keep = self._first_distinct(candidate, start, xy, inside, place, count)
        candidate, xy, start, inside, place = self._with_successors(candidate, xy, numbers, keep)
        keep = self._first_distinct(candidate, start, xy, inside, place, count)
        candidate, x, y = (b.at(v, keep) for v in (candidate, *xy))
        row, same_section = self.shower(candidate), b.op("Gather", same, at, axis=0)
        d = [b.op("Sub", v, b.at(o, row)) for v, o in zip((x, y), self.offset, strict=True)]
        filled = self._filled(self.sets, candidate, x, y, b.full(b.size(candidate), 1, np.uint8))
        nearer, farther, found = self.neighbours(filled, candidate, (x, y), d)
        before, length, step = self.before(state["hit"], row, d, before_xy, same_section)
        if self.choice:
            kinds = (b.slice(found, 0, 0, EDGES), b.slice(found, 0, EDGES, len(DIRECTIONS)))
            near = (*(b.sum(kind, 0, keep=False) for kind in kinds), before, length, *step)
            keep = kept_hits(self, self.choice, at, candidate, row, d, near)
            row, x, y, nearer, farther, before, length, *pairs = (
                b.at(v, keep) for v in (row, x, y, nearer, farther, before, length, *d, *step)
            )
            d, step = pairs[:2], pairs[2:]
        filled = self._filled(self.showers, row, x, y, self.one_longer(length))
        number = b.op("ScatterElements", b.full(self.showers, 0), row, b.full(b.size(row), 1), axis=0, reduction="add")
        begin = b.op("CumSum", number, b.const(0, np.int64), exclusive=1)
        *centre, accepted = self._parents(row, d, b.op("Add", nearer, farther), before, length, step)
        some = b.op("Greater", number, b.const(0, np.int64))
        begin = b.op("Where", some, b.op("Add", begin, b.size(state["accepted"])), first)
        behind = self.behind(filled, state, same_section)
        here = b.op("Add", b.full(b.size(row), 0), layer)
        grown = {"rows": row, "layers": here, "all_x": x, "all_y": y, "nearer": nearer, "farther": farther}
        grown |= {"before": before, "lengths": length, "behind": behind}
        grown |= dict(zip(("centre_x", "centre_y"), (b.op("Mul", v, cell) for v in centre), strict=True))
        grown["accepted"] = accepted
        new = {name: b.op("Concat", state[name], value, axis=0) for name, value in grown.items()}
        new |= {"first": begin, "held": b.op("Where", some, number, held)}
        new |= {"hit": filled, "last_row": row, "last_dx": d[0], "last_dy": d[1]}
        b.output(b.op("Squeeze", b.op("Gather", left, at, axis=0), b.const([0], np.int64)), "go_on_out", BOOL, [])
        for name, kind, length in _STATE:
            b.output(new[name], f"{name}_out", kind, [length])

    def _of_candidates(self, of_showers: str) -> str:
        """What is the same for all candidates of a shower, [N K]."""
        return self.b.at(of_showers, self.points.shower) if self.choice else of_showers

    def _filled(self, sets: str, row: str, x: str, y: str, noted: str) -> str:
        """Which cells are hit on the tori of so many sets of hits, and what is noted of them, uint8."""
        b = self.b
        cells = b.full(b.op("Mul", sets, b.const([_CELLS], np.int64)), 0, np.uint8)
        return b.op("ScatterElements", cells, self.torus(row, x, y), noted, axis=0)

    def _points(
        self, one: Callable[[str], str], cell: str, parents: list[str], first: str, held: str
    ) -> tuple[str, str, list[str], str, str, list[str]]:
        """Points of a layer: candidate, first point of each, cell, whether it is one, place, successors' numbers."""
        b, zero = self.b, self.b.const(0, np.int64)
        number, line = one(self.points.number), one(self.points.line)
        end = b.op("CumSum", number, zero)
        start = b.op("Sub", end, number)
        total = b.sum(number, 0)
        marks = b.full(b.op("Add", total, b.const([1], np.int64)), 0)
        marks = b.op("ScatterElements", marks, end, b.full(b.size(end), 1), axis=0, reduction="add")
        candidate = b.op("CumSum", b.slice(marks, 0, 0, total), zero)
        row = self.shower(candidate)
        place = b.op("Sub", b.arange(total), b.at(start, candidate))
        noise = b.op("Add", place, b.at(line, candidate))
        three, two = b.op("Mul", noise, b.const(3, np.int64)), b.op("Mul", noise, b.const(2, np.int64))
        which, whose, brings = (b.at(self.points.uniform, b.op("Add", three, b.const(k, np.int64))) for k in range(3))
        zx, zy = (b.at(self.points.normal, b.op("Add", two, b.const(k, np.int64))) for k in range(2))
        # of a parent
        there = b.at(held, row)
        some = b.cast(b.op("Greater", there, zero), FLOAT)
        chained = b.op("Mul", b.at(b.flat(self.chained), row), some)
        whose = b.op("Mul", whose, b.cast(b.op("Max", there, b.const(1, np.int64)), FLOAT))
        chosen = b.op("Floor", whose)
        index = b.op("Min", b.cast(chosen, INT64), b.op("Sub", there, b.const(1, np.int64)))
        index = b.op("Max", b.op("Add", b.at(first, row), index), zero)
        centre_x, centre_y, accepted = (b.at(t, index) for t in parents)
        reached = b.op("Mul", chained, accepted)
        wide = b.op("GreaterOrEqual", which, b.op("Mul", reached, b.at(b.flat(self.kernel), row)))
        narrowness = self.picked(self.kernel_inverse, b.cast(wide, INT64), row)
        child = [
            b.op("Add", b.op("Add", b.at(o, row), b.op("Div", d, cell)), b.op("Div", z, narrowness))
            for o, d, z in zip(self.offset, (centre_x, centre_y), (zx, zy), strict=True)
        ]
        # of a blob
        share = b.op("Div", b.op("Sub", which, chained), b.op("Sub", b.const(1.0), chained))
        edges = b.op(
            "GatherElements",
            b.slice(self.upper, 0, 0, BLOBS - 1),
            b.op("Expand", b.row(row), self.shape(BLOBS - 1, row)),
            axis=1,
        )
        blob = b.sum(b.cast(b.op("Greater", b.row(share), edges), INT64), 0, keep=False)
        inverse = self.picked(self.inverse, b.op("Min", blob, b.const(NARROW - 1, np.int64)), row)
        part, whole = reference.LATE
        first_late = b.op(
            "Div",
            b.op("Add", b.op("Mul", number, b.const(part, np.int64)), b.const(whole - 1, np.int64)),
            b.const(whole, np.int64),
        )
        late = b.op("GreaterOrEqual", place, b.at(first_late, candidate))
        inverse = b.op("Where", late, b.clip(inverse, None, 1 / reference.LATE_WIDTH), inverse)
        w = b.op("Max", b.op("Sub", blob, b.const(NARROW, np.int64)), zero)
        far = self._in_wide_blob(w, row, (zx, zy))
        close = b.op("Less", blob, b.const(NARROW, np.int64))
        descends = b.op("Less", which, reached)
        rejected = b.op("And", b.op("Not", descends), b.op("Less", which, chained))
        xy = []
        for centre, z, away, c in zip((self.cx, self.cy), (zx, zy), far, child, strict=True):
            value = b.op("Add", self.picked(centre, blob, row), b.op("Where", close, b.op("Div", z, inverse), away))
            value = b.op("Where", rejected, b.const(_NOWHERE), b.op("Where", descends, c, value))
            xy.append(b.op("Floor", b.op("Add", b.clip(value, -_NOWHERE, _NOWHERE), b.const(0.5))))
        return candidate, start, xy, self.inside(xy), place, [brings, b.op("Sub", whose, chosen)]

    def _in_wide_blob(self, which: str, row: str, normal: tuple[str, str]) -> list[str]:
        """Where points stand in wide blobs, from their centres."""
        b = self.b
        zx, zy = normal
        scale, tail, stretch = (self.picked(t, which, row) for t in (self.scale, self.tail, self.stretch))
        square = b.op("Add", b.op("Add", b.op("Mul", zx, zx), b.op("Mul", zy, zy)), b.const(placing.LEAST_SQUARE))
        grown = b.op("Sub", b.op("Exp", b.op("Div", square, b.op("Mul", tail, b.const(2.0)))), b.const(1.0))
        factor = b.op("Mul", scale, b.op("Sqrt", b.op("Div", grown, square)))
        along, across = b.op("Mul", b.op("Mul", factor, stretch), zx), b.op("Mul", factor, zy)
        u, v = b.at(self.points.along_x, row), b.at(self.points.along_y, row)
        return [
            b.op("Sub", b.op("Mul", along, u), b.op("Mul", across, v)),
            b.op("Add", b.op("Mul", along, v), b.op("Mul", across, u)),
        ]

    def _first_distinct(self, candidate: str, start: str, xy: list[str], inside: str, place: str, count: str) -> str:
        """Indices of the points that are kept, int64 [H]."""
        b = self.b
        cells = b.op("Mul", self.sets, b.const([_CELLS], np.int64))
        cell = b.op("Where", inside, self.torus(candidate, *xy), b.cast(cells, INT32))
        seen = b.full(b.op("Add", cells, b.const([1], np.int64)), np.iinfo(np.int16).max, np.int16)
        place = b.cast(place, INT16)
        seen = b.op("ScatterElements", seen, cell, place, axis=0, reduction="min")
        new = b.op("And", b.op("Equal", b.at(seen, cell), place), inside)
        before = b.op("CumSum", b.cast(new, INT64), b.const(0, np.int64), exclusive=1)
        # the last showers may have no point
        padded = b.op("Concat", before, b.const([0], np.int64), axis=0)
        limit = b.op("Add", b.at(padded, start), count)
        return b.flat(b.op("NonZero", b.op("And", new, b.op("Less", before, b.at(limit, candidate)))))

    def _with_successors(
        self, candidate: str, xy: list[str], numbers: list[str], keep: str
    ) -> tuple[str, list[str], str, str, str]:
        """The points that are kept, each followed by those that one brings about after the other, or by far ones."""
        b = self.b
        candidate, *xy = (b.at(v, keep) for v in (candidate, *xy))
        row = self.shower(candidate)
        brings, brings_again = (b.at(number, keep) for number in numbers)
        first, some = self._successor(row, xy, brings)
        # only hits that there are bring about others
        there = b.flat(b.op("NonZero", some))
        of_row, *of_xy, again = (b.at(v, there) for v in (row, *first, brings_again))
        nowhere = b.full(b.size(row), _NOWHERE, np.float32)
        second = self._successor(of_row, of_xy, again)[0]
        second = [b.op("ScatterElements", nowhere, there, v, axis=0) for v in second]
        line = [xy, first, second]
        candidate, *xy = (
            b.flat(b.op("Concat", *(b.column(v) for v in of_line), axis=1))
            for of_line in ([candidate] * len(line), *zip(*line, strict=True))
        )
        ones = b.full(b.size(candidate), 1)
        number = b.op("ScatterElements", b.full(self.sets, 0), candidate, ones, axis=0, reduction="add")
        start = b.op("CumSum", number, b.const(0, np.int64), exclusive=1)
        place = b.op("Sub", b.arange(b.size(candidate)), b.at(start, candidate))
        return candidate, xy, start, self.inside(xy), place

    def _successor(self, row: str, xy: list[str], number: str) -> tuple[list[str], str]:
        """Cell of the hit that each hit brings about, and whether there is one: `neighbours.successors`."""
        b = self.b
        kappa = b.op("GatherElements", self.kappa, b.op("Expand", b.row(row), self.shape(2, row)), axis=1)
        d = [b.op("Sub", v, b.at(o, row)) for v, o in zip(xy, self.offset, strict=True)]
        square = self.square(d)
        rate = b.op("Mul", kappa, b.op("Div", square, b.op("Add", square, b.const(1.0))))
        kinds = b.const((np.arange(len(DIRECTIONS)) >= EDGES).astype(np.int64), np.int64)
        outwards = b.op("Mul", b.op("Gather", rate, kinds, axis=0), self.outwards(d))
        end = b.op("CumSum", outwards, b.const(0, np.int64))
        passed = b.cast(b.op("GreaterOrEqual", b.row(number), end), FLOAT)
        direction = b.cast(b.sum(passed, 0, keep=False), INT64)
        some = b.op("Less", direction, b.const(len(DIRECTIONS), np.int64))
        steps = np.append(STEPS, [[0, 0]], 0).T
        return [
            b.op("Where", some, b.op("Add", v, b.at(b.const(s), direction)), b.const(_NOWHERE))
            for v, s in zip(xy, steps, strict=True)
        ], some

    def _parents(self, row: str, d: list[str], beside: str, before: str, length: str, step: list[str]) -> list[str]:
        """Where children of each hit stand, and whether it is accepted as a parent."""
        b = self.b
        along, across = self.along_across(row, d)
        across, square = b.op("Abs", across), self.square(d)
        five = b.const(5.0)
        rows = [
            b.op("Log", b.op("Add", square, b.const(0.1))),
            b.op("Div", along, b.op("Add", five, b.op("Abs", along))),
            b.op("Div", across, b.op("Add", five, across)),
            beside,
            before,
            length,
            b.op("Div", length, b.op("Add", length, b.const(1.0))),
        ]
        gates = b.op("GatherElements", self.gates, b.op("Expand", b.row(row), self.shape(GATES, row)), axis=1)
        inputs = b.op("Concat", *(b.row(r) for r in rows), gates, axis=0)
        (weight, bias), last = weights_of(self.model.parent)
        scale = np.array([0.5, 1, 1, 1 / 3, 1 / 3, 1 / 8, 1] + [1] * GATES, np.float32)[:, None]
        h = b.silu(b.op("Gemm", inputs, b.const(weight * scale), b.const(bias), transA=1))
        raw = b.op("Sigmoid", b.op("Gemm", b.const(last[0]), h, b.const(last[1][:, None]), transA=1, transB=1))
        accepted, goes_on = (b.flat(t) for t in b.ops("Split", 2, raw, axis=0, num_outputs=2))
        drift = b.at(b.flat(self.drift), row)
        centre = [b.op("Add", b.op("Mul", v, drift), b.op("Mul", goes_on, s)) for v, s in zip(d, step, strict=True)]
        return [*centre, accepted]
