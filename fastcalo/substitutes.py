"""Species that stand for others: what is simulated in place of a particle that no model knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tables import Table


@dataclass(frozen=True)
class Substitutes:
    """PDG codes, and those that stand for them.

    Attributes
    ----------
    pairs : tuple of (int, int)
        Species, and its substitute.
    """

    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def description(self) -> dict[str, int]:
        """The table with the keys of the TOML file."""
        return {str(species): substitute for species, substitute in self.pairs}

    @classmethod
    def parse(cls, table: Table) -> Substitutes:
        """Read the table.

        Raises
        ------
        DetectorError
            A key is no PDG code, a value is no whole number, or a substitute has one itself.
        """
        pairs = []
        for key in table.names():
            try:
                species = int(key)
            except ValueError:
                table.fail(key, "must be a PDG code, such as 321")
            pairs.append((species, table.integer(key, at_least=-(2**31))))
        known = {species for species, _ in pairs}
        for species, substitute in pairs:
            if substitute in known:
                table.fail(str(species), f"{substitute} has a substitute itself: name that one")
        return cls(tuple(pairs))

    def in_force(self, species: Sequence[int]) -> Substitutes:
        """Those that are needed, and can be met, where models know these species."""
        return Substitutes(tuple((a, b) for a, b in self.pairs if a not in species and b in species))

    def apply(self, pdg: NDArray[np.integer]) -> NDArray[np.int64]:
        """PDG codes [n] with substitutes in place of the species that have one."""
        out = pdg.astype(np.int64)
        for species, substitute in self.pairs:
            out[pdg == species] = substitute
        return out
