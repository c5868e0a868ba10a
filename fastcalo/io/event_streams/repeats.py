# SPDX-License-Identifier: BSD-3-Clause
"""Events whose identifiers come more than once in the input: found before they are simulated, and distinguished.

An event is known by run, luminosity block and event number, and its particles draw random numbers by them. Where files
bear the same numbers again, events would share showers. So each such event gets a further word:

- Let k be how many events of the same identifiers came before it in its file. If no other file has these identifiers,
  the word is 0 for k = 0, and M(M(0) xor k) otherwise.
- If another file has them too, it is M(M(F) xor k) for every k, with the word F of its file.

M is `event.digests.mix`; `event.digests.event_digest` states how the word enters. F is the first eight
bytes, low one first, of SHA-256 of the file's UUID and the name of the tree. Files that have both in common are known
apart by their first particles, and by their order if these are the same, too: then they are copies. So the word depends
on neither chunks nor workers nor the order of files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...event.digests import event_digest, mix
from .batches import FileEvents
from .gather import Rows, gather_rows
from .identifiers import COLUMNS, MOST_RUNS, IdentifierRuns, Identifiers
from .occurrences import Intervals, Occurrences


@dataclass(frozen=True, eq=False)
class Source:
    """One file of the input, as far as the identifiers go.

    Attributes
    ----------
    blocks : iterable of Identifiers
    identity : callable
        Returns the UUID of the file, and the name of its tree.
    sample : callable
        Returns bytes of the first particles, by which copies of one file are distinguished from others of its identity.
    where : str
        File and tree, for messages.
    flat : bool
        Whether an event is what rows of one number make: they stand together, unless they are gathered.
    """

    blocks: Iterable[Identifiers]
    identity: Callable[[], bytes]
    sample: Callable[[], bytes]
    where: str = ""
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Repeats:
    """Which identifiers of the input come more than once.

    Attributes
    ----------
    events : int
        Events of the input.
    repeated : int
        Those whose identifiers came before.
    within : int
        Those of them whose identifiers came before in the same file.
    numbered : bool
        Whether the input has event numbers. If not, the number of the entry in its file stands for it.
    types : dict of str to dtype
        Of ``run``, ``event`` and ``luminosity_block`` in all files: uint64 where one of them has it, else int64.
    known : tuple of IdentifierRuns or None
        The identifiers of each file, where they take little memory.
    rows : tuple of Rows
        Of each file, which rows belong to which event; empty unless they are to be gathered.
    """

    events: int = 0
    repeated: int = 0
    within: int = 0
    numbered: bool = True
    types: dict[str, np.dtype[Any]] = field(default_factory=dict)
    known: tuple[IdentifierRuns | None, ...] = ()
    rows: tuple[Rows, ...] = ()
    _shared: Intervals = field(default_factory=Intervals.none)
    _again: Intervals = field(default_factory=Intervals.none)
    _words: tuple[np.uint64, ...] = ()

    @property
    def gathered(self) -> int:
        """In how many more places than one rows of events stood that were gathered."""
        return sum(rows.places - rows.events for rows in self.rows)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user must know of it, one sentence or more each."""
        found = [self._warning_of_repeats(), self._warning_of_rows()]
        return tuple(text for text in found if text)

    def _warning_of_rows(self) -> str:
        if not self.gathered:
            return ""
        return (
            f"rows of events did not stand together: there were {self.gathered} more places than events. They were "
            "gathered, run, luminosity block and event number by number, as was asked for. In files that were joined "
            "(hadd), that makes one event of different ones"
        )

    def _warning_of_repeats(self) -> str:
        if not (self.repeated and self.numbered):
            return ""
        across = self.repeated - self.within
        where = " and ".join(
            f"{count} in {place}"
            for count, place in ((self.within, "the same file"), (across, "another file"))
            if count
        )
        return (
            f"{self.repeated} of {self.events} events bear a run, luminosity block and event number that came before "
            f"({where}). They have random numbers of their own all the same, by the number of the occurrence"
            f"{' and the UUID of the file' if across else ''}; fastcalo_repeat in the output distinguishes them. If "
            "the numbers were never set, set them in the generator"
        )

    def facts(self) -> dict[str, int | bool]:
        """The numbers, as JSON can hold them."""
        return {
            "repeated": self.repeated,
            "within_a_file": self.within,
            "in_several_files": self.repeated - self.within,
            "event_numbers": self.numbered,
            **({"gathered": self.gathered} if self.rows else {}),
        }

    def marked(
        self, parts: Iterable[FileEvents], file: int, before: int, earlier: Iterable[Identifiers] = ()
    ) -> Iterator[FileEvents]:
        """Events of a file, with what distinguishes them where their identifiers come more than once.

        Parameters
        ----------
        parts : iterable of FileEvents
            All events of the file, in order, or those from some event on.
        file : int
            Place of the file in the input.
        before : int
            How many entries the files before it have.
        earlier : iterable of Identifiers
            Of the events before these.
        """
        seen = Occurrences()
        for block in earlier:
            self._occurrence(*block.key, seen)
        if self.rows:
            parts = gather_rows(parts, self.rows[file])
        for part in parts:
            same_type = {
                name: column.astype(kind, copy=False)
                for name, kind in self.types.items()
                if (column := getattr(part, name)) is not None
            }
            typed = replace(part, **same_type)
            yield self._distinguished(typed, file, before, seen) if self.repeated else typed

    def _distinguished(self, part: FileEvents, file: int, before: int, seen: Occurrences) -> FileEvents:
        number = part.event if self.numbered else part.entry - before
        group, number_word = Identifiers(part.run, number, part.luminosity_block, part.repeat).key
        occurrence = self._occurrence(group, number_word, seen)
        shared = self._shared.count_of(group, number_word) > 0
        word = mix(mix(np.where(shared, self._words[file], np.uint64(0))) ^ occurrence.astype(np.uint64))
        word[(occurrence == 0) & ~shared] = 0
        if part.repeat is not None:
            word = np.where(word == 0, part.repeat, np.where(part.repeat == 0, word, mix(part.repeat ^ word)))
        return replace(part, repeat=word, stream=event_digest(part.run, number, part.luminosity_block, word))

    def _occurrence(
        self, group: NDArray[np.uint64], number: NDArray[np.uint64], seen: Occurrences
    ) -> NDArray[np.int64]:
        """How many events of the same identifiers came before in the file, int64 [n]."""
        again = self._again.count_of(group, number) > 0
        occurrence = np.zeros(len(group), np.int64)
        occurrence[again] = seen.number(group[again], number[again])
        return occurrence


