# SPDX-License-Identifier: BSD-3-Clause
"""Formats of the hits that a conversion writes, and what each needs of the engine and of the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import ConfigError
from ..io.compression import Compression
from ..io.event_streams.batches import FileEvents
from ..io.hits.edm4hep.writer import Edm4hepWriter
from ..io.hits.formats import HitsFormat
from ..io.hits.writer import HitsWriter
from ..io.particles.reader import EventReader
from ..io.truth.edm4hep_truth import TruthReader, holds_truth
from ..io.truth.rows import ROW, TIME, column_of, has_rows
from .engines import ContributingEngine, Engine


@dataclass(frozen=True)
class OutputFormat:
    """What is written of hits.

    Attributes
    ----------
    name : HitsFormat
    contributions : bool
        Whether a TTree, RNTuple or Parquet file states what single particles made of each hit.
    compression : Compression
    """

    name: HitsFormat
    contributions: bool
    compression: Compression = field(default_factory=Compression)

    @property
    def needs_contributions(self) -> bool:
        """Whether the engine must state what single particles made of each hit."""
        return self.contributions or self.name is HitsFormat.EDM4HEP

    def check(self, engine: Engine) -> None:
        """Refuse an engine that does not give what is to be written.

        Raises
        ------
        ConfigError
        """
        if self.needs_contributions and not (isinstance(engine, ContributingEngine) and engine.contributions):
            what = "EDM4hep" if self.name is HitsFormat.EDM4HEP else "contributions"
            raise ConfigError(f"{what}: make the engine with contributions=True, such as FastSimulation(...)")

    def writer(
        self,
        path: Path,
        reader: EventReader,
        engine: Engine,
        *,
        identifiers: Mapping[str, DTypeLike],
        overwrite: bool,
    ) -> AbstractContextManager[HitsWriter | Edm4hepWriter]:
        """Return what writes hits of a conversion; to be used as a context manager."""
        rows = _Rows(reader) if self.needs_contributions and has_rows(reader) else None
        if self.name is HitsFormat.EDM4HEP:
            truth = TruthReader(reader) if holds_truth(reader) else None
            fast = not (isinstance(engine, ContributingEngine) and engine.full_simulation)
            names = [] if truth is None else truth.weight_names
            return Edm4hepWriter(
                path,
                engine.detector,
                truth,
                fast=fast,
                overwrite=overwrite,
                rows=rows,
                weight_names=names,
                identifiers=identifiers,
                compression=self.compression,
            )
        sections = [section.name for section in engine.detector.sections]
        return HitsWriter(
            path,
            sections,
            identifiers=identifiers,
            overwrite=overwrite,
            contributions=self.contributions,
            rows=rows,
            form=self.name,
            compression=self.compression,
        )


class _Rows:
    """Rows of particles that were refused before, among the particles of then."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def __call__(self, events: FileEvents) -> NDArray[np.int32]:
        return column_of(self._reader, events.entry, ROW).astype(np.int32)


def with_times(chunks: Iterator[FileEvents], reader: EventReader) -> Iterator[FileEvents]:
    """Events with the times at which their particles were produced, where the input states them."""
    truth = TruthReader(reader) if holds_truth(reader) else None
    has_them = truth is None and has_rows(reader)
    for events in chunks:
        time = None
        if truth is not None:
            time = truth.read(events.entry).columns.get("time")
        elif has_them:
            time = column_of(reader, events.entry, TIME)
        yield events if time is None else replace(events, time=time.astype(np.float64))
