# SPDX-License-Identifier: BSD-3-Clause
"""Reader of ROOT files of hits: metadata, and hits chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detector.description import Detector
from ...errors import InputError
from ...event.contributions import Contributions
from ..particles.columns import Column, to_column
from ..root_files import branch_names, read_branch, reading_errors
from .formats import HitsFormat
from .root_tree import TREE

PARTICLES = "particles_"
IDENTIFIERS = ("run", "luminosityBlock", "event", "fastcalo_repeat")
_HIT = ("cell_id", "energy", "x", "y", "z", "layer")


@dataclass(frozen=True)
class HitFile:
    """An open file of hits.

    Attributes
    ----------
    path : str
    root : uproot.ReadOnlyDirectory
    provenance : mapping
        What the file states of itself (`fastcalo_provenance`); empty for a file of other origin.
    trees : mapping of str to str
        Classes of the trees by their names.
    detector : Detector or None
        Where the file states in which it was made, or the user does, and it is at hand.
    """

    path: str
    root: Any
    provenance: Mapping[str, Any]
    trees: Mapping[str, str]
    detector: Detector | None
    # uproot parses a tree's description anew whenever it is asked for it, which takes longer than to read some events
    _trees: dict[str, Any] = field(default_factory=dict, repr=False)
    _branches: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    @property
    def form(self) -> HitsFormat:
        """Format of the file."""
        return HitsFormat.RNTUPLE if "RNTuple" in self.trees.values() else HitsFormat.TTREE

    def branches(self, tree: str) -> dict[str, str]:
        """Types of a tree's branches by their names; a list per event ends with ``[]``, or is a C++ vector."""
        if tree not in self._branches:
            with reading_errors(f"{self.path}: tree {tree!r}"):
                types = self._tree(tree).typenames()
                names = [name for name in branch_names(self._tree(tree)) if name in types]
                self._branches[tree] = {name: str(types[name]) for name in names}
        return self._branches[tree]

    def identifiers(self, tree: str) -> dict[str, np.dtype[Any]]:
        """Branches that events are known by, and their types."""
        kinds = self.branches(tree)
        return {
            name: np.dtype(kinds[name].removeprefix("std::").removesuffix("_t"))
            for name in IDENTIFIERS
            if name in kinds
        }

    def sections(self, tree: str) -> list[str]:
        """Names S of which the tree has the lists ``S_cell_id`` or ``S_energy``."""
        lists = [name for name, kind in self.branches(tree).items() if is_list(kind)]
        found = (re.fullmatch(r"(.+)_(?:cell_id|energy)", name) for name in lists)
        return list(dict.fromkeys(match[1] for match in found if match and f"{match[1]}_hit" not in lists))

    def entries(self, tree: str) -> int:
        """Return the number of events."""
        with reading_errors(f"{self.path}: tree {tree!r}"):
            return int(self._tree(tree).num_entries)

    def step(self, tree: str, memory: float) -> int:
        """Entries that take about so many bytes of memory, all branches together."""
        with reading_errors(f"{self.path}: tree {tree!r}"):
            return max(1, int(self._tree(tree).num_entries_for(int(memory))))

    def read(self, tree: str, names: Sequence[str], entries: range) -> dict[str, Column]:
        """Read branches of a range of entries.

        Raises
        ------
        InputError
            They are damaged, or hold something else than numbers or lists of numbers.
        """
        return {name: self._read(tree, name, entries) for name in names}

    def contributions(self, tree: str, section: str, entries: range) -> Contributions | None:
        """Read what single particles made of the hits of a section; None where the file does not hold them.

        Raises
        ------
        InputError
            They are damaged, or belong to hits that are not there.
        """
        head = f"{section}Contribution_"
        columns = ("hit", "particle", "energy", "time", "mean_time", "step_length")
        if any(head + name not in self.branches(tree) for name in columns):
            return None
        found = self.read(tree, [f"n{section}", *(head + name for name in columns)], entries)
        counts = found[f"n{section}"].values.astype(np.int64)
        hit = found[f"{head}hit"]
        return contributions_of(
            hit.values, hit.counts, counts, {n: found[head + n].values for n in columns[1:]}, self.path
        )

    def _read(self, tree: str, name: str, entries: range) -> Column:
        where = f"{self.path}: tree {tree!r}, entries {entries.start} to {entries.stop}, branch {name!r}"
        with reading_errors(where):
            return to_column(read_branch(self._tree(tree), name, entries, where), where)

    def _tree(self, name: str) -> Any:
        if name not in self._trees:
            self._trees[name] = self.root[name]
        return self._trees[name]

    @cached_property
    def units(self) -> dict[str, str]:
        """Units by the name of a quantity (``energy``, ``x``, …); empty where the file does not state them."""
        return {str(name): str(unit) for name, unit in dict(self.provenance.get("units") or {}).items()}

    @cached_property
    def stated_sections(self) -> dict[str, dict[str, Any]]:
        """What the file states of each section: ``encoding``, ``system`` and ``threshold_gev``."""
        return self._stated()

    def _stated(self) -> dict[str, dict[str, Any]]:
        stated = dict((self.provenance.get("detector") or {}).get("sections") or {})
        if stated or self.detector is None:
            return stated
        return {
            s.name: {"encoding": s.encoding.text, "system": s.system, "threshold_gev": s.threshold}
            for s in self.detector.sections
        }


