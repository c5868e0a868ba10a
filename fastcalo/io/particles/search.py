# SPDX-License-Identifier: BSD-3-Clause
"""The search for particles in a file: which tree, which branches, in which units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...errors import InputError
from .checks import notes_on_sample, refuse_odd_values, with_odd_values
from .columns import sample_of
from .evidence import NoParticlesError, find_schema
from .schemas import Schema, SchemaOverrides, nearest
from .tree import OpenFile, OpenTree
from .units import with_units

# names that collision events go by, in EDM4hep, NanoAOD and xAOD
_EVENT_TREES = ("events", "Events", "CollectionTree", "EventData")
# trees without particles that a message lists
_LISTED_TREES = 3
# entries that are looked at for units, and for what the user should know
_SAMPLE = 1000


def schema_of(tree: OpenTree, overrides: SchemaOverrides) -> Schema:
    """Find the particles of one tree, and in which units they are.

    Raises
    ------
    InputError
        See `evidence.find_schema`; or a branch cannot be read.
    """
    return with_sample(find_schema(tree.names, overrides, tree.size_of), overrides, tree)


def find_particles(file: OpenFile, overrides: SchemaOverrides) -> tuple[Schema, OpenTree]:
    """The tree with the particles: one with a usual name, else the only one."""
    path, names = file.path, file.tree_names()
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
    # a choice to be made helps more than that other trees hold no particles
    listed = [str(p) for p in problems if not isinstance(p, NoParticlesError)] or [str(p) for p in problems]
    more = f"; and {len(listed) - _LISTED_TREES} more trees" if len(listed) > _LISTED_TREES else ""
    raise InputError("; ".join(listed[:_LISTED_TREES]) + more)


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


def check_unit(schema: Schema, overrides: SchemaOverrides, tree: OpenTree, first: str) -> None:
    """Make sure that a further file has the same units as the first."""
    if overrides.momentum_unit is not None:
        return
    mine = with_sample(replace(schema, momentum_known="", notes=()), overrides, tree)
    if mine.mass_unit != schema.mass_unit or mine.branches != schema.branches:
        raise InputError(
            f"{tree.where}: masses and energies are not in the units of those of {first}: convert the files separately"
        )
    if mine.momentum_known and mine.momentum_unit != schema.momentum_unit:
        raise InputError(
            f"{tree.where}: momenta are in {mine.momentum_unit}, known by {mine.momentum_known}, but those of {first} "
            f"are taken for {schema.momentum_unit}: convert them separately, or name the unit of all with "
            "--momentum-unit"
        )


def with_sample(schema: Schema, overrides: SchemaOverrides, tree: OpenTree) -> Schema:
    """The schema with its units, and what the first entries show."""
    wanted = ("pdg", *schema.momentum, "mass", "energy", "status")
    entries = range(min(tree.n_entries, _SAMPLE, tree.step([schema.branches["pdg"]])))
    columns = {role: tree.read(schema.branches[role], entries) for role in wanted if role in schema.branches}
    if len({len(column.values) for column in columns.values()}) > 1:
        # lists of different lengths: whoever reads them gets the error
        return schema
    if "vx" in schema.branches and columns["pdg"].counts is not None and not schema.event_vertex:
        schema = replace(schema, event_vertex=tree.read(schema.branches["vx"], entries).counts is None)
    beside = {"energy": schema.energy_beside, "event": schema.branches.get("event", "")}
    for role, branch in beside.items():
        if branch and len((column := tree.read(branch, entries)).values) == len(columns["pdg"].values):
            columns[role] = column
    sample = sample_of(columns, schema, len(entries))
    refuse_odd_values(schema, columns, sample, tree.where)
    schema = with_odd_values(schema, columns, tree, entries)
    schema = with_units(schema, overrides, sample, tree.title, tree.where)
    return notes_on_sample(schema, columns, len(entries), tree.n_entries)


def of_ours(schema: Schema, overrides: SchemaOverrides) -> Schema:
    """The schema of a file that fastcalo wrote, in GeV and mm."""
    known = "fastcalo's provenance"
    return replace(
        schema,
        momentum_known=schema.momentum_known if overrides.momentum_unit else known,
        length_known=schema.length_known if overrides.length_unit else known,
    )


def tree_like(file: OpenFile, schema: Schema) -> OpenTree:
    """The tree of a further file, which must have the branches of the first."""
    tree = file.tree(_there(schema.tree, file.tree_names(), f"{file.path}: has no tree"))
    for branch in (*schema.branches.values(), *schema.links.values()):
        if branch not in tree:
            _there(branch, tree.names, f"{tree.where}: has no branch")
    return tree


def _there(name: str, names: Sequence[str], problem: str) -> str:
    if name not in names:
        raise InputError(f"{problem} {name!r}; {nearest(name, names)}")
    return name
