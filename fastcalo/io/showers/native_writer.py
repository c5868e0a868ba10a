# SPDX-License-Identifier: BSD-3-Clause
"""Writer of the native HDF5 format of single-particle showers."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..atomic import output_errors, whole_file
from .native import ShowerFile, describe_section

if TYPE_CHECKING:
    import h5py

    from ...detector.description import Detector

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
    times: Mapping[str, ArrayLike] | None = None,
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
    times : mapping, optional
        By section: mean time [h] of each deposit, ns.
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
        if times and section in times:
            columns[f"{section}_time"] = np.asarray(times[section], np.float32)
    facts = _facts(detector, list(hits), attributes, len(columns["pdg"]))
    image = _image(Path(path), {name: len(column) for name, column in columns.items()}, [columns], facts, check=True)
    with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
        temporary.write_bytes(image)


def join_showers(
    path: str | Path,
    detector: Detector,
    parts: Sequence[str | Path],
    *,
    attributes: Mapping[str, str | int | float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write one file of showers that holds those of several.

    In memory are one part at a time, and the compressed whole.

    Parameters
    ----------
    path : str or Path
    detector : Detector
        The calorimeter that they are from.
    parts : sequence of paths
        Native files with the same sections; at least one.
    attributes : mapping, optional
        Those of the new file.
    overwrite : bool

    Raises
    ------
    InputError
        A part is damaged, or is not like the first.
    OutputError
        The file cannot be written. Nothing is left under its name then.
    """
    lengths: Counter[str] = Counter()
    for part in parts:
        with ShowerFile(part) as file:
            file.check_detector(detector)
            lengths.update(file.lengths)
            sections = file.sections
    for name in sections:
        # every part begins with an offset of 0, which the whole does but once
        lengths[f"{name}_offsets"] -= len(parts) - 1
    facts = _facts(detector, sections, attributes, lengths["pdg"])
    image = _image(Path(path), lengths, map(_columns, parts), facts, check=False)
    with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
        temporary.write_bytes(image)


def _facts(
    detector: Detector, sections: Sequence[str], attributes: Mapping[str, str | int | float] | None, showers: int
) -> dict[str, object]:
    described = {s.name: describe_section(s) for s in detector.sections if s.name in sections}
    return {**(attributes or {}), "sections": json.dumps(described), "units": "GeV mm", "showers": showers}


def _columns(path: str | Path) -> dict[str, NDArray[Any]]:
    """All datasets of a file, every value checked."""
    with ShowerFile(path) as file:
        columns: dict[str, NDArray[Any]] = {name: getattr(file, name)() for name in _REQUIRED}
        columns |= {name: getattr(file, name)() for name in _OPTIONAL if name in file.lengths}
        for name in file.sections:
            size = math.prod(file.shape(name))
            offsets, cell, deposit = file.hits(name)
            columns |= {
                f"{name}_offsets": offsets,
                f"{name}_cell": cell.astype(np.min_scalar_type(size - 1)),
                f"{name}_deposit": deposit,
                f"{name}_total": file.total(name),
            }
            if file.has_times(name):
                columns[f"{name}_time"] = file.times(name)
    return columns


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


def _image(
    path: Path,
    lengths: Mapping[str, int],
    parts: Iterable[Mapping[str, NDArray[Any]]],
    facts: Mapping[str, object],
    *,
    check: bool,
) -> bytes:
    """Return the bytes of an HDF5 file that holds some columns one part after the other.

    Made in memory, because the HDF5 library may crash the process when a disk is full.

    Parameters
    ----------
    path : Path
        Stands in messages.
    lengths : mapping
        Rows of each column in the end. The layout of the file depends on them, not on how they are cut into parts.
    parts : iterable of mappings
    facts : mapping
        The attributes.
    check : bool
        Whether to check the file as a reader would.
    """
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        filled: Counter[str] = Counter()
        for part in parts:
            for name, data in part.items():
                _append(file, name, data, lengths[name], filled)
        file.attrs.update(facts)
        if check:
            ShowerFile(path, file).check_values()
        file.flush()
        return bytes(file.id.get_file_image())


def _append(file: h5py.File, name: str, data: NDArray[Any], length: int, filled: Counter[str]) -> None:
    if name not in file:
        chunks = (max(1, min(length, _ROWS_PER_CHUNK)), *data.shape[1:])
        shape, limits = (length, *data.shape[1:]), (None, *data.shape[1:])
        file.create_dataset(name, shape, data.dtype, chunks=chunks, maxshape=limits, compression="gzip", shuffle=True)
    if name.endswith("_offsets") and filled[name]:
        data = data[1:] + file[name][filled[name] - 1]
    file[name][filled[name] : filled[name] + len(data)] = data
    filled[name] += len(data)
