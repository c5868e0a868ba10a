# SPDX-License-Identifier: BSD-3-Clause
"""All that EDM4hep files hold of their generated particles and event headers, read for the entries of a chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..particles.open_trees import OpenFiles
from ..particles.reader import EventReader
from ..particles.tree import OpenTree
from ..root_files import open_root, reading_errors
from .rows import ranges_of

_VECTORS = ("vertex", "endpoint", "momentum", "momentumAtEndpoint")
_NUMBERS = ("PDG", "generatorStatus", "simulatorStatus", "charge", "time", "mass", "helicity")
_HEADER = ("eventNumber", "runNumber", "timeStamp", "weight")
RELATIONS = ("parents", "daughters")
"""Relations of particles to each other."""

WEIGHT_NAMES = "EventWeightNames"
"""Parameter of EDM4hep's metadata with the names of the events' weights."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Particles and headers of some events, as their file has them.

    Attributes
    ----------
    counts : int64 [n_events]
        Particles of each event.
    columns : mapping of str to array [n] or [n, 3]
        Members of ``edm4hep::MCParticle`` that the file has.
    relations : mapping of str to (int64 [n], int32 [r])
        How many parents and daughters each particle has, and their places in the event.
    header : mapping of str to array [n_events]
        Members of ``edm4hep::EventHeader`` that the file has.
    weights : (int64 [n_events], float64 [w]) or None
        How many weights each event has beside the one of its header, and these.
    """

    counts: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    relations: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int32]]] = field(default_factory=dict)
    header: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    weights: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None


class TruthReader:
    """Reads, for entries of the input of a conversion, what `Events` does not hold.

    Parameters
    ----------
    reader : EventReader
        Of EDM4hep files; see `holds_truth`.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._files = OpenFiles()

    def read(self, entries: NDArray[np.int64]) -> Truth:
        """Read some entries.

        Parameters
        ----------
        entries : int64 [n_events]
            Their numbers, counted over all files of the input, rising.

        Raises
        ------
        InputError
            A branch is damaged, or relations lead beyond their lists.
        """
        collection = self._reader.schema.collection
        parts = []
        for file, part in ranges_of(self._reader, entries):
            with self._files.open(file.path) as opened:
                parts.append(read_truth(opened.tree(file.tree), collection, part))
        return _joined(parts)

    @property
    def weight_names(self) -> list[str]:
        """Names of the events' weights, where the first file names them."""
        return weight_names(self._reader.files[0].path)


def holds_truth(reader: EventReader) -> bool:
    """Whether the input is of EDM4hep files with one event per entry."""
    return reader.schema.name == "EDM4hep" and bool(reader.schema.collection) and not reader.files[0].flat


def weight_names(path: str) -> list[str]:
    """Names of the weights of the events of a file, empty where it does not name them."""
    with open_root(path) as root, reading_errors(f"{path}: tree 'metadata'"):
        if "metadata" not in root:
            return []
        tree = root["metadata"]
        if not {"GPStringKeys", "GPStringValues"} <= set(tree.keys()):
            return []
        arrays = tree.arrays(["GPStringKeys", "GPStringValues"])
        for keys, values in zip(arrays["GPStringKeys"].to_list(), arrays["GPStringValues"].to_list(), strict=True):
            if WEIGHT_NAMES in keys:
                return [str(name) for name in values[keys.index(WEIGHT_NAMES)]]
    return []