def contributions_of(
    hit: NDArray[Any], counts: NDArray[np.int64] | None, hits: NDArray[np.int64], columns: Mapping[str, Any], where: str
) -> Contributions:
    """Contributions that name their hit by its place in the event.

    Parameters
    ----------
    hit : int [c]
    counts : int64 [n_events]
        Contributions of each event.
    hits : int64 [n_events]
        Hits of each event.
    columns : mapping of str to array [c]
        The other columns of `Contributions`.
    where : str
        For messages.

    Raises
    ------
    InputError
        Lists differ in length, or there are no such hits.
    """
    if counts is None or any(len(column) != len(hit) for column in columns.values()):
        raise InputError(f"{where}: the lists of contributions differ in length")
    first = np.cumsum(hits) - hits
    if ((hit < 0) | (hit >= np.repeat(hits, counts))).any():
        raise InputError(f"{where}: there are contributions to hits that are not there")
    at = hit + np.repeat(first, counts)
    if (np.diff(at) < 0).any():
        raise InputError(f"{where}: contributions do not stand in the order of the hits")
    made = np.bincount(at, minlength=int(hits.sum()))
    return Contributions(np.concatenate([[0], np.cumsum(made)]), **columns)


def is_list(kind: str) -> bool:
    """Whether a type of a branch stands for a list per event."""
    return kind.endswith("[]") or kind.startswith(("std::vector", "vector", "ROOT::VecOps"))


@dataclass(frozen=True)
class SectionChunk:
    """Hits of one section in a range of entries.

    Attributes
    ----------
    counts : int64 [n_events]
        Hits of each event.
    columns : mapping of str to array [h]
        By the branch's name without the section's: ``cell_id``, ``energy``, ``x``, …
    """

    counts: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]

    @cached_property
    def event(self) -> NDArray[np.int64]:
        """Place of each hit's event in the chunk, int64 [h]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


@dataclass(frozen=True)
class Chunk:
    """A range of entries.

    Attributes
    ----------
    entries : range
    events : mapping of str to array [n_events]
        What has one value per event: identifiers, numbers of hits, and particles by what became of them.
    sections : mapping of str to SectionChunk
    """

    entries: range
    events: Mapping[str, NDArray[Any]]
    sections: Mapping[str, SectionChunk]


def read_chunk(file: HitFile, tree: str, entries: range) -> Chunk:
    """Read everything that a comparison looks at.

    Raises
    ------
    InputError
        A branch is damaged, or the lists of one section differ in length.
    """
    branches, names = file.branches(tree), file.sections(tree)
    counters = {f"n{section}" for section in names}
    singles = [name for name in branches if name in IDENTIFIERS or name in counters or name.startswith(PARTICLES)]
    events = {
        name: column.values for name, column in file.read(tree, singles, entries).items() if column.counts is None
    }
    sections = {}
    for section in names:
        lists = [f"{section}_{name}" for name in _HIT if f"{section}_{name}" in branches]
        sections[section] = _section(file, tree, section, lists, entries)
    return Chunk(entries, events, {name: chunk for name, chunk in sections.items() if chunk is not None})


def _section(file: HitFile, tree: str, section: str, names: Sequence[str], entries: range) -> SectionChunk | None:
    columns = {name: column for name, column in file.read(tree, names, entries).items() if column.counts is not None}
    counts: NDArray[np.int64] | None = None
    for name, column in columns.items():
        counts = column.counts if counts is None else counts
        if column.counts is not None and (differ := column.counts != counts).any():
            entry = entries[int(np.argmax(differ))]
            raise InputError(
                f"{file.path}: tree {tree!r}, entry {entry}: {name!r} is not as long as {next(iter(columns))!r}"
            )
    if counts is None:
        return None
    return SectionChunk(counts, {name.removeprefix(f"{section}_"): column.values for name, column in columns.items()})


def hits_tree(names: Sequence[str]) -> str | None:
    """Return the name of the tree with the events: ``Events``, or the only one."""
    return TREE if TREE in names else names[0] if len(names) == 1 else None
