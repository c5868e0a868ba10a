# SPDX-License-Identifier: BSD-3-Clause
"""Settings of full simulation: the table ``[geant4]`` of a detector description."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .tables import Geant4Table


@dataclass(frozen=True)
class Geant4Settings:
    """Settings of full simulation beside the geometry.

    Attributes
    ----------
    physics_list : str
        Name of one of Geant4's reference physics lists.
    production_cut_mm : float
        Range below which no secondary particle is made.
    kinetic_energy : (float, float)
        Smallest and largest kinetic energy that is accepted, GeV.
    max_angle_degrees : float
        Largest angle to the layers' normal that is accepted.
    """

    physics_list: str = "FTFP_BERT"
    production_cut_mm: float = 0.1
    kinetic_energy: tuple[float, float] = (0.001, 1000.0)
    max_angle_degrees: float = 80.0

    @property
    def max_angle(self) -> float:
        """Largest angle to the layers' normal that is accepted, rad."""
        return math.radians(self.max_angle_degrees)

    @property
    def description(self) -> dict[str, Any]:
        """The settings with the keys of the TOML file."""
        return {
            "physics_list": self.physics_list,
            "production_cut_mm": self.production_cut_mm,
            "kinetic_energy_gev": list(self.kinetic_energy),
            "max_angle_degrees": self.max_angle_degrees,
        }

    @property
    def text(self) -> str:
        """The settings in words, on one line."""
        low, high = self.kinetic_energy
        return (
            f"{self.physics_list}, production cut {self.production_cut_mm:g} mm; {low:g} to {high:g} GeV, "
            f"up to {self.max_angle_degrees:g} degrees"
        )

    @classmethod
    def of(cls, table: Geant4Table) -> Geant4Settings:
        """Make settings of the table in a description."""
        return cls(table.physics_list, table.production_cut_mm, table.kinetic_energy_gev, table.max_angle_degrees)
