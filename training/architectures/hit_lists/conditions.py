# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of the networks: a particle's kinematics in the shower frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """The sections that a model draws, in numbers; their layers are counted through, front to back.

    Attributes
    ----------
    sections : tuple of (str, int)
        Name and number of layers of each.
    sensor_z : tuple of float
        Mid-plane of each layer's sensor in the shower frame, mm.
    cell : tuple of float
        Width of each layer's cells, mm.
    threshold : tuple of float
        Smallest deposit that counts as a hit in each layer, GeV.
    window : int
        Cells along x and along y in the window; odd.
    species : tuple of int
        PDG numbers, in the order of the one-hot encoding.
    """

    sections: tuple[tuple[str, int], ...]
    sensor_z: tuple[float, ...]
    cell: tuple[float, ...]
    threshold: tuple[float, ...]
    window: int
    species: tuple[int, ...]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.sensor_z)

    @property
    def section_of_layer(self) -> tuple[int, ...]:
        """Number of the section that each layer belongs to."""
        return tuple(k for k, (_, layers) in enumerate(self.sections) for _ in range(layers))

    @property
    def first_layers(self) -> tuple[int, ...]:
        """First layer of each section."""
        return tuple(accumulate((layers for _, layers in self.sections[:-1]), initial=0))

    @property
    def half(self) -> int:
        """Largest cell index in the window, counted from its centre."""
        return self.window // 2

    @property
    def n_globals(self) -> int:
        """Width of `HitConditions.globals_BG`."""
        return 3 + len(self.species)


@dataclass(frozen=True)
class HitConditions:
    """HitConditions of a batch.

    Attributes
    ----------
    globals_BG : float32 [B, 3 + S]
        ln E / 2, (ln E / 2)^2 / 3, 4 (cos theta - 0.78), species one-hot; E in GeV.
    log_energy_B : float32 [B]
        ln of the kinetic energy in GeV.
    along_B2 : float32 [B, 2]
        Unit vector of the azimuth of incidence; (1, 0) at normal incidence.
    offset_BL2 : float32 [B, L, 2]
        Where the line of flight crosses each sensor, from the centre of the cell crossed, in cells.
    """

    globals_BG: Tensor
    log_energy_B: Tensor
    along_B2: Tensor
    offset_BL2: Tensor

    def __getitem__(self, index: slice | Tensor) -> Self:
        return type(self)(*(getattr(self, f)[index] for f in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.log_energy_B)

    @property
    def largest_deposit_B(self) -> Tensor:
        """Energy that may be deposited, float32 [B], GeV."""
        return self.log_energy_B.exp()


def hit_conditions(
    geometry: Geometry, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor
) -> HitConditions:
    """HitConditions from kinematics.

    Parameters
    ----------
    geometry : Geometry
    kinetic_energy_B : float32 [B], GeV
    direction_B3 : float32 [B, 3], unit vectors with z > 0
    entry_B2 : float32 [B, 2], mm from the centre of the cell that is hit
    pdg_B : int64 [B]
    """
    log_energy = torch.log(kinetic_energy_B)
    half = log_energy * 0.5
    one_hot = (pdg_B[:, None] == torch.tensor(geometry.species, device=pdg_B.device)).float()
    globals_ = torch.cat(
        [torch.stack([half, half * half / 3, 4 * (direction_B3[:, 2] - 0.78)], 1), one_hot],
        1,
    )
    transverse = direction_B3[:, :2]
    length = torch.sqrt((transverse * transverse).sum(1, keepdim=True))
    normal = (length < 1e-6).float()
    along = torch.cat([normal, torch.zeros_like(normal)], 1) + transverse / length.clamp_min(1e-6) * (1 - normal)
    z = torch.tensor(geometry.sensor_z, device=pdg_B.device)[None, :, None]
    cell = torch.tensor(geometry.cell, device=pdg_B.device)[None, :, None]
    crossing = (entry_B2[:, None] + z * (transverse / direction_B3[:, 2:])[:, None]) / cell
    return HitConditions(globals_, log_energy, along, crossing - torch.floor(crossing + 0.5))


def folded_offsets(offset_BL2: Tensor) -> Tensor:
    """Offsets without the cell's eight symmetries: 4 (sorted |offset| - 1/4), float32 [B, L, 2]."""
    size = offset_BL2.abs()
    return 4 * (torch.stack([size.amin(-1), size.amax(-1)], -1) - 0.25)


def along_across(along_H2: Tensor, offset_H2: Tensor, x_H: Tensor, y_H: Tensor) -> tuple[Tensor, Tensor]:
    """Position of cells from the line of flight, along and across the azimuth of incidence.

    Parameters
    ----------
    along_H2, offset_H2 : float32 [H, 2]
        Azimuth and offset of the shower and layer of each hit.
    x_H, y_H : float32 [H]
        Cell indices from the centre of the window.

    Returns
    -------
    tuple of float32 [H], in cells
    """
    dx, dy = x_H - offset_H2[:, 0], y_H - offset_H2[:, 1]
    return dx * along_H2[:, 0] + dy * along_H2[:, 1], dy * along_H2[:, 0] - dx * along_H2[:, 1]
