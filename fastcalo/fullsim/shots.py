# SPDX-License-Identifier: BSD-3-Clause
"""Messages between the pool and Geant4 processes: columns of particles and of deposits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

GUN_MM = 1.0
"""Depth in front of the face at which shots begin, upstream along the line of flight."""

_LARGEST_SEED = 2**31 - 2


@dataclass(frozen=True, eq=False)
class Shots:
    """Particles to be simulated one by one.

    Attributes
    ----------
    number : int64 [n]
        What each is called in messages.
    pdg : int64 [n]
    kinetic_energy : float64 [n]
        GeV.
    direction : float64 [n, 3]
        Unit vector in the frame of the stack; z > 0.
    position : float64 [n, 2]
        Where the line of flight crosses the face, in the frame of the module, mm.
    seeds : int64 [n, 2]
        Of Geant4's random numbers, 1 to 2**31 - 2. They, and nothing else, distinguish two equal shots.
    """

    number: NDArray[np.int64]
    pdg: NDArray[np.int64]
    kinetic_energy: NDArray[np.float64]
    direction: NDArray[np.float64]
    position: NDArray[np.float64]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    def part(self, rows: slice) -> Shots:
        """Some of the shots."""
        return Shots(*(getattr(self, field.name)[rows] for field in fields(self)))

    def split(self, size: int) -> Iterator[Shots]:
        """The shots, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.part(slice(start, start + size))

    def describe(self, row: int) -> str:
        """One shot in words, with all that it takes to simulate it again."""
        a, b = self.seeds[row].tolist()
        direction, position = (", ".join(f"{v:.9g}" for v in x[row]) for x in (self.direction, self.position))
        return (
            f"shot {self.number[row]}: pdg {self.pdg[row]}, {self.kinetic_energy[row]:.9g} GeV, "
            f"direction ({direction}), position ({position}) mm, seeds ({a}, {b})"
        )


@dataclass(frozen=True, eq=False)
class CellColumns:
    """Deposits in the cells of one section.

    Attributes
    ----------
    shot : int64 [h]
        Row of the shot, rising.
    ix, iy, layer : int64 [h]
        Cell of the module; (0, 0) is centred on the frame's origin.
    deposit : float64 [h]
        GeV, greater than 0.
    time : float64 [h], optional
        Energy-weighted mean time of the deposit, ns since the particle started `GUN_MM` in front of the face.
    first_time : float64 [h], optional
        Time of the first deposit.
    """

    shot: NDArray[np.int64]
    ix: NDArray[np.int64]
    iy: NDArray[np.int64]
    layer: NDArray[np.int64]
    deposit: NDArray[np.float64]
    time: NDArray[np.float64] | None = None
    first_time: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Showers:
    """What Geant4 made of some shots.

    Attributes
    ----------
    shots : Shots
    sections : dict of str to CellColumns
        Every cell with a deposit, wherever it is.
    seconds : float
        Time of the processor spent in Geant4.
    """

    shots: Shots
    sections: dict[str, CellColumns]
    seconds: float


def seeds_from(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Seeds for Geant4, int64 of the same shape, from random words: 1 to 2**31 - 2."""
    # both ends are left out: engines read 0 as the end of the list of seeds
    return words.astype(np.int64) % _LARGEST_SEED + 1
