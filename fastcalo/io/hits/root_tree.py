# SPDX-License-Identifier: BSD-3-Clause
"""Writers of event columns and lists, as TTree, RNTuple or Parquet, in bounded memory, with atomic rename."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import MissingDependencyError
from ...system.install import install_line
from ..atomic import output_errors, whole_file
from ..compression import Compression
from ..page_checksums import page_checksums
from ..root_files import PROVENANCE
from .formats import HitsFormat

TREE = "Events"

# Rows of lists that go into one basket, and events that are held back to fill it. Few and large baskets read fast,
# but very large ones of lists make readers fail.
_BASKET_ROWS = 1 << 17
_BASKET_EVENTS = 1 << 14


@dataclass(frozen=True)
class Lists:
    """Lists of events, as columns of equal length.

    Attributes
    ----------
    offsets : int64 [n_events + 1]
        Event ``i`` has the rows ``offsets[i]:offsets[i + 1]``.
    columns : mapping of str to array [rows]
    """

    offsets: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]

    def cut(self, start: int, stop: int) -> Lists:
        """Events `start` to `stop`."""
        first, last = self.offsets[start], self.offsets[stop]
        columns = {name: column[first:last] for name, column in self.columns.items()}
        return Lists(self.offsets[start : stop + 1] - first, columns)

    @classmethod
    def join(cls, parts: Sequence[Lists]) -> Lists:
        """Return one after the other; at least one is needed."""
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        return cls(np.concatenate([[0], np.cumsum(counts)]), columns)


class TreeWriter(ABC):
    """Columns of events that grow piece by piece; made by `open_tree`.

    Attributes
    ----------
    provenance : dict
        Stored beside them at the end; what JSON can hold.
    """

    def __init__(self, path: Path) -> None:
        self.provenance: dict[str, Any] = {}
        self._path = path
        self._held: list[tuple[Mapping[str, NDArray[Any]], Mapping[str, Lists]]] = []
        self._held_events = self._held_rows = 0

    def append(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> None:
        """Add events.

        Parameters
        ----------
        events : mapping of str to array [n_events]
        lists : mapping of str to Lists

        Raises
        ------
        OutputError
            The data cannot be written.
        """
        self._held.append((events, lists))
        self._held_events += len(next(iter(events.values())))
        self._held_rows += sum(int(part.offsets[-1]) for part in lists.values())
        if self._held_rows >= _BASKET_ROWS or self._held_events >= _BASKET_EVENTS:
            self._write_held()

    def finish(self) -> None:
        """Write what is left, and the provenance.

        Raises
        ------
        OutputError
            The data cannot be written.
        """
        self._write_held()
        with output_errors(self._path):
            self._close(json.dumps(self.provenance))

    def _write_held(self) -> None:
        if not self._held:
            return
        parts, self._held = self._held, []
        self._held_events = self._held_rows = 0
        events = {name: np.concatenate([part[name] for part, _ in parts]) for name in parts[0][0]}
        lists = {name: Lists.join([part[name] for _, part in parts]) for name in parts[0][1]}
        with output_errors(self._path):
            for start, stop in pairwise(_cuts(lists)):
                columns = {name: column[start:stop] for name, column in events.items()}
                self._extend(columns, {name: x.cut(start, stop) for name, x in lists.items()})

    @abstractmethod
    def _extend(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> None:
        """Write events at once."""

    @abstractmethod
    def _close(self, provenance: str) -> None:
        """Write the provenance, and end the file."""


class _Ttree(TreeWriter):
    """A TTree: each collection has one branch with the lengths of its lists."""

    def __init__(self, path: Path, file: BinaryIO, columns: _Columns, compression: Compression) -> None:
        import uproot

        super().__init__(path)
        self._root = uproot.recreate(file, compression=compression.of_root())
        self._tree = self._root.mktree(
            TREE,
            {name: np.dtype(kind) for name, kind in columns.events.items()}
            | {name: _list_type(kinds) for name, kinds in columns.lists.items()},
            field_name=columns.name,
        )

    def _extend(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> None:
        self._tree.extend({**events, **{name: _to_awkward(part) for name, part in lists.items()}})

    def _close(self, provenance: str) -> None:
        self._root[PROVENANCE] = provenance
        self._root.close()


class _Ntuple(TreeWriter):
    """An RNTuple with fields that are named as the branches of a TTree."""

    def __init__(self, path: Path, file: BinaryIO, columns: _Columns, compression: Compression) -> None:
        import uproot

        super().__init__(path)
        self._columns = columns
        self._root = uproot.recreate(file, compression=compression.of_root())
        # the form, and not an array of no events, which would be a cluster without entries: ROOT refuses these
        self._ntuple = self._root.mkrntuple(TREE, columns.records(*columns.nothing()).layout.form)

    def _extend(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> None:
        with page_checksums(self._ntuple):
            self._ntuple.extend(self._columns.records(events, lists))

    def _close(self, provenance: str) -> None:
        self._root[PROVENANCE] = provenance
        self._root.close()


class _Parquet(TreeWriter):
    """A Parquet file with columns that are named as the branches of a TTree, and checksums of its pages."""

    def __init__(self, path: Path, file: BinaryIO, columns: _Columns, compression: Compression) -> None:
        import awkward as ak
        from pyarrow.parquet import ParquetWriter

        super().__init__(path)
        self._columns = columns
        self._schema = ak.to_arrow_table(columns.records(*columns.nothing()), extensionarray=False).schema
        self._writer = ParquetWriter(file, self._schema, write_page_checksum=True, **compression.of_parquet())

    def _extend(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> None:
        import awkward as ak

        table = ak.to_arrow_table(self._columns.records(events, lists), extensionarray=False)
        self._writer.write_table(table.cast(self._schema))

    def _close(self, provenance: str) -> None:
        self._writer.add_key_value_metadata({PROVENANCE: provenance})
        self._writer.close()


@dataclass(frozen=True)
class _Columns:
    """Names and types of columns of events, and of lists of events."""

    events: Mapping[str, DTypeLike]
    lists: Mapping[str, Mapping[str, DTypeLike]]
    bare: str | None

    def name(self, outer: str, inner: str) -> str:
        """Name of the column of a list."""
        return inner if outer == self.bare else f"{outer}_{inner}"

    def nothing(self) -> tuple[dict[str, NDArray[Any]], dict[str, Lists]]:
        """Columns of no events."""
        lists = {
            name: Lists(np.zeros(1, np.int64), {key: np.empty(0, kind) for key, kind in kinds.items()})
            for name, kinds in self.lists.items()
        }
        return {name: np.empty(0, kind) for name, kind in self.events.items()}, lists

    def records(self, events: Mapping[str, NDArray[Any]], lists: Mapping[str, Lists]) -> Any:
        """One record per event, whose fields are named as the branches of a TTree."""
        import awkward as ak
        from awkward.contents import ListOffsetArray, NumpyArray, RecordArray

        contents: dict[str, Any] = {name: NumpyArray(np.ascontiguousarray(events[name])) for name in self.events}
        for outer, part in lists.items():
            contents[f"n{outer}"] = NumpyArray(np.diff(part.offsets).astype(np.int32))
            for inner, column in part.columns.items():
                flat = NumpyArray(np.ascontiguousarray(column))
                contents[self.name(outer, inner)] = ListOffsetArray(ak.index.Index64(part.offsets), flat)
        length = len(next(iter(events.values())))
        return ak.Array(RecordArray(list(contents.values()), list(contents), length=length))


_WRITERS: Mapping[HitsFormat, Callable[[Path, BinaryIO, _Columns, Compression], TreeWriter]] = {
    HitsFormat.TTREE: _Ttree,
    HitsFormat.RNTUPLE: _Ntuple,
    HitsFormat.PARQUET: _Parquet,
}


@contextmanager
def open_tree(
    path: str | Path,
    events: Mapping[str, DTypeLike],
    lists: Mapping[str, Mapping[str, DTypeLike]],
    *,
    bare: str | None = None,
    overwrite: bool = False,
    form: HitsFormat = HitsFormat.TTREE,
    compression: Compression | None = None,
) -> Iterator[TreeWriter]:
    """Open a file for one tree. It appears under its name when the block ends well; else nothing is left of it.

    Parameters
    ----------
    path : str or Path
    events : mapping of str to dtype
        Branches with one value per event.
    lists : mapping of str to mapping of str to dtype
        Branches with a list per event. The collection ``A`` with ``x`` and ``y`` becomes ``nA``, ``A_x`` and ``A_y``.
    bare : str, optional
        The collection whose branches go without its name: ``nA``, ``x`` and ``y``.
    overwrite : bool
        Whether a file of that name may be replaced.
    form : HitsFormat
        TTree, RNTuple or Parquet.
    compression : Compression, optional

    Yields
    ------
    TreeWriter

    Raises
    ------
    OutputError
        The file cannot be written.
    ConfigError
        The format has no such compression.
    MissingDependencyError
        What writes the format is not installed.
    """
    path = Path(path)
    if form is HitsFormat.PARQUET:
        check_pyarrow()
    with whole_file(path, overwrite=overwrite) as temporary:
        with output_errors(path):
            file = temporary.open("x+b")
        try:
            with output_errors(path):
                writer = _WRITERS[form](path, file, _Columns(events, lists, bare), compression or Compression())
            yield writer
            writer.finish()
        finally:
            # what cannot be flushed now is of no use: either all was written before, or the file goes
            with suppress(OSError):
                file.close()


def check_pyarrow() -> None:
    """Make sure that Parquet can be read and written.

    Raises
    ------
    MissingDependencyError
    """
    try:
        import_module("pyarrow")
    except ImportError as error:
        raise MissingDependencyError(
            f"Parquet needs pyarrow, which is not installed: {install_line('parquet')}"
        ) from error


def _cuts(lists: Mapping[str, Lists]) -> list[int]:
    """Return where to cut events into pieces of about `_BASKET_ROWS` rows; one event stays whole."""
    ends = np.sum([part.offsets for part in lists.values()], axis=0)
    basket = ends[:-1] // _BASKET_ROWS
    return [0, *(np.flatnonzero(np.diff(basket)) + 1).tolist(), len(ends) - 1]


def _list_type(columns: Mapping[str, DTypeLike]) -> Any:
    import awkward as ak

    types = [ak.types.NumpyType(np.dtype(kind).name) for kind in columns.values()]
    return ak.types.ListType(ak.types.RecordType(types, list(columns)))


def _to_awkward(lists: Lists) -> Any:
    import awkward as ak
    from awkward.contents import ListOffsetArray, NumpyArray, RecordArray

    columns = [NumpyArray(np.ascontiguousarray(column)) for column in lists.columns.values()]
    rows = RecordArray(columns, list(lists.columns), length=int(lists.offsets[-1]))
    return ak.Array(ListOffsetArray(ak.index.Index64(lists.offsets), rows))
