"""Writing the native shower format."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .files import output_errors, whole_file
from .hdf5 import ShowerFile, describe_section

if TYPE_CHECKING:
    from ..detector import Detector

_REQUIRED = {"pdg": np.int32, "kinetic_energy": np.float32, "direction": np.float32, "entry": np.float32}
_OPTIONAL = {"seeds": np.int64}
_ROWS_PER_CHUNK = 1 << 16


def write_showers(
    path: str | Path,
    detector: Detector,
    conditions: Mapping[str, ArrayLike],
    hits: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    totals: Mapping[str, ArrayLike] | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write showers to a file that `ShowerFile` reads.

    Parameters
    ----------
    path : str or Path
    detector : Detector
        The calorimeter that they are from.
    conditions : mapping
        ``pdg`` [n], ``kinetic_energy`` [n] (GeV), ``direction`` [n, 3], ``entry`` [n, 2] (mm), and perhaps
        ``seeds`` [n, 2].
    hits : mapping
        By section: offsets [n + 1], cell [h] and deposit [h] (GeV), as `ShowerFile.hits` returns them.
    totals : mapping, optional
        By section: energy [n] in and beyond the window, GeV. The sum of the deposits unless given.
    attributes : mapping, optional
        Generator, production cut, seconds per shower and the like.
    overwrite : bool

    Raises
    ------
    InputError
        The arrays don't fit each other, or the detector.
    OutputError
        The file cannot be written. Nothing is left under its name then.
    """
    columns = _conditions(path, conditions)
    for section, arrays in hits.items():
        total = None if totals is None else totals.get(section)
        columns |= _section(detector, section, *arrays, total)
    sections = {s.name: describe_section(s) for s in detector.sections if s.name in hits}
    facts = {**(attributes or {}), "sections": json.dumps(sections), "units": "GeV mm", "showers": len(columns["pdg"])}
    image = _image(Path(path), columns, facts)
    with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
        temporary.write_bytes(image)


def _conditions(path: str | Path, given: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    known = _REQUIRED | _OPTIONAL
    if missing := [name for name in _REQUIRED if name not in given]:
        raise InputError(f"{path}: conditions {missing} are missing")
    if unknown := [name for name in given if name not in known]:
        raise InputError(f"{path}: conditions {unknown} are not known; there are {list(known)}")
    return {name: np.asarray(values, known[name]) for name, values in given.items()}


def _section(
    detector: Detector, name: str, offsets: ArrayLike, cell: ArrayLike, deposit: ArrayLike, total: ArrayLike | None
) -> dict[str, NDArray[Any]]:
    cells, deposits, ends = np.asarray(cell), np.asarray(deposit, np.float32), np.asarray(offsets, np.int64)
    size = math.prod(detector.section(name).shape)
    if cells.size and not 0 <= cells.min() <= cells.max() < size:
        raise InputError(f"{name}: cells {cells.min()} to {cells.max()} don't fit a window of {size}")
    steps = np.diff(ends)
    if not (len(ends) and ends[0] == 0 and (steps >= 0).all() and ends[-1] == len(cells) == len(deposits)):
        raise InputError(f"{name}: offsets must rise from 0 to the number of cells and deposits")
    if total is None:
        row = np.repeat(np.arange(len(steps)), steps)
        total = np.bincount(row, deposits, minlength=len(steps))
    return {
        f"{name}_offsets": ends,
        f"{name}_cell": cells.astype(np.min_scalar_type(size - 1)),
        f"{name}_deposit": deposits,
        f"{name}_total": np.asarray(total, np.float32),
    }


def _image(path: Path, columns: Mapping[str, NDArray[Any]], facts: Mapping[str, object]) -> bytes:
    """Return the bytes of an HDF5 file, checked as a reader would check it.

    Made in memory, because the HDF5 library may crash the process when a disk is full.
    """
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        for name, data in columns.items():
            chunks = (max(1, min(len(data), _ROWS_PER_CHUNK)), *data.shape[1:])
            limits = (None, *data.shape[1:])
            file.create_dataset(name, data=data, chunks=chunks, maxshape=limits, compression="gzip", shuffle=True)
        file.attrs.update(facts)
        ShowerFile(path, file).check_values()
        file.flush()
        return bytes(file.id.get_file_image())
