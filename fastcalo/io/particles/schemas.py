"""Schemas: which branches of a file hold which particle property, found by name or given by the user.

Three conventions are known. EDM4hep: a collection with ``PDG``, ``momentum.x``, ``generatorStatus``, … (GeV, mm).
NanoAOD and NanoGEN: ``GenPart_pdgId``, ``GenPart_pt``, … (GeV), with the vertex of the event in ``GenVtx_x``, … (cm).
Plain: ``pdg``, ``px``, ``py``, ``pz``, … or ``pt``, ``eta``, ``phi``, … in many spellings, under any prefix (GeV, mm).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ...errors import ConfigError, InputError

CARTESIAN = ("px", "py", "pz")
POLAR = ("pt", "eta", "phi")
VERTEX = ("vx", "vy", "vz")
EVENT_ROLES = ("run", "event", "luminosity_block", "repeat")
ROLES = ("pdg", *CARTESIAN, *POLAR, "mass", "energy", *VERTEX, "status", *EVENT_ROLES)
"""What a branch may stand for. `EVENT_ROLES` belong to the event, all others to the particle."""

MOMENTUM_UNITS = {"keV": 1e-6, "MeV": 1e-3, "GeV": 1.0, "TeV": 1e3}
LENGTH_UNITS = {"um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}

_T = TypeVar("_T", dict[str, Any], list[Any], str)

_EDM4HEP = {
    "pdg": "PDG",
    "px": "momentum.x",
    "py": "momentum.y",
    "pz": "momentum.z",
    "mass": "mass",
    "vx": "vertex.x",
    "vy": "vertex.y",
    "vz": "vertex.z",
    "status": "generatorStatus",
}
_EDM4HEP_EVENT = {"run": "EventHeader.runNumber", "event": "EventHeader.eventNumber"}
_NANOAOD = {
    "pdg": "GenPart_pdgId",
    "pt": "GenPart_pt",
    "eta": "GenPart_eta",
    "phi": "GenPart_phi",
    "mass": "GenPart_mass",
    "vx": "GenVtx_x",
    "vy": "GenVtx_y",
    "vz": "GenVtx_z",
    "status": "GenPart_status",
    "run": "run",
    "event": "event",
    "luminosity_block": "luminosityBlock",
}
# in lower case, without underscores and dots
_PLAIN = {
    "pdg": ("pdg", "pdgid", "pdgcode", "pid", "id"),
    "px": ("px", "momentumx"),
    "py": ("py", "momentumy"),
    "pz": ("pz", "momentumz"),
    "pt": ("pt",),
    "eta": ("eta",),
    "phi": ("phi",),
    "mass": ("mass", "m"),
    "energy": ("energy", "e"),
    "vx": ("vx", "vtxx", "vertexx", "prodx"),
    "vy": ("vy", "vtxy", "vertexy", "prody"),
    "vz": ("vz", "vtxz", "vertexz", "prodz"),
    "status": ("status", "generatorstatus", "genstatus"),
}
_PLAIN_EVENT = {
    "run": ("run", "runnumber"),
    "event": ("event", "eventnumber", "eventid", "evt"),
    "luminosity_block": ("luminosityblock", "lumiblock", "lumi"),
    "repeat": ("fastcalorepeat",),
}


@dataclass(frozen=True)
class SchemaOverrides:
    """What the user says about a file's branches; what is left open is looked for.

    Attributes
    ----------
    branches : mapping of str to str
        Branch by role; the roles are those of `ROLES`.
    tree : str, optional
        Name of the TTree or RNTuple.
    momentum_unit, length_unit : str, optional
        Of momenta, masses and energies: a key of `MOMENTUM_UNITS`; of vertices: a key of `LENGTH_UNITS`.
    final_status : tuple of int, optional
        Values of the status branch that mean a final-state particle.

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

    def __post_init__(self) -> None:
        for role in self.branches:
            if role not in ROLES:
                raise ConfigError(f"{role!r} is nothing that a branch can stand for; {nearest(role, ROLES)}")
        for unit, known in ((self.momentum_unit, MOMENTUM_UNITS), (self.length_unit, LENGTH_UNITS)):
            if unit is not None and unit not in known:
                raise ConfigError(f"unit {unit!r} is not known; use one of {list(known)}")
        for one, other in ((CARTESIAN, POLAR), (("mass",), ("energy",))):
            if self._names_any(one) and self._names_any(other):
                raise ConfigError(f"branches are named for both {' '.join(one)} and {' '.join(other)}; name one kind")
        if self.final_status is not None and not self.final_status:
            raise ConfigError("final_status names no value; leave it out, or name at least one")

    def _names_any(self, roles: Sequence[str]) -> bool:
        return any(role in self.branches for role in roles)

    def updated(self, other: SchemaOverrides) -> SchemaOverrides:
        """Return these overrides with what `other` says in their place."""
        named = {key: value for key, value in vars(other).items() if value is not None and key != "branches"}
        return replace(self, branches={**self.branches, **other.branches}, **named)