def find_repeats(sources: Sequence[Source], numbered: bool, gather: bool = False) -> Repeats:
    """Look through the identifiers of all files.

    Parameters
    ----------
    sources : sequence of Source
        Their blocks are taken one after the other, and not kept: only intervals of numbers are.
    numbered : bool
        Whether the identifiers hold event numbers of the files.
    gather : bool
        Whether rows of one event may stand apart, where an entry holds one particle.

    Returns
    -------
    Repeats

    Raises
    ------
    InputError
        Rows of one event do not stand together.
    """
    everything, files, again = Intervals.none(), Intervals.none(), Intervals.none()
    types: dict[str, Any] = {}
    known: list[IdentifierRuns | None] = []
    rows: list[Rows] = []
    within, limit = 0, MOST_RUNS
    for source in sources:
        runs = IdentifierRuns(limit)
        mine, places = _scan(source, types, runs, gather)
        kept = runs.complete and not source.flat
        known.append(runs if kept else None)
        limit = runs.limit if kept else limit
        if gather and source.flat:
            rows.append(Rows(source.where, mine, places))
            mine = mine.once()
        elif source.flat and mine.total() > mine.distinct():
            _refuse_torn(source.where, mine)
        within += mine.total() - mine.distinct()
        everything, files = Intervals.sum([everything, mine]), Intervals.sum([files, mine.once()])
        again = Intervals.sum([again, mine.more_than(1)])
    events = everything.total()
    repeated = events - everything.distinct()
    shared = files.more_than(1)
    return Repeats(
        events=events,
        repeated=repeated,
        within=within,
        numbered=numbered,
        types={name: np.dtype(kind) for name, kind in types.items()},
        known=tuple(known),
        rows=tuple(rows),
        _shared=shared,
        _again=again,
        _words=_file_words(sources) if len(shared) else (np.uint64(0),) * len(sources),
    )


def _scan(source: Source, types: dict[str, Any], known: IdentifierRuns, gather: bool) -> tuple[Intervals, int]:
    """Identifiers of a file and how often each came, in how many places; their types; and all of them, for later."""
    seen, before, places = Occurrences(), None, 0
    for block in source.blocks:
        for name in COLUMNS[:3]:
            if (column := getattr(block, name)) is not None:
                types[name] = np.uint64 if np.uint64 in (column.dtype, types.get(name)) else np.int64
        counted = block
        if source.flat:
            changes = block.changes(before)
            before, places = block, places + len(changes)
            counted = block if gather else changes
        begins = counted.begins()
        if not source.flat and known.complete:
            known.add(counted, begins)
        seen.add_runs(*counted.runs(begins))
    return seen.all(), places


def _refuse_torn(where: str, mine: Intervals) -> NoReturn:
    again = mine.more_than(1)
    raise InputError(
        f"{where}: has one particle per entry, and rows of one event do not stand together: event {again.first[0]} "
        f"comes in {again.count[0]} places, as {int(again.distinct())} events do. Either events are torn apart, as by "
        "several threads that filled one tree: --gather-rows puts them together. Or different events bear the same "
        "number, as after joining files (hadd): convert the files that were joined"
    )


def _file_words(sources: Sequence[Source]) -> tuple[np.uint64, ...]:
    """The word F of each file."""
    words = [source.identity() for source in sources]
    several = Counter(words)
    words = [word + source.sample() if several[word] > 1 else word for word, source in zip(words, sources, strict=True)]
    before: Counter[bytes] = Counter()
    for i, word in enumerate(words):
        words[i] = word + before[word].to_bytes(8, "little") if before[word] else word
        before[word] += 1
    return tuple(np.uint64(int.from_bytes(hashlib.sha256(word).digest()[:8], "little")) for word in words)
