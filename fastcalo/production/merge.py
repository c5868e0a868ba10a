# SPDX-License-Identifier: BSD-3-Clause
"""Merging of two hit files of the same events: of a model, and of full simulation for the refused particles."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..detector.description import Detector, DetectorLike, load_detector
from ..errors import InputError, OutputError
from ..event.contributions import Contributions
from ..event.events import Reason
from ..event.hits import SectionHits
from ..event.reasons import NEVER_REJECTED
from ..io.atomic import check_output
from ..io.hits.any_format.hit_files import open_hit_file
from ..io.hits.event_order import EventOrder
from ..io.hits.reader import PARTICLES, Chunk, HitFile, hits_tree, read_chunk
from ..io.hits.schema import schema_differences
from ..simulation.placing import Deposits, deposits_of_hits, sum_deposits, with_source
from .convert import Progress
from .merged_file import merged_file
from .summary import Summary, include_counts

_MEMORY, _EVENTS = 16e6, 2000
_KEPT_OF_BOTH = ("units", "detector", "versions")


def merge(
    hits: str | Path,
    rest: str | Path,
    output: str | Path,
    *,
    detector: DetectorLike | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Add to hits those of the particles that were refused when they were made.

    Cells that both have are one hit with the sum of their energies. The counters of particles are as if one engine had
    seen all of them.

    Parameters
    ----------
    hits : str or Path
        Hits made by `convert`, with the particles that were not simulated written to a file (`rejected`).
    rest : str or Path
        Hits made by `convert` of that file.
    output : str or Path
        The file of hits to write.
    detector : Detector, name or path, optional
        In which both were made; needed only where the files don't name a shipped one.
    overwrite : bool
        Whether a file of that name may be replaced.
    progress : callable, optional
        Called with the events done and all events after every chunk.

    Returns
    -------
    Summary
        Of all particles and hits.

    Raises
    ------
    InputError
        A file is damaged or was not made by fastcalo, they differ in schema, detector or events, or `rest` does not
        hold the particles that are missing in `hits`.
    OutputError
        The output exists already, is one of the inputs, or cannot be written.

    Examples
    --------
    >>> from fastcalo import convert, merge
    >>> fast = convert("examples/demo/events.root", "fast.root", rejected="rejected.root")
    >>> rest = convert("rejected.root", "rest.root")  # or by Geant4Simulation(), which refuses fewer
    >>> merge("fast.root", "rest.root", "all.root").events
    300
    """
    begin = time.perf_counter()
    if Path(output).resolve() in (Path(hits).resolve(), Path(rest).resolve()):
        raise OutputError(f"{output}: cannot be written, for it is an input; give another name")
    check_output(output, overwrite=overwrite)
    given = None if detector is None else load_detector(detector)
    with open_hit_file(str(hits), given) as one, open_hit_file(str(rest), given) as other:
        calorimeter = _check(one, other)
        trees = _tree(one), _tree(other)
        n, n_other = one.entries(trees[0]), other.entries(trees[1])
        if n != n_other:
            raise InputError(f"{one.path} has {n} events, but {other.path} has {n_other}: not the same events")
        sections = [s.name for s in calorimeter.sections]
        summary = _particles(one, other, sections)
        order = EventOrder()
        step = min(_EVENTS, *(f.step(t, _MEMORY) for f, t in zip((one, other), trees, strict=True)))
        target = merged_file(output, calorimeter, (one, other), trees, overwrite=overwrite)
        with target as writer:
            for start in range(0, n, step):
                entries = range(start, min(start + step, n))
                chunks = read_chunk(one, trees[0], entries), read_chunk(other, trees[1], entries)
                order.add(*chunks)
                if order.lines:
                    raise InputError(f"{one.path} (FULL) and {other.path} (FAST) hold other {order.lines[0]}")
                made = target.contributions(chunks, entries)
                merged = _sections(calorimeter, chunks, made)
                events, counts = chunks[0].events, _counts(chunks, (one.path, other.path))
                writer.write(events, counts, merged, entries)
                summary.add_hits(merged)
                if progress is not None:
                    progress(entries.stop, n)
            writer.provenance.update(_provenance(one, other), accounts=summary.accounts())
    summary.wall_seconds = time.perf_counter() - begin
    return summary


