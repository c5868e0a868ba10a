# SPDX-License-Identifier: BSD-3-Clause
"""Base of readers of dense shower arrays, which are returned as sparse hits slice by slice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...detector.voxels import Voxels
from ...errors import InputError
from .hdf5_file import Hdf5File
from .slices import ShowerSlice, iterate_showers

if TYPE_CHECKING:
    from ...detector.description import Detector

# values of dense arrays in memory at a time
_BLOCK = 1 << 22
# stands for any length in the shape of a row
ANY = 0


class DenseShowers(Hdf5File):
    """Showers of which every voxel is stored; the base of the readers of others' files.

    A derived class sets the attributes below in ``_check``.
    """

    # by section: datasets whose rows, flattened, follow each other as its voxels
    _arrays: dict[str, tuple[str, ...]]
    _voxels: dict[str, Voxels]
    # GeV per unit of the deposits, and of the energies in the dataset _energy
    _deposit_unit: float
    _energy_unit: float
    _energy: str
    # code of all particles of the file
    _species: int

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

    def voxels(self, section: str) -> Voxels:
        """Where the voxels are."""
        self._has(section)
        return self._voxels[section]

    def pdg(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """PDG codes of the showers `start` to `stop`, int32 [n]."""
        start, stop = self._range(start, stop)
        return np.full(stop - start, self._species, np.int32)

    def kinetic_energy(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """What the file calls the particles' energies, float32 [n], GeV.

        Raises
        ------
        InputError
            One is not a positive number.
        """
        start, stop = self._range(start, stop)
        rows = flat(self._slice(self._energy, start, stop))[:, 0]
        self._checked(self._energy, start, rows, rows > 0, "should be a positive number")
        return (rows * self._energy_unit).astype(np.float32)

    def direction(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Directions of flight, float32 [n, 3]: along the normal of the layers, unless the file has angles."""
        start, stop = self._range(start, stop)
        return np.tile(np.array([0, 0, 1], np.float32), (stop - start, 1))

    def entry(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Entry points, float32 [n, 2], mm: zero, for no file has them."""
        start, stop = self._range(start, stop)
        return np.zeros((stop - start, 2), np.float32)

    def total(self, section: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Energies deposited in a section, float32 [n], GeV.

        Raises
        ------
        InputError
            The file has no such section, or a deposit is not a number of at least 0.
        """
        self._has(section)
        sums = [self._dense(section, a, b).sum(axis=1) for a, b in self._blocks(section, start, stop)]
        return np.concatenate([np.zeros(0), *sums]).astype(np.float32)

    def hits(
        self, section: str, start: int = 0, stop: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Deposits above 0 of a section in the showers `start` to `stop`.

        Parameters
        ----------
        section : str
        start, stop : int

        Returns
        -------
        offsets : int64 [n + 1]
            Shower ``i`` of the slice holds ``offsets[i]:offsets[i + 1]``; begins with 0.
        voxel : int32 [h]
            Index into `voxels`.
        deposit : float32 [h]
            GeV.

        Raises
        ------
        InputError
            The file has no such section, or a deposit is not a number of at least 0.
        """
        self._has(section)
        counts, voxels, deposits = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for a, b in self._blocks(section, start, stop):
            dense = self._dense(section, a, b).astype(np.float32)
            row, voxel = np.nonzero(dense)
            counts.append(np.bincount(row, minlength=b - a))
            voxels.append(voxel.astype(np.int32))
            deposits.append(dense[row, voxel])
        return np.cumsum(np.concatenate(counts)), np.concatenate(voxels), np.concatenate(deposits)

    def check_detector(
        self,
        detector: Detector,
        sections: tuple[str, ...] | None = None,  # noqa: ARG002
        *,
        windows: bool = True,  # noqa: ARG002
    ) -> None:
        """Refuse to pass for showers of a detector of ours.

        Raises
        ------
        InputError
            Always, where the voxels do not form a regular window.
        """
        raise InputError(
            f"{self.path}: the voxels form no regular window of a detector such as {detector.name!r}: "
            "these showers serve validation only, not training"
        )

    def _blocks(self, section: str, start: int, stop: int | None) -> Iterator[tuple[int, int]]:
        start, stop = self._range(start, stop)
        step = max(1, _BLOCK // max(1, len(self._voxels[section])))
        return ((a, min(a + step, stop)) for a in range(start, stop, step))

    def _dense(self, section: str, start: int, stop: int) -> NDArray[np.float64]:
        """Deposits of all voxels, float64 [n, v], GeV."""
        parts = [self._deposits(name, start, stop) for name in self._arrays[section]]
        return np.concatenate(parts, axis=1) * self._deposit_unit

    def _deposits(self, name: str, start: int, stop: int) -> NDArray[np.float64]:
        """Checked rows of a dataset, flattened, in its own unit."""
        data = self._slice(name, start, stop)
        fine = np.isfinite(data) & (data >= 0)
        if not fine.all():
            bad = np.unravel_index(int(np.argmin(fine)), fine.shape)
            place = ", ".join(map(str, (start + bad[0], *bad[1:])))
            raise InputError(f"{self.path}: {name}[{place}] = {data[bad]} should be a number of at least 0")
        return flat(data)

    def _numbers(self, name: str, *rows: Sequence[int]) -> tuple[int, ...]:
        """Check that a dataset has rows of one of these shapes, and return its shape."""
        data = self._data(name)
        fits = any(
            len(row) == data.ndim - 1 and all(want in (ANY, got) for want, got in zip(row, data.shape[1:], strict=True))
            for row in rows
        )
        if not fits or data.dtype.kind not in "fiu" or 0 in data.shape[1:]:
            wanted = " or ".join(f"[{', '.join(['N', *('any' if n == ANY else str(n) for n in row)])}]" for row in rows)
            raise InputError(
                f"{self.path}: {name} has shape {data.shape} and type {data.dtype}, but should be numbers {wanted}"
            )
        shape: tuple[int, ...] = data.shape
        return shape

    def _count(self, *names: str) -> None:
        """Take the number of showers from the first dataset; all others must have as many rows."""
        self._length = int(self._file[names[0]].shape[0])
        for name in names:
            self._has_length(name, self._length)


def flat(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of any shape as rows of numbers, float64 [n, m]."""
    return rows.reshape(len(rows), math.prod(rows.shape[1:])).astype(np.float64)


def whole_numbers(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are whole numbers that fit into int32."""
    return np.asarray(np.isfinite(values) & (np.abs(values) < 2**31) & (np.round(values) == values))


def window_size(shape: tuple[int, int, int]) -> str:
    """Return a window's shape in words."""
    return f"{' x '.join(map(str, shape))} ({math.prod(shape)} cells)"
