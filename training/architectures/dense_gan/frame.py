# SPDX-License-Identifier: BSD-3-Clause
"""Inputs of the dense networks: folded frame, compressed deposits, conditions as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fastcalo.detector.section import Section

UNIT = 1e-4
"""About what a minimum-ionising particle leaves in a silicon sensor, GeV."""
POWER = 4
COSINE_CENTRE = 0.78
"""About the mean cosine of the angle to the normal."""


@dataclass(frozen=True)
class FoldedFrame:
    """Particles whose directions are turned by the square's symmetries to y >= x >= 0.

    Attributes
    ----------
    direction_B3 : float32 [B, 3]
    entry_B2 : float32 [B, 2], mm
    flip_B2 : bool [B, 2]
        Which axes were reversed.
    swap_B : bool [B]
        Whether x and y were exchanged, after that.
    """

    direction_B3: Tensor
    entry_B2: Tensor
    flip_B2: Tensor
    swap_B: Tensor


def fold(direction_B3: Tensor, entry_B2: Tensor) -> FoldedFrame:
    """Turn directions to y >= x >= 0, and entry points with them.

    Parameters
    ----------
    direction_B3 : float32 [B, 3], unit vectors with z > 0
    entry_B2 : float32 [B, 2], mm from the centre of the cell that is hit
    """
    transverse = direction_B3[:, :2]
    flip, swap = transverse < 0, transverse[:, 0].abs() > transverse[:, 1].abs()
    transverse = _exchange(transverse.abs(), swap)
    entry = _exchange(torch.where(flip, -entry_B2, entry_B2), swap)
    return FoldedFrame(torch.cat([transverse, direction_B3[:, 2:]], 1), entry, flip, swap)


def fold_cells(folded: FoldedFrame, row_H: Tensor, x_H: Tensor, y_H: Tensor) -> tuple[Tensor, Tensor]:
    """Cell indices, counted from the centre of the window, in the folded frame."""
    cells = torch.stack([x_H, y_H], 1)
    cells = _exchange(torch.where(folded.flip_B2[row_H], -cells, cells), folded.swap_B[row_H])
    return cells[:, 0], cells[:, 1]


def unfold(window_BXYL: Tensor, folded: FoldedFrame) -> Tensor:
    """Turn windows drawn in the folded frame back to where the particles fly."""
    swap, flip = folded.swap_B, folded.flip_B2
    out = torch.where(swap[:, None, None, None], window_BXYL.transpose(1, 2), window_BXYL)
    for axis in (0, 1):
        out = torch.where(flip[:, axis, None, None, None], out.flip(1 + axis), out)
    return out


def _exchange(pairs_N2: Tensor, swap_N: Tensor) -> Tensor:
    return torch.where(swap_N[:, None], pairs_N2.flip(1), pairs_N2)


def gap(threshold: float) -> float:
    """Root of the smallest deposit of a hit: `compress` takes it off, so that hits begin at zero."""
    return float((threshold / UNIT) ** (1 / POWER))


def compress(deposit: Tensor, threshold: float) -> Tensor:
    """Deposits in GeV to what the networks work on: the fourth root, less that of the threshold, or zero.

    3DGAN takes the power 0.85 for deposits over the upper decades only; the fourth root brings all four decades from
    the threshold up to a range of six. Cells that are no hits and hits at the threshold meet at zero, so that a
    rectifier can draw both.
    """
    return ((deposit / UNIT) ** (1 / POWER) - gap(threshold)).clamp_min(0)


def expand(value: Tensor, threshold: float) -> Tensor:
    """Back to GeV; what is not above the threshold is zero."""
    square = (value + gap(threshold)).square()
    deposit = UNIT * square * square
    return torch.where((value > 0) & (deposit > threshold), deposit, 0.0)


@dataclass(frozen=True)
class DenseConditions:
    """What the networks know of particles.

    Attributes
    ----------
    vector_BC : float32 [B, C]
        ln E / 2, (ln E / 2)^2 / 3, folded direction, entry point in cells, species one-hot, offsets; E in GeV.
    offset_BL2 : float32 [B, L, 2]
        Where the line of flight crosses each sensor, from the centre of the cell crossed, in cells, folded.
    log_energy_B, cosine_B : float32 [B]
        ln E and cosine of the angle to the normal: what the critic measures.
    """

    vector_BC: Tensor
    offset_BL2: Tensor
    log_energy_B: Tensor
    cosine_B: Tensor

    @staticmethod
    def width(section: Section, species: tuple[int, ...]) -> int:
        """Length of a `vector_BC`."""
        return 7 + len(species) + 2 * section.layers


def dense_conditions(
    section: Section, species: tuple[int, ...], energy_B: Tensor, folded: FoldedFrame, pdg_B: Tensor
) -> DenseConditions:
    """DenseConditions of folded particles with kinetic energies in GeV."""
    log_energy, direction = torch.log(energy_B), folded.direction_B3
    half, cosine = log_energy * 0.5, direction[:, 2:]
    one_hot = (pdg_B[:, None] == torch.tensor(species, device=pdg_B.device)).float()
    depth = torch.tensor(section.sensor_z, dtype=torch.float32, device=energy_B.device)[None, :, None]
    slope = direction[:, :2] / cosine
    crossing = (folded.entry_B2[:, None] + depth * slope[:, None]) / section.cell_mm
    offset = crossing - torch.floor(crossing + 0.5)
    vector = torch.cat(
        [
            torch.stack([half, half * half / 3], 1),
            direction[:, :2] * 2,
            (cosine - COSINE_CENTRE) * 4,
            folded.entry_B2 / section.cell_mm * 3,
            one_hot,
            offset.flatten(1) * 3,
        ],
        1,
    )
    return DenseConditions(vector, offset, log_energy, cosine[:, 0])


def flight_maps(offset_BL2: Tensor, window: tuple[int, int]) -> Tensor:
    """Where each cell lies from the line of flight, float32 [B, 3, X, Y, L].

    Distance along x and along y, in cells over 8, and half the logarithm of the squared distance.
    """
    grids = [torch.arange(n, device=offset_BL2.device) - float(n // 2) for n in window]
    dx = grids[0][None, :, None, None] - offset_BL2[:, None, None, :, 0]
    dy = grids[1][None, None, :, None] - offset_BL2[:, None, None, :, 1]
    square = dx * dx + dy * dy
    zero = torch.zeros_like(square)
    return torch.stack([(dx + zero) / 8, (dy + zero) / 8, torch.log(square + 0.1) / 2], 1)


def halved(size: int) -> int:
    """Cells along an axis after a convolution of stride 2 that keeps its middle in the middle."""
    return math.ceil(size / 2)
