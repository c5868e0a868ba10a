# SPDX-License-Identifier: BSD-3-Clause
"""Columns of the input that `Events` does not hold, read again for the entries of a chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles.reader import EventFile, EventReader
from ..particles.tree import OpenTree
from ..root_files import open_root, reading_errors

ROW, TIME = "row", "time"
"""Branches of files of refused particles: places among all particles of the first conversion, times of production."""


def ranges_of(reader: EventReader, entries: NDArray[np.int64]) -> Iterator[tuple[EventFile, range]]:
    """Files, and ranges of their own entries, of entries that are counted over all files.

    Parameters
    ----------
    reader : EventReader
    entries : int64 [n_events]
        Rising.
    """
    firsts = np.concatenate([[0], np.cumsum([file.n_entries for file in reader.files])])
    file = np.searchsorted(firsts, entries, side="right") - 1
    breaks = np.flatnonzero((np.diff(entries) != 1) | (np.diff(file) != 0)) + 1
    for group in np.split(np.arange(len(entries)), breaks):
        if len(group):
            k = int(file[group[0]])
            first = int(entries[group[0]] - firsts[k])
            yield reader.files[k], range(first, first + len(group))


def has_rows(reader: EventReader) -> bool:
    """Whether the input is a file of refused particles that holds their rows."""
    file = reader.files[0]
    if file.flat or reader.schema.branches.get("pdg") != "pdg":
        return False
    with open_root(file.path) as root, reading_errors(f"{file.path}: tree {file.tree!r}"):
        return {ROW, TIME, "index", "reason"} <= set(OpenTree(root[file.tree], file.path).names)


def column_of(reader: EventReader, entries: NDArray[np.int64], name: str) -> NDArray[Any]:
    """Values of all particles of some entries, [n].

    Parameters
    ----------
    reader : EventReader
        Of files for which `has_rows` holds.
    entries : int64 [n_events]
    name : str
        `ROW` or `TIME`.

    Raises
    ------
    InputError
        The branch is missing in a later file, or damaged.
    """
    found: list[NDArray[Any]] = []
    for file, part in ranges_of(reader, entries):
        where = f"{file.path}: tree {file.tree!r}"
        with open_root(file.path) as root:
            with reading_errors(where):
                tree = OpenTree(root[file.tree], where)
            found.append(tree.read(name, part).values)
    return np.concatenate(found) if found else np.zeros(0)
