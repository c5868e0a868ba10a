# SPDX-License-Identifier: BSD-3-Clause
"""Reader of particles from ROOT files (TTree or RNTuple), in bounded memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from ...display import html_table
from ...errors import ConfigError, InputError
from ..event_streams.batches import FileEvents, group_rows, rechunk
from ..event_streams.identifiers import IdentifierRuns, Identifiers
from ..event_streams.repeats import Repeats, Source, find_repeats
from ..root_files import PROVENANCE, provenance_of, tree_names
from .checks import FinalState, checked_energies, notes_on_sample
from .columns import assemble, identifiers, sample_of
from .evidence import NoParticlesError, find_schema
from .open_trees import OpenFile, OpenFiles
from .schemas import EVENT_ROLES, Schema, SchemaOverrides, load_overrides, nearest
from .tree import OpenTree
from .units import with_units

PathLike = str | os.PathLike[str]

# names that collision events go by, in EDM4hep, NanoAOD and xAOD
_EVENT_TREES = ("events", "Events", "CollectionTree", "EventData")
# by which files that fastcalo wrote are known, as `io.hits.root_tree` names it
# trees without particles that a message tells of
_TOLD_TREES = 3
# entries that are looked at for units, and for what the user should know
_SAMPLE = 1000
# entries by whose particles files are told apart that say they are the same
_FEW = 100
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
    """

    path: str
    tree: str
    n_entries: int
    flat: bool
    decayed: bool = False


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
    """

    files: tuple[EventFile, ...]
    schema: Schema
    gather: bool = False
    _open: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    @property
    def n_entries(self) -> int:
        """Entries of all files. An entry is an event, unless the files are flat and name the event of each particle."""
        return sum(file.n_entries for file in self.files)

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
        parts = (
            self.repeats.marked(self._events(file, i, before), i, before)
            for i, (file, before) in enumerate(zip(self.files, firsts, strict=True))
        )
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

    def _events(self, file: EventFile, number: int, before: int) -> Iterator[FileEvents]:
        blocks = self._blocks(file, before, self.repeats.known[number])
        together = file.flat and "event" in self.schema.branches and not self.gather
        events = group_rows(blocks) if together else blocks
        return checked_energies(events, self.schema, f"{file.path}: tree {file.tree!r}")

    def _source(self, file: EventFile) -> Source:
        def identity() -> bytes:
            with self._open.open(file.path) as opened:
                return bytes(opened.root.file.uuid.bytes) + file.tree.encode()

        def sample() -> bytes:
            first = next(self._blocks(file, 0, most=_FEW), None)
            return b"" if first is None else first.pdg.tobytes() + first.momentum.tobytes()

        flat = file.flat and "event" in self.schema.branches
        return Source(self._identifiers(file), identity, sample, f"{file.path}: tree {file.tree!r}", flat)

    def _identifiers(self, file: EventFile) -> Iterator[Identifiers]:
        branches = {role: branch for role, branch in self.schema.branches.items() if role in EVENT_ROLES}
        if not branches:
            for entries in _ranges(file.n_entries, _WITHOUT_BRANCHES):
                yield identifiers({}, self.schema, entries, file.path)
            return
        with self._open.open(file.path) as opened:
            tree = opened.tree(file.tree)
            for entries in _ranges(file.n_entries, tree.step(branches.values())):
                columns = {role: tree.read(branch, entries) for role, branch in branches.items()}
                yield identifiers(columns, self.schema, entries, tree.where)

    def _blocks(
        self, file: EventFile, before: int, known: IdentifierRuns | None = None, most: int | None = None
    ) -> Iterator[FileEvents]:
        with self._open.open(file.path) as opened:
            tree = opened.tree(file.tree)
            branches = {**self.schema.branches, **self.schema.links}
            final = FinalState(self.schema, tree.where)
            stop = file.n_entries if most is None else min(most, file.n_entries)
            for entries in _ranges(stop, tree.step(branches.values())):
                identity = None if known is None else known.of(entries)
                wanted = {role: name for role, name in branches.items() if identity is None or role not in EVENT_ROLES}
                columns = {role: tree.read(branch, entries) for role, branch in wanted.items()}
                part = assemble(columns, self.schema, entries, before, tree.where, identity)
                final.add(part, columns.get("status"))
                yield part
        if most is None:
            final.finish()


def _ranges(stop: int, step: int) -> Iterator[range]:
    for start in range(0, stop, step):
        yield range(start, min(start + step, stop))


def open_events(
    paths: PathLike | Sequence[PathLike],
    schema: SchemaOverrides | PathLike | None = None,
    tree: str | None = None,
    collection: str | None = None,
    gather: bool = False,
) -> EventReader:
    """Find the particles in ROOT files.

    Parameters
    ----------
    paths : path or sequence of paths
        Files of one layout, local or by URL (``root://``, ``https://``). They are read in this order.
    schema : SchemaOverrides or path, optional
        What is known of the branches, or a TOML file that says it. What is left open is found by looking.
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
        Its `describe` tells what was found.

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
    listed = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not listed:
        raise InputError("no input file is given")
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
        found, opened = _find_particles(file, overrides)
        found = _of_ours(found, overrides) if PROVENANCE in file.root else _with_sample(found, overrides, opened)
        files = [_file(file, found, opened)]
    for path in listed[1:]:
        with open_files.open(path) as file:
            files.append(_file(file, found, _tree_like(file, found)))
    return EventReader(tuple(files), found, gather, open_files)


def schema_of(tree: OpenTree, overrides: SchemaOverrides) -> Schema:
    """Find the particles of one tree, and in which units they are.

    Raises
    ------
    InputError
        See `evidence.find_schema`; or a branch cannot be read.
    """
    return _with_sample(find_schema(tree.names, overrides, tree.size_of), overrides, tree)


def _find_particles(file: OpenFile, overrides: SchemaOverrides) -> tuple[Schema, OpenTree]:
    """The tree with the particles: one with a usual name, else the only one."""
    path, names = file.path, tree_names(file.root, file.path)
    if overrides.tree is not None:
        names = [_there(overrides.tree, names, f"{path}: has no tree")]
    usual = [name for name in names if name.split("/")[-1] in _EVENT_TREES]
    problems: list[InputError] = []
    for group in (usual, [name for name in names if name not in usual]):
        found = _usable(file, group, overrides, problems)
        if len(found) > 1:
            raise InputError(f"{path}: has particles in the trees {list(found)}; choose one (--tree)")
        if found:
            return next(iter(found.values()))
    # a choice to be made says more than that other trees hold no particles
    told = [str(p) for p in problems if not isinstance(p, NoParticlesError)] or [str(p) for p in problems]
    more = f"; and {len(told) - _TOLD_TREES} more trees" if len(told) > _TOLD_TREES else ""
    raise InputError("; ".join(told[:_TOLD_TREES]) + more)


def _usable(
    file: OpenFile, names: Sequence[str], overrides: SchemaOverrides, problems: list[InputError]
) -> dict[str, tuple[Schema, OpenTree]]:
    found = {}
    for name in names:
        tree = file.tree(name)
        try:
            schema = find_schema(tree.names, overrides.updated(SchemaOverrides(tree=name)), tree.size_of)
        except InputError as error:
            text = str(error) if str(error).startswith(tree.where) else f"{tree.where}: {error}"
            problems.append(type(error)(text))
        else:
            found[name] = schema, tree
    return found


def _with_sample(schema: Schema, overrides: SchemaOverrides, tree: OpenTree) -> Schema:
    """The schema with its units, and what the first entries say."""
    wanted = ("pdg", *schema.momentum, "mass", "energy", "status")
    entries = range(min(tree.n_entries, _SAMPLE, tree.step([schema.branches["pdg"]])))
    columns = {role: tree.read(schema.branches[role], entries) for role in wanted if role in schema.branches}
    if len({len(column.values) for column in columns.values()}) > 1:
        # lists of different lengths: whoever reads them is told of it
        return schema
    schema = with_units(schema, overrides, sample_of(columns, schema), tree.title)
    return notes_on_sample(schema, columns, len(entries), tree.n_entries)


def _of_ours(schema: Schema, overrides: SchemaOverrides) -> Schema:
    """The schema of a file that fastcalo wrote, in GeV and mm."""
    known = "fastcalo's provenance"
    return replace(
        schema,
        momentum_known=schema.momentum_known if overrides.momentum_unit else known,
        length_known=schema.length_known if overrides.length_unit else known,
    )


def _file(file: OpenFile, schema: Schema, tree: OpenTree) -> EventFile:
    sample = tree.read(schema.branches["pdg"], range(min(tree.n_entries, 1)))
    return EventFile(
        file.path,
        schema.tree,
        tree.n_entries,
        flat=sample.counts is None,
        decayed=provenance_of(file.root, file.path).get("decays") is True,
    )


def _tree_like(file: OpenFile, schema: Schema) -> OpenTree:
    """The tree of a further file, which must have the branches of the first."""
    tree = file.tree(_there(schema.tree, tree_names(file.root, file.path), f"{file.path}: has no tree"))
    for branch in (*schema.branches.values(), *schema.links.values()):
        if branch not in tree:
            _there(branch, tree.names, f"{tree.where}: has no branch")
    return tree


def _there(name: str, names: Sequence[str], problem: str) -> str:
    if name not in names:
        raise InputError(f"{problem} {name!r}; {nearest(name, names)}")
    return name
