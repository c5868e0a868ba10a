# SPDX-License-Identifier: BSD-3-Clause
"""What the branches of a file of particles mean: what is known of them, and what the user states.

`candidates` finds the collections of particles in a file, and `evidence` chooses the one that holds the truth.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import ConfigError

CARTESIAN = ("px", "py", "pz")
POLAR = ("pt", "eta", "phi")
VERTEX = ("vx", "vy", "vz")
EVENT_ROLES = ("run", "event", "luminosity_block", "repeat")
ROLES = ("pdg", *CARTESIAN, *POLAR, "mass", "energy", *VERTEX, "status", *EVENT_ROLES)
"""What a branch may stand for. `EVENT_ROLES` belong to the event, all others to the particle."""

MOMENTUM_UNITS = {"keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3}
LENGTH_UNITS = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}

NONE = "none"
"""Named in a branch's place, it means that the role is to be left out."""


@dataclass(frozen=True)
class SchemaOverrides:
    """What the user states about a file's branches; what is left open is looked for.

    Attributes
    ----------
    branches : mapping of str to str
        Branch by role; the roles are those of `ROLES`. A role that is named `NONE` is left out.
    tree : str, optional
        Name of the TTree or RNTuple.
    momentum_unit, length_unit : str, optional
        Of momenta, masses and energies: a key of `MOMENTUM_UNITS`; of vertices: a key of `LENGTH_UNITS`.
    final_status : tuple of int, optional
        Values of the status branch that mean a final-state particle.
    collection : str, optional
        Name of the collection that holds the particles: what their branches' names begin with.

    Raises
    ------
    ConfigError
        A role or unit is not known, or two ways to write the same are mixed.
    """

    branches: Mapping[str, str] = field(default_factory=dict)
    tree: str | None = None
    momentum_unit: str | None = None
    length_unit: str | None = None
    final_status: tuple[int, ...] | None = None
    collection: str | None = None

    def __post_init__(self) -> None:
        for role in self.branches:
            if role not in ROLES:
                raise ConfigError(f"{role!r} is nothing that a branch can stand for; {nearest(role, ROLES)}")
        if self.branches.get("pdg") == NONE:
            raise ConfigError("pdg cannot be left out: without a code there is no particle")
        for unit, known in ((self.momentum_unit, MOMENTUM_UNITS), (self.length_unit, LENGTH_UNITS)):
            if unit is not None and unit not in known:
                raise ConfigError(f"unit {unit!r} is not known; use one of {list(known)}")
        for one, other in ((CARTESIAN, POLAR), (("mass",), ("energy",))):
            if self._names_any(one) and self._names_any(other):
                raise ConfigError(f"branches are named for both {' '.join(one)} and {' '.join(other)}; name one kind")
        if self.final_status is not None and not self.final_status:
            raise ConfigError("final_status names no value; leave it out, or name at least one")

    def _names_any(self, roles: Sequence[str]) -> bool:
        return any(self.branches.get(role, NONE) != NONE for role in roles)

    @property
    def named(self) -> dict[str, str]:
        """The branches that are named, by role."""
        return {role: branch for role, branch in self.branches.items() if branch != NONE}

    @property
    def left_out(self) -> set[str]:
        """The roles that are to be left out."""
        return {role for role, branch in self.branches.items() if branch == NONE}

    def updated(self, other: SchemaOverrides) -> SchemaOverrides:
        """Return these overrides with those of `other` in their place."""
        named = {key: value for key, value in vars(other).items() if value is not None and key != "branches"}
        return replace(self, branches={**self.branches, **other.branches}, **named)