def _check(one: HitFile, other: HitFile) -> Detector:
    """The detector of both files, whose hits must be of the same kind."""
    for file in (one, other):
        if not file.provenance.get("accounts"):
            raise InputError(
                f"{file.path}: does not state how it was made; only files of 'fastcalo convert' are merged"
            )
    if differences := schema_differences(one, other):
        raise InputError(f"{one.path} (FULL) and {other.path} (FAST) cannot be merged: {'; '.join(differences)}")
    hashes = [dict(file.provenance.get("detector") or {}).get("hash") for file in (one, other)]
    if hashes[0] != hashes[1]:
        raise InputError(f"{one.path} and {other.path} were made in different detectors: {hashes[0]} and {hashes[1]}")
    if one.detector is None:
        raise InputError(f"{one.path}: the detector it was made in is not at hand; name it (--detector)")
    return one.detector


def _tree(file: HitFile) -> str:
    name = hits_tree(list(file.trees))
    if name is None:
        raise InputError(f"{file.path}: has no tree 'Events'; it has {sorted(file.trees)}")
    return name


def _sections(
    detector: Detector, chunks: tuple[Chunk, Chunk], made: Mapping[str, Sequence[Contributions]]
) -> dict[str, SectionHits]:
    sums = {}
    for s in detector.sections:
        parts = [_deposits(detector, s.name, chunk) for chunk in chunks]
        single = [with_source(part, found) for part, found in zip(parts, made.get(s.name, ()), strict=False)]
        sums[s.name] = sum_deposits(
            detector, s.name, parts, len(chunks[0].entries), contributions=single if s.name in made else None
        )
    return sums


def _deposits(detector: Detector, section: str, chunk: Chunk) -> Deposits:
    found = chunk.sections[section]
    return deposits_of_hits(detector, section, found.event, found.columns["cell_id"], found.columns["energy"])


def _counts(chunks: tuple[Chunk, Chunk], paths: tuple[str, str]) -> NDArray[np.int64]:
    """Particles of each event by reason: of those that the first file refused, what the second states."""
    first, second = (np.stack([_counted(chunk, r) for r in Reason], axis=1).astype(np.int64) for chunk in chunks)
    refused = first.sum(1) - first[:, NEVER_REJECTED].sum(1)
    if (wrong := refused != second.sum(1)).any():
        k = int(wrong.argmax())
        raise InputError(
            f"{paths[1]}: entry {chunks[1].entries[k]} has {second[k].sum()} particles, but {refused[k]} were refused "
            f"in {paths[0]}: it must be made of the file that was written with --rejected"
        )
    merged = second.copy()
    merged[:, NEVER_REJECTED] += first[:, NEVER_REJECTED]
    return merged


def _counted(chunk: Chunk, reason: Reason) -> NDArray[Any]:
    """Particles of each event; none for a reason that the version that wrote the file did not know."""
    name = f"{PARTICLES}{reason.name.lower()}"
    return chunk.events[name] if name in chunk.events else np.zeros(len(chunk.entries), np.int64)


def _particles(one: HitFile, other: HitFile, sections: list[str]) -> Summary:
    """Summary of one simulation of all particles; its hits are yet to be counted."""
    first, second = (Summary.of_accounts(file.provenance["accounts"]) for file in (one, other))
    summary = Summary.of(sections)
    for name in ("events", "particles", "daughters", "decays", "repeats"):
        setattr(summary, name, getattr(first, name))
    summary.unknown = second.unknown
    for found in (first, second):
        kept = {reason: n for reason, n in found.reasons.items() if found is second or reason in NEVER_REJECTED}
        include_counts(summary.reasons, kept)
        summary.substitutes |= found.substitutes
        include_counts(summary.substituted, found.substituted)
    return summary


def _provenance(one: HitFile, other: HitFile) -> dict[str, Any]:
    kept = {key: one.provenance[key] for key in _KEPT_OF_BOTH if key in one.provenance}
    return {
        "fastcalo": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **kept,
        "inputs": one.provenance.get("inputs"),
        "engine": "merged",
        "merged": [{"path": file.path, **file.provenance} for file in (one, other)],
    }
