# SPDX-License-Identifier: BSD-3-Clause
"""Substitute species: which known species is simulated in place of one that no model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tables import SubstituteTable


@dataclass(frozen=True)
class Substitute:
    """What a species is simulated as.

    Attributes
    ----------
    species : int
        PDG code of the particle.
    pdg : int
        That of its substitute.
    add : float
        Energy that is added to the kinetic one, GeV: what the particle's mass sets free beyond that of its substitute.
    """

    species: int
    pdg: int
    add: float


@dataclass(frozen=True)
class Substitutes:
    """Species, and those that stand for them."""

    rows: tuple[Substitute, ...] = ()

    @property
    def description(self) -> dict[str, dict[str, float]]:
        """The table with the keys of the TOML file."""
        return {str(row.species): {"pdg": row.pdg, "add_gev": row.add} for row in self.rows}

    @classmethod
    def of(cls, table: Mapping[str, SubstituteTable]) -> Substitutes:
        """Make substitutes of the table in a description."""
        return cls(tuple(Substitute(int(key), entry.pdg, entry.add_gev) for key, entry in table.items()))

    def in_force(self, species: Sequence[int]) -> Substitutes:
        """Those that are needed, and can be met, where models know these species."""
        return Substitutes(tuple(row for row in self.rows if row.species not in species and row.pdg in species))

    def apply(
        self, pdg: NDArray[np.integer], kinetic_energy: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """PDG codes [n] and kinetic energies [n], GeV, with substitutes in place of the species that have one."""
        codes, energy = pdg.astype(np.int64), kinetic_energy.copy()
        for row in self.rows:
            mine = pdg == row.species
            codes[mine] = row.pdg
            energy[mine] += row.add
        return codes, energy