def read_truth(tree: OpenTree, collection: str, entries: range) -> Truth:
    """Read particles and headers of a range of entries.

    Parameters
    ----------
    tree : OpenTree
    collection : str
        Name of the particles' collection.
    entries : range

    Raises
    ------
    InputError
        A branch is damaged, or relations lead beyond their lists.
    """
    where = tree.where
    pdg = tree.read(f"{collection}.PDG", entries)
    if pdg.counts is None:
        raise InputError(f"{where}: {collection}.PDG holds no list of particles per event")
    columns = {
        name: tree.read(f"{collection}.{name}", entries).values for name in _NUMBERS if f"{collection}.{name}" in tree
    }
    for name in _VECTORS:
        parts = [f"{collection}.{name}.{axis}" for axis in "xyz"]
        if all(part in tree for part in parts):
            columns[name] = np.stack([tree.read(part, entries).values for part in parts], axis=1)
    n = int(pdg.counts.sum())
    for name, column in columns.items():
        if len(column) != n:
            raise InputError(f"{where}: {collection}.{name} has {len(column)} values for {n} particles")
    relations = {}
    for name in RELATIONS:
        if found := _relation(tree, collection, name, entries, pdg.counts):
            relations[name] = found
    header, weights = _header(tree, entries)
    return Truth(pdg.counts, columns, relations, header, weights)


def _relation(
    tree: OpenTree, collection: str, name: str, entries: range, counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """How many relations each particle has, and to whom; None where the file has none."""
    number = RELATIONS.index(name)
    branches = [f"_{collection}_{name}.index", f"{collection}#{number}.index"]
    branch = next((b for b in branches if b in tree), None)
    ends = [f"{collection}.{name}_{end}" for end in ("begin", "end")]
    if branch is None or not all(end in tree for end in ends):
        return None
    targets = tree.read(branch, entries)
    begin, end = (tree.read(e, entries).values.astype(np.int64) for e in ends)
    lengths = np.zeros(len(counts), np.int64) if targets.counts is None else targets.counts
    base = np.repeat(np.cumsum(lengths) - lengths, counts)
    if ((begin < 0) | (end < begin) | (end > np.repeat(lengths, counts))).any():
        raise InputError(f"{tree.where}: {ends[0]} and {ends[1]} lead beyond {branch}")
    each = end - begin
    at = np.repeat(base + begin - (np.cumsum(each) - each), each) + np.arange(int(each.sum()))
    index = targets.values[at].astype(np.int32)
    # a relation to a particle that was not written leads nowhere
    known = (index >= 0) & (index < np.repeat(np.repeat(counts, counts), each))
    owner = np.repeat(np.arange(len(each)), each)
    return np.bincount(owner[known], minlength=len(each)), index[known]


def _header(
    tree: OpenTree, entries: range
) -> tuple[dict[str, NDArray[Any]], tuple[NDArray[np.int64], NDArray[np.float64]] | None]:
    header = {}
    for name in _HEADER:
        if f"EventHeader.{name}" in tree:
            column = tree.read(f"EventHeader.{name}", entries)
            if column.counts is not None and (column.counts == 1).all():
                header[name] = column.values
    weights = None
    if "_EventHeader_weights" in tree:
        column = tree.read("_EventHeader_weights", entries)
        if column.counts is not None:
            weights = column.counts, column.values.astype(np.float64)
    return header, weights


def _joined(parts: Sequence[Truth]) -> Truth:
    """Return one after the other; what some files have and others do not is left out."""
    if not parts:
        return Truth(np.zeros(0, np.int64), {"PDG": np.zeros(0, np.int32)})
    if len(parts) == 1:
        return parts[0]
    weights = [part.weights for part in parts]
    known = [w for w in weights if w is not None]
    return Truth(
        np.concatenate([part.counts for part in parts]),
        _concatenated([part.columns for part in parts]),
        {
            name: (
                np.concatenate([part.relations[name][0] for part in parts]),
                np.concatenate([part.relations[name][1] for part in parts]),
            )
            for name in RELATIONS
            if all(name in part.relations for part in parts)
        },
        _concatenated([part.header for part in parts]),
        (np.concatenate([c for c, _ in known]), np.concatenate([w for _, w in known]))
        if len(known) == len(parts)
        else None,
    )


def _concatenated(columns: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([c[name] for c in columns]) for name in columns[0] if all(name in c for c in columns)}
