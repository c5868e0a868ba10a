# SPDX-License-Identifier: BSD-3-Clause
"""Trees of particles: names, titles and values of the branches of a TTree or RNTuple, each looked at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from ..ntuple import NtupleFields, UnusualFieldError
from ..root_files import read_branch, reading_errors
from .columns import Column, check_lengths, to_column

# columns that are read at a time, in memory
_BLOCK = 4e6
# entries that are looked at to find the size of a collection
_SAMPLE = 100


class OpenTree:
    """A tree to be read.

    Parameters
    ----------
    tree : uproot.TTree or RNTuple
    where : str
        File and name, for messages.

    Raises
    ------
    InputError
        Its list of branches cannot be read.
    """

    def __init__(self, tree: Any, where: str) -> None:
        self._tree, self.where = tree, where
        with reading_errors(where):
            self.n_entries = int(tree.num_entries)
            self._fields = None if hasattr(tree, "branches") else NtupleFields(tree)
            self.names = list(tree.keys(full_paths=False)) if self._fields is None else list(self._fields.paths)

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names)

    def __contains__(self, branch: object) -> bool:
        return branch in self._known

    def read(self, branch: str, entries: range) -> Column:
        """Read one branch of a range of entries.

        Raises
        ------
        InputError
            It is damaged, or holds something else than numbers or lists of numbers.
        """
        where = f"{self.where}, entries {entries.start} to {entries.stop}, branch {branch!r}"
        with reading_errors(where):
            if self._fields is not None:
                try:
                    column = Column(*self._fields.read(branch, entries.start, entries.stop))
                    return check_lengths(column, len(entries), where)
                except UnusualFieldError:
                    pass
            return to_column(read_branch(self._tree, branch, entries, where), where)

    def step(self, branches: Iterable[str]) -> int:
        """Entries of which these branches together take about a block of memory."""
        with reading_errors(self.where):
            size = sum(self._bytes_of(branch) for branch in branches)
        return max(1, int(_BLOCK * self.n_entries / size)) if size else max(1, self.n_entries)

    def _bytes_of(self, branch: str) -> float:
        if self._fields is None:
            return float(self._tree[branch].uncompressed_bytes)
        try:
            return self._fields.bytes_of(branch)
        except UnusualFieldError:
            return 8.0 * self.n_entries

    def title(self, branch: str) -> str:
        """What the file states of a branch."""
        with reading_errors(f"{self.where}, branch {branch!r}"):
            return self._fields.description(branch) if self._fields is not None else str(self._tree[branch].title)

    def size_of(self, branch: str) -> str:
        """How many values a branch has, in words."""
        entries = range(min(self.n_entries, _SAMPLE))
        column = self.read(branch, entries)
        if column.counts is None:
            return f"{self.n_entries} entries of one particle"
        mean = float(np.mean(column.counts)) if entries else 0.0
        return f"{mean:.1f} particles per event"
