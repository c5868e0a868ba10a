# SPDX-License-Identifier: BSD-3-Clause
"""Output of a merge in the format of what is merged: a tree of ours, or EDM4hep with the particles of both files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..detector.description import Detector
from ..errors import InputError
from ..event.contributions import Contributions
from ..event.hits import SectionHits
from ..io.compression import Compression
from ..io.hits.edm4hep.particles import BIT_FAST, PARTICLES
from ..io.hits.edm4hep.reader import Edm4hepFile
from ..io.hits.edm4hep.writer import ROW, Edm4hepWriter
from ..io.hits.reader import Chunk, HitFile
from ..io.hits.writer import HitsWriter
from ..io.podio.data_types import EVENT_HEADER, MC_PARTICLE
from ..io.podio.frames import Collection, Parameter, References
from ..io.truth.edm4hep_truth import Truth, read_truth, weight_names


class MergedFile(ABC):
    """What the hits of two files are written to, once they are summed."""

    _writer: HitsWriter | Edm4hepWriter

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file states of itself."""
        return self._writer.provenance

    @abstractmethod
    def contributions(self, chunks: tuple[Chunk, Chunk], entries: range) -> dict[str, list[Contributions]]:
        """What single particles made of the hits of both files, by section; empty where not both files state them."""

    @abstractmethod
    def write(
        self,
        events: Mapping[str, NDArray[Any]],
        counts: NDArray[np.int64],
        sections: Mapping[str, SectionHits],
        entries: range,
    ) -> None:
        """Add events: identifiers, particles by reason [n_events, number of reasons], and hits."""


def merged_file(
    path: str | Path,
    detector: Detector,
    files: tuple[HitFile, HitFile],
    trees: tuple[str, str],
    *,
    overwrite: bool,
) -> MergedFile:
    """Return what a merge writes to, in the format of both files.

    Raises
    ------
    InputError
        One is EDM4hep, the other is not.
    """
    one, other = files
    if isinstance(one, Edm4hepFile) and isinstance(other, Edm4hepFile):
        return _Edm4hep(path, detector, one, other, trees, overwrite=overwrite)
    if isinstance(one, Edm4hepFile) or isinstance(other, Edm4hepFile):
        raise InputError(f"{one.path} and {other.path}: only one is EDM4hep; convert both to one --format")
    return _Tree(path, detector, files, trees, overwrite=overwrite)


class _Tree(MergedFile):
    """A tree of ours."""

    def __init__(
        self,
        path: str | Path,
        detector: Detector,
        files: tuple[HitFile, HitFile],
        trees: tuple[str, str],
        *,
        overwrite: bool,
    ) -> None:
        self._files, self._trees = files, trees
        self._sections = [section.name for section in detector.sections]
        contribute = [have_contributions(file, tree, self._sections) for file, tree in zip(files, trees, strict=True)]
        self._contribute = all(contribute)
        self._writer: HitsWriter = hits_writer_like(
            path, files[0], trees[0], self._sections, contributions=self._contribute, overwrite=overwrite
        )

    def contributions(self, chunks: tuple[Chunk, Chunk], entries: range) -> dict[str, list[Contributions]]:
        del chunks
        if not self._contribute:
            return {}
        pairs = list(zip(self._files, self._trees, strict=True))
        return {name: [_read(file, tree, name, entries) for file, tree in pairs] for name in self._sections}

    def write(
        self,
        events: Mapping[str, NDArray[Any]],
        counts: NDArray[np.int64],
        sections: Mapping[str, SectionHits],
        entries: range,
    ) -> None:
        del entries
        self._writer.write_counted(events, counts, sections)


