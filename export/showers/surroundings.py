# SPDX-License-Identifier: BSD-3-Clause
"""ONNX graph of what lies around hits: cells on a torus, neighbours, hits of the layers before and behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastcalo.training.architectures.showers import placing
from fastcalo.training.architectures.showers.neighbours import DIRECTIONS, LONGEST, NINE, SIDE

from ..onnx_graph import FLOAT, INT32, UINT8, Graph

STEPS = np.array(DIRECTIONS, np.float32)


class Surroundings:
    """Cells of one layer of all showers.

    Parameters
    ----------
    b : Graph
        Body of the Loop over layers.
    showers : str
        Their number, int64 [1].
    along : (str, str)
        Azimuth of incidence of each shower, float32 [N] each.
    candidates : int
        How many times each layer is drawn.

    Attributes
    ----------
    sets : str
        Number of sets of hits of a layer, candidates of a shower beside each other, int64 [1].
    offset : list of str
        Where the line of flight crosses the layer, from the cell that it crosses, along x and y, float32 [N].
    """

    offset: list[str]

    def __init__(self, b: Graph, showers: str, along: tuple[str, str], candidates: int) -> None:
        self.b, self.showers, self.along = b, showers, along
        self.sets = b.op("Mul", showers, b.const([candidates], np.int64)) if candidates > 1 else showers

    def picked(self, table: str, which: str, row: str) -> str:
        """``table[which, row]`` of a table [F, N]."""
        b = self.b
        return b.at(b.flat(table), b.op("Add", b.op("Mul", which, self.showers), row))

    def shape(self, rows: int, like: str) -> str:
        """Shape of so many rows of the length of a vector, int64 [2]."""
        b = self.b
        return b.op("Concat", b.const([rows], np.int64), b.size(like), axis=0)

    def inside(self, xy: list[str]) -> str:
        """Whether cells lie within `placing.FARTHEST`, bool."""
        b = self.b
        return b.op("LessOrEqual", b.op("Max", *(b.op("Abs", v) for v in xy)), b.const(placing.FARTHEST))

    def torus(self, row: str, x: str, y: str) -> str:
        """Number of each cell on the torus of its shower, int32; rows and cells broadcast."""
        b, side, last = self.b, self.b.const(SIDE, np.int32), self.b.const(SIDE - 1, np.int32)
        # the remainder after a power of two, which `Mod` takes longer to find
        x, y = (b.op("BitwiseAnd", b.cast(v, INT32), last) for v in (x, y))
        return b.op("Add", b.op("Mul", b.op("Add", b.op("Mul", b.cast(row, INT32), side), x), side), y)

    def noted_around(self, hit: str, row: str, xy: Sequence[str]) -> str:
        """What is noted of the nine cells around each, in the order of `NINE`, uint8 [9, H]."""
        b = self.b
        x, y = (b.row(b.cast(v, INT32)) for v in xy)
        # lines of the torus, and places in a line
        x, y = (b.op("Add", v, b.const([[-1], [0], [1]], np.int32)) for v in (x, y))
        x, y = (b.op("BitwiseAnd", v, b.const(SIDE - 1, np.int32)) for v in (x, y))
        line = b.op("Add", b.op("Mul", b.row(b.cast(row, INT32)), b.const(SIDE, np.int32)), x)
        line = b.op("Mul", line, b.const(SIDE, np.int32))
        cell = b.op("Add", *(b.op("Unsqueeze", v, b.const([axis], np.int64)) for v, axis in ((line, 1), (y, 0))))
        return b.reshape(b.at(hit, b.flat(cell)), len(NINE), -1)

    def along_across(self, row: str, d: list[str]) -> tuple[str, str]:
        """Position of each hit along the azimuth of incidence, and across it."""
        b = self.b
        u, v = (b.at(x, row) for x in self.along)
        along = b.op("Add", b.op("Mul", d[0], u), b.op("Mul", d[1], v))
        return along, b.op("Sub", b.op("Mul", d[1], u), b.op("Mul", d[0], v))

    def square(self, d: list[str]) -> str:
        """Squared length of vectors."""
        return self.b.op("Add", *(self.b.op("Mul", v, v) for v in d))

    def neighbours(self, filled: str, row: str, xy: tuple[str, str], d: list[str]) -> tuple[str, str, str]:
        """How many of the eight cells around are hit that are nearer to the line of flight, and farther; which are hit.

        Parameters
        ----------
        filled, row : str
            Cells that are hit, and in which set of hits each hit is.
        xy, d : of str
            Cells, and their positions from the line of flight.
        """
        b = self.b
        order = b.const([NINE.index(step) for step in DIRECTIONS], np.int64)
        found = b.cast(b.op("Gather", self.noted_around(filled, row, xy), order, axis=0), FLOAT)
        farther = b.sum(b.op("Mul", found, self.outwards(d)), 0, keep=False)
        return b.op("Sub", b.sum(found, 0, keep=False), farther), farther, found

    def outwards(self, d: list[str]) -> str:
        """Which steps lead away from the line of flight, float32 [8, H]."""
        b = self.b
        along = b.op("Add", *(b.op("Mul", b.const(STEPS[:, k : k + 1]), d[k]) for k in range(2)))
        return b.cast(b.op("Greater", along, b.const(-0.5 * (STEPS**2).sum(1, keepdims=True))), FLOAT)

    def before(self, hit: str, row: str, d: list[str], offset: list[str], same: str) -> tuple[str, str, list[str]]:
        """What is before each hit: `neighbours.projected` in the graph."""
        b = self.b
        cell = self.projected(row, d, offset)
        found, mean, noted = self.around(hit, row, cell)
        largest = b.op("ReduceMax", noted, b.const([0], np.int64), keepdims=0)
        safe, some = b.clip(found, 1.0, None), b.op("Mul", b.cast(b.op("Greater", found, b.const(0.0)), FLOAT), same)
        step = [
            b.op("Mul", b.op("Sub", b.op("Sub", v, b.op("Sub", k, b.at(o, row))), b.op("Div", m, safe)), some)
            for v, k, o, m in zip(d, cell, offset, mean, strict=True)
        ]
        return b.op("Mul", found, same), b.op("Mul", largest, same), step

    def one_longer(self, length: str) -> str:
        """What is noted of hits, uint8: see `neighbours.one_longer`."""
        b = self.b
        return b.cast(b.clip(b.op("Add", length, b.const(1.0)), None, float(LONGEST)), UINT8)

    def behind(self, filled: str, state: dict[str, str], same: str) -> str:
        """Hits of this layer around the projection of each hit of the layer before."""
        row = state["last_row"]
        cell = self.projected(row, [state["last_dx"], state["last_dy"]], self.offset)
        return self.b.op("Mul", self.around(filled, row, cell)[0], same)

    def projected(self, row: str, d: list[str], offset: list[str]) -> list[str]:
        """Cell of another layer that hits are projected to along the line of flight, x and y, float32 [H] each."""
        b = self.b
        return [
            b.op("Floor", b.op("Add", b.op("Add", v, b.at(o, row)), b.const(0.5)))
            for v, o in zip(d, offset, strict=True)
        ]

    def around(self, hit: str, row: str, xy: list[str]) -> tuple[str, list[str], str]:
        """Hits in the nine cells around each, the sums of their steps along x and y; what is noted of the cells."""
        b, nine = self.b, np.array(NINE, np.float32)
        noted = b.cast(self.noted_around(hit, row, xy), FLOAT)
        found = b.clip(noted, None, 1.0)
        sums = b.op("MatMul", b.const(np.concatenate([np.ones((1, len(NINE))), nine.T])), found)
        number, x, y = (b.flat(t) for t in b.ops("Split", 3, sums, axis=0, num_outputs=3))
        return number, [x, y], noted
