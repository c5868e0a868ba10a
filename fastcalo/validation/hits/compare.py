# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of two hit files: schema, contents and physics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...detector.description import DetectorLike, load_detector
from ...display import html_table
from ...io.hits.any_format.hit_files import open_hit_file
from ...io.hits.event_order import EventOrder
from ...io.hits.reader import Chunk, HitFile, hits_tree, read_chunk
from ...io.hits.schema import doubts, schema_differences, unknowns
from ..limits import LimitResult
from .contents import HitFaults, check_hits
from .limits import USUAL_LIMITS, hold_limits, load_hits_limits, numbers_of
from .paired import PairedMean, plain
from .physics import Physics, accounts

# of each file at a time; events without hits are small, but their histograms are not
_MEMORY, _EVENTS = 16e6, 2000


@dataclass(frozen=True, repr=False)
class HitsComparison:
    """What two files of hits have in common, and what not.

    Attributes
    ----------
    full, fast : str
        Their paths.
    differences : tuple of str
        What keeps a reader of one file from reading the other, one line each; none of a drop-in.
    notes : tuple of str
        What could not be compared, and why.
    physics : Physics or None
        None where they don't hold the same events.
    accounts : dict
        Particles by what became of them: see `physics.accounts`.
    verdicts : tuple of LimitResult
        What became of each limit on the physics; none where the physics could not be compared.
    """

    full: str
    fast: str
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    physics: Physics | None
    accounts: dict[str, dict[str, dict[str, float]]]
    verdicts: tuple[LimitResult, ...] = ()

    def __repr__(self) -> str:
        return f"<HitsComparison of {self.full!r} and {self.fast!r}: {self._verdict()}>"

    def _repr_html_(self) -> str:
        rows = [("difference", line) for line in self.differences] + [("note", line) for line in self.notes]
        text = html_table(f"{self.fast} for {self.full}: {self._verdict()}", (), rows)
        for name, sums in ({} if self.physics is None else self.physics.all).items():
            numbers = [(key, *_numbers(pair)) for key, pair in sums.scalars.items() if pair.n]
            text += html_table(name, ("per event", "mean FULL", "mean FAST", "FAST / FULL", "p"), numbers)
        return text

    def _verdict(self) -> str:
        text = "what reads one reads the other" if self.drop_in else f"{len(self.differences)} differences"
        missed = [v.limit.name for v in self.verdicts if not v.kept]
        return f"{text}; the physics differs: {', '.join(missed)}" if missed else text

    @property
    def drop_in(self) -> bool:
        """Whether what reads one file reads the other."""
        return not self.differences

    @property
    def kept(self) -> bool:
        """Whether the physics keeps all limits."""
        return all(verdict.kept for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "full": self.full,
            "fast": self.fast,
            "drop_in": self.drop_in,
            "kept": self.kept,
            "verdicts": [_verdict(v) for v in self.verdicts],
            "schema_differences": list(self.differences),
            "notes": list(self.notes),
            "accounts": self.accounts,
            "physics": None if self.physics is None else self.physics.to_dict(),
        }


def _verdict(verdict: LimitResult) -> dict[str, Any]:
    limit, number = verdict.limit, verdict.number
    return {
        "name": limit.name,
        "kind": limit.kind,
        "bound": limit.bound,
        "sigmas": limit.sigmas,
        "value": plain(number.value),
        "error": plain(number.error),
        "kept": verdict.kept,
    }


def _numbers(pair: PairedMean) -> tuple[str, ...]:
    ratio, error = pair.ratio
    return (f"{pair.mean[0]:.4g}", f"{pair.mean[1]:.4g}", f"{ratio:.4f} ± {error:.4f}", f"{pair.p_value:.2g}")


def compare(
    full: str | Path,
    fast: str | Path,
    detector: DetectorLike | None = None,
    *,
    limits: str | Path | None = None,
) -> HitsComparison:
    """Compare two files of hits of the same events, in bounded memory.

    Parameters
    ----------
    full, fast : str or Path
        Local paths or URLs: the reference, and what is to stand for it.
    detector : Detector, name or path, optional
        In which both were made; needed only where the files don't name a shipped one.
    limits : path, optional
        TOML file of limits on the physics, see `load_hits_limits`; `USUAL_LIMITS` unless given.

    Returns
    -------
    HitsComparison

    Raises
    ------
    InputError
        A file is missing, cut short or damaged, or holds no tree.
    ConfigError
        The limits make no sense.

    Examples
    --------
    >>> from fastcalo import compare, convert
    >>> first = convert("examples/demo/events.root", "first.root", seed=1)
    >>> second = convert("examples/demo/events.root", "second.root", seed=2)
    >>> compare("first.root", "second.root").drop_in
    True
    """
    given = None if detector is None else load_detector(detector)
    wanted = USUAL_LIMITS if limits is None else load_hits_limits(limits)
    with open_hit_file(str(full), given) as one, open_hit_file(str(fast), given) as other:
        differences = schema_differences(one, other)
        notes = [*unknowns(one, "FULL"), *unknowns(other, "FAST"), *doubts(one, other)]
        trees = [hits_tree(list(file.trees)) for file in (one, other)]
        physics = None
        if trees[0] is not None and trees[1] is not None:
            found, physics = _contents(one, other, (trees[0], trees[1]))
            differences += found
            if physics is None:
                notes.append("the events are not the same: the physics is not compared")
            elif not physics.all:
                notes.append("no section has hits in both files that are known by their names, such as ECAL_energy")
        else:
            notes.append("there is no tree 'Events', nor one tree only: hits are not compared")
        counted = accounts(one.provenance, other.provenance)
        verdicts: tuple[LimitResult, ...] = ()
        if physics is not None:
            verdicts = hold_limits(wanted, numbers_of(physics), str(limits), strict=limits is not None)
        return HitsComparison(one.path, other.path, tuple(differences), tuple(notes), physics, counted, verdicts)


def _contents(one: HitFile, other: HitFile, trees: tuple[str, str]) -> tuple[list[str], Physics | None]:
    """Go through the hits of both files: what is wrong with them, and their physics if the events are the same."""
    physics, order = Physics(), EventOrder()
    faults = HitFaults("FULL"), HitFaults("FAST")
    entries = one.entries(trees[0]), other.entries(trees[1])
    lines = [] if entries[0] == entries[1] else [f"events: {entries[0]} in FULL, but {entries[1]} in FAST"]
    for chunks in _chunks((one, other), trees, entries):
        for file, chunk, found in zip((one, other), chunks, faults, strict=True):
            if chunk is not None:
                check_hits(file, chunk, found)
        order.add(*chunks)
        if not lines and not order.lines and chunks[0] is not None and chunks[1] is not None:
            physics.add(chunks[0], chunks[1])
    lines += order.lines
    return [*lines, *faults[0].lines, *faults[1].lines], None if lines else physics


def _chunks(
    files: tuple[HitFile, HitFile], trees: tuple[str, str], entries: Sequence[int]
) -> Iterator[tuple[Chunk | None, Chunk | None]]:
    """Read the same ranges of entries of both; None where a file has ended."""
    step = min(_EVENTS, *(file.step(tree, _MEMORY) for file, tree in zip(files, trees, strict=True)))
    for start in range(0, max(entries), step):
        ranges = [range(start, min(start + step, n)) for n in entries]
        yield (
            read_chunk(files[0], trees[0], ranges[0]) if ranges[0] else None,
            read_chunk(files[1], trees[1], ranges[1]) if ranges[1] else None,
        )
