# SPDX-License-Identifier: BSD-3-Clause
"""Reader of hits as lines of JSON, which programs in C++ write (`fastcalo/hits_file.hpp`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detector.description import Detector, load_detector
from ...errors import DetectorError, InputError
from ...event.contributions import Contributions
from ...event.reasons import Reason
from ..particles.columns import Column
from .reader import PARTICLES, HitFile
from .root_tree import TREE
from .writer import file_provenance

FORMAT = "fastcalo-hits"
SUFFIX = ".jsonl"
VERSION = 1
_HIT = {
    "cell_id": ("uint64_t", np.uint64),
    "energy": ("float", np.float32),
    "x": ("float", np.float32),
    "y": ("float", np.float32),
    "z": ("float", np.float32),
    "layer": ("int16_t", np.int16),
}
_STATED = ("cell_id", "energy")


@dataclass(frozen=True)
class LinesFile(HitFile):
    """An open file of lines of JSON: a head, one line for each event, and the number of events.

    It has the branches of our own tree. Positions and layers are those of the cells.

    Attributes
    ----------
    offsets : list of int
        Where the line of each event begins, and where the last line does.
    names : tuple of str
        Sections.
    """

    offsets: Sequence[int] = ()
    names: tuple[str, ...] = ()
    _parsed: dict[range, list[dict[str, Any]]] = field(default_factory=dict, repr=False)
    _cells: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, path: str, detector: Detector | None) -> LinesFile:
        """Open a file.

        Parameters
        ----------
        path : str
        detector : Detector, optional
            In which the hits were made. Found by the name that the file states unless given.

        Raises
        ------
        InputError
            It is missing, is no such file, is of a later version, was cut short, or its detector is not at hand.
        """
        try:
            with Path(path).open("rb") as file:
                starts = [0]
                for line in file:
                    starts.append(starts[-1] + len(line))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        head = _parse(path, 0, starts[1] if len(starts) > 1 else 0)
        if head.get("format") != FORMAT:
            raise InputError(f"{path}: is no file of hits: its first line has no format {FORMAT!r}")
        if head.get("version") != VERSION:
            raise InputError(f"{path}: is of version {head.get('version')!r}; this fastcalo reads version {VERSION}")
        offsets = starts[1:-1]
        tail = _parse(path, offsets[-1], starts[-1]) if offsets else {}
        if tail.get("events") != len(offsets) - 1:
            raise InputError(
                f"{path}: was cut short: its last line does not state {max(len(offsets) - 1, 0)} events; make it again"
            )
        names = head.get("sections")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{path}: its first line does not list the sections")
        detector = detector or _detector_of(head)
        if detector is None:
            raise InputError(
                f"{path}: was made in detector {head.get('detector')!r}, which is not at hand, or has other layers; "
                "name the one it was made in (--detector, open_hits(path, detector))"
            )
        return cls(
            path, None, file_provenance(detector), {TREE: "TTree"}, detector, offsets=offsets, names=tuple(names)
        )

    def branches(self, tree: str) -> dict[str, str]:  # noqa: ARG002
        """Types of the branches by their names."""
        types = {"run": "int64_t", "event": "int64_t"}
        types |= {f"{PARTICLES}{reason.name.lower()}": "int32_t" for reason in Reason}
        for section in self.names:
            types[f"n{section}"] = "int32_t"
            types |= {f"{section}_{name}": f"{_HIT[name][0]}[]" for name in _HIT}
        return types

    def entries(self, tree: str) -> int:  # noqa: ARG002
        """Return the number of events."""
        return len(self.offsets) - 1

    def step(self, tree: str, memory: float) -> int:
        """Entries whose lines have about so many bytes."""
        size = (self.offsets[-1] - self.offsets[0]) / max(self.entries(tree), 1)
        return max(1, int(memory / max(size, 1.0)))

    def read(self, tree: str, names: Sequence[str], entries: range) -> dict[str, Column]:  # noqa: ARG002
        """Read branches of a range of entries.

        Raises
        ------
        InputError
            A line is no JSON, or lacks a value.
        """
        events = self._events(entries)
        return {name: self._column(name, events, entries) for name in names}

    def contributions(self, tree: str, section: str, entries: range) -> Contributions | None:  # noqa: ARG002
        """There are none in such files."""
        return None

    def _events(self, entries: range) -> list[dict[str, Any]]:
        if entries not in self._parsed:
            with Path(self.path).open("rb") as file:
                file.seek(self.offsets[entries.start])
                lines = file.read(self.offsets[entries.stop] - self.offsets[entries.start]).splitlines()
            self._parsed.clear()
            self._cells.clear()
            self._parsed[entries] = [
                _loads(line, f"{self.path}: line {entry + 2}") for line, entry in zip(lines, entries, strict=True)
            ]
        return self._parsed[entries]

    def _column(self, name: str, events: list[dict[str, Any]], entries: range) -> Column:
        try:
            if name in ("run", "event"):
                return Column(np.array([event[name] for event in events], np.int64))
            if name.startswith(PARTICLES):
                reason = Reason[name.removeprefix(PARTICLES).upper()]
                return Column(np.array([event["particles"][reason] for event in events], np.int32))
            lists = {f"{section}_{quantity}": (section, quantity) for section in self.names for quantity in _HIT}
            if name in lists:
                return self._list(*lists[name], events)
            return Column(np.array([len(event[name[1:]]["cell_id"]) for event in events], np.int32))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{self.path}: lines {entries.start + 2} to {entries.stop + 1}: {name!r} is missing or no number"
            ) from error

    def _list(self, section: str, quantity: str, events: list[dict[str, Any]]) -> Column:
        stated = quantity if quantity in _STATED else "cell_id"
        counts = np.array([len(event[section][stated]) for event in events], np.int64)
        if quantity not in _STATED:
            return Column(self._place(section, events)[quantity], counts)
        # of Python's numbers, for the largest cell IDs are beyond what floating-point numbers hold
        flat = [number for event in events for number in event[section][stated]]
        return Column(np.array(flat, _HIT[stated][1]), counts)

    def _place(self, section: str, events: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
        """Layers and coordinates of the cells of events, which are the last that were read."""
        if section not in self._cells:
            detector = self.detector
            assert detector is not None, "a file without one is not opened"
            cell = detector.decode(section, self._list(section, "cell_id", events).values)
            centre = detector.cell_centre(section, cell["module"], cell["x"], cell["y"], cell["layer"])
            x, y, z = centre.T.astype(np.float32)
            self._cells[section] = {"x": x, "y": y, "z": z, "layer": cell["layer"].astype(np.int16)}
        return self._cells[section]


def _parse(path: str, begin: int, end: int) -> dict[str, Any]:
    with Path(path).open("rb") as file:
        file.seek(begin)
        return _loads(file.read(end - begin), f"{path}: the line at byte {begin}")


def _loads(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} is no JSON: the file is damaged, or was cut short; make it again") from error
    if not isinstance(found, dict):
        raise InputError(f"{where} is no JSON object")
    return found


def _detector_of(head: Mapping[str, Any]) -> Detector | None:
    """The detector of that name, if it has the layers that the file states."""
    try:
        detector = load_detector(str(head.get("detector", "")))
    except DetectorError:
        return None
    return detector if head.get("stack_hash") in (None, detector.stack_hash) else None
