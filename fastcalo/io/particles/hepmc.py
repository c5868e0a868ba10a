# SPDX-License-Identifier: BSD-3-Clause
"""HepMC text files (HepMC3 "Asciiv3", HepMC2 "IO_GenEvent", plain or compressed), read as a tree of HepMC3 is."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, MissingDependencyError
from ...system.install import install_line
from ..root_files import reading_errors
from .columns import Column
from .tree import OpenFile, OpenTree

TREE = "hepmc3_tree"
"""Name of the tree that a text file is read as; that of `WriterRootTree`."""

_BEGIN = b"HepMC::Version"
_COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_CHUNK = 1 << 20
# text of a particle takes about this many times its columns, and compressed text less
_BLOCK = 8e6
_XYZ = (("x", 1), ("y", 2), ("z", 3))
_PARTICLE = {"particles.pid": "pid", "particles.status": "status", "particles.mass": "mass"}
_PARTICLE |= {f"particles.momentum.m_v{k}": f"p{axis}" for axis, k in _XYZ}
_VERTEX = {f"vertices.position.m_v{k}": axis for axis, k in _XYZ}
_ORIGIN = {f"event_pos.m_v{k}": axis for axis, k in _XYZ}
_LINKS = ("links1", "links2")
_EVENT = ("event_number", "momentum_unit", "length_unit")


def is_hepmc(path: str) -> bool:
    """Whether a path leads to HepMC text, by its first bytes."""
    try:
        with _open_text(path) as file:
            return _BEGIN in file.read(100)
    except (OSError, EOFError, lzma.LZMAError):
        return False


def open_hepmc(path: str) -> OpenFile:
    """Open HepMC text.

    Raises
    ------
    InputError
        It is cut short or damaged.
    MissingDependencyError
        pyhepmc is not installed.
    """
    try:
        import pyhepmc  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(f"{path}: HepMC text needs pyhepmc: {install_line('hepmc')}") from error
    return HepMCFile(path)


class HepMCFile(OpenFile):
    """A text file that is open.

    Parameters
    ----------
    path : str
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, None)
        tree = HepMCTree(path, f"{path}: tree {TREE!r}")
        self.trees[TREE] = tree
        self.identity = tree.digest

    def tree_names(self) -> list[str]:
        """The one tree."""
        return [TREE]

    @property
    def provenance(self) -> dict[str, Any]:
        """Nothing: fastcalo writes no such files."""
        return {}


class HepMCTree(OpenTree):
    """Events of a text file as the branches that HepMC3's `WriterRootTree` writes of them.

    Parameters
    ----------
    path, where : str

    Raises
    ------
    InputError
        It is cut short or damaged.
    """

    def __init__(self, path: str, where: str) -> None:
        self.path, self.where = path, where
        self.names = [*_PARTICLE, *_VERTEX, *_ORIGIN, *_LINKS, *_EVENT]
        with reading_errors(path):
            self.n_entries, self.digest = _scan(path)
        self._reader: Any = None
        self._next = 0
        self._block: tuple[range, dict[str, Column]] = range(0), {}

    def read(self, branch: str, entries: range) -> Column:
        """Read one branch of a range of entries; all branches of the last range are kept.

        Raises
        ------
        InputError
            The file is damaged.
        """
        if self._block[0] != entries:
            with reading_errors(f"{self.where}, entries {entries.start} to {entries.stop}"):
                self._block = entries, self._columns(entries)
        return self._block[1][branch]

    def step(self, branches: Iterable[str], memory: float = _BLOCK) -> int:  # noqa: ARG002
        """Entries of which all branches together take about so many bytes of memory."""
        size = Path(self.path).stat().st_size
        return max(1, int(memory * self.n_entries / size)) if size else 1

    def title(self, branch: str) -> str:  # noqa: ARG002
        """Nothing: each event states its units."""
        return ""

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _columns(self, entries: range) -> dict[str, Column]:
        import pyhepmc

        if self._reader is None or entries.start < self._next:
            self.close()
            self._reader, self._next = pyhepmc.open(self.path), 0
        events = []
        while self._next < entries.stop:
            event = self._reader.read()
            if event is None:
                raise InputError(f"{self.where}: event {self._next} cannot be read; the file may be damaged")
            if self._next >= entries.start:
                data = pyhepmc.GenEventData()
                event.write_data(data)
                events.append((_unit(data.momentum_unit), _unit(data.length_unit), data))
            self._next += 1
        return _assembled(events)


def _assembled(events: Sequence[tuple[int, int, Any]]) -> dict[str, Column]:
    """Columns of all events; what is made of an event stays when the next is read."""
    found: dict[str, Column] = {}
    for kind, names in (("particles", _PARTICLE), ("vertices", _VERTEX)):
        arrays = [getattr(data, kind) for _, _, data in events]
        counts = np.array([len(array) for array in arrays], np.int64)
        for branch, name in names.items():
            found[branch] = Column(_joined([array[name] for array in arrays]), counts)
    for branch in _LINKS:
        arrays = [getattr(data, branch) for _, _, data in events]
        found[branch] = Column(_joined(arrays), np.array([len(array) for array in arrays], np.int64))
    for branch, axis in _ORIGIN.items():
        found[branch] = Column(np.array([getattr(data.event_pos, axis) for _, _, data in events], np.float64))
    found["event_number"] = Column(np.array([data.event_number for _, _, data in events], np.int64))
    found["momentum_unit"] = Column(np.array([momentum for momentum, _, _ in events], np.int64))
    found["length_unit"] = Column(np.array([length for _, length, _ in events], np.int64))
    return found


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0)


def _unit(unit: Any) -> int:
    """HepMC3's number of a unit: {MEV, GEV}, {MM, CM}."""
    return int(unit.value if hasattr(unit, "value") else unit)


def _scan(path: str) -> tuple[int, bytes]:
    """Number of events, and 16 bytes that stand for the content."""
    events, digest, end = 0, hashlib.sha256(), b"\n"
    with _open_text(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            # a line may begin at the end of the chunk before
            events += (end[-2:] + chunk).count(b"\nE ")
            end = (end + chunk)[-200:]
    if b"END_EVENT_LISTING" not in end:
        raise InputError(f"{path}: is cut short: the line that ends the listing of events is missing")
    return events, digest.digest()[:16]


def _open_text(path: str) -> Any:
    with Path(path).open("rb") as file:
        opened = _COMPRESSED.get(file.read(2))
    return opened(path, "rb") if opened is not None else Path(path).open("rb")
