# SPDX-License-Identifier: BSD-3-Clause
"""The choice of the collection that holds the true particles, by evidence.

Where that does not decide, the user is asked. For a collection speak a status, parents or daughters, and its name;
against it names and branches of reconstruction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...errors import InputError
from .candidates import Candidate, find_candidates, of_code, plainly
from .layouts import NANOAOD
from .schemas import CARTESIAN, POLAR, Schema, SchemaOverrides, nearest

SizeOf = Callable[[str], str]
"""Returns how many values a branch has, in words."""

_TRUE = {
    *("mc", "gen", "generator", "generated", "truth", "true", "hepmc", "sim", "simulated", "primary", "primaries"),
    *("mcpart", "mcparticle", "mcparticles", "genpart", "genparticle", "genparticles", "gencand", "gencands"),
    *("truthparticle", "truthparticles", "trueparticle", "trueparticles", "simparticle", "simparticles"),
}
_USUAL = {"mcparticles", "mcparticle", "truthparticles", "particle", "particles"}
_RECONSTRUCTED = {
    *("reco", "rec", "reconstructed", "track", "tracks", "trk", "trks", "pf", "pfcand", "pfcands", "eflow", "gsf"),
    *("electron", "electrons", "muon", "muons", "photon", "photons", "tau", "taus", "lepton", "leptons", "jet", "jets"),
    *("cluster", "clusters", "tower", "towers", "hit", "hits", "met", "trig", "trigger", "hlt", "isolated", "iso"),
    *("dressed", "vis", "lhe", "born", "calo", "sv", "pv"),
}
# truth, but only a part of it
_PART = {
    *("boson", "bosons", "neutrino", "neutrinos", "top", "bottom", "charm", "bsm", "proton", "protons", "hadron"),
    *("hadrons", "scattered", "hard"),
}
_RELATIVES = re.compile(r"(mother|parent|daughter|child|genpartidxmother|prodvtx|barcode|[md][12]$)")
_MEASURED = re.compile(
    r"(goodnessofpid|covm|clusters?begin|tracks?begin|chi2|ndof|dxy|hoe|sieie|cutbased|mvaid|tightcharge|"
    r"(pf|mini)?rel?iso|isolation)"
)
# by how much the best must lead
_LEAD = 2
# longer words count wherever they stand in a name, as in MClepton
_LONG = 4


class NoParticlesError(InputError):
    """A tree has nothing that looks like particles."""


def find_schema(
    branches: Sequence[str], overrides: SchemaOverrides | None = None, size_of: SizeOf | None = None
) -> Schema:
    """Find out which branches hold the true particles. All roles of particles come from one collection.

    Parameters
    ----------
    branches : sequence of str
        Names of all branches of a tree.
    overrides : SchemaOverrides, optional
        What the user states of them. Branches that are named may be of any collection.
    size_of : callable, optional
        Returns the size of a collection by its branch of codes, for messages.

    Raises
    ------
    InputError
        There is nothing that looks like particles, more than one collection may be meant, or what the user named is
        not there. The message lists the collections and what to type.
    """
    overrides = overrides or SchemaOverrides()
    there = set(branches)
    for role, branch in overrides.named.items():
        if branch not in there:
            raise InputError(f"has no branch {branch!r} (named for {role}); {nearest(branch, branches)}")
    found = find_candidates(branches)
    chosen = _chosen(branches, found, overrides, size_of)
    if chosen is None:
        chosen = Candidate(Schema("named by the user", {}), "", ())
    schema = _overridden(chosen.schema, overrides)
    missing = [role for role in ("pdg", *schema.momentum) if role not in schema.branches]
    if not missing:
        return replace(schema, notes=schema.notes + _fuller(chosen, found, size_of))
    if overrides.collection is not None or "pdg" in overrides.named:
        raise InputError(
            f"the collection of {schema.branches['pdg']!r} has no branches for {', '.join(missing)}; name them, for "
            f"example --branch {missing[0]}=NAME. All roles come from one collection unless they are named"
        )
    listed = ", ".join(branches[:20]) + (", …" if len(branches) > 20 else "")
    raise NoParticlesError(
        "no particles found: a code (pdg) and a momentum (px, py, pz or pt, eta, phi) are needed; name their branches, "
        f"for example --branch pdg=mc_pdg. The branches are: {listed or 'none'}"
    )


def _chosen(
    branches: Sequence[str], found: list[Candidate], overrides: SchemaOverrides, size_of: SizeOf | None
) -> Candidate | None:
    if overrides.collection is not None:
        return _named(found, overrides.collection, size_of)
    if (code := overrides.named.get("pdg")) is not None:
        return next((c for c in found if c.schema.branches["pdg"] == code), None) or of_code(branches, code)
    return _most_likely(found, size_of)


def _named(found: list[Candidate], name: str, size_of: SizeOf | None) -> Candidate:
    wanted = name.rstrip("_.:")
    for same in (str, plainly):
        matching = [c for c in found if same(c.schema.collection) == same(wanted)]
        if len(matching) == 1:
            return matching[0]
    raise InputError(
        f"has no collection of particles {name!r}; {_listed(found, size_of)}"
        if found
        else f"has no collection of particles {name!r}, nor any other with a code and a momentum"
    )


def _most_likely(found: list[Candidate], size_of: SizeOf | None) -> Candidate | None:
    """The one that the evidence speaks for; None where there is none at all."""
    if not found:
        return None
    scored = sorted(((score(c), c) for c in found if not is_doubtful(c)), key=lambda pair: -pair[0])
    if not scored:
        raise InputError(
            "holds particles, but none that are surely the true ones of a whole event: their names are those of "
            f"reconstruction, or of one kind of particles. {_listed(found, size_of)}"
        )
    if len(scored) > 1 and scored[0][0] - scored[1][0] < _LEAD:
        best = [c for points, c in scored if scored[0][0] - points < _LEAD]
        raise InputError(f"nothing shows which collection holds the true particles. {_listed(best, size_of)}")
    return scored[0][1]


def score(candidate: Candidate) -> int:
    """How much speaks for a collection."""
    tails = {plainly(tail) for tail in candidate.tails}
    points = 2 * ("status" in candidate.schema.branches)
    points += 2 * any(_RELATIVES.match(tail) for tail in tails)
    points += 3 * bool(words_of(candidate.head) & _TRUE)
    points += 2 * (plainly(re.sub(r"Aux(Dyn)?\W*$", "", candidate.head)) in _USUAL)
    # HepMC3 has nothing else, whatever else is written beside it
    return points + 4 * (candidate.schema.name == "HepMC3")


def is_doubtful(candidate: Candidate) -> bool:
    """Whether something shows that a collection is of reconstruction, or holds one kind of particles only."""
    words = words_of(candidate.head)
    lower = candidate.head.lower()
    doubtful = words & (_RECONSTRUCTED | _PART) or any(word in lower for word in _RECONSTRUCTED if len(word) > _LONG)
    if doubtful and candidate.schema.name != "LHCb":
        return True
    measured = any(_MEASURED.match(plainly(tail)) for tail in candidate.tails)
    return measured and not words & _TRUE and "status" not in candidate.schema.branches


def words_of(name: str) -> set[str]:
    """Words that a name is made of, by underscores, dots and capitals, in lower case."""
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", re.sub(r"Aux(Dyn)?\W*$", "", name))
    return {word.lower() for word in found}


def _listed(found: Sequence[Candidate], size_of: SizeOf | None) -> str:
    lines = []
    for candidate in found:
        code = candidate.schema.branches["pdg"]
        size = f" ({size_of(code)})" if size_of is not None else ""
        lines.append(f"{candidate.schema.collection or code!r}{size}")
    first = found[0].schema
    line = f"--collection {first.collection}" if first.collection else f"--branch pdg={first.branches['pdg']}"
    return f"The collections with codes and momenta are {', '.join(lines)}; choose one, for example {line}"


def _fuller(chosen: Candidate, found: Sequence[Candidate], size_of: SizeOf | None) -> tuple[str, ...]:
    """Note on a pruned collection that stands beside another of generated particles."""
    others = [c for c in found if c is not chosen and not is_doubtful(c) and words_of(c.head) & _TRUE]
    if chosen.schema.name != NANOAOD or not others:
        return ()
    sizes = [f" ({size_of(c.schema.branches['pdg'])})" if size_of is not None else "" for c in (chosen, *others)]
    named = [f"{c.schema.collection}{size}" for c, size in zip(others, sizes[1:], strict=True)]
    text = (
        f"GenPart{sizes[0]} of NanoAOD is pruned; the file has other generated particles: {', '.join(named)}. "
        f"To take them: --collection {others[0].schema.collection}"
    )
    return (text,)


def _overridden(found: Schema, overrides: SchemaOverrides) -> Schema:
    branches, named = dict(found.branches), overrides.named
    # a way of writing that the user chose drives the other one out
    for one, other in ((CARTESIAN, POLAR), (POLAR, CARTESIAN), (("mass",), ("energy",)), (("energy",), ("mass",))):
        if any(role in named for role in one):
            branches = {role: branch for role, branch in branches.items() if role not in other}
    branches = {role: branch for role, branch in (branches | named).items() if role not in overrides.left_out}
    moved = any(role in overrides.branches for role in ("vx", "vy", "vz"))
    links = {what: branch for what, branch in found.links.items() if not (moved and what.startswith("vertex"))}
    return replace(
        found,
        branches=branches,
        tree=overrides.tree or found.tree,
        momentum_unit=overrides.momentum_unit or found.momentum_unit,
        momentum_known="the user" if overrides.momentum_unit else found.momentum_known,
        length_unit=overrides.length_unit or found.length_unit,
        length_known="the user" if overrides.length_unit else found.length_known,
        final_status=overrides.final_status or found.final_status,
        event_vertex=found.event_vertex and not moved,
        links=links,
    )
