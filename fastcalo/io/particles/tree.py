# SPDX-License-Identifier: BSD-3-Clause
"""Files and trees of particles: names, titles and values of the branches of a TTree or RNTuple, each looked at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..ntuple import NtupleFields, UnusualFieldError
from ..root_files import PROVENANCE, provenance_of, read_branch, reading_errors, tree_names
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

    def close(self) -> None:
        """Close what the tree itself holds open; of ROOT files nothing."""

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

    def step(self, branches: Iterable[str], memory: float = _BLOCK) -> int:
        """Entries of which these branches together take about so many bytes of memory."""
        with reading_errors(self.where):
            size = sum(self._bytes_of(branch) for branch in branches)
        return max(1, int(memory * self.n_entries / size)) if size else max(1, self.n_entries)

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


@dataclass(eq=False)
class OpenFile:
    """A file that is open, and its trees that were looked at.

    Attributes
    ----------
    path : str
    root : uproot.ReadOnlyDirectory or None
        None where it is no ROOT file.
    trees : dict of str to OpenTree
    users : int
        Who reads it now.
    identity : bytes
        The UUID of the file.
    """

    path: str
    root: Any
    trees: dict[str, OpenTree] = field(default_factory=dict)
    users: int = 0
    identity: bytes = b""

    def __post_init__(self) -> None:
        if self.root is not None:
            self.identity = bytes(self.root.file.uuid.bytes)

    def tree_names(self) -> list[str]:
        """Names of its trees.

        Raises
        ------
        InputError
            There are none.
        """
        return tree_names(self.root, self.path)

    @property
    def is_ours(self) -> bool:
        """Whether fastcalo wrote it."""
        return self.root is not None and PROVENANCE in self.root

    @property
    def provenance(self) -> dict[str, Any]:
        """What a file that fastcalo wrote states of itself; empty for others.

        Raises
        ------
        InputError
            It is damaged.
        """
        return provenance_of(self.root, self.path)

    def close(self) -> None:
        """Close what its trees hold open."""
        for tree in self.trees.values():
            tree.close()

    def tree(self, name: str) -> OpenTree:
        """Return a tree by its name.

        Raises
        ------
        InputError
            It cannot be read.
        """
        if name not in self.trees:
            where = f"{self.path}: tree {name!r}"
            with reading_errors(where):
                self.trees[name] = OpenTree(self.root[name], where)
        return self.trees[name]

    @property
    def branches(self) -> int:
        """Branches of its trees, by which the memory goes that it takes."""
        return sum(len(tree.names) for tree in self.trees.values())
