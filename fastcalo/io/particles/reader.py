# SPDX-License-Identifier: BSD-3-Clause
"""Reader of particles from ROOT files (TTree or RNTuple) and HepMC text, in bounded memory."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from ...display import html_table
from ...errors import ConfigError, InputError
from ..event_streams.batches import FileEvents, between, group_rows, rechunk
from ..event_streams.identifiers import IdentifierRuns, Identifiers
from ..event_streams.repeats import Repeats, Source, find_repeats
from ..input_files import expand_inputs
from .checks import FinalState, checked_energies
from .columns import assemble, identifiers
from .open_trees import OpenFiles
from .schemas import EVENT_ROLES, Schema, SchemaOverrides, load_overrides
from .search import check_unit, find_particles, of_ours, tree_like, with_sample
from .tree import OpenFile, OpenTree

PathLike = str | os.PathLike[str]

# rows of one particle that may well be events of their own: a test of a few
_SEVERAL = 2
# entries by whose particles files are distinguished that have the same identity, and of which some particle is final
_FEW = 100
# events at a time where nothing is done with them
_MANY = 10_000
# entries at a time where nothing of them is read
_WITHOUT_BRANCHES = 1 << 19


@dataclass(frozen=True)
class EventFile:
    """One file of the input.

    Attributes
    ----------
    path : str
        Local path or URL.
    tree : str
    n_entries : int
    flat : bool
        Whether an entry holds one particle, instead of a list of them.
    decayed : bool
        Whether its particles are what was left at the calorimeter after decays; so the file itself states.
    identity : str
        The UUID of the file, in hexadecimal digits.
    """

    path: str
    tree: str
    n_entries: int
    flat: bool
    decayed: bool = False
    identity: str = ""


@dataclass(frozen=True)
class EventReader:
    """Particles of one or more ROOT files, to be read step by step as often as one likes.

    Attributes
    ----------
    files : tuple of EventFile
    schema : Schema
        The branches that are read.
    gather : bool
        Whether rows of one event may stand apart; see `open_events`.
    entries : range or None
        Where that is not None, only events are read that begin at these entries, counted over all files; see `part`.
    """

    files: tuple[EventFile, ...]
    schema: Schema
    gather: bool = False
    entries: range | None = None
    _open: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    @property
    def n_entries(self) -> int:
        """Entries of all files. An entry is an event, unless the files are flat and name the event of each particle."""
        return sum(file.n_entries for file in self.files)

    def part(self, entries: range) -> EventReader:
        """Return a reader of the events that begin at these entries, which knows of the others what it must.

        What events of a part draw, and by what they are distinguished, does not depend on how the input is cut.

        Parameters
        ----------
        entries : range
            Counted over all files, in steps of one.
        """
        # with what is known of identifiers already, which takes a look at all of them
        part = copy.copy(self)
        object.__setattr__(part, "entries", entries)
        return part

    def starts(self, every: int) -> list[int]:
        """Return at which entries every so many events begin: where to cut the input into parts of as many events.

        Parameters
        ----------
        every : int
            At least 1.

        Raises
        ------
        InputError
            A file cannot be read; where an entry is one particle, all of them are.
        """
        if not any(self._several(file) for file in self.files):
            return list(range(0, self.n_entries, every))
        starts, done = [], 0
        for events in self.iterate(_MANY):
            starts += events.entry[-done % every :: every].tolist()
            done += events.n_events
        return starts

    def iterate(self, step_size: int = 500) -> Iterator[FileEvents]:
        """Read everything, file by file, in order and in bounded memory.

        Parameters
        ----------
        step_size : int
            Events at a time; the last may be fewer. What is in the events does not depend on it.

        Yields
        ------
        FileEvents

        Raises
        ------
        InputError
            A file cannot be read on, or its branches don't fit each other; the message names file, tree and entries.
        """
        if step_size < 1:
            raise ConfigError(f"step_size must be at least one event, but is {step_size}")
        firsts = [sum(file.n_entries for file in self.files[:i]) for i in range(len(self.files))]
        parts = (self._chosen(file, i, before) for i, (file, before) in enumerate(zip(self.files, firsts, strict=True)))
        return rechunk(chain.from_iterable(parts), step_size)

    def chunks(self, step: int = 500) -> Iterator[FileEvents]:
        """Read everything; the old name of `iterate`."""
        warnings.warn("EventReader.chunks(step) is now iterate(step_size)", DeprecationWarning, stacklevel=2)
        return self.iterate(step)

    @property
    def decayed(self) -> bool:
        """Whether the particles have had their chance to decay before the calorimeter, as those that were refused.

        Raises
        ------
        InputError
            Some files are of one kind, some of the other.
        """
        kinds = {file.decayed: file.path for file in self.files}
        if len(kinds) > 1:
            raise InputError(
                f"{kinds[True]} holds particles that were left after decays, {kinds[False]} does not: convert them "
                "separately"
            )
        return True in kinds

    @cached_property
    def repeats(self) -> Repeats:
        """Which identifiers come more than once; for that, the identifiers of all events are read once.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        sources = [self._source(file) for file in self.files]
        return find_repeats(sources, "event" in self.schema.branches, self.gather)

    def __len__(self) -> int:
        return self.n_entries

    def __repr__(self) -> str:
        return f"<EventReader: {self.n_entries} entries in {len(self.files)} files, as {self.schema.name}>"

    def _repr_html_(self) -> str:
        return html_table("Particles", (), self.describe())

    def describe(self) -> list[tuple[str, str]]:
        """What is read, as pairs of a label and a text."""
        files = [file.path for file in self.files]
        shape = "one particle per entry" if self.files[0].flat else "one event per entry"
        listed = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        return [("input", listed), ("entries", f"{self.n_entries} ({shape})"), *self.schema.describe()]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how the files are read: warnings, one sentence or two each."""
        return self.schema.notes

    def _chosen(self, file: EventFile, number: int, before: int) -> Iterator[FileEvents]:
        """Events of a file that are to be read."""
        if self.entries is None:
            wanted = range(file.n_entries)
        else:
            wanted = range(max(0, self.entries.start - before), min(file.n_entries, self.entries.stop - before))
        if not wanted and self.entries is not None:
            return iter(())
        rows, earlier = wanted, range(0)
        if self._several(file):
            # an event may go on behind the last entry, and where rows are to be gathered, anywhere
            rows = range(0 if self.gather else max(0, wanted.start - 1), file.n_entries)
        elif self.repeats.within:
            earlier = range(wanted.start)
        events = self.repeats.marked(
            self._events(file, number, before, rows), number, before, self._identifiers(file, earlier)
        )
        return events if self.entries is None else between(events, wanted.start + before, wanted.stop + before)

    def _several(self, file: EventFile) -> bool:
        """Whether an event may have several entries."""
        return file.flat and "event" in self.schema.branches

    def _events(self, file: EventFile, number: int, before: int, rows: range) -> Iterator[FileEvents]:
        blocks = self._blocks(file, before, rows, self.repeats.known[number])
        events = group_rows(blocks) if self._several(file) and not self.gather else blocks
        return checked_energies(events, self.schema, f"{file.path}: tree {file.tree!r}")

    def _source(self, file: EventFile) -> Source:
        def identity() -> bytes:
            with self._open.open(file.path) as opened:
                return opened.identity + file.tree.encode()

        def sample() -> bytes:
            first = next(self._blocks(file, 0, range(min(file.n_entries, _FEW))), None)
            return b"" if first is None else first.pdg.tobytes() + first.momentum.tobytes()

        blocks = self._identifiers(file, range(file.n_entries))
        return Source(blocks, identity, sample, f"{file.path}: tree {file.tree!r}", self._several(file))

    def _identifiers(self, file: EventFile, rows: range) -> Iterator[Identifiers]:
        if not rows:
            return
        branches = {role: branch for role, branch in self.schema.branches.items() if role in EVENT_ROLES}
        if not branches:
            for entries in _ranges(rows, _WITHOUT_BRANCHES):
                yield identifiers({}, self.schema, entries, file.path)
            return
        with self._open.open(file.path) as opened:
            tree = opened.tree(file.tree)
            for entries in _ranges(rows, tree.step(branches.values())):
                columns = {role: tree.read(branch, entries) for role, branch in branches.items()}
                yield identifiers(columns, self.schema, entries, tree.where)

    def _blocks(
        self, file: EventFile, before: int, rows: range, known: IdentifierRuns | None = None
    ) -> Iterator[FileEvents]:
        with self._open.open(file.path) as opened:
            tree = opened.tree(file.tree)
            branches = {**self.schema.branches, **self.schema.links}
            final = FinalState(self.schema, tree.where)
            for entries in _ranges(rows, tree.step(branches.values())):
                identity = None if known is None else known.of(entries)
                wanted = {role: name for role, name in branches.items() if identity is None or role not in EVENT_ROLES}
                columns = {role: tree.read(branch, entries) for role, branch in wanted.items()}
                part = assemble(columns, self.schema, entries, before, tree.where, identity)
                final.add(part, columns.get("status"))
                yield part
        if len(rows) == file.n_entries or len(rows) > _FEW:
            final.finish()


def _ranges(rows: range, step: int) -> Iterator[range]:
    for start in range(rows.start, rows.stop, step):
        yield range(start, min(start + step, rows.stop))


def open_events(
    paths: PathLike | Sequence[PathLike],
    schema: SchemaOverrides | PathLike | None = None,
    tree: str | None = None,
    collection: str | None = None,
    gather: bool = False,
) -> EventReader:
    """Find the particles in ROOT files, or in HepMC text.

    Parameters
    ----------
    paths : path or sequence of paths
        Files of one layout, ROOT or HepMC text, local or by URL (``root://``, ``https://``); patterns such as
        ``run*.root``, and ``@list.txt`` for a list of them in a file. They are read in this order.
    schema : SchemaOverrides or path, optional
        What is known of the branches, or a TOML file of it. What is left open is found by looking.
    tree : str, optional
        Name of the TTree or RNTuple. Found by looking unless given.
    collection : str, optional
        Name of the collection of particles, such as ``GenCands``: what the names of its branches begin with. Chosen by
        evidence unless given.
    gather : bool
        Whether rows of one event may stand apart, where an entry holds one particle: as several threads fill one
        ntuple. All rows of the same identifiers in a file are one event then, so it must not be a joined one.

    Returns
    -------
    EventReader
        Its `describe` returns what was found.

    Raises
    ------
    InputError
        A file is missing, empty, no ROOT file or cut short, or has no such tree or branches.
    ConfigError
        The TOML file is wrong.

    Examples
    --------
    >>> reader = open_events("examples/demo/events.root")
    >>> reader.schema.name
    'EDM4hep'
    >>> next(reader.iterate(step_size=100)).n_events
    100
    """
    listed = expand_inputs(paths)
    if schema is None:
        overrides = SchemaOverrides()
    else:
        overrides = schema if isinstance(schema, SchemaOverrides) else load_overrides(schema)
    if tree is not None:
        overrides = overrides.updated(SchemaOverrides(tree=tree))
    if collection is not None:
        overrides = overrides.updated(SchemaOverrides(collection=collection))
    open_files = OpenFiles()
    with open_files.open(listed[0]) as file:
        found, opened = find_particles(file, overrides)
        found = of_ours(found, overrides) if file.is_ours else with_sample(found, overrides, opened)
        files = [_file(file, found, opened)]
        found = replace(found, notes=found.notes + _notes_on_layout(found, files[0]))
    for path in listed[1:]:
        with open_files.open(path) as file:
            opened = tree_like(file, found)
            files.append(_file(file, found, opened))
            if not file.is_ours:
                check_unit(found, overrides, opened, listed[0])
    return EventReader(tuple(files), found, gather, _open=open_files)


def _file(file: OpenFile, schema: Schema, tree: OpenTree) -> EventFile:
    sample = tree.read(schema.branches["pdg"], range(min(tree.n_entries, 1)))
    return EventFile(
        file.path,
        schema.tree,
        tree.n_entries,
        flat=sample.counts is None,
        decayed=file.provenance.get("decays") is True,
        identity=file.identity.hex(),
    )


def _notes_on_layout(schema: Schema, file: EventFile) -> tuple[str, ...]:
    if not file.flat or "event" in schema.branches or file.n_entries < _SEVERAL:
        return ()
    note = (
        "each entry holds one particle, and no branch was found that names its event: each particle is taken for an "
        "event of its own. If that is not so: --branch event=NAME"
    )
    return (note,)
