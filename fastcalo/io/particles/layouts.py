# SPDX-License-Identifier: BSD-3-Clause
"""Conventions that experiments and generators follow in naming the branches of particles.

Sources: EDM4hep's ``edm4hep.yaml`` (versions 0.x and 1.x share these members); the documentation of CMS NanoAOD,
PFNano, BTVNano and of the HGCAL tables; Delphes' ``classes/DelphesClasses.h``; HepMC3's ``GenEventData.h`` and
``WriterRootTree``; ATLAS' xAOD ``TruthParticle``; LHCb's ``TupleToolMCTruth``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

XYZ = "xyz"


@dataclass(frozen=True)
class Layout:
    """One convention.

    Attributes
    ----------
    name : str
    head : str
        Regular expression for what all names of one collection begin with.
    particle : mapping of str to str
        How the names go on, by role.
    needed : tuple of str
        Roles without which a collection is of another convention.
    event : mapping of str to tuple of str
        Whole names of what belongs to the event, by role; the first that is there is taken.
    event_vertex : mapping of str to str
        Whole names of the event's vertex, for collections without vertices of their own.
    links : mapping of str to str
        How names of further branches go on, by what they are; all of them or none are taken.
    linked : mapping of str to str
        Whole names that go with the links; ``{}`` stands for what follows on ``Particles`` in the head.
    momentum_unit, length_unit : str
    """

    name: str
    head: str
    particle: Mapping[str, str]
    needed: tuple[str, ...]
    event: Mapping[str, tuple[str, ...]]
    event_vertex: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    linked: Mapping[str, str] = field(default_factory=dict)
    momentum_unit: str = "GeV"
    length_unit: str = "mm"


_EDM4HEP = Layout(
    name="EDM4hep",
    head=r".+\.",
    particle={
        "pdg": "PDG",
        **{f"p{axis}": f"momentum.{axis}" for axis in XYZ},
        "mass": "mass",
        **{f"v{axis}": f"vertex.{axis}" for axis in XYZ},
        "status": "generatorStatus",
    },
    needed=("px", "py", "pz"),
    event={"run": ("EventHeader.runNumber",), "event": ("EventHeader.eventNumber",)},
)

_DELPHES = Layout(
    name="Delphes",
    head=r".+\.",
    particle={
        "pdg": "PID",
        **{f"p{axis}": f"P{axis}" for axis in XYZ},
        "mass": "Mass",
        "energy": "E",
        **{f"v{axis}": axis.upper() for axis in XYZ},
        "status": "Status",
    },
    needed=("px", "py", "pz", "status"),
    event={"event": ("Event.Number",)},
)

_XAOD = Layout(
    name="ATLAS xAOD",
    head=r".+Aux(?:Dyn)?\.",
    particle={
        "pdg": "pdgId",
        **{f"p{axis}": f"p{axis}" for axis in XYZ},
        "mass": "m",
        "energy": "e",
        "status": "status",
    },
    needed=("px", "py", "pz"),
    event={
        "run": ("EventInfoAuxDyn.runNumber", "EventInfoAux.runNumber"),
        "event": ("EventInfoAuxDyn.eventNumber", "EventInfoAux.eventNumber"),
        "luminosity_block": ("EventInfoAuxDyn.lumiBlock", "EventInfoAux.lumiBlock"),
    },
    links={"vertex_index": "prodVtxLink.m_persIndex", "vertex_key": "prodVtxLink.m_persKey"},
    linked={f"vertex_{axis}": f"TruthVertices{{}}{axis}" for axis in XYZ},
    momentum_unit="MeV",
)

_LHCB = Layout(
    name="LHCb",
    head=r".+_TRUE",
    particle={
        "pdg": "ID",
        **{f"p{axis}": f"P_{axis.upper()}" for axis in XYZ},
        "energy": "P_E",
        **{f"v{axis}": f"ORIGINVERTEX_{axis.upper()}" for axis in XYZ},
    },
    needed=("px", "py", "pz"),
    event={"run": ("runNumber",), "event": ("eventNumber",)},
    momentum_unit="MeV",
)

_HEPMC3 = Layout(
    name="HepMC3",
    head=r"particles\.",
    particle={
        "pdg": "pid",
        **{f"p{axis}": f"momentum.m_v{k}" for k, axis in enumerate(XYZ, 1)},
        "mass": "mass",
        "status": "status",
    },
    needed=("px", "py", "pz", "status"),
    event={"event": ("event_number",)},
    linked={
        "momentum_unit": "momentum_unit",
        "length_unit": "length_unit",
        "links1": "links1",
        "links2": "links2",
        **{f"vertex_{axis}": f"vertices.position.m_v{k}" for k, axis in enumerate(XYZ, 1)},
        **{f"origin_{axis}": f"event_pos.m_v{k}" for k, axis in enumerate(XYZ, 1)},
    },
)


def _nanoaod(name: str, head: str) -> Layout:
    return Layout(
        name=name,
        head=head,
        particle={
            "pdg": "pdgId",
            "pt": "pt",
            "eta": "eta",
            "phi": "phi",
            "mass": "mass",
            **{f"v{axis}": f"v{axis}" for axis in XYZ},
            "status": "status",
        },
        needed=("pt", "eta", "phi"),
        event={"run": ("run",), "event": ("event",), "luminosity_block": ("luminosityBlock",)},
        event_vertex={f"v{axis}": f"GenVtx_{axis}" for axis in XYZ},
        length_unit="cm",
    )


NANOAOD = "NanoAOD"
"""Name of the convention whose ``GenPart`` is pruned."""

LAYOUTS = (
    _EDM4HEP,
    _DELPHES,
    _HEPMC3,
    _XAOD,
    _LHCB,
    _nanoaod("PFNano", "GenCands?_"),
    _nanoaod("HGCAL NanoAOD", "HGCalGenPart_"),
    _nanoaod(NANOAOD, "GenPart_"),
)
"""Conventions whose names are known exactly."""

# 1 for particles of the final state
_FLAGS = ("isfinal", "isfinalstate", "finalstate", "isstable", "stable")


def _starts(axis: str) -> tuple[str, ...]:
    """Rarer spellings of where a particle starts."""
    words = ("prodvtx", "prodvertex", "productionvertex", "start", "origin", "orivtx")
    return tuple(word + axis for word in words)


# in lower case, without underscores, dots and colons
PLAIN: Mapping[str, tuple[str, ...]] = {
    "pdg": ("pdg", "pdgid", "pdgcode", "pid", "id"),
    "px": ("px", "momentumx"),
    "py": ("py", "momentumy"),
    "pz": ("pz", "momentumz"),
    "pt": ("pt",),
    "eta": ("eta",),
    "phi": ("phi",),
    "mass": ("mass", "m"),
    "energy": ("energy", "e"),
    "vx": ("vx", "vtxx", "vertexx", "prodx", *_starts("x")),
    "vy": ("vy", "vtxy", "vertexy", "prody", *_starts("y")),
    "vz": ("vz", "vtxz", "vertexz", "prodz", *_starts("z")),
    "status": ("status", "generatorstatus", "genstatus", *_FLAGS),
}
"""Spellings of plain names, by role."""

_EVENT_NUMBERS = ("evtnumber", "evtnum", "evtno", "evtid", "eventnum", "eventno", "ievent", "ievt", "iev")

PLAIN_EVENT: Mapping[str, tuple[str, ...]] = {
    "run": ("run", "runnumber", "runnum", "runno", "runid", "irun"),
    "event": ("event", "eventnumber", "eventid", "evt", *_EVENT_NUMBERS),
    "luminosity_block": ("luminosityblock", "lumiblock", "lumi", "lumisection", "lumiblocknumber", "ls"),
    "repeat": ("fastcalorepeat",),
}
"""Spellings of what belongs to the event, by role."""

EVENT_PREFIXES = ("", "eventinfo", "eventinfoaux", "eventinfoauxdyn", "eventheader")
"""What may stand before those of the event."""

UNIT_SUFFIXES: Mapping[str, str] = {
    **{unit.lower(): unit for unit in ("keV", "MeV", "GeV", "TeV")},
    **{unit: unit for unit in ("um", "mm", "cm")},
}
"""Units by the endings of names that state them, as ``px_mev`` and ``vx_cm`` do."""
