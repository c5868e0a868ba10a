# SPDX-License-Identifier: BSD-3-Clause
"""Reader of the native HDF5 format of single-particle showers.

Columnar and sparse. Per shower ``pdg`` int32 [N], ``kinetic_energy`` float32 [N] (GeV), ``direction`` float32 [N, 3]
(unit vector in the frame of the stack, z inwards), ``entry`` float32 [N, 2] (mm from the centre of the cell that is
hit) and, if known, ``seeds`` int64 [N, 2]. Per section S ``S_offsets`` int64 [N + 1], ``S_cell`` (index into the
window in C order: ix, iy, layer), ``S_deposit`` float32 (GeV), if known ``S_time`` float32 (ns, energy-weighted mean)
and ``S_total`` float32 [N] (GeV, inside the window and beyond it); the window may be so wide that nothing lies beyond.
The attribute ``sections`` describes the stack as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...errors import InputError
from .hdf5_file import Hdf5File
from .slices import ShowerSlice, iterate_showers

if TYPE_CHECKING:
    import h5py

    from ...detector.description import Detector
    from ...detector.section import Section

# kind of number, and shape of one row
_CONDITIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "pdg": ("iu", ()),
    "kinetic_energy": ("f", ()),
    "direction": ("f", (3,)),
    "entry": ("f", (2,)),
}
# how far the squared length of a direction may be from 1
_UNIT = 1e-3
_PARTS = {"offsets": "iu", "cell": "iu", "deposit": "f"}


class ShowerFile(Hdf5File):
    """A file of showers, read slice by slice.

    Parameters
    ----------
    path : str or Path
    file : h5py.File, optional
        To be read instead of what lies at `path`, which then only stands in messages. It is closed with this one.

    Attributes
    ----------
    path : Path
    sections : tuple of str
        Sections that the file has deposits of.
    attributes : dict
        What else the file states of itself: units, generator, cuts, seconds per shower.

    Raises
    ------
    InputError
        There is no such file, it is not HDF5 or cut short, or a dataset is missing or of the wrong shape.

    Examples
    --------
    >>> with ShowerFile("examples/data/em_geant4.h5") as showers:
    ...     energy = showers.kinetic_energy(0, 100)
    ...     offsets, cell, deposit = showers.hits("ECAL", 0, 100)
    >>> offsets.shape
    (101,)
    """

    def __init__(self, path: str | Path, file: h5py.File | None = None) -> None:
        self._offsets: dict[str, NDArray[np.int64]] = {}
        super().__init__(path, file)

    def iterate(self, step_size: int = 1000) -> Iterator[ShowerSlice]:
        """Read all showers in order, in bounded memory.

        Parameters
        ----------
        step_size : int
            Showers at a time; the last may be fewer.

        Yields
        ------
        ShowerSlice

        Raises
        ------
        InputError
            A value cannot be, or the file is damaged.
        ConfigError
            `step_size` is less than one shower.
        """
        return iterate_showers(self, step_size)

    @property
    def lengths(self) -> dict[str, int]:
        """Number of rows of every dataset."""
        return {name: int(data.shape[0]) for name, data in self._file.items() if hasattr(data, "shape")}

    def shape(self, section: str) -> tuple[int, int, int]:
        """Shape of a shower's window: cells along x, cells along y, layers."""
        self._has(section)
        table = self.description[section]
        nx, ny = _pair(table["window"])
        return nx, ny, len(table["layers"])

    def voxels(self, section: str) -> Voxels:
        """Where the cells of a shower's window are.

        Raises
        ------
        InputError
            The file has no such section, or does not state how large its cells are.
        """
        shape = self.shape(section)
        size = self.description[section].get("cell_mm")
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < math.inf:
            raise InputError(f"{self.path}: the attribute 'sections' does not state the cell_mm of {section}: {size!r}")
        return Voxels.of_window(shape, (size, size))

    def pdg(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """PDG codes of the showers `start` to `stop`, int32 [n].

        Raises
        ------
        InputError
            One does not fit 32 bits.
        """
        rows = self._rows("pdg", start, stop)
        low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
        self._checked("pdg", start, rows, (rows >= low) & (rows <= high), "should be a PDG code")
        return rows.astype(np.int32, copy=False)

    def kinetic_energy(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Kinetic energies, float32 [n], GeV.

        Raises
        ------
        InputError
            One is not a positive number.
        """
        rows = self._floats("kinetic_energy", start, stop)
        return self._checked("kinetic_energy", start, rows, rows > 0, "should be a positive number")

    def direction(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Directions of flight, unit vectors with z > 0, float32 [n, 3].

        Raises
        ------
        InputError
            One is not a unit vector that points into the stack.
        """
        rows = self._floats("direction", start, stop)
        good = (np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < _UNIT) & (rows[:, 2] > 0)
        return self._checked("direction", start, rows, good, "should be a unit vector with z > 0")

    def entry(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Entry points on the face, from the centre of the cell that is hit, float32 [n, 2], mm.

        Raises
        ------
        InputError
            One is not finite.
        """
        rows = self._floats("entry", start, stop)
        return self._checked(
            "entry", start, rows, np.asarray(np.isfinite(rows).all(axis=1)), "should be two finite numbers"
        )

    def seeds(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Seeds of the generator, int64 [n, 2].

        Raises
        ------
        InputError
            The file has none.
        """
        self._dataset("seeds", "iu", (2,))
        self._has_length("seeds", len(self))
        return self._rows("seeds", start, stop).astype(np.int64, copy=False)

    def total(self, section: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Energies deposited in all sensors of a section, in the window and beyond, float32 [n], GeV.

        Raises
        ------
        InputError
            The file has no such section, or one is not a number of at least 0.
        """
        self._has(section)
        rows = self._floats(f"{section}_total", start, stop)
        return self._checked(f"{section}_total", start, rows, rows >= 0, "should be a number of at least 0")

    def hits(
        self, section: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Deposits of a section in the showers `start` to `stop`.

        Parameters
        ----------
        section : str
        start, stop : int

        Returns
        -------
        offsets : int64 [n + 1]
            Shower ``i`` of the slice holds ``offsets[i]:offsets[i + 1]``; begins with 0.
        cell : int32 [h]
            Index into the window, C order: ix, iy, layer.
        deposit : float32 [h]
            GeV.

        Raises
        ------
        InputError
            The file has no such section, its offsets are not in order, a cell is outside the window, or a deposit is
            not a number of at least 0.
        """
        start, stop = self._range(start, stop)
        offsets = self._all_offsets(section)[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        cell = self._slice(f"{section}_cell", first, last)
        deposit = self._slice(f"{section}_deposit", first, last).astype(np.float32, copy=False)
        shape = self.shape(section)
        self._checked(
            f"{section}_cell", first, cell, (cell >= 0) & (cell < math.prod(shape)), f"is outside a window of {shape}"
        )
        self._checked(f"{section}_deposit", first, deposit, deposit >= 0, "should be a number of at least 0")
        return offsets - first, cell.astype(np.int32), deposit

    def hit_lists(
        self, section: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """As `hits`, with cells counted from the one that the line of flight crosses in their layer.

        Returns
        -------
        offsets : int64 [n + 1]
        cell : int32 [h, 3]
            Cells along x and along y from the one that is crossed, and layer.
        deposit : float32 [h], GeV
        """
        offsets, cell, deposit = self.hits(section, start, stop)
        nx, ny, layers = self.shape(section)
        column, layer = np.divmod(cell, np.int32(layers))
        x, y = np.divmod(column, np.int32(ny))
        return offsets, np.stack([x - nx // 2, y - ny // 2, layer], 1), deposit

    def has_times(self, section: str) -> bool:
        """Whether the file has the times of a section's deposits."""
        return f"{section}_time" in self._file

    def times(self, section: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Energy-weighted mean times of the deposits that `hits` gives, float32 [h], ns; an InputError without."""
        if not self.has_times(section):
            raise InputError(f"{self.path}: has no times of {section}; fullsim gun --times keeps them")
        start, stop = self._range(start, stop)
        first, last = self._all_offsets(section)[[start, stop]].tolist()
        values = self._slice(f"{section}_time", first, last).astype(np.float32, copy=False)
        return self._checked(f"{section}_time", first, values, values >= 0, "should be a number of at least 0")

    def check_detector(
        self, detector: Detector, sections: tuple[str, ...] | None = None, *, windows: bool = True
    ) -> None:
        """Refuse a detector that is not the one the showers are from.

        Parameters
        ----------
        detector : Detector
        sections : tuple of str, optional
            Those to compare; all of the file unless given.
        windows : bool
            Whether the windows must be the same, too.

        Raises
        ------
        InputError
            A section is missing on one side, or differs; the message names the section and the key.
        """
        for name in sections or self.sections:
            self._has(name)
            mine, theirs = self.description[name], describe_section(detector.section(name))
            mine = {**mine, "window": list(_pair(mine["window"]))}
            theirs = {**theirs, "window": list(_pair(theirs["window"]))}
            for key in (theirs.keys() & mine.keys()) - (set() if windows else {"window"}):
                if mine[key] != theirs[key]:
                    raise InputError(
                        f"{self.path}: the showers are from another {name} than that of {detector.name!r}: "
                        f"{key} is {mine[key]!r} here, but {theirs[key]!r} there"
                    )

    def check_values(self) -> None:
        """Read all there is, and refuse the file if one value is wrong.

        Raises
        ------
        InputError
        """
        for condition in (self.pdg, self.kinetic_energy, self.direction, self.entry):
            condition()
        for section in self.sections:
            self.hits(section)
            self.total(section)
            if self.has_times(section):
                self.times(section)

    def _check(self) -> None:
        for name, (kind, row) in _CONDITIONS.items():
            self._dataset(name, kind, row)
        self._length = int(self._file["pdg"].shape[0])
        for name in _CONDITIONS:
            self._has_length(name, self._length)
        self.description = self._description(self.attributes.pop("sections", None))
        self.sections = tuple(name for name in self.description if f"{name}_offsets" in self._file)
        if not self.sections:
            raise InputError(f"{self.path}: has deposits of no section (no dataset such as ECAL_offsets)")
        for name in self.sections:
            for part, kind in _PARTS.items():
                self._dataset(f"{name}_{part}", kind, ())
            self._dataset(f"{name}_total", "f", ())
            self._has_length(f"{name}_offsets", self._length + 1)
            self._has_length(f"{name}_total", self._length)
            self._has_length(f"{name}_deposit", self._file[f"{name}_cell"].shape[0])
            if self.has_times(name):
                self._dataset(f"{name}_time", "f", ())
                self._has_length(f"{name}_time", self._file[f"{name}_cell"].shape[0])

    def _description(self, text: object) -> dict[str, dict[str, Any]]:
        try:
            if not isinstance(text, str):
                raise TypeError("it is missing")
            sections: dict[str, dict[str, Any]] = json.loads(text)
            for table in sections.values():
                _pair(table["window"])
                len(table["layers"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{self.path}: the attribute 'sections' does not describe a calorimeter (window and layers of every "
                f"section, as JSON): {error}"
            ) from error
        return sections

    def _dataset(self, name: str, kind: str, row: tuple[int, ...]) -> None:
        data = self._data(name)
        if data.ndim != 1 + len(row) or data.shape[1:] != row or data.dtype.kind not in kind:
            raise InputError(
                f"{self.path}: {name} has shape {data.shape} and type {data.dtype}, but should have one row of shape "
                f"{row} per shower, of {'floating-point' if kind == 'f' else 'integer'} numbers"
            )
        self._is_written(name)

    def _all_offsets(self, section: str) -> NDArray[np.int64]:
        if section not in self._offsets:
            self._has(section)
            offsets = self._slice(f"{section}_offsets", 0, len(self) + 1).astype(np.int64, copy=False)
            steps = np.diff(offsets)
            if offsets[0] != 0 or (steps < 0).any():
                where = int(np.argmax(steps < 0)) if (steps < 0).any() else 0
                raise InputError(f"{self.path}: {section}_offsets must begin with 0 and never fall: see row {where}")
            if offsets[-1] != (hits := self._file[f"{section}_cell"].shape[0]):
                raise InputError(f"{self.path}: {section}_offsets end at {offsets[-1]}, but there are {hits} deposits")
            self._offsets[section] = offsets
        return self._offsets[section]

    def _floats(self, name: str, start: int, stop: int | None) -> NDArray[np.float32]:
        return self._rows(name, start, stop).astype(np.float32, copy=False)

    def _rows(self, name: str, start: int, stop: int | None) -> NDArray[Any]:
        return self._slice(name, *self._range(start, stop))


def describe_section(section: Section) -> dict[str, Any]:
    """Return a section of a detector in the words of the attribute ``sections``."""
    nx, ny = section.window
    return {
        "absorber": section.absorber,
        "layers": list(section.absorber_mm),
        "sensor": section.sensor,
        "sensor_mm": section.sensor_mm,
        "gap": section.gap,
        "gap_mm": section.gap_mm,
        "cell_mm": section.cell_mm,
        "window": nx if nx == ny else [nx, ny],
        "front_mm": section.front_mm,
    }


def _pair(window: int | list[int]) -> tuple[int, int]:
    nx, ny = (window, window) if isinstance(window, int) else window
    return int(nx), int(ny)
