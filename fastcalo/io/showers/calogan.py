# SPDX-License-Identifier: BSD-3-Clause
"""Reader of CaloGAN showers (M. Paganini, L. de Oliveira, B. Nachman, Phys. Rev. D 97 (2018) 014021, arXiv:1712.10321).

``layer_0`` [N, 3, 96], ``layer_1`` [N, 12, 12], ``layer_2`` [N, 12, 6] and ``overflow`` [N, 3] (what was deposited
beside the layers) in MeV, ``energy`` [N, 1] in GeV. Each layer is a square of 480 mm, cut evenly, centred on the
particle: cells of 160 x 5, 40 x 40 and 40 x 80 mm, x along the first axis (``SteppingAction.cc`` of hep-lbdl/CaloGAN;
the data's page, doi:10.17632/pvn3xc3wy5.1). The cuts in depth are 90, 347 and 43 mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...errors import InputError
from .dense_arrays import DenseShowers

if TYPE_CHECKING:
    import h5py

SECTION = "CALO"
LAYERS = {"layer_0": (3, 96), "layer_1": (12, 12), "layer_2": (12, 6)}
_SIDE_MM = 480.0
_NAMES = {"gamma": 22, "eplus": -11, "piplus": 211}


class CaloGanFile(DenseShowers):
    """A file of CaloGAN.

    Parameters
    ----------
    path : str or Path
    pdg : int, optional
        Code of all particles, needed if the file's name does not state it (gamma, eplus, piplus).
    file : h5py.File, optional

    Raises
    ------
    InputError
        It is not HDF5 or cut short, a dataset is missing or of the wrong shape, or the species is not known.
    """

    def __init__(self, path: str | Path, pdg: int | None = None, file: h5py.File | None = None) -> None:
        self._given = pdg
        super().__init__(path, file)

    def total(self, section: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Energies deposited in the layers and beside them (``overflow``, if there), float32 [n], GeV.

        Raises
        ------
        InputError
            The file has no such section, or a deposit is not a number of at least 0.
        """
        inside = super().total(section, start, stop)
        if "overflow" not in self._file:
            return inside
        beside = self._deposits("overflow", *self._range(start, stop)).sum(axis=1) * self._deposit_unit
        both: NDArray[np.float32] = (inside + beside).astype(np.float32)
        return both

    def _check(self) -> None:
        for name, shape in LAYERS.items():
            self._numbers(name, shape)
        self._numbers("energy", (1,), ())
        overflow = ["overflow"] if "overflow" in self._file else []
        if overflow:
            self._numbers("overflow", (3,))
        self._count(*LAYERS, "energy", *overflow)
        self.sections, self._arrays = (SECTION,), {SECTION: tuple(LAYERS)}
        self._voxels = {SECTION: _voxels()}
        self._energy, self._energy_unit, self._deposit_unit = "energy", 1.0, 1e-3
        self._species = self._named() if self._given is None else self._given
        self.attributes |= {"format": "CaloGAN"}

    def _named(self) -> int:
        found = [code for word, code in _NAMES.items() if word in self.path.name.lower()]
        if len(found) != 1:
            raise InputError(
                f"{self.path}: the file's name does not state its species ({', '.join(_NAMES)}): "
                "give the code by the option 'pdg'"
            )
        return found[0]


def _voxels() -> Voxels:
    layers = [Voxels.of_window((nx, ny, 1), (_SIDE_MM / nx, _SIDE_MM / ny)) for nx, ny in LAYERS.values()]
    index = np.repeat(np.arange(len(layers)), [len(layer) for layer in layers])
    x, y, radius = (np.concatenate([getattr(layer, key) for layer in layers]) for key in ("x", "y", "radius"))
    return Voxels(index, x, y, radius, len(layers))
