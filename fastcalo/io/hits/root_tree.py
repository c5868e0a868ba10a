# SPDX-License-Identifier: BSD-3-Clause
"""Writer of TTrees of event columns and lists, in bounded memory, with atomic rename."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..atomic import output_errors, whole_file
from ..root_files import PROVENANCE

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


class TreeWriter:
    """A TTree that grows piece by piece; made by `open_tree`.

    Attributes
    ----------
    provenance : dict
        Stored beside the tree at the end; what JSON can hold.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        events: Mapping[str, DTypeLike],
        lists: Mapping[str, Mapping[str, DTypeLike]],
        bare: str | None,
    ) -> None:
        import uproot

        self.provenance: dict[str, Any] = {}
        self._path = path
        self._root = uproot.recreate(file, compression=compression())
        self._tree = self._root.mktree(
            TREE,
            {name: np.dtype(kind) for name, kind in events.items()}
            | {name: _list_type(columns) for name, columns in lists.items()},
            field_name=lambda outer, inner: inner if outer == bare else f"{outer}_{inner}",
        )
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
            self._root[PROVENANCE] = json.dumps(self.provenance)
            self._root.close()

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
                self._tree.extend(columns | {name: _to_awkward(x.cut(start, stop)) for name, x in lists.items()})


@contextmanager
def open_tree(
    path: str | Path,
    events: Mapping[str, DTypeLike],
    lists: Mapping[str, Mapping[str, DTypeLike]],
    *,
    bare: str | None = None,
    overwrite: bool = False,
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

    Yields
    ------
    TreeWriter

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    with whole_file(path, overwrite=overwrite) as temporary:
        with output_errors(path):
            file = temporary.open("x+b")
        try:
            with output_errors(path):
                writer = TreeWriter(path, file, events, lists, bare)
            yield writer
            writer.finish()
        finally:
            # what cannot be flushed now is of no use: either all was written before, or the file goes
            with suppress(OSError):
                file.close()


def compression() -> Any:
    """How baskets are packed: by a method with a checksum, for ROOT has none of its own.

    Of single bits flipped in a file of hits, ZSTD gave other numbers without a word for five in six, LZ4 for one in
    five, ZLIB for none. ZLIB takes 7 % more space than ZSTD, and 0.03 s more for a MB that is written.
    """
    import uproot

    return uproot.ZLIB(1)


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
