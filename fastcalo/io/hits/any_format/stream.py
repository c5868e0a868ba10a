# SPDX-License-Identifier: BSD-3-Clause
"""Files of hits, read step by step: `open_hits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ....detector.description import Detector, DetectorLike, load_detector
from ....display import html_table
from ....errors import ConfigError, InputError
from ....event.contributions import Contributions
from ....event.events import Identifier, Reason
from ....event.hits import Hits, SectionHits
from ....system.memory import bytes_of, check_memory
from ..edm4hep.reader import Edm4hepFile
from ..reader import PARTICLES, Chunk, SectionChunk, hits_tree, read_chunk
from ..writer import LUMINOSITY_BLOCK, REPEAT
from .hit_files import open_hit_file

# by which the size of all events is estimated, and how often what is read is in memory at the peak
_STEP_BYTES, _COPIES = 16e6, 2
_COLUMNS = ("cell_id", "energy", "x", "y", "z", "layer")


class HitsReader:
    """An open file of hits, to be read step by step as often as one likes; made by `open_hits`.

    It may be used as a context manager, which closes the file.

    Parameters
    ----------
    path : str or Path
    detector : Detector, optional

    Attributes
    ----------
    path : str
    n_events : int
    sections : tuple of str
    file : HitFile
    tree : str
        Name of the tree with the events.
    """

    def __init__(self, path: str | Path, detector: Detector | None = None) -> None:
        self._stack = ExitStack()
        self.file = self._stack.enter_context(open_hit_file(str(path), detector))
        self.path = str(path)
        tree = hits_tree(list(self.file.trees))
        if tree is None:
            self.close()
            raise InputError(f"{path}: has no tree 'Events'; it has {sorted(self.file.trees)}")
        self.tree = tree
        self.n_events = self.file.entries(tree)
        self.sections = tuple(self.file.sections(tree))
        if not self.sections:
            self.close()
            raise InputError(f"{path}: tree {tree!r} has no hits: no lists such as ECAL_cell_id and ECAL_energy")

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the file states of itself: its inputs, models, seed, units and counts; empty for files of others."""
        return self.file.provenance

    @property
    def detector(self) -> Detector | None:
        """The calorimeter, where the file names a shipped one or `open_hits` was given it."""
        return self.file.detector

    def iterate(self, step_size: int | str = "16 MB", *, contributions: bool = False) -> Iterator[Hits]:
        """Read all events in order, in bounded memory.

        Parameters
        ----------
        step_size : int or str
            Events at a time, or the memory that they may take, such as ``"100 MB"``.
        contributions : bool
            Whether to read what single particles made of each hit, where the file holds it.

        Yields
        ------
        Hits

        Raises
        ------
        InputError
            A branch is missing or damaged, or lists of one section differ in length; the message names the entries.
        ConfigError
            `step_size` is less than one event, or no amount of memory.
        """
        step = self._step(step_size)
        for start in range(0, self.n_events, step):
            entries = range(start, min(start + step, self.n_events))
            yield self._hits(read_chunk(self.file, self.tree, entries), contributions)

    def read(self, *, contributions: bool = False) -> Hits:
        """Read all events at once.

        Parameters
        ----------
        contributions : bool
            As for `iterate`.

        Raises
        ------
        InputError
            See `iterate`; or memory does not hold them, which is reported before they are read.
        """
        steps = self.n_events / self.file.step(self.tree, _STEP_BYTES)
        check_memory(
            _COPIES * _STEP_BYTES * steps,
            f"{self.path}: all {self.n_events} events at once",
            "read them step by step (HitsReader.iterate)",
        )
        return self._hits(read_chunk(self.file, self.tree, range(self.n_events)), contributions)

    def read_event(self, event: int) -> Hits:
        """Read one event.

        Parameters
        ----------
        event : int
            Number of the entry.

        Raises
        ------
        InputError
            See `iterate`.
        """
        return self._hits(read_chunk(self.file, self.tree, range(event, event + 1)), False)

    @property
    def particle_files(self) -> list[str]:
        """Files with the particles that the hits are of: the file itself if it is EDM4hep, else those it names."""
        if isinstance(self.file, Edm4hepFile):
            return [self.path]
        return [str(item["path"]) for item in self.provenance.get("inputs") or []]

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.n_events

    def __repr__(self) -> str:
        return f"<HitsReader {self.path!r}: {self.n_events} events, {', '.join(self.sections)}>"

    def _repr_html_(self) -> str:
        made = self.provenance.get("engine", "not stated")
        detector = dict(self.provenance.get("detector") or {}).get("name", "not stated")
        rows = [("events", str(self.n_events)), ("sections", ", ".join(self.sections))]
        return html_table(f"Hits {self.path}", (), [*rows, ("made by", str(made)), ("detector", str(detector))])

    def _step(self, step_size: int | str) -> int:
        if isinstance(step_size, str):
            return self.file.step(self.tree, bytes_of(step_size, "step_size"))
        if step_size < 1:
            raise ConfigError(f"step_size must be at least one event, but is {step_size}")
        return step_size

    def _hits(self, chunk: Chunk, contributions: bool) -> Hits:
        n = len(chunk.entries)
        zeros = np.zeros(n, np.int64)
        counts = np.stack([chunk.events.get(f"{PARTICLES}{r.name.lower()}", zeros) for r in Reason], axis=1)
        offsets = np.concatenate([[0], np.cumsum(counts.sum(1))]).astype(np.int64)
        reason = np.repeat(np.tile(np.arange(len(Reason), dtype=np.int8), n), counts.ravel())
        blocks, repeat = (chunk.events.get(name) for name in (LUMINOSITY_BLOCK, REPEAT))
        return Hits(
            sections={
                name: self._section(
                    name,
                    chunk.sections.get(name),
                    self.file.contributions(self.tree, name, chunk.entries) if contributions else None,
                )
                for name in self.sections
            },
            run=_whole(chunk.events.get("run", zeros)),
            event=_whole(chunk.events.get("event", np.arange(chunk.entries.start, chunk.entries.stop))),
            reason=reason,
            particle_offsets=offsets,
            luminosity_block=None if blocks is None else _whole(blocks),
            repeat=None if repeat is None else repeat.astype(np.uint64, copy=False),
        )

    def _section(self, name: str, chunk: SectionChunk | None, made: Contributions | None) -> SectionHits:
        columns = {} if chunk is None else chunk.columns
        if chunk is None or (lacking := [column for column in _COLUMNS if column not in columns]):
            missing = [f"{name}_{column}" for column in (lacking if columns else _COLUMNS)]
            raise InputError(f"{self.path}: tree {self.tree!r} has no branches {missing}, which hits are read from")
        return SectionHits(
            offsets=np.concatenate([[0], np.cumsum(chunk.counts)]).astype(np.int64),
            cell_id=columns["cell_id"].astype(np.uint64, copy=False),
            energy=columns["energy"].astype(np.float32, copy=False),
            position=np.stack([columns[axis].astype(np.float32, copy=False) for axis in "xyz"], axis=1),
            layer=columns["layer"].astype(np.int16, copy=False),
            contributions=made,
        )


def open_hits(path: str | Path, detector: DetectorLike | None = None) -> HitsReader:
    """Open a file of hits.

    Parameters
    ----------
    path : str or Path
        A ROOT file of `convert`, `merge` or `write_hits`, local or by URL; also EDM4hep.
    detector : Detector, name or path, optional
        In which it was made; found by what the file states unless given.

    Returns
    -------
    HitsReader

    Raises
    ------
    InputError
        It is missing, empty, no ROOT file or cut short, holds no tree, or its provenance is damaged.

    Examples
    --------
    >>> import fastcalo
    >>> summary = fastcalo.convert("examples/demo/events.root", "hits.root")
    >>> with fastcalo.open_hits("hits.root") as file:
    ...     for hits in file.iterate(step_size=100):
    ...         print(hits.n_events, sorted(hits.sections))
    100 ['ECAL', 'HCAL']
    100 ['ECAL', 'HCAL']
    100 ['ECAL', 'HCAL']
    """
    return HitsReader(path, None if detector is None else load_detector(detector))


def _whole(values: NDArray[Any]) -> Identifier:
    return values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
