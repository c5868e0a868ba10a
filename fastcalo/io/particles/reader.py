"""Reader of particles from ROOT files (TTree or RNTuple), in bounded memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from ...display import html_table
from ...errors import ConfigError, InputError
from ..root_files import branch_names, open_root, reading_errors, tree_names
from .batches import FileEvents, group_rows, rechunk
from .columns import Column, assemble, identifiers, to_column
from .repeats import Identifiers, Repeats, Source, find_repeats
from .schemas import EVENT_ROLES, Schema, SchemaOverrides, find_schema, load_overrides, nearest

PathLike = str | os.PathLike[str]

# names that collision events go by, in EDM4hep and NanoAOD
_EVENT_TREES = ("events", "Events")
# columns that are read at a time, in memory
_BLOCK = "4 MB"
_WITHOUT_BRANCHES = 1 << 19
# entries by whose particles files are told apart that say they are the same
_SAMPLE = 100


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
    """

    path: str
    tree: str
    n_entries: int
    flat: bool


@dataclass(frozen=True)
class EventReader:
    """Particles of one or more ROOT files, to be read step by step as often as one likes.

    Attributes
    ----------
    files : tuple of EventFile
    schema : Schema
        The branches that are read.
    """

    files: tuple[EventFile, ...]
    schema: Schema

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
            self.repeats.marked(self._events(file, before), i, before)
            for i, (file, before) in enumerate(zip(self.files, firsts, strict=True))
        )
        return rechunk(chain.from_iterable(parts), step_size)

    def chunks(self, step: int = 500) -> Iterator[FileEvents]:
        """Read everything; the old name of `iterate`."""
        warnings.warn("EventReader.chunks(step) is now iterate(step_size)", DeprecationWarning, stacklevel=2)
        return self.iterate(step)

    @cached_property
    def repeats(self) -> Repeats:
        """Which identifiers come more than once; for that, the identifiers of all events are read once.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        return find_repeats([self._source(file) for file in self.files], "event" in self.schema.branches)

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

    def _events(self, file: EventFile, before: int) -> Iterator[FileEvents]:
        blocks = self._blocks(file, before)
        return group_rows(blocks) if file.flat and "event" in self.schema.branches else blocks

    def _source(self, file: EventFile) -> Source:
        def identity() -> bytes:
            with open_root(file.path) as root, reading_errors(file.path):
                return bytes(root.file.uuid.bytes) + file.tree.encode()

        def sample() -> bytes:
            first = next(self._blocks(file, 0, most=_SAMPLE), None)
            return b"" if first is None else first.pdg.tobytes() + first.momentum.tobytes()

        return Source(self._identifiers(file), identity, sample)

    def _identifiers(self, file: EventFile) -> Iterator[Identifiers]:
        where = f"{file.path}: tree {file.tree!r}"
        branches = {role: branch for role, branch in self.schema.branches.items() if role in EVENT_ROLES}
        before = None
        with open_root(file.path) as root:
            with reading_errors(where):
                tree = root[file.tree]
                step = _step(tree, list(branches.values()))
            for start in range(0, file.n_entries, step):
                entries = range(start, min(start + step, file.n_entries))
                columns = {role: _read(tree, branch, entries, where) for role, branch in branches.items()}
                block = identifiers(columns, self.schema, entries, where)
                # rows of one event follow on each other
                yield block.changes(before) if file.flat and "event" in branches else block
                before = block

    def _blocks(self, file: EventFile, before: int, most: int | None = None) -> Iterator[FileEvents]:
        where, branches = f"{file.path}: tree {file.tree!r}", self.schema.branches
        with open_root(file.path) as root:
            with reading_errors(where):
                tree = root[file.tree]
                step = _step(tree, list(branches.values()))
            stop = file.n_entries if most is None else min(most, file.n_entries)
            for start in range(0, stop, step):
                entries = range(start, min(start + step, stop))
                columns = {role: _read(tree, branch, entries, where) for role, branch in branches.items()}
                yield assemble(columns, self.schema, entries, before, where)


def open_events(
    paths: PathLike | Sequence[PathLike],
    schema: SchemaOverrides | PathLike | None = None,
    tree: str | None = None,
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
    with open_root(listed[0]) as root:
        found = _find_particles(root, listed[0], overrides)
    return EventReader(tuple(_look_into(path, found) for path in listed), found)


def _find_particles(root: Any, path: str, overrides: SchemaOverrides) -> Schema:
    names = tree_names(root, path)
    if overrides.tree is not None:
        names = [_there(overrides.tree, names, f"{path}: has no tree")]
    usable: dict[str, Schema] = {}
    problems = []
    for name in names:
        with reading_errors(f"{path}: tree {name!r}"):
            branches = branch_names(root[name])
        try:
            usable[name] = find_schema(branches, overrides.updated(SchemaOverrides(tree=name)))
        except InputError as error:
            problems.append(f"{path}: tree {name!r}: {error}")
    if not usable:
        raise InputError("; ".join(problems))
    usual = [name for name in usable if name.split("/")[-1] in _EVENT_TREES]
    candidates = usual or list(usable)
    if len(candidates) > 1:
        raise InputError(f"{path}: has particles in the trees {candidates}; choose one (--tree)")
    return usable[candidates[0]]


def _look_into(path: str, schema: Schema) -> EventFile:
    with open_root(path) as root:
        name = _there(schema.tree, tree_names(root, path), f"{path}: has no tree")
        where = f"{path}: tree {name!r}"
        with reading_errors(where):
            tree = root[name]
            n_entries, branches = int(tree.num_entries), branch_names(tree)
        for branch in schema.branches.values():
            _there(branch, branches, f"{where}: has no branch")
        sample = _read(tree, schema.branches["pdg"], range(min(n_entries, 1)), where)
    return EventFile(path, name, n_entries, flat=sample.counts is None)


def _there(name: str, names: Sequence[str], problem: str) -> str:
    if name not in names:
        raise InputError(f"{problem} {name!r}; {nearest(name, names)}")
    return name


def _step(tree: Any, branches: Sequence[str]) -> int:
    """Entries to read at a time."""
    return max(1, tree.num_entries_for(_BLOCK, filter_name=branches)) if branches else _WITHOUT_BRANCHES


def _read(tree: Any, branch: str, entries: range, where: str) -> Column:
    there = f"{where}, entries {entries.start} to {entries.stop}, branch {branch!r}"
    with reading_errors(there):
        array = tree[branch].array(entry_start=entries.start, entry_stop=entries.stop, library="ak")
        return to_column(array, there)
