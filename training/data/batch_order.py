# SPDX-License-Identifier: BSD-3-Clause
"""Deterministic, rank-independent order of showers in batches.

Showers are numbered from 0 to n - 1. A slot of the global batch is a lane: every *piece* of an epoch gives it a range
of showers, each of which it takes once. A rank serves slots of its own and needs the ranges of these only; what a slot
takes depends on (seed, epoch, piece, slot), so that the global batch is the same on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import InputError

STRATA = 32


@dataclass(frozen=True)
class BatchOrder:
    """BatchOrder of the showers of one rank.

    With more than one piece, the showers that do not fill a batch are the last ones in even epochs and the first ones
    in odd epochs. With a single piece, which stays in memory, they are the last ones always, and never come.

    Parameters
    ----------
    showers : int
        How many there are.
    size : int
        Showers of the global batch.
    pool : int
        Most showers of a piece, all ranks together; but at least a batch.
    seed : int
    rank, ranks : int

    Raises
    ------
    InputError
        There are fewer showers than `size`, or fewer slots than ranks.
    """

    showers: int
    size: int
    pool: int
    seed: int
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.size > self.showers:
            raise InputError(f"a batch of {self.size} showers is asked for, but there are only {self.showers}")
        if self.size < self.ranks:
            raise InputError(
                f"a batch of {self.size} showers cannot be shared by {self.ranks} ranks; "
                "ask for a larger batch or for fewer ranks"
            )

    @property
    def slots(self) -> range:
        """Slots of this rank."""
        return range(self.size * self.rank // self.ranks, self.size * (self.rank + 1) // self.ranks)

    @property
    def pieces(self) -> int:
        """Pieces of an epoch."""
        return min(-(-self.showers // max(1, self.pool)), self.showers // self.size)

    @property
    def steps(self) -> int:
        """Batches of a piece, and showers of a slot in it."""
        return self.showers // (self.size * self.pieces)

    def visits(self, start: int) -> Iterator[tuple[int, int, int]]:
        """Epoch, piece, and first step in it, without end, from step `start` of the training on."""
        epoch, passed = divmod(start, self.pieces * self.steps)
        index, first = divmod(passed, self.steps)
        while True:
            for piece in np.random.default_rng([self.seed, epoch, 0, 0]).permutation(self.pieces)[index:]:
                yield epoch, int(piece), first
                first = 0
            epoch, index = epoch + 1, 0

    def firsts(self, epoch: int, piece: int) -> NDArray[np.int64]:
        """First shower of each slot's range of `steps` showers, int64 [S]."""
        rest = self.showers - self.size * self.pieces * self.steps
        shift = rest if epoch % 2 and self.pieces > 1 else 0
        return shift + (np.array(self.slots) * self.pieces + piece) * self.steps

    def rows(
        self, epoch: int, piece: int, kind: NDArray[np.integer], energy: NDArray[np.floating]
    ) -> NDArray[np.int64]:
        """Which shower of a piece each step takes for each slot.

        A slot's showers, sorted by species and energy, are cut into `STRATA` strata. It takes them in turns, and from
        a stratum at random; slots next to each other take different ones, so that a batch has its share of all.

        Parameters
        ----------
        epoch, piece : int
        kind, energy : [S * steps]
            Number of the species, and energy, of the showers of all slots, slot by slot.

        Returns
        -------
        int64 [steps, S]
            Indices into `kind`.
        """
        shape = (len(self.slots), self.steps)
        # up and down in turns: energies are alike where two species meet, and in a stratum that holds both
        rising = np.where(kind % 2, -energy, energy)
        ranked = np.lexsort((rising.reshape(shape), kind.reshape(shape)))
        stratum, draw = self._drawn(epoch, piece)
        # how many of a slot's showers are in a stratum follows from how often its turn comes
        drawn = np.take_along_axis(ranked, np.argsort(np.sort(stratum) + draw, kind="stable"), 1)
        out = np.empty(shape, np.int64)
        np.put_along_axis(out, np.argsort(stratum, kind="stable"), drawn, 1)
        return np.ascontiguousarray((out + np.arange(shape[0])[:, None] * self.steps).T)

    def _drawn(self, epoch: int, piece: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Stratum of each step, and random numbers in [0, 1), both [S, steps].

        As many slots as there are strata make up a Latin square: at each step they are in different strata. Slots next
        to each other are in strata far apart, so that ranks, too, have alike parts of a batch.
        """
        strata, slots = min(STRATA, self.steps), self.slots
        first, last = slots.start // strata, (slots.stop - 1) // strata
        turn, place = np.arange(self.steps) % strata, _spread(strata)
        squares, draws = [], []
        for group in range(first, last + 1):
            rng = np.random.default_rng([self.seed, epoch, 1 + piece, group])
            squares.append((place[:, None] + rng.permutation(strata)[turn]) % strata)
            draws.append(rng.random((strata, self.steps)))
        own = slice(slots.start - first * strata, slots.stop - first * strata)
        return np.concatenate(squares)[own], np.concatenate(draws)[own]


def _spread(number: int) -> NDArray[np.int64]:
    """0 to `number` - 1 in an order of which every run is spread evenly (van der Corput's)."""
    bits = np.arange(max(1, (number - 1).bit_length()))
    digits = np.arange(number)[:, None] >> bits & 1
    return np.argsort(np.argsort((digits / 2.0 ** (1 + bits)).sum(1)))