class _Edm4hep(MergedFile):
    """EDM4hep: all particles are those of the first file, in which the second was given by their rows."""

    def __init__(
        self,
        path: str | Path,
        detector: Detector,
        one: Edm4hepFile,
        other: Edm4hepFile,
        trees: tuple[str, str],
        *,
        overwrite: bool,
    ) -> None:
        self._one, self._other, self._trees = one, other, trees
        self._sections = [section.name for section in detector.sections]
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)
        self._writer: Edm4hepWriter = edm4hep_writer_like(path, one, trees[0], detector, overwrite=overwrite)

    def contributions(self, chunks: tuple[Chunk, Chunk], entries: range) -> dict[str, list[Contributions]]:
        found = self._other.parameter(ROW, entries)
        if found is None or found.counts is None:
            raise InputError(
                f"{self._other.path}: has no rows of its particles; it must be made of the file "
                "that was written with --rejected"
            )
        rows, counts = found.values, found.counts
        start = np.cumsum(counts) - counts
        made = {}
        for name in self._sections:
            first = _read(self._one, self._trees[0], name, entries)
            second = _read(self._other, self._trees[1], name, entries)
            event = chunks[1].sections[name].event[second.hit]
            if ((second.particle < 0) | (second.particle >= counts[event])).any():
                raise InputError(f"{self._other.path}: has contributions of particles that are not there")
            made[name] = [first, replace(second, particle=rows[start[event] + second.particle])]
        return made

    def write(
        self,
        events: Mapping[str, NDArray[Any]],
        counts: NDArray[np.int64],
        sections: Mapping[str, SectionHits],
        entries: range,
    ) -> None:
        truth = read_truth(self._one.events, PARTICLES, entries)
        rest = read_truth(self._other.events, PARTICLES, entries)
        found = self._other.parameter(ROW, entries)
        assert found is not None
        if found.counts is None or not np.array_equal(found.counts, rest.counts):
            raise InputError(f"{self._other.path}: has not as many rows as particles")
        row = found.values + np.repeat(np.cumsum(truth.counts) - truth.counts, rest.counts)
        if ((found.values < 0) | (found.values >= np.repeat(truth.counts, rest.counts))).any():
            raise InputError(f"{self._other.path}: has rows that {self._one.path} has no particles for")
        status = truth.columns["simulatorStatus"].astype(np.int32)
        np.bitwise_or.at(status, row, rest.columns["simulatorStatus"].astype(np.int32) & np.int32(1 << BIT_FAST))
        truth = replace(truth, columns={**truth.columns, "simulatorStatus": status})
        write_with_truth(self._writer, events, counts, sections, truth)


def hits_writer_like(
    path: str | Path, file: HitFile, tree: str, sections: Sequence[str], *, contributions: bool, overwrite: bool
) -> HitsWriter:
    """Return a writer in the format of a file that is no EDM4hep, with its identifiers and compression.

    Parameters
    ----------
    path : path
    file : HitFile
    tree : str
        Its tree of hits.
    sections : sequence of str
    contributions : bool
        Whether it writes what single particles made of each hit.
    overwrite : bool
    """
    return HitsWriter(
        path,
        sections,
        identifiers=file.identifiers(tree),
        overwrite=overwrite,
        contributions=contributions,
        form=file.form,
        compression=Compression.stated(file.provenance),
    )


def edm4hep_writer_like(
    path: str | Path, file: Edm4hepFile, tree: str, detector: Detector, *, overwrite: bool
) -> Edm4hepWriter:
    """Return a writer of EDM4hep with the identifiers, names of weights and compression of a file.

    Parameters
    ----------
    path : path
    file : Edm4hepFile
    tree : str
        Its tree of hits.
    detector : Detector
    overwrite : bool
    """
    return Edm4hepWriter(
        path,
        detector,
        overwrite=overwrite,
        weight_names=weight_names(file.path),
        identifiers=file.identifiers(tree),
        compression=Compression.stated(file.provenance),
    )


def have_contributions(file: HitFile, tree: str, sections: Sequence[str]) -> bool:
    """Whether a file states what single particles made of the hits of these sections."""
    return all(file.contributions(tree, name, range(0)) is not None for name in sections)


def write_with_truth(
    writer: Edm4hepWriter,
    events: Mapping[str, NDArray[Any] | None],
    counts: NDArray[np.int64],
    sections: Mapping[str, SectionHits],
    truth: Truth,
    parameters: Mapping[str, Parameter] | None = None,
) -> None:
    """Write hits with particles and headers that were read from an EDM4hep file.

    Parameters
    ----------
    writer : Edm4hepWriter
    events : mapping of str to int [n_events]
        Identifiers.
    counts : int64 [n_events, number of reasons]
        Particles by what became of them.
    sections : mapping of str to SectionHits
        With contributions.
    truth : Truth
    parameters : mapping of str to Parameter, optional
        Further integers of the events.
    """
    offsets = np.concatenate([[0], np.cumsum(truth.counts)])
    particles = Collection(
        MC_PARTICLE,
        offsets,
        truth.columns,
        {name: References(PARTICLES, index, each) for name, (each, index) in truth.relations.items()},
    )
    collections = writer.hit_collections(sections, truth.columns["PDG"].astype(np.int32), offsets)
    writer.write_collections(
        events, counts, {**collections, PARTICLES: particles}, None, header=_header(truth), parameters=parameters
    )


def _header(truth: Truth) -> Collection:
    n = len(truth.counts)
    weights = truth.weights if truth.weights is not None else (np.zeros(n, np.int64), np.zeros(0))
    return Collection(EVENT_HEADER, np.arange(n + 1), truth.header, vectors={"weights": weights})


def _read(file: HitFile, tree: str, section: str, entries: range) -> Contributions:
    made = file.contributions(tree, section, entries)
    if made is None:
        raise InputError(f"{file.path}: has no contributions to the hits of {section}")
    return made
