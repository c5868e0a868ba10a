# SPDX-License-Identifier: BSD-3-Clause
"""Reader of hits in EDM4hep files, which shows them by the names and types of a tree of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....detector.cell_id import CellEncoding
from ....detector.description import Detector
from ....errors import DetectorError, InputError
from ....event.contributions import Contributions
from ...particles.columns import Column
from ...particles.tree import OpenTree
from ...podio.frames import METADATA as PODIO_METADATA
from ...root_files import reading_errors
from ..formats import HitsFormat
from ..reader import HitFile
from ..readouts import Readout, readouts_of
from ..root_tree import TREE
from ..writer import LUMINOSITY_BLOCK, REPEAT
from .writer import COUNT, ENCODING, EVENTS, METADATA

_AXES = "xyz"
_TYPES = {"cell_id": "uint64_t[]", "energy": "float[]", **dict.fromkeys(_AXES, "float[]"), "layer": "int16_t[]"}


def is_edm4hep(trees: Mapping[str, str]) -> bool:
    """Whether a file with these trees is one of podio's."""
    return PODIO_METADATA in trees and EVENTS in trees


@dataclass(frozen=True)
class Edm4hepFile(HitFile):
    """An open EDM4hep file, of ours or of others, of either of podio's backends for ROOT.

    It has one tree, `TREE`, with the branches that a file of ours would have. Where a detector is known, each section
    has the hits of its readouts; otherwise each collection of hits is a section of its own.
    """

    _opened: dict[str, OpenTree] = field(default_factory=dict, repr=False)
    _encodings: dict[str, str] = field(default_factory=dict, repr=False)
    # parameters are asked for one by one, but read together
    _read_keys: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _read_values: dict[str, tuple[range, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, path: str, root: Any, provenance: Mapping[str, Any], trees: Mapping[str, str], detector: Detector | None
    ) -> Edm4hepFile:
        """Open the events, and read how cell IDs are made.

        Raises
        ------
        InputError
            The events or the metadata are damaged.
        """
        where = f"{path}: tree {EVENTS!r}"
        with reading_errors(where):
            opened = {EVENTS: OpenTree(root[EVENTS], where)}
            encodings = _encodings(root[METADATA]) if METADATA in trees else {}
        return cls(path, root, provenance, {TREE: "TTree"}, detector, _opened=opened, _encodings=encodings)

    @property
    def form(self) -> HitsFormat:
        """Format of the file."""
        return HitsFormat.EDM4HEP

    @property
    def events(self) -> OpenTree:
        """The RNTuple, or the tree, of the events."""
        return self._opened[EVENTS]

    @cached_property
    def readouts(self) -> dict[str, list[Readout]]:
        """Collections of hits by the section that they belong to."""
        names = [
            name.removesuffix(".cellID")
            for name in self.events.names
            if name.endswith(".cellID") and f"{name.removesuffix('.cellID')}.contributions_begin" in self.events
        ]
        found: dict[str, list[Readout]] = {}
        if self.detector is not None:
            for readout in readouts_of(self.detector):
                if readout.collection in names:
                    found.setdefault(readout.section, []).append(readout)
        if not found:
            found = {name: [Readout(name, name, self._encoding(name))] for name in names}
        return found

    def branches(self, tree: str) -> dict[str, str]:
        """Types of the branches that a tree of ours would have."""
        del tree
        identifiers = self.provenance.get("identifiers") or {}
        found = {"run": f"{identifiers.get('run', 'int64')}_t", "event": f"{identifiers.get('event', 'int64')}_t"}
        texts = self._keys("String")
        if LUMINOSITY_BLOCK in texts:
            found[LUMINOSITY_BLOCK] = f"{identifiers.get(LUMINOSITY_BLOCK, 'int64')}_t"
        if REPEAT in texts:
            found[REPEAT] = "uint64_t"
        found |= {name: "int32_t" for name in self._keys("Int") if name.startswith(COUNT)}
        for section in self.readouts:
            found[f"n{section}"] = "int32_t"
            found |= {f"{section}_{name}": kind for name, kind in _TYPES.items()}
        return found

    def sections(self, tree: str) -> list[str]:
        """Names of the sections."""
        del tree
        return list(self.readouts)

    def entries(self, tree: str) -> int:
        """Return the number of events."""
        del tree
        return self.events.n_entries

    def step(self, tree: str, memory: float) -> int:
        """Entries that take about so many bytes of memory, all branches together."""
        del tree
        return self.events.step(self._names, memory)

    @property
    def _names(self) -> list[str]:
        return [
            f"{r.collection}.{name}"
            for readouts in self.readouts.values()
            for r in readouts
            for name in ("cellID", "energy", *(f"position.{axis}" for axis in _AXES))
        ]

    def read(self, tree: str, names: Sequence[str], entries: range) -> dict[str, Column]:
        """Read branches of a range of entries.

        Raises
        ------
        InputError
            They are damaged.
        """
        del tree
        found: dict[str, Column] = {}
        for section in self.readouts:
            wanted = [name for name in names if name == f"n{section}" or name.startswith(f"{section}_")]
            if wanted:
                columns = self._hits(section, entries)
                counts = columns["energy"].counts
                assert counts is not None
                made = {f"{section}_{name}": column for name, column in columns.items()}
                made[f"n{section}"] = Column(counts.astype(np.int32))
                found |= {name: made[name] for name in wanted if name in made}
        rest = [name for name in names if name not in found]
        found |= {name: self._single(name, entries) for name in rest}
        return {name: found[name] for name in names}

    def contributions(self, tree: str, section: str, entries: range) -> Contributions | None:
        """Read what single particles made of the hits of a section.

        Raises
        ------
        InputError
            They are damaged, or belong to hits that are not there.
        """
        del tree
        parts = [self._contributions(readout.collection, entries) for readout in self.readouts[section]]
        order = self._order(section, entries)
        if len(parts) == 1:
            return parts[0]
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        starts = np.cumsum(counts) - counts
        at = np.repeat(starts[order] - (np.cumsum(counts[order]) - counts[order]), counts[order])
        at += np.arange(len(at))
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])[at]
            for name in ("particle", "energy", "time", "mean_time", "step_length")
        }
        return Contributions(np.concatenate([[0], np.cumsum(counts[order])]), **columns)

    def parameter(self, name: str, entries: range) -> Column | None:
        """Read an integer parameter of the events; None where there is none.

        Raises
        ------
        InputError
            The parameters are damaged, or not the same in all events.
        """
        import awkward as ak

        keys = self._keys("Int")
        if name not in keys:
            return None
        values = self._parameters("Int", entries)[:, keys.index(name)]
        return Column(ak.to_numpy(ak.flatten(values)).astype(np.int32), ak.to_numpy(ak.num(values)).astype(np.int64))

    def _encoding(self, collection: str) -> CellEncoding | None:
        try:
            return CellEncoding.parse(self._encodings[collection])
        except (KeyError, DetectorError):
            return None

    def _single(self, name: str, entries: range) -> Column:
        if name in ("run", "event"):
            column = self.events.read(f"EventHeader.{name}Number", entries)
            if column.counts is not None and (column.counts != 1).any():
                raise InputError(f"{self.events.where}: there are events without a header, or with more than one")
            values = column.values.astype(np.uint64).view(np.int64)
            return Column(values.astype(self.branches(TREE)[name].removesuffix("_t")))
        if name in (LUMINOSITY_BLOCK, REPEAT):
            texts = self._parameters("String", entries)[:, self._keys("String").index(name), 0].to_list()
            kind = np.uint64 if name == REPEAT else np.dtype(self.branches(TREE)[name].removesuffix("_t"))
            with reading_errors(f"{self.events.where}, parameter {name!r}"):
                return Column(np.array([int(text) for text in texts], kind))
        found = self.parameter(name, entries)
        if found is None or found.counts is None or (found.counts != 1).any():
            raise InputError(f"{self.events.where} has no parameter {name!r} of one number per event")
        return Column(found.values)

    def _hits(self, section: str, entries: range) -> dict[str, Column]:
        """Columns of hits of a section, those of several readouts in the order of the events."""
        parts = [self._collection(readout, entries) for readout in self.readouts[section]]
        if len(parts) == 1:
            return parts[0]
        counts = np.sum([part["cell_id"].counts for part in parts if part["cell_id"].counts is not None], axis=0)
        order = self._order(section, entries)
        names = [name for name in parts[0] if all(name in part for part in parts)]
        return {name: Column(np.concatenate([part[name].values for part in parts])[order], counts) for name in names}

    def _order(self, section: str, entries: range) -> NDArray[np.int64]:
        """Order of the hits of all readouts of a section, one after the other, event by event."""
        event = []
        for readout in self.readouts[section]:
            counts = self.events.read(f"{readout.collection}.cellID", entries).counts
            assert counts is not None
            event.append(np.repeat(np.arange(len(counts)), counts))
        return np.argsort(np.concatenate(event), kind="stable")

    def _collection(self, readout: Readout, entries: range) -> dict[str, Column]:
        name = readout.collection
        cell_id = self.events.read(f"{name}.cellID", entries)
        if cell_id.counts is None:
            raise InputError(f"{self.events.where}: {name}.cellID holds no list of hits per event")
        cells, layer = readout.section_ids(self.detector, cell_id.values.astype(np.uint64, copy=False))
        found = {
            "cell_id": Column(cells, cell_id.counts),
            "energy": self.events.read(f"{name}.energy", entries),
            **{axis: self.events.read(f"{name}.position.{axis}", entries) for axis in _AXES},
        }
        if any(len(column.values) != len(cells) for column in found.values()):
            raise InputError(f"{self.events.where}: the members of {name!r} differ in length")
        if layer is not None:
            found["layer"] = Column(layer.astype(np.int16), cell_id.counts)
        return found

    def _contributions(self, collection: str, entries: range) -> Contributions:
        """Contributions to the hits of a collection, in their order."""
        events, made = self.events, f"{collection}Contributions"
        begin, end = (events.read(f"{collection}.contributions_{e}", entries) for e in ("begin", "end"))
        targets = events.read(f"_{collection}_contributions.index", entries)
        energy = events.read(f"{made}.energy", entries)
        hits, listed, there = begin.counts, targets.counts, energy.counts
        if hits is None or listed is None or there is None:
            raise InputError(f"{events.where}: {collection} has no lists of contributions")
        first, last = (column.values.astype(np.int64) for column in (begin, end))
        if ((last < first) | (last > np.repeat(listed, hits))).any():
            raise InputError(f"{events.where}: hits of {collection} have contributions beyond their list")
        counts = last - first
        at = np.repeat(np.repeat(np.cumsum(listed) - listed, hits) + first - (np.cumsum(counts) - counts), counts)
        index = targets.values[at + np.arange(int(counts.sum()))].astype(np.int64)
        limit = np.repeat(np.repeat(there, hits), counts)
        if ((index < 0) | (index >= limit)).any():
            raise InputError(f"{events.where}: hits of {collection} have contributions that are not there")
        index += np.repeat(np.repeat(np.cumsum(there) - there, hits), counts)
        particle = events.read(f"_{made}_particle.index", entries).values
        time = events.read(f"{made}.time", entries).values[index].astype(np.float32)
        return Contributions(
            np.concatenate([[0], np.cumsum(counts)]),
            particle[index].astype(np.int32),
            energy.values[index].astype(np.float32),
            time,
            time,
            events.read(f"{made}.stepLength", entries).values[index].astype(np.float32),
        )

    def _keys(self, kind: str) -> list[str]:
        """Names of the parameters of the first event."""
        if kind not in self._read_keys:
            found: list[str] = []
            if self.events.n_entries and f"GP{kind}Keys" in self._fields:
                with reading_errors(f"{self.events.where}, GP{kind}Keys"):
                    found = [str(k) for k in self.root[EVENTS][f"GP{kind}Keys"].array(entry_stop=1)[0].to_list()]
            self._read_keys[kind] = found
        return self._read_keys[kind]

    @cached_property
    def _fields(self) -> set[str]:
        with reading_errors(self.events.where):
            return set(self.root[EVENTS].keys(recursive=False))

    def _parameters(self, kind: str, entries: range) -> Any:
        import awkward as ak

        before = self._read_values.get(kind)
        if before is not None and before[0] == entries:
            return before[1]

        with reading_errors(f"{self.events.where}, GP{kind}Values"):
            span = {"entry_start": entries.start, "entry_stop": entries.stop}
            keys = self.root[EVENTS][f"GP{kind}Keys"].array(**span)
            values = self.root[EVENTS][f"GP{kind}Values"].array(**span)
            known = self._keys(kind)
            if not ak.all(ak.num(keys) == len(known)) or not ak.all(keys == ak.Array([known])):
                raise InputError(f"{self.events.where}: not all events have the same parameters")
        self._read_values[kind] = entries, values
        return values

    def _stated(self) -> dict[str, dict[str, Any]]:
        stated = super()._stated()
        return stated or {name: {"encoding": text} for name, text in self._encodings.items() if name in self.readouts}


def _encodings(metadata: Any) -> dict[str, str]:
    """Texts of cell encodings by collection, of the metadata's first frame."""
    if not metadata.num_entries or "GPStringKeys" not in metadata.keys(recursive=False):
        return {}
    keys = metadata["GPStringKeys"].array(entry_stop=1)[0].to_list()
    values = metadata["GPStringValues"].array(entry_stop=1)[0].to_list()
    return {
        key.removesuffix(ENCODING): str(value[0])
        for key, value in zip(keys, values, strict=True)
        if key.endswith(ENCODING) and value
    }
