# SPDX-License-Identifier: BSD-3-Clause
"""Conversion of one input to many files of so many events each, in one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..io.atomic import check_output
from ..io.event_streams.batches import FileEvents, slice_events
from ..io.particles.reader import EventReader
from .convert import Engine, convert, worker_processes
from .summary import ParticleCounts, Summary

PathLike = str | os.PathLike[str]

_DIGITS = 4


def part_path(pattern: PathLike, part: int) -> Path:
    """Name of one of many files.

    Parameters
    ----------
    pattern : path
        With ``{part}`` where the number goes, written as in Python's format strings: ``hits_{part:03}.root``. Without,
        the number is put before the suffix, ``hits_0002.root`` for ``hits.root``.
    part : int
        Counted from 0.

    Raises
    ------
    ConfigError
        The pattern is not written well, or gives all files the same name.
    """
    text = os.fspath(pattern)
    if "{" not in text:
        path = Path(text)
        return path.with_name(f"{path.stem}_{part:0{_DIGITS}}{path.suffix}")
    try:
        named, other = text.format(part=part), text.format(part=part + 1)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(f"{text}: a pattern of outputs is written as hits_{{part:04}}.root ({error!r})") from None
    if named == other:
        raise ConfigError(f"{text}: all outputs would have this name; put {{part}} where their number goes")
    return Path(named)


def convert_in_files(
    reader: EventReader,
    output: PathLike,
    engine: Engine,
    *,
    events_per_file: int,
    step_size: int = 500,
    workers: int = 1,
    rejected: PathLike | None = None,
    overwrite: bool = False,
    report: PathLike | None = None,
    **options: Any,
) -> Summary:
    """Convert to as many files as it takes. The events and hits in them are those that one file would have.

    Parameters
    ----------
    reader : EventReader
    output : path
        Pattern of the files' names; see `part_path`.
    engine : Engine
    events_per_file : int
        The last file may have fewer.
    step_size, workers, rejected, overwrite, report, options
        As of `convert`; `rejected` and `report` are patterns, too.

    Returns
    -------
    Summary
        Of all files together.

    Raises
    ------
    ConfigError
        The pattern is wrong, or there is to be less than one event in a file.
    FastCaloError
        See `convert`. Files that are whole by then stay.
    """
    if events_per_file < 1:
        raise ConfigError(f"events_per_file must be at least 1, but is {events_per_file}")
    # an entry is an event, or a part of one
    for part in range(-(-reader.n_entries // events_per_file) if not overwrite else 0):
        for pattern in (output, rejected, report):
            if pattern is not None:
                check_output(part_path(pattern, part))
    stream = _Stream(reader.iterate(step_size))
    total: Summary | None = None
    with ExitStack() as exits:
        pool = exits.enter_context(worker_processes(workers)) if workers > 1 else None
        part = 0
        while total is None or stream.more():
            piece = _Part(
                reader.files, reader.schema, reader.gather, _whole=reader, _stream=stream, _most=events_per_file
            )
            done = convert(
                piece,
                part_path(output, part),
                engine,
                step_size=step_size,
                workers=workers,
                executor=pool,
                rejected=None if rejected is None else part_path(rejected, part),
                overwrite=overwrite,
                report=None if report is None else part_path(report, part),
                **options,
            )
            total = done if total is None else _sum(total, done)
            part += 1
    return total


class _Stream:
    """Events of which some are taken at a time."""

    def __init__(self, chunks: Iterator[FileEvents]) -> None:
        self._chunks = chunks
        self._left: FileEvents | None = None

    def more(self) -> bool:
        """Whether there are events left."""
        if self._left is None:
            self._left = next(self._chunks, None)
        return self._left is not None

    def take(self, most: int) -> Iterator[FileEvents]:
        """Yield the next events, at most so many."""
        while most > 0 and self.more():
            assert self._left is not None
            chunk, self._left = self._left, None
            stop = min(most, chunk.n_events)
            if stop < chunk.n_events:
                self._left = slice_events(chunk, stop, chunk.n_events)
            most -= stop
            yield slice_events(chunk, 0, stop)


@dataclass(frozen=True, repr=False)
class _Part(EventReader):
    """The next events of a stream, which know of the whole input what they must."""

    _whole: EventReader = field(kw_only=True)
    _stream: _Stream = field(kw_only=True)
    _most: int = field(kw_only=True)

    def iterate(self, step_size: int = 500) -> Iterator[FileEvents]:  # noqa: ARG002
        return self._stream.take(self._most)

    @property
    def repeats(self) -> Any:
        return self._whole.repeats


def _sum(total: Summary, done: Summary) -> Summary:
    """Add what a further file has to the total."""
    total.events += done.events
    for name in ("particles", "daughters"):
        _add({0: getattr(total, name)}, {0: getattr(done, name)})
    for name in ("decays", "unknown", "substituted", "reasons", "sections"):
        _add(getattr(total, name), getattr(done, name))
    total.wall_seconds += done.wall_seconds
    if done.network_seconds is not None:
        total.network_seconds = (total.network_seconds or 0.0) + done.network_seconds
    return total


def _add(counts: dict[Any, ParticleCounts], more: dict[Any, ParticleCounts]) -> None:
    for key, found in more.items():
        counts.setdefault(key, ParticleCounts()).add(found.count, found.energy)
