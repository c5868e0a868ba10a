# SPDX-License-Identifier: BSD-3-Clause
"""The collections of particles in a file: what the names of its branches may mean, all possibilities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .layouts import EVENT_PREFIXES, LAYOUTS, PLAIN, PLAIN_EVENT, UNIT_SUFFIXES, Layout
from .schemas import CARTESIAN, LENGTH_UNITS, POLAR, VERTEX, Schema


@dataclass(frozen=True)
class Candidate:
    """A collection that has codes and momenta.

    Attributes
    ----------
    schema : Schema
        What its branches mean.
    head : str
        What all names of the collection begin with.
    tails : tuple of str
        How they go on, of all branches, also those that mean nothing to us.
    """

    schema: Schema
    head: str
    tails: tuple[str, ...]


def plainly(name: str) -> str:
    """Return a name in lower case, without what separates its parts."""
    return name.lower().translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", "_.:")


def find_candidates(branches: Sequence[str]) -> list[Candidate]:
    """Find all collections that have a code and a momentum.

    Parameters
    ----------
    branches : sequence of str
        Names of all branches of a tree.

    Returns
    -------
    list of Candidate
        Those of known conventions first; each code stands in one only.
    """
    # RNTuples of ATLAS have colons where trees have dots
    dotted = {branch.replace(":", "."): branch for branch in branches}
    found: dict[str, Candidate] = {}
    for layout in LAYOUTS:
        for candidate in _of_layout(dotted, layout):
            found.setdefault(candidate.schema.branches["pdg"], candidate)
    for candidate in _plain(branches):
        found.setdefault(candidate.schema.branches["pdg"], candidate)
    return list(found.values())


def of_code(branches: Sequence[str], code: str) -> Candidate:
    """Return the collection of a code that the user named, and that is spelled like none.

    The rest is looked for among the names that begin as it does, down to those that begin with nothing in common.
    """
    named, plain = plainly(code), _spellings(branches)
    prefixes = sorted((p for p in _prefixes(plain) if named.startswith(p)), key=len, reverse=True)
    for prefix in prefixes:
        roles = _roles(plain, prefix)
        if any(all(role in roles for role in kind) for kind in (CARTESIAN, POLAR)):
            schema = Schema("plain", {**_plain_event(plain, prefix), **roles, "pdg": code}, collection=prefix)
            return Candidate(schema, prefix, ())
    return Candidate(Schema("named by the user", {**_plain_event(plain, ""), "pdg": code}), "", ())


def _of_layout(dotted: Mapping[str, str], layout: Layout) -> Iterator[Candidate]:
    code = re.compile(f"({layout.head}){re.escape(layout.particle['pdg'])}")
    counters = {f"n{name}" for name in dotted}
    heads = [match[1] for name in dotted if name not in counters and (match := code.fullmatch(name))]
    for head in heads:
        roles = _present({role: (head + tail,) for role, tail in layout.particle.items()}, dotted)
        if not all(role in roles for role in layout.needed):
            continue
        beside = roles.pop("energy", "") if "mass" in roles else ""
        own = all(role in roles for role in VERTEX)
        shared = {} if own else _present({role: (name,) for role, name in layout.event_vertex.items()}, dotted)
        if not own:
            roles = {role: name for role, name in roles.items() if role not in VERTEX} | shared
        rest = head.rpartition("Particles")[2]
        further = {what: (head + tail,) for what, tail in layout.links.items()}
        further |= {what: (name.format(rest),) for what, name in layout.linked.items()}
        links = _present(further, dotted)
        schema = Schema(
            layout.name,
            _present(layout.event, dotted) | roles,
            collection=_collection(dotted[head + layout.particle["pdg"]], len(head)),
            momentum_unit=layout.momentum_unit,
            length_unit=layout.length_unit,
            momentum_known=f"the convention of {layout.name}",
            length_known=f"the convention of {layout.name}",
            event_vertex=bool(shared),
            links=links if len(links) == len(further) else {},
            energy_beside=beside,
        )
        yield Candidate(schema, head, tuple(name.removeprefix(head) for name in dotted if name.startswith(head)))


def _present(wanted: Mapping[str, Sequence[str]], dotted: Mapping[str, str]) -> dict[str, str]:
    found = {role: [dotted[name] for name in names if name in dotted] for role, names in wanted.items()}
    return {role: names[0] for role, names in found.items() if names}


def _plain(branches: Sequence[str]) -> Iterator[Candidate]:
    plain = _spellings(branches)
    for prefix in _prefixes(plain):
        roles = _roles(plain, prefix)
        if "pdg" not in roles or not any(all(role in roles for role in kind) for kind in (CARTESIAN, POLAR)):
            continue
        code = roles["pdg"]
        size = max(k for k in range(len(code) + 1) if plainly(code[:k]) == prefix)
        schema = Schema("plain", {**_plain_event(plain, prefix), **roles}, collection=_collection(code, size))
        beside = _spelled(plain, {"energy": PLAIN["energy"]}, prefix).get("energy", "") if "mass" in roles else ""
        schema = replace(schema, notes=_notes_on_vertices(plain, prefix, roles), energy_beside=beside)
        tails = tuple(name.removeprefix(prefix) for name in plain if prefix and name.startswith(prefix))
        yield Candidate(schema, code[:size], tails)


def _notes_on_vertices(plain: Mapping[str, str], prefix: str, roles: Mapping[str, str]) -> tuple[str, ...]:
    """Notes where a file may have vertices that are not taken, or has a part of them only."""
    missing = [role for role in VERTEX if role not in roles]
    positions = [plain[prefix + axis] for axis in "xyz" if prefix + axis in plain]
    if len(missing) == len(VERTEX) and len(positions) == len(VERTEX):
        typed = " ".join(f"--branch {role}={name}" for role, name in zip(VERTEX, positions, strict=True))
        return (f"{', '.join(positions)} may be where particles start, or any other place; to take them: {typed}",)
    if 0 < len(missing) < len(VERTEX):
        return (f"no branch for {', '.join(missing)} was found beside that of the other coordinates: 0 is taken",)
    return ()


def _collection(code: str, size: int) -> str:
    return code[:size].rstrip("_.:")


def _spellings(branches: Sequence[str]) -> dict[str, str]:
    """Branches by their plain names, without those that only count, or hold, others."""
    # uproot and ROOT count the rows of a jagged branch x in a branch nx; Delphes has a branch Event beside Event.Number
    counters = {f"n{branch}" for branch in branches}
    parents = {branch[: match.start()] for branch in branches for match in re.finditer(r"[.:]", branch)}
    plain: dict[str, str] = {}
    for branch in branches:
        if branch not in counters and branch not in parents:
            plain.setdefault(plainly(branch), branch)
    return plain


def _prefixes(plain: Mapping[str, str]) -> list[str]:
    """Return what may stand before ``pdg``, ``px``, … in the names; none comes first."""
    tails = PLAIN["pdg"] + PLAIN["px"] + PLAIN["pt"]
    tails += tuple(name for tail in PLAIN["px"] + PLAIN["pt"] for name in _with_unit("px", tail))
    found = dict.fromkeys(name.removesuffix(tail) for name in plain for tail in tails if name.endswith(tail))
    return sorted(found, key=bool)


def _roles(plain: Mapping[str, str], prefix: str) -> dict[str, str]:
    found = _spelled(plain, PLAIN, prefix)
    if all(role in found for role in CARTESIAN):
        found = {role: branch for role, branch in found.items() if role not in POLAR}
    else:
        found = {role: branch for role, branch in found.items() if role not in CARTESIAN}
    if "mass" in found:
        found.pop("energy", None)
    return found


def _plain_event(plain: Mapping[str, str], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for before in (*EVENT_PREFIXES, prefix):
        found = _spelled(plain, PLAIN_EVENT, before) | found
    return found


def _spelled(plain: Mapping[str, str], spellings: Mapping[str, Sequence[str]], prefix: str) -> dict[str, str]:
    names = {
        role: [name for tail in tails for name in (prefix + tail, *_with_unit(role, prefix + tail)) if name in plain]
        for role, tails in spellings.items()
    }
    return {role: plain[found[0]] for role, found in names.items() if found}


def _with_unit(role: str, name: str) -> list[str]:
    """A name with units behind it, where the role has any."""
    if role not in _HAVE_UNITS:
        return []
    return [name + suffix for suffix, unit in UNIT_SUFFIXES.items() if (unit in LENGTH_UNITS) == (role in VERTEX)]


_HAVE_UNITS = (*CARTESIAN, "pt", "mass", "energy", *VERTEX)
