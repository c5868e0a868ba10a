# SPDX-License-Identifier: BSD-3-Clause
"""Deposits of many showers as lists of hits, and what makes a model's lists unfit for use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ContractError
from ..particles import name_of


@dataclass(frozen=True)
class SparseShowers:
    """Deposits of many showers in one section.

    Attributes
    ----------
    shower : int64 [h]
        Index of the shower.
    x, y : int64 [h]
        Cells counted from the one which the straight line of flight crosses in the layer.
    layer : int64 [h]
    deposit : float32 [h]
        GeV.
    """

    shower: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    layer: NDArray[np.int64]
    deposit: NDArray[np.float32]

    @classmethod
    def of_window(
        cls,
        shape: tuple[int, int, int],
        shower: NDArray[np.int64],
        cell: NDArray[np.int64],
        deposit: NDArray[np.float32],
    ) -> Self:
        """Deposits known by indices into a window of some shape, in C order of (x, y, layer)."""
        nx, ny, layers = shape
        xy = cell // layers
        ix = xy // ny
        return cls(shower, ix - nx // 2, xy - ix * ny - ny // 2, cell - xy * layers, deposit)

    @classmethod
    def of_cells(cls, shower: NDArray[np.int64], cell: NDArray[np.integer], deposit: NDArray[np.float32]) -> Self:
        """Deposits known by rows of x, y and layer [h, 3]."""
        x, y, layer = cell.T.astype(np.int64)
        return cls(shower, x, y, layer, deposit)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Hits of all parts, in order; indices of showers stay as they are."""
        if not parts:
            none = np.zeros(0, np.int64)
            return cls(none, none, none, none, np.zeros(0, np.float32))
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def in_window(
        self, shape: tuple[int, int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Shower, index into a window of some shape, and deposit of those that lie inside it."""
        nx, ny, layers = shape
        x, y = self.x + nx // 2, self.y + ny // 2
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        cell = (x * ny + y) * layers + self.layer
        return self.shower[inside], cell[inside], self.deposit[inside]

    def check(
        self,
        section: str,
        limits: tuple[int | None, int | None, int],
        particles: Mapping[str, NDArray[Any]],
        model: str,
    ) -> None:
        """Refuse what no calorimeter could have measured.

        Parameters
        ----------
        section : str
        limits : tuple
            Cells of the window along x and y, None where hits may be anywhere; number of layers.
        particles : mapping of str to array [n]
            What the model was given: ``species`` and ``kinetic_energy`` (GeV).
        model : str
            For messages.

        Raises
        ------
        ContractError
            A deposit is not finite and positive, or a hit is outside the window or of no shower.
        """
        row, deposit = self.shower, self.deposit
        if not row.shape == self.x.shape == deposit.shape == (len(row),):
            raise ContractError(
                f"{model}: clause 'sections': the lists of {section} differ in length: {list(row.shape)} showers, "
                f"{list(self.x.shape)} cells, {list(deposit.shape)} deposits"
            )
        n = len(particles["kinetic_energy"])
        outside = (row < 0) | (row >= n) | (self.layer < 0) | (self.layer >= limits[2])
        for cells, width in ((self.x, limits[0]), (self.y, limits[1])):
            if width is not None:
                outside |= (cells < -(width // 2)) | (cells >= width - width // 2)
        # NaN fails both comparisons
        bad = outside | ~((deposit > 0) & (deposit < math.inf))
        if not bad.any():
            return
        k = int(np.argmax(bad))
        of = ""
        if 0 <= row[k] < n:
            of = f" of {name_of(int(particles['species'][row[k]]))} of {particles['kinetic_energy'][row[k]]:g} GeV"
        what = f"hits outside the window {list(limits)}" if outside[k] else "deposits that are no energies"
        cell = f"({self.x[k]}, {self.y[k]}) of layer {self.layer[k]}"
        raise ContractError(
            f"{model}: gives {what} in {section}: {int(bad.sum())} of {len(row)} hits, the first{of} with "
            f"{deposit[k]:g} GeV in cell {cell}; the model is damaged, or was trained badly"
        )
