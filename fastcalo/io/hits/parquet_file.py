# SPDX-License-Identifier: BSD-3-Clause
"""Reader of hits in Parquet files, by the names and types of a tree of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..particles.columns import Column, to_column
from ..root_files import PROVENANCE, reading_errors
from .formats import HitsFormat
from .reader import HitFile
from .root_tree import TREE, check_pyarrow

_MAGIC = b"PAR1"


def is_parquet(path: str) -> bool:
    """Whether a local file is one of Parquet."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


@contextmanager
def open_parquet(path: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open a Parquet file whose pages are checked when they are read.

    Yields
    ------
    pyarrow.parquet.ParquetFile
    provenance : dict
        What the file states of itself; empty for files of others.

    Raises
    ------
    InputError
        It is cut short or damaged.
    MissingDependencyError
    """
    check_pyarrow()
    from pyarrow.parquet import ParquetFile

    with reading_errors(path):
        opened = ParquetFile(path, page_checksum_verification=True)
    with opened:
        with reading_errors(path):
            provenance = json.loads((opened.metadata.metadata or {}).get(PROVENANCE.encode(), b"{}"))
        yield opened, provenance


@dataclass(frozen=True)
class ParquetHitFile(HitFile):
    """An open Parquet file of hits; `root` is a ``pyarrow.parquet.ParquetFile``."""

    @property
    def form(self) -> HitsFormat:
        """Format of the file."""
        return HitsFormat.PARQUET

    def branches(self, tree: str) -> dict[str, str]:
        """Types of the columns by their names; a list per event ends with ``[]``."""
        if tree not in self._branches:
            with reading_errors(self.path):
                self._branches[tree] = {field.name: _kind(field.type) for field in self.root.schema_arrow}
        return self._branches[tree]

    def entries(self, tree: str) -> int:
        """Return the number of events."""
        del tree
        return int(self.root.metadata.num_rows)

    def step(self, tree: str, memory: float) -> int:
        """Entries that take about so many bytes of memory, all columns together."""
        rows = self.entries(tree)
        meta = self.root.metadata
        size = sum(meta.row_group(k).total_byte_size for k in range(meta.num_row_groups))
        return max(1, int(memory * rows / size)) if size else max(1, rows)

    def _read(self, tree: str, name: str, entries: range) -> Column:
        import awkward as ak

        del tree
        where = f"{self.path}: entries {entries.start} to {entries.stop}, column {name!r}"
        groups, first = self._groups(entries)
        with reading_errors(where):
            if not groups:
                table = self.root.schema_arrow.empty_table().select([name])
            else:
                table = self.root.read_row_groups(groups, columns=[name])
            rows = table.slice(entries.start - first, len(entries))
            if len(rows) != len(entries):
                raise InputError(f"{where} has {len(rows)} entries instead of {len(entries)}")
            array = ak.from_arrow(rows)[name]
            return to_column(array, where)

    def _groups(self, entries: range) -> tuple[list[int], int]:
        """Row groups that hold a range of entries, and the entry at which the first begins."""
        ends = self._ends()
        if not len(entries):
            return [], entries.start
        first = int(np.searchsorted(ends, entries.start, side="right"))
        last = int(np.searchsorted(ends, entries.stop - 1, side="right"))
        return list(range(first, last + 1)), int(ends[first - 1]) if first else 0

    def _ends(self) -> NDArray[np.int64]:
        meta = self.root.metadata
        return np.cumsum([meta.row_group(k).num_rows for k in range(meta.num_row_groups)], dtype=np.int64)


def parquet_file(path: str, opened: Any, provenance: dict[str, Any], detector: Any) -> ParquetHitFile:
    """The hits of an open Parquet file."""
    return ParquetHitFile(path, opened, provenance, {TREE: "Parquet"}, detector)


def _kind(kind: Any) -> str:
    """Type of a column as uproot writes those of branches."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return f"{_kind(kind.value_type)}[]"
    name = str(kind)
    return f"{name}_t" if "int" in name else name
