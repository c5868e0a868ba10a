# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of the networks: a particle's kinematics in the frame of the module."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..hit_lists.conditions import Geometry, HitConditions, along_across, hit_conditions

__all__ = ["Geometry", "ShowerConditions", "along_across", "shower_conditions"]

EXTRA_ENERGY = {
    -11: 0.00102,
    13: 0.11,
    -13: 0.11,
    130: 0.5,
    211: 0.14,
    -211: 0.14,
    321: 0.5,
    -321: 0.5,
    2112: 0.01,
    2212: 0.01,
    -2112: 1.88,
    -2212: 1.88,
}
"""Energy that a particle may leave beyond its kinetic energy, by decay, capture or annihilation, GeV."""


@dataclass(frozen=True)
class ShowerConditions(HitConditions):
    """Conditions of a batch.

    Attributes
    ----------
    extra_B : float32 [B]
        Energy that may be deposited beyond the kinetic energy, GeV.
    """

    extra_B: Tensor

    @property
    def largest_deposit_B(self) -> Tensor:
        """Energy that may be deposited, float32 [B], GeV."""
        return self.log_energy_B.exp() + self.extra_B


def shower_conditions(
    geometry: Geometry, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor
) -> ShowerConditions:
    """Conditions from kinematics.

    Parameters
    ----------
    geometry : Geometry
    kinetic_energy_B : float32 [B], GeV
    direction_B3 : float32 [B, 3], unit vectors with z > 0
    entry_B2 : float32 [B, 2], mm in the frame of the module
    pdg_B : int64 [B]
    """
    c = hit_conditions(geometry, kinetic_energy_B, direction_B3, entry_B2, pdg_B)
    extra = torch.zeros_like(kinetic_energy_B)
    for species in geometry.species:
        extra = extra + (pdg_B == species) * EXTRA_ENERGY.get(species, 0.0)
    return ShowerConditions(**vars(c), extra_B=extra)
