# SPDX-License-Identifier: BSD-3-Clause
"""Batch of showers: kinematics, a list of hits, and the energies and hit counts of layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Showers, hits above threshold only; the layers of all sections are counted through.

    Attributes
    ----------
    kinetic_energy : float32 [B], GeV
    direction : float32 [B, 3]
    entry : float32 [B, 2], mm
    pdg : int64 [B]
    row : int64 [H]
        Shower of each hit, ascending; within a shower hits are sorted by layer, and within a layer by
        distance from the line of flight.
    layer : int64 [H]
    x, y : float32 [H]
        Cell indices from the centre of the window.
    deposit : float32 [H], GeV
    layer_energy, layer_count : float32 [B, L]
        Sum of deposits (GeV) and number of hits per layer.
    slot : int64 [B]
        Place of each shower in the global batch, ascending.
    size : int
        Showers of the global batch.
    """

    kinetic_energy: Tensor
    direction: Tensor
    entry: Tensor
    pdg: Tensor
    row: Tensor
    layer: Tensor
    x: Tensor
    y: Tensor
    deposit: Tensor
    layer_energy: Tensor
    layer_count: Tensor
    slot: Tensor
    size: int

    def __len__(self) -> int:
        return len(self.pdg)

    def split(self, parts: int) -> list[Batch]:
        """Cut into so many parts of about as many showers each, but none without a shower."""
        parts = min(parts, len(self))
        if parts == 1:
            return [self]
        ends = [len(self) * k // parts for k in range(parts + 1)]
        hits = torch.searchsorted(self.row, torch.tensor(ends, device=self.row.device)).tolist()
        return [self._part(*pair) for pair in zip(pairwise(ends), pairwise(hits), strict=True)]

    def _part(self, showers: tuple[int, int], hits: tuple[int, int]) -> Batch:
        cut = {name: getattr(self, name)[slice(*hits)] for name in _PER_HIT}
        cut |= {name: getattr(self, name)[slice(*showers)] for name in _PER_SHOWER}
        return Batch(**{**cut, "row": cut["row"] - showers[0]}, size=self.size)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device; from pinned memory without waiting for it."""
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in _PER_HIT + _PER_SHOWER})

    def pinned(self) -> Batch:
        """The same in memory that a GPU reads by itself."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _PER_HIT + _PER_SHOWER})


_PER_HIT = ("row", "layer", "x", "y", "deposit")
_PER_SHOWER = ("kinetic_energy", "direction", "entry", "pdg", "layer_energy", "layer_count", "slot")