@dataclass(frozen=True)
class Schema:
    """Where the particles of a file are.

    Attributes
    ----------
    name : str
        The convention, such as ``EDM4hep``, ``NanoAOD`` or ``plain``; ``named by the user`` where there is none.
    branches : mapping of str to str
        Branch by role.
    tree : str
    collection : str
        What the names of the particles' branches begin with; empty where they have nothing in common.
    momentum_unit, length_unit : str
    momentum_known, length_known : str
        By what the unit is known, such as ``the masses``; empty where it is assumed.
    final_status : tuple of int
        Values of the status branch that mean a final-state particle.
    event_vertex : bool
        Whether the branches of the vertex hold one for the whole event, not one for each particle.
    links : mapping of str to str
        Further branches, of conventions that keep vertices or units beside the particles, by what they are.
    mass_unit : str
        Unit of the branch that masses come from, of masses or energies; empty where it is that of momenta.
    energy_beside : str
        A branch of energies beside that of masses: it shows in which units the file is.
    notes : tuple of str
        What the user should know of the choice: warnings, for the summary and the provenance.
    """

    name: str
    branches: Mapping[str, str]
    tree: str = ""
    collection: str = ""
    momentum_unit: str = "GeV"
    length_unit: str = "mm"
    momentum_known: str = ""
    length_known: str = ""
    final_status: tuple[int, ...] = (1,)
    event_vertex: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    mass_unit: str = ""
    energy_beside: str = ""
    notes: tuple[str, ...] = ()

    @property
    def momentum(self) -> tuple[str, ...]:
        """The roles that give the momentum: `CARTESIAN` or `POLAR`."""
        return CARTESIAN if "px" in self.branches else POLAR

    @property
    def vertex(self) -> str:
        """Where the particles start, in words."""
        if "vertex_x" in self.links:
            x, y, z = (self.links[f"vertex_{axis}"] for axis in "xyz")
            return f"each particle's own: {x}, {y}, {z} of the vertex it comes from [{self._length}]"
        found = [self.branches[role] for role in VERTEX if role in self.branches]
        if not found:
            return "the origin, for the file has none"
        owner = "the event's, for the file has none of the particles" if self.event_vertex else "each particle's own"
        return f"{owner}: {', '.join(found)} [{self._length}]"

    @property
    def _length(self) -> str:
        return f"{self.length_unit}, {_known_by(self.length_known)}"

    def describe(self) -> list[tuple[str, str]]:
        """What was found, and what is taken where nothing was, as pairs of a label and a text."""
        momentum = ", ".join(self.branches[role] for role in self.momentum)
        mass, energy = self.branches.get("mass"), self.branches.get("energy")
        where_zero, mass_unit = "the PDG's where that is zero", self.mass_unit or self.momentum_unit
        rows = [
            ("schema", self.name),
            ("tree", self.tree),
            ("collection", self.collection or "none: the names have nothing in common"),
            ("pdg", self.branches["pdg"]),
            ("momentum", f"{momentum} [{self.momentum_unit}, {_known_by(self.momentum_known)}]"),
            ("mass", f"{mass} [{mass_unit}], {where_zero}" if mass else "the PDG's"),
        ]
        if energy:
            rows.append(("energy", f"{energy} [{mass_unit}], for the mass of what the PDG does not list"))
        rows.append(("vertex", self.vertex))
        if status := self.branches.get("status"):
            rows.append(("final state", f"{status} = {' or '.join(map(str, self.final_status))}"))
        else:
            rows.append(("final state", "every particle"))
        identifiers = [self.branches[role] for role in EVENT_ROLES if role in self.branches]
        rows.append(("event", ", ".join(identifiers) if "event" in self.branches else "the number of the entry"))
        return rows


def _known_by(source: str) -> str:
    return f"by {source}" if source else "assumed"


def load_overrides(path: str | os.PathLike[str]) -> SchemaOverrides:
    """Read overrides from the table ``[schema]`` of a TOML file.

    Parameters
    ----------
    path : str or Path
        A file such as::

            [schema]
            tree = "particles"
            pdg = "mc_id"
            px = "mc_px"
            py = "mc_py"
            pz = "mc_pz"
            units = { momentum = "MeV", length = "mm" }
            final_status = [1]

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value is wrong; the message names it.
    """
    from ...config.toml import read_toml
    from ...config.validation import validate
    from .schema_file import SchemaFile

    table = validate(SchemaFile, read_toml(path), str(path)).table
    try:
        return SchemaOverrides(
            branches={role: branch for role in ROLES if (branch := getattr(table, role)) is not None},
            tree=table.tree,
            collection=table.collection,
            momentum_unit=table.units.momentum,
            length_unit=table.units.length,
            final_status=table.final_status,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: schema: {error}") from None


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a hint at the names of `known` that come nearest to `name`."""
    lower = {other.lower(): other for other in known}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.0)]
    return f"the nearest are {near}" if len(near) > 1 else f"there is only {near}" if near else "there are none"
