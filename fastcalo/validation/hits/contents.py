# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the contents of a hit file: cells that exist, positions, thresholds, no duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detector.cell_id import CellEncoding
from ...detector.description import Detector
from ...errors import DetectorError, InputError
from ...io.hits.reader import IDENTIFIERS, Chunk, HitFile, SectionChunk

# positions are stored in single precision, whose step at 4 m is 0.0002 mm
_PLACE_MM = 0.01
# a threshold that went through single precision once
_ROUNDING = 1e-6

_Found = Iterator[tuple[str, NDArray[np.bool_], NDArray[Any]]]


@dataclass
class HitFaults:
    """What is wrong, counted over chunks, with the first occurrence of each.

    Attributes
    ----------
    label : str
        Name of the file in the lines.
    """

    label: str
    _counts: dict[str, int] = field(default_factory=dict)
    _first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, count: int, first: Callable[[], str]) -> None:
        """Count `count` more of `what`; `first` returns where the first of them is."""
        if count:
            self._first.setdefault(what, first() if what not in self._first else "")
            self._counts[what] = self._counts.get(what, 0) + count

    @property
    def lines(self) -> list[str]:
        """One line for each kind of fault."""
        return [f"{self.label}: {what}: {n} of them, first {self._first[what]}" for what, n in self._counts.items()]


def check_hits(file: HitFile, chunk: Chunk, faults: HitFaults) -> None:
    """Look for hits that a reader of the file would stumble over, and count them.

    Parameters
    ----------
    file : HitFile
    chunk : Chunk
        Part of it.
    faults : HitFaults
        Grows.
    """
    for name, hits in chunk.sections.items():
        if (lengths := chunk.events.get(f"n{name}")) is not None:
            _add(
                faults,
                f"n{name} is not the length of the lists",
                lengths != hits.counts,
                chunk,
                np.arange(len(lengths)),
                lengths,
            )
        for what, wrong, shown in _faults(file, name, hits):
            _add(faults, what, wrong, chunk, hits.event, shown)


def _add(
    faults: HitFaults, what: str, wrong: NDArray[np.bool_], chunk: Chunk, event: NDArray[np.int64], shown: NDArray[Any]
) -> None:
    def first() -> str:
        hit = int(wrong.argmax())
        value = shown[hit]
        number = f"{value:.6g}" if isinstance(value, np.floating) else f"{value}"
        return f"in {_name(chunk, int(event[hit]))} ({number})"

    faults.add(what, int(np.count_nonzero(wrong)), first)


def _name(chunk: Chunk, place: int) -> str:
    identifiers = [f"{name} {chunk.events[name][place]}" for name in IDENTIFIERS if name in chunk.events]
    return ", ".join([f"entry {chunk.entries[place]}", *identifiers])


def _faults(file: HitFile, name: str, hits: SectionChunk) -> _Found:
    """Yield what is wrong with which hits, and the value that shows it."""
    columns, stated = hits.columns, file.stated_sections.get(name, {})
    if (energy := columns.get("energy")) is not None:
        yield f"{name}_energy is not a finite number", ~np.isfinite(energy), energy
        if (threshold := stated.get("threshold_gev")) is not None:
            low = energy < threshold * (1 - _ROUNDING)
            yield f"{name}_energy is below the threshold of {threshold:g} GeV", low, energy
    if (cell_id := columns.get("cell_id")) is None or not np.issubdtype(cell_id.dtype, np.integer):
        return
    yield f"{name}_cell_id comes twice in an event", _repeated(hits.event, cell_id), cell_id
    if "encoding" in stated and "system" in stated:
        cell = _encoding(stated["encoding"], f"{file.path}: provenance: section {name!r}").decode(cell_id)
        foreign = cell["system"] != stated["system"]
        yield f"{name}_cell_id is not of system {stated['system']}", foreign, cell_id
        if (layer := columns.get("layer")) is not None:
            yield f"{name}_layer is not the layer of the cell ID", ~foreign & (layer != cell["layer"]), layer
        if file.detector is not None and name in {s.name for s in file.detector.sections}:
            yield from _places(file.detector, name, columns, cell, ~foreign)


def _places(
    detector: Detector,
    name: str,
    columns: Mapping[str, NDArray[Any]],
    cell: Mapping[str, NDArray[np.int64]],
    ours: NDArray[np.bool_],
) -> _Found:
    module, layer = (
        ours & (cell["module"] >= len(detector.layout)),
        ours & (cell["layer"] >= detector.section(name).layers),
    )
    yield f"{name}_cell_id is of a module that does not exist", module, cell["module"]
    yield f"{name}_cell_id is of a layer that does not exist", layer, cell["layer"]
    if not all(axis in columns for axis in "xyz"):
        return
    known = np.flatnonzero(ours & ~module & ~layer)
    numbers = (cell[key][known] for key in ("module", "x", "y", "layer"))
    stored = np.stack([columns[axis][known] for axis in "xyz"], axis=1)
    distance = np.zeros(len(ours))
    distance[known] = np.linalg.norm(stored - detector.cell_centre(name, *numbers), axis=1)
    far = ~(distance <= _PLACE_MM)
    yield f"{name}_x, _y, _z is not the centre of the cell (more than {_PLACE_MM:g} mm away)", far, distance


def _repeated(event: NDArray[np.int64], cell_id: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the same cell came before in the same event [h]."""
    order = np.lexsort((cell_id, event))
    again = (np.diff(event[order]) == 0) & (np.diff(cell_id[order]) == 0)
    repeated = np.zeros(len(order), np.bool_)
    repeated[order[1:][again]] = True
    return repeated


@lru_cache(maxsize=16)
def _encoding(text: str, where: str) -> CellEncoding:
    try:
        encoding = CellEncoding.parse(text)
    except DetectorError as error:
        raise InputError(f"{where}: {error}") from error
    if lacking := {"system", "module", "layer", "x", "y"} - set(encoding.names):
        raise InputError(f"{where}: the encoding {text!r} lacks the fields {sorted(lacking)}")
    return encoding