@dataclass(frozen=True)
class Schema:
    """Where the particles of a file are.

    Attributes
    ----------
    name : str
        The convention: ``EDM4hep``, ``NanoAOD``, ``plain`` or ``named by the user``.
    branches : mapping of str to str
        Branch by role.
    tree : str
    momentum_unit, length_unit : str
    final_status : tuple of int
        Values of the status branch that mean a final-state particle.
    """

    name: str
    branches: Mapping[str, str]
    tree: str = ""
    momentum_unit: str = "GeV"
    length_unit: str = "mm"
    final_status: tuple[int, ...] = (1,)

    @property
    def momentum(self) -> tuple[str, ...]:
        """The roles that give the momentum: `CARTESIAN` or `POLAR`."""
        return CARTESIAN if "px" in self.branches else POLAR

    def describe(self) -> list[tuple[str, str]]:
        """What was found, and what is taken where nothing was, as pairs of a label and a text."""
        momentum = ", ".join(self.branches[role] for role in self.momentum)
        mass, energy = self.branches.get("mass"), self.branches.get("energy")
        where_zero = "the PDG's where that is zero"
        rows = [
            ("schema", self.name),
            ("tree", self.tree),
            ("pdg", self.branches["pdg"]),
            ("momentum", f"{momentum} [{self.momentum_unit}]"),
            ("mass", f"{mass} [{self.momentum_unit}], {where_zero}" if mass else "the PDG's"),
        ]
        if energy:
            rows.append(("energy", f"{energy} [{self.momentum_unit}], for the mass of what the PDG does not list"))
        vertex = ", ".join(self.branches[role] for role in VERTEX if role in self.branches)
        rows.append(("vertex", f"{vertex} [{self.length_unit}]" if vertex else "the origin"))
        if status := self.branches.get("status"):
            rows.append(("final state", f"{status} = {' or '.join(map(str, self.final_status))}"))
        else:
            rows.append(("final state", "every particle"))
        identifiers = [self.branches[role] for role in EVENT_ROLES if role in self.branches]
        rows.append(("event", ", ".join(identifiers) if "event" in self.branches else "the number of the entry"))
        return rows


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
    try:
        return _parse_overrides(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error


def _parse_overrides(root: Mapping[str, Any]) -> SchemaOverrides:
    _known(root, "", ("schema",))
    table = _value(root, "", "schema", dict)
    if table is None:
        raise ConfigError("the table [schema] is missing")
    _known(table, "schema.", ("tree", "units", "final_status", *ROLES))
    units = _value(table, "schema.", "units", dict) or {}
    _known(units, "schema.units.", ("momentum", "length"))
    status = _value(table, "schema.", "final_status", list)
    if status is not None and not all(type(value) is int for value in status):
        raise ConfigError(f"schema.final_status: must be a list of whole numbers, but is {status!r}")
    named = {role: _value(table, "schema.", role, str) for role in ROLES}
    return SchemaOverrides(
        branches={role: branch for role, branch in named.items() if branch is not None},
        tree=_value(table, "schema.", "tree", str),
        momentum_unit=_value(units, "schema.units.", "momentum", str),
        length_unit=_value(units, "schema.units.", "length", str),
        final_status=None if status is None else tuple(status),
    )


def _known(table: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}{key}: unknown key; {nearest(key, known)}")


def _value(table: Mapping[str, Any], where: str, key: str, kind: type[_T]) -> _T | None:
    value = table.get(key)
    if value is not None and not isinstance(value, kind):
        words = {dict: "a table", list: "a list", str: "a text"}
        raise ConfigError(f"{where}{key}: must be {words[kind]}, but is {value!r}")
    return value


def find_schema(branches: Sequence[str], overrides: SchemaOverrides | None = None) -> Schema:
    """Find out which branches hold the particles.

    Parameters
    ----------
    branches : sequence of str
        Names of all branches of a tree.
    overrides : SchemaOverrides, optional
        What the user says of them.

    Raises
    ------
    InputError
        There is nothing that looks like particles, or a branch that the user named is not there.
    """
    overrides = overrides or SchemaOverrides()
    for role, branch in overrides.branches.items():
        if branch not in branches:
            raise InputError(f"has no branch {branch!r} (named for {role}); {nearest(branch, branches)}")
    for candidate in _candidates(branches, overrides.branches.get("pdg")):
        schema = _overridden(candidate, overrides)
        if "pdg" in schema.branches and all(role in schema.branches for role in schema.momentum):
            return schema
    listed = ", ".join(branches[:20]) + (", …" if len(branches) > 20 else "")
    raise InputError(
        "no particles found: a code (pdg) and a momentum (px, py, pz or pt, eta, phi) are needed; name their branches, "
        f"for example --branch pdg=mc_pdg. The branches are: {listed or 'none'}"
    )


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a hint at the names of `known` that come nearest to `name`."""
    lower = {other.lower(): other for other in known}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.0)]
    return f"the nearest are {near}" if len(near) > 1 else f"there is only {near}" if near else "there are none"


def _overridden(found: Schema, overrides: SchemaOverrides) -> Schema:
    branches = dict(found.branches)
    # a way of writing that the user chose drives the other one out
    for one, other in ((CARTESIAN, POLAR), (POLAR, CARTESIAN), (("mass",), ("energy",)), (("energy",), ("mass",))):
        if any(role in overrides.branches for role in one):
            branches = {role: branch for role, branch in branches.items() if role not in other}
    return replace(
        found,
        branches=branches | dict(overrides.branches),
        tree=overrides.tree or found.tree,
        momentum_unit=overrides.momentum_unit or found.momentum_unit,
        length_unit=overrides.length_unit or found.length_unit,
        final_status=overrides.final_status or found.final_status,
    )


def _candidates(branches: Sequence[str], pdg: str | None) -> Iterator[Schema]:
    """Yield what the branches might mean, likeliest first; `pdg` is the branch that the user named for it."""
    there = set(branches)
    heads = [branch.removesuffix("PDG") for branch in branches if branch.endswith(".PDG")]
    for head in sorted(heads, key=lambda head: (f"{head}PDG" != pdg, head != "MCParticles.")):
        found = {role: head + tail for role, tail in _EDM4HEP.items()} | _EDM4HEP_EVENT
        yield Schema("EDM4hep", _present(found, there))
    if "GenPart_pdgId" in there:
        yield Schema("NanoAOD", _present(_NANOAOD, there), length_unit="cm")
    yield from _plain_candidates(branches, pdg)
    yield Schema("named by the user", {})


def _present(wanted: Mapping[str, str], there: set[str]) -> dict[str, str]:
    return {role: branch for role, branch in wanted.items() if branch in there}


def _plain_candidates(branches: Sequence[str], pdg: str | None) -> Iterator[Schema]:
    # uproot and ROOT count the rows of a jagged branch x in a branch nx
    counters = {f"n{branch}" for branch in branches}
    plain: dict[str, str] = {}
    for branch in branches:
        if branch not in counters:
            plain.setdefault(_plainly(branch), branch)
    event = _spelled(plain, _PLAIN_EVENT, "")
    for prefix in _prefixes(plain, pdg):
        found = _spelled(plain, _PLAIN, prefix)
        if all(role in found for role in CARTESIAN):
            found = {role: branch for role, branch in found.items() if role not in POLAR}
        if "mass" in found:
            found.pop("energy", None)
        yield Schema("plain", _spelled(plain, _PLAIN_EVENT, prefix) | event | found)


def _prefixes(plain: Mapping[str, str], pdg: str | None) -> list[str]:
    """Return what may stand before ``pdg``, ``px``, … in the names: that of the user's branch first, none next."""
    tails = _PLAIN["pdg"] + _PLAIN["px"] + _PLAIN["pt"]
    found = dict.fromkeys(name.removesuffix(tail) for name in plain for tail in tails if name.endswith(tail))
    named = _plainly(pdg or "")
    return sorted(found, key=lambda prefix: (not (prefix and named.startswith(prefix)), prefix != ""))


def _spelled(plain: Mapping[str, str], spellings: Mapping[str, Sequence[str]], prefix: str) -> dict[str, str]:
    names = {role: [prefix + tail for tail in tails if prefix + tail in plain] for role, tails in spellings.items()}
    return {role: plain[found[0]] for role, found in names.items() if found}


def _plainly(name: str) -> str:
    return name.lower().replace("_", "").replace(".", "")
