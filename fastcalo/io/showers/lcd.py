# SPDX-License-Identifier: BSD-3-Clause
"""Reader of the LCD showers for 3DGAN: dense windows of a CLIC-like calorimeter.

Two generations of files (HDF5), both with ``ECAL`` [N, nx, ny, layers] and perhaps ``HCAL``:

- fixed angle: windows of 25 x 25 x 25 cells (HCAL: 5 x 5 x 60), ``target`` [N, 1, 5], [N, 5] or [N, 2] with the PDG
  code in column 0 and the energy in GeV in column 1; deposits in GeV.
- variable angle: windows of 51 x 51 x 25 cells (HCAL: 11 x 11 x 60), ``energy`` [N] (GeV), ``theta`` [N] (rad) and
  ``pdgID`` [N]; deposits in GeV times 50, the inverse of the ECAL's sampling fraction, so that they add up to about the
  particle's energy.

Read off the code that makes and uses them: the LCD converters of D. Olivito, M. Zhang, M. Pierini and others
("/1000.*50" from MeV), and the repositories svalleco/3Dgan and interTwin-eu/DetectorSim-3DGAN. What is in column 0 of
``target`` is not stated there; it must be whole numbers.

The second axis of a window runs along the beam, the third through the layers, and ``theta`` is the polar angle from the
beam: 90 degrees is perpendicular incidence, and below that a shower drifts to higher indices of the second axis
(``measPython`` in svalleco/3Dgan). In the frame of the stack the direction of flight is (0, cos theta, sin theta). What
azimuth there is within a module, at most 15 degrees of ``phi``, is left out: its sense is not documented.

Windows are centred on the shower's barycentre, and stand upright at any angle.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...errors import InputError
from .dense_arrays import ANY, DenseShowers, flat, whole_numbers, window_size

if TYPE_CHECKING:
    import h5py

    from ...detector.description import Detector

# sides of the cells: D. Belayneh et al., Eur. Phys. J. C 80 (2020) 688, arXiv:1912.06794
_CELL_MM = {"ECAL": 5.1, "HCAL": 30.0}
# what deposits are multiplied by in files of the second generation
_SCALED = 50.0
# beginnings of file names, as 3DGAN sorts them by
_NAMES = {"Ele": 11, "Gamma": 22, "Pi0": 111, "ChPi": 211}
# cosine of theta up to which incidence is perpendicular
_UPRIGHT = 1e-3


class LcdFile(DenseShowers):
    """A file of the LCD collaboration, fixed or variable angle.

    Parameters
    ----------
    path : str or Path
    pdg : int, optional
        Code of all particles, needed if neither the file nor its name states it.
    deposit_scale : float, optional
        GeV per unit of the deposits: 1 for files with ``target`` and 1/50 for files with ``energy``, unless given.
    file : h5py.File, optional

    Raises
    ------
    InputError
        It is not HDF5 or cut short, a dataset is missing or of the wrong shape, or the species is not known.
    """

    def __init__(
        self,
        path: str | Path,
        pdg: int | None = None,
        deposit_scale: float | None = None,
        file: h5py.File | None = None,
    ) -> None:
        self._given, self._scale = pdg, deposit_scale
        super().__init__(path, file)

    def shape(self, section: str) -> tuple[int, int, int]:
        """Shape of a shower's window: cells along x, cells along y, layers."""
        self._has(section)
        return self._shapes[section]

    def pdg(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """PDG codes of the showers `start` to `stop`, int32 [n].

        Raises
        ------
        InputError
            One is not a whole number.
        """
        if self._codes is None:
            return super().pdg(start, stop)
        start, stop = self._range(start, stop)
        rows = flat(self._slice(self._codes, start, stop))[:, 0]
        self._checked(self._codes, start, rows, whole_numbers(rows), "should begin with a PDG code")
        return rows.astype(np.int32)

    def kinetic_energy(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """What the file calls the particles' energies, float32 [n], GeV.

        Raises
        ------
        InputError
            One is not a positive number.
        """
        if self._energy != "target":
            return super().kinetic_energy(start, stop)
        start, stop = self._range(start, stop)
        rows = flat(self._slice("target", start, stop))[:, 1]
        return self._checked("energy in target", start, rows, rows > 0, "should be a positive number").astype(
            np.float32
        )

    def direction(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Directions of flight (0, cos theta, sin theta), float32 [n, 3]; along z without ``theta``.

        Raises
        ------
        InputError
            A polar angle is not between 0 and pi.
        """
        if not self._has_theta:
            return super().direction(start, stop)
        start, stop = self._range(start, stop)
        theta = flat(self._slice("theta", start, stop))[:, 0]
        self._checked("theta", start, theta, (theta > 0) & (theta < np.pi), "should be between 0 and pi (rad)")
        return np.stack([np.zeros_like(theta), np.cos(theta), np.sin(theta)], axis=1).astype(np.float32)

    def check_detector(
        self, detector: Detector, sections: tuple[str, ...] | None = None, *, windows: bool = True
    ) -> None:
        """Refuse a detector whose windows are not those of the file.

        The file does not describe its calorimeter: only the shapes of the windows are compared. Windows of our
        detectors follow the line of flight, these do not; showers that are not perpendicular would be taken wrongly.

        Raises
        ------
        InputError
            The file has no such section, its windows are of another shape, or showers are oblique.
        """
        for name in sections or self.sections:
            mine, theirs = self.shape(name), detector.section(name).shape
            if windows and mine != theirs:
                raise InputError(
                    f"{self.path}: windows of {name} are {window_size(mine)}, but {detector.name!r} has "
                    f"{window_size(theirs)}: describe a detector with such windows"
                )
        oblique = np.abs(self.direction()[:, 1]) > _UPRIGHT
        if oblique.any():
            raise InputError(
                f"{self.path}: theta[{int(np.argmax(oblique))}] is not 90 degrees: windows of this file stand upright, "
                "while ours follow the line of flight; oblique showers serve validation only, not training"
            )

    def _check(self) -> None:
        self.sections = tuple(name for name in _CELL_MM if name in self._file)
        self._shapes, self._voxels, self._arrays = {}, {}, {}
        for name in self.sections:
            _, nx, ny, layers = self._numbers(name, (ANY, ANY, ANY))
            self._shapes[name], self._arrays[name] = (nx, ny, layers), (name,)
            self._voxels[name] = Voxels.of_window((nx, ny, layers), (_CELL_MM[name], _CELL_MM[name]))
        columns = [name for name in ("energy", "theta", "pdgID") if name in self._file]
        for name in columns:
            self._numbers(name, (), (1,))
        self._energy, self._energy_unit, self._has_theta = "energy", 1.0, "theta" in columns
        self._codes = "pdgID" if "pdgID" in columns else None
        if "energy" not in columns:
            self._numbers("target", (1, 5), (5,), (1, 2), (2,))
            self._energy, self._codes = "target", self._codes or "target"
            columns.append("target")
        self._count(*self.sections, *columns)
        if not self._has_theta and (angles := [name for name in ("eta", "phi") if name in self._file]):
            raise InputError(f"{self.path}: has {angles}, but no dataset 'theta' with the angle of incidence")
        self._deposit_unit = self._unit()
        if self._codes is None:
            self._species = self._named() if self._given is None else self._given
        elif self._given is not None:
            raise InputError(f"{self.path}: states its particles in {self._codes}: leave the option 'pdg' out")
        self.attributes |= {"format": "LCD (3DGAN)", "deposit_scale": self._deposit_unit}

    def _unit(self) -> float:
        if self._scale is None:
            return 1 / _SCALED if self._energy == "energy" else 1.0
        if not 0 < self._scale < np.inf:
            raise InputError(f"{self.path}: the option 'deposit_scale' should be a positive number, not {self._scale}")
        return float(self._scale)

    def _named(self) -> int:
        beginning = self.path.name.split("_")[0].removesuffix("Escan")
        if beginning not in _NAMES:
            raise InputError(
                f"{self.path}: neither pdgID nor the file's name ({', '.join(_NAMES)}) states the species: "
                "give its code by the option 'pdg'"
            )
        return _NAMES[beginning]
