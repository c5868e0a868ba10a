# SPDX-License-Identifier: BSD-3-Clause
"""Cross-validation folds of showers, stratified in species and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import InputError
from fastcalo.io.showers.reader import open_showers


@dataclass(frozen=True)
class Fold:
    """A part of the showers of some files.

    Attributes
    ----------
    number : int
        Of the fold, from 0.
    of : int
        How many folds there are.
    seed : int
        Which shower goes where.
    held_out : bool
        Whether the showers of the fold are meant, or all the others.
    """

    number: int
    of: int
    seed: int = 0
    held_out: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of or self.of < 2:
            raise InputError(f"there is no fold {self.number} of {self.of}: two folds at least, counted from 0")


def in_fold(paths: Sequence[Path], fold: Fold) -> NDArray[np.bool_]:
    """Which showers a fold means, bool [N], of those of all files, one after the other."""
    pdg, energy = [], []
    for path in paths:
        with open_showers(path) as f:
            pdg.append(f.pdg())
            energy.append(f.kinetic_energy())
    mine = assign_folds(np.concatenate(pdg), np.concatenate(energy), fold.of, fold.seed) == fold.number
    return np.asarray(mine == fold.held_out)


def assign_folds(
    pdg: NDArray[np.integer], kinetic_energy: NDArray[np.floating], folds: int, seed: int = 0
) -> NDArray[np.int64]:
    """Fold of each shower.

    Of showers in a row, by species and energy, as many as there are folds go to a different one each.

    Parameters
    ----------
    pdg : int [N]
    kinetic_energy : float [N]
    folds : int
    seed : int

    Returns
    -------
    int64 [N]
    """
    order = np.lexsort((kinetic_energy, pdg))
    rows = -(-len(order) // folds)
    ways = np.random.default_rng([seed, folds]).permuted(np.tile(np.arange(folds), (rows, 1)), axis=1)
    fold = np.empty(len(order), np.int64)
    fold[order] = ways.reshape(-1)[: len(order)]
    return fold
