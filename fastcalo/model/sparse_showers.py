"""Deposits of many showers as lists of hits, and what makes a model's lists unfit for use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    cell : int64 [h]
        Index into the window, C order of (x, y, layer).
    deposit : float32 [h]
        GeV.
    """

    shower: NDArray[np.int64]
    cell: NDArray[np.int64]
    deposit: NDArray[np.float32]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Hits of all parts, in order; indices of showers stay as they are."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        return cls(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("shower", "cell", "deposit")))

    def check(self, section: str, shape: tuple[int, ...], particles: Mapping[str, NDArray[Any]], model: str) -> None:
        """Refuse what no calorimeter could have measured.

        Parameters
        ----------
        section : str
        shape : tuple of int
            Of the window.
        particles : mapping of str to array [n]
            What the model was given: ``species`` and ``kinetic_energy`` (GeV).
        model : str
            For messages.

        Raises
        ------
        ContractError
            A deposit is not finite and positive, or a hit is outside the window or of no shower.
        """
        row, cell, deposit = self.shower, self.cell, self.deposit
        if not row.shape == cell.shape == deposit.shape == (len(row),):
            raise ContractError(
                f"{model}: clause 'sections': the lists of {section} differ in length: {list(row.shape)} showers, "
                f"{list(cell.shape)} cells, {list(deposit.shape)} deposits"
            )
        n = len(particles["kinetic_energy"])
        outside = (row < 0) | (row >= n) | (cell < 0) | (cell >= math.prod(shape))
        # NaN fails both comparisons
        bad = outside | ~((deposit > 0) & (deposit < math.inf))
        if not bad.any():
            return
        k = int(np.argmax(bad))
        of = ""
        if 0 <= row[k] < n:
            of = f" of {name_of(int(particles['species'][row[k]]))} of {particles['kinetic_energy'][row[k]]:g} GeV"
        what = f"hits outside the window {list(shape)}" if outside[k] else "deposits that are no energies"
        raise ContractError(
            f"{model}: gives {what} in {section}: {int(bad.sum())} of {len(row)} hits, the first{of} with "
            f"{deposit[k]:g} GeV in cell {cell[k]}; the model is damaged, or was trained badly"
        )
