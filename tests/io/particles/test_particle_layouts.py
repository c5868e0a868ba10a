# SPDX-License-Identifier: BSD-3-Clause
"""Particles of the conventions of experiments, in files of their exact layout; values calculated by hand."""

from __future__ import annotations

import math
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_rntuple, write_tree
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.errors import InputError
from fastcalo.io.particles.reader import open_events
from fastcalo.io.particles.schemas import SchemaOverrides

PION, KAON, PROTON = 0.13957039, 0.493677, 0.93827208943


def lists(rows: list[list[float]], kind: type = np.float32) -> ak.Array:
    return ak.values_astype(ak.Array(rows), kind)


def read(path: Path, *args: object, **options: object):
    reader = open_events(path, *args, **options)
    (events,) = reader.iterate(10**9)
    return reader, events


# Delphes: classes/DelphesClasses.h; GeV, mm

DELPHES = {
    # the counters of the branches of a TClonesArray carry the names of the collections
    "Event": np.ones(2, np.int32),
    "Event.Number": lists([[41], [42]], np.int64),
    "Event.ReadTime": lists([[0.1], [0.2]]),
    "Particle": np.array([3, 1], np.int32),
    "Particle.PID": lists([[23, 211, -321], [22]], np.int32),
    "Particle.Status": lists([[62, 1, 1], [1]], np.int32),
    "Particle.M1": lists([[-1, 0, 0], [-1]], np.int32),
    "Particle.D1": lists([[1, -1, -1], [-1]], np.int32),
    "Particle.Mass": lists([[91.2, PION, KAON], [0]]),
    "Particle.E": lists([[91.2, 5.0, 5.0], [20.0]]),
    "Particle.Px": lists([[0, 3, -3], [0]]),
    "Particle.Py": lists([[0, 4, -4], [20]]),
    "Particle.Pz": lists([[0, 0, 0], [0]]),
    "Particle.PT": lists([[0, 5, 5], [20]]),
    "Particle.Eta": lists([[0, 0, 0], [0]]),
    "Particle.Phi": lists([[0, 0.9, -2.2], [1.6]]),
    "Particle.X": lists([[0, 0, 1.5], [300]]),
    "Particle.Y": lists([[0, 0, -2.5], [0]]),
    "Particle.Z": lists([[0, 0, 12], [0]]),
    "Track.PID": lists([[211], []], np.int32),
    "Track.PT": lists([[5.1], []]),
    "Track.Eta": lists([[0.01], []]),
    "Track.Phi": lists([[0.9], []]),
    "Track.X": lists([[0], []]),
}


def test_delphes(tmp_path):
    reader, events = read(write_tree(tmp_path / "d.root", DELPHES, "Delphes"))
    assert (reader.schema.name, reader.schema.collection, reader.schema.tree) == ("Delphes", "Particle", "Delphes")
    assert_array_equal(events.event, [41, 42])
    assert_array_equal(events.final, [False, True, True, True])
    assert_array_equal(events.momentum, [[0, 0, 0], [3, 4, 0], [-3, -4, 0], [0, 20, 0]])
    assert_array_equal(events.vertex, [[0, 0, 0], [0, 0, 0], [1.5, -2.5, 12], [300, 0, 0]])
    # sqrt(25 + 0.13957^2) - 0.13957
    assert_allclose(events.kinetic_energy[1], math.sqrt(25 + PION**2) - PION, rtol=1e-6)


# CMS: NanoAOD with vertices, PFNano and BTVNano, HGCAL; GeV, cm


def nano(name: str, rows: dict[str, list[list[float]]]) -> dict[str, object]:
    codes = ("pdgId", "status", "genPartIdxMother", "charge")
    return {f"{name}_{k}": lists(v, np.int32 if k in codes else np.float32) for k, v in rows.items()}


NANO_EVENT = {
    "run": np.array([1, 1], np.uint32),
    "luminosityBlock": np.array([7, 8], np.uint32),
    "event": np.array([2**63, 2**64 - 1], np.uint64),
}
GENPART = {
    "pdgId": [[23, 22], [22]],
    "status": [[62, 1], [1]],
    "pt": [[1, 2], [10]],
    "eta": [[0, 0], [0]],
    "phi": [[0, 0], [math.pi / 2]],
    "mass": [[91, 0], [0]],
    "genPartIdxMother": [[-1, 0], [-1]],
}
GENCANDS = {
    "pdgId": [[211, -211, 22], [321]],
    "pt": [[5, 4, 2], [3]],
    "eta": [[1, -1, 0], [0]],
    "phi": [[0, math.pi, 0], [0]],
    "mass": [[PION, PION, 0], [KAON]],
    "charge": [[1, -1, 0], [1]],
}


def test_vertices_of_genpart_are_taken_before_that_of_the_event(tmp_path):
    branches = NANO_EVENT | nano("GenPart", {**GENPART, "vx": [[0, 30], [1]], "vy": [[0, 0], [2]], "vz": [[0, 0], [3]]})
    branches |= {f"GenVtx_{axis}": np.full(2, 9, np.float32) for axis in "xyz"}
    reader, events = read(write_tree(tmp_path / "n.root", branches, "Events"))
    assert_array_equal(events.vertex, [[0, 0, 0], [300, 0, 0], [10, 20, 30]])
    assert reader.schema.vertex.startswith("each particle's own: GenPart_vx")
    assert_array_equal(events.event, np.array([2**63, 2**64 - 1], np.uint64))


def test_the_vertex_of_the_event_is_said_to_be_that(tmp_path):
    branches = NANO_EVENT | nano("GenPart", GENPART)
    branches |= {f"GenVtx_{axis}": np.full(2, k, np.float32) for k, axis in enumerate("xyz")}
    reader, events = read(write_tree(tmp_path / "n.root", branches, "Events"))
    assert_array_equal(events.vertex, [[0, 10, 20]] * 3)
    assert reader.schema.vertex.startswith("the event's, for the file has none of the particles: GenVtx_x")


@pytest.mark.parametrize(
    "choice",
    [{"collection": "GenCands"}, {"schema": SchemaOverrides({"pdg": "GenCands_pdgId"})}],
    ids=["collection", "branch"],
)
@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_all_roles_of_pfnano_come_from_one_collection(tmp_path, write, choice):
    # GenPart and GenCands have as many particles in the second event: a mixture would not be noticed there
    path = write(tmp_path / "n.root", NANO_EVENT | nano("GenPart", GENPART) | nano("GenCands", GENCANDS), "Events")
    reader, events = read(path, **choice)
    assert reader.schema.name == "PFNano"
    assert "status" not in reader.schema.branches
    assert_array_equal(events.pdg, [211, -211, 22, 321])
    assert events.final.all()
    pz = 5 * math.sinh(1)
    assert_allclose(events.momentum[0], [5, 0, pz], rtol=1e-6)
    assert_allclose(events.momentum[1], [-4, 0, -0.8 * pz], rtol=1e-6, atol=1e-6)
    assert_allclose(events.momentum[3], [3, 0, 0])


def test_genpart_is_said_to_be_pruned_and_fuller_collections_are_named(tmp_path):
    path = write_tree(tmp_path / "n.root", NANO_EVENT | nano("GenPart", GENPART) | nano("GenCands", GENCANDS), "Events")
    first, second = open_events(path).notes
    assert "GenPart (1.5 particles per event)" in first
    assert "GenCands (2.0 particles per event)" in first
    assert "--collection GenCands" in first
    assert "0.0% of the final ones" in second


def test_genpart_with_as_many_hadrons_as_a_collision_has_gives_no_warning(tmp_path):
    full = {**GENCANDS, "status": [[1, 1, 1], [1]]}
    assert open_events(write_tree(tmp_path / "n.root", NANO_EVENT | nano("GenPart", full), "Events")).notes == ()


def test_hgcal(tmp_path):
    rows = {
        "pdgId": [[130], [22]],
        "status": [[1], [1]],
        "pt": [[3], [4]],
        "eta": [[2], [-2]],
        "phi": [[0], [0]],
        "mass": [[0.497611], [0]],
        "energy": [[11.3], [15.0]],
        "vx": [[0.1], [0]],
        "vy": [[0.2], [0]],
        "vz": [[-3], [5]],
    }
    calo = {"pdgId": [[130], [22]], "pt": [[3], [4]], "eta": [[2], [-2]], "phi": [[0], [0]], "mass": [[0.4], [0]]}
    branches = NANO_EVENT | nano("CaloPart", calo) | nano("HGCalGenPart", rows)
    reader, events = read(write_tree(tmp_path / "h.root", branches, "Events"))
    assert reader.schema.name == "HGCAL NanoAOD"
    assert_allclose(events.vertex, [[1, 2, -30], [0, 0, 50]], rtol=1e-6)
    assert_allclose(events.momentum[0], [3, 0, 3 * math.sinh(2)], rtol=1e-6)
    assert_allclose(events.mass, [0.497611, 0], rtol=1e-6)


# HepMC3 WriterRootTree: GenEventData; units of each event, positions of vertices by links


def hepmc3(momentum_unit: list[int], length_unit: list[int]) -> dict[str, object]:
    # proton 1 -> vertex -1 (unset) -> Z 2 -> vertex -2 at (1, 2, 3) -> pi 3, K 4; K 4 -> vertex -3 (unset) -> photon 5
    scale = [1.0 if unit else 1000.0 for unit in momentum_unit]
    per_particle = {
        "pid": [2212, 23, 211, -321, 22],
        "status": [4, 62, 1, 2, 1],
        "is_mass_set": [1, 1, 1, 1, 1],
    }
    energies = {
        "mass": [PROTON, 91.2, PION, KAON, 0],
        "momentum.m_v1": [0, 0, 3, -3, -3],
        "momentum.m_v2": [0, 0, 4, -4, -4],
        "momentum.m_v3": [6500, 0, 12, -12, 0],
        "momentum.m_v4": [6500, 91.2, 13.0, 13.0, 5],
    }
    positions = {"m_v1": [0, 1, 0], "m_v2": [0, 2, 0], "m_v3": [0, 3, 0], "m_v4": [0, 4, 0]}
    n = len(scale)
    return {
        "event_number": np.arange(10, 10 + n, dtype=np.int32),
        "momentum_unit": np.array(momentum_unit, np.int32),
        "length_unit": np.array(length_unit, np.int32),
        **{f"particles.{k}": lists([v] * n, np.int32) for k, v in per_particle.items()},
        **{f"particles.{k}": lists([[x * s for x in v] for s in scale], np.float64) for k, v in energies.items()},
        "vertices.status": lists([[0, 0, 0]] * n, np.int32),
        **{f"vertices.position.{k}": lists([v] * n, np.float64) for k, v in positions.items()},
        **{f"event_pos.m_v{k}": np.full(n, 0.5 * k) for k in (1, 2, 3, 4)},
        "links1": lists([[1, -1, 2, -2, -2, 4, -3]] * n, np.int32),
        "links2": lists([[-1, 2, -2, 3, 4, -3, 5]] * n, np.int32),
    }


def test_hepmc3_takes_units_and_vertices_of_each_event(tmp_path):
    reader, events = read(write_tree(tmp_path / "h.root", hepmc3([1, 0], [0, 1]), "hepmc3_tree"))
    assert reader.schema.name == "HepMC3"
    assert reader.notes == ()
    assert_array_equal(events.event, [10, 11])
    assert_array_equal(events.final, [False, False, True, False, True] * 2)
    # MEV and GEV give the same momenta
    assert_allclose(events.momentum, [[0, 0, 6500], [0, 0, 0], [3, 4, 12], [-3, -4, -12], [-3, -4, 0]] * 2)
    assert_allclose(events.mass, [PROTON, 91.2, PION, KAON, 0] * 2)
    # without a position, a vertex is where its first incoming particle comes from, and else where the event is
    event, decay = [0.5, 1, 1.5], [1, 2, 3]
    assert_array_equal(events.vertex[:5], [event, event, decay, decay, decay])
    assert_array_equal(events.vertex[5:], 10 * events.vertex[:5])


def test_units_of_the_user_come_before_those_of_hepmc3(tmp_path):
    path = write_tree(tmp_path / "h.root", hepmc3([1], [0]), "hepmc3_tree")
    _, events = read(path, SchemaOverrides(momentum_unit="MeV", length_unit="cm"))
    assert_allclose(events.momentum[2], [0.003, 0.004, 0.012])
    assert_array_equal(events.vertex[2], [10, 20, 30])


def test_links_of_hepmc3_that_lead_nowhere_are_refused(tmp_path):
    branches = hepmc3([1], [0]) | {"links2": lists([[-1, 2, -2, 3, 4, -3, 9]], np.int32)}
    reader = open_events(write_tree(tmp_path / "h.root", branches, "hepmc3_tree"))
    with pytest.raises(InputError, match="event 0 has a link -3 to 9"):
        list(reader.iterate())
    branches = hepmc3([2], [0])
    reader = open_events(write_tree(tmp_path / "u.root", branches, "hepmc3_tree"))
    with pytest.raises(InputError, match="'momentum_unit' is 2, not 0 or 1"):
        list(reader.iterate())


# ATLAS xAOD: MeV, mm, vertices by links; trees have dots and RNTuples colons


def xaod(dot: str = ".") -> dict[str, object]:
    truth, vertices = "TruthParticlesAuxDyn", "TruthVerticesAuxDyn"
    columns = {
        f"{truth}.pdgId": lists([[211, 11], [2212]], np.int32),
        f"{truth}.status": lists([[1, 1], [1]], np.int32),
        f"{truth}.px": lists([[120, 0.5], [3000]]),
        f"{truth}.py": lists([[0, 0], [4000]]),
        f"{truth}.pz": lists([[0, 0], [0]]),
        f"{truth}.m": lists([[139.57, 0.511], [938.272]]),
        f"{truth}.e": lists([[184.07, 0.715], [5087.2]]),
        f"{truth}.prodVtxLink.m_persKey": lists([[77, 0], [77]], np.uint32),
        f"{truth}.prodVtxLink.m_persIndex": lists([[1, 0], [0]], np.uint32),
        **{f"{vertices}.{axis}": lists([[k, 10 + k], [20 + k]]) for k, axis in enumerate("xyz")},
        "EventInfoAuxDyn.eventNumber": np.array([5, 6], np.uint64),
        "EventInfoAuxDyn.runNumber": np.array([284500, 284500], np.uint32),
        "AnalysisElectronsAuxDyn.pt": lists([[500], []]),
    }
    return {name.replace(".", dot, 1): column for name, column in columns.items()}


@pytest.mark.parametrize(("write", "dot"), [(write_tree, "."), (write_rntuple, ":")])
def test_xaod_is_in_mev_and_has_vertices_by_links(tmp_path, write, dot):
    reader, events = read(write(tmp_path / "x.root", xaod(dot), "CollectionTree"))
    assert (reader.schema.name, reader.schema.collection) == ("ATLAS xAOD", "TruthParticlesAuxDyn")
    (note,) = reader.notes
    assert "taken for MeV: known by the masses, 1000 times those of the PDG" in note
    assert_allclose(events.momentum, [[0.12, 0, 0], [0.0005, 0, 0], [3, 4, 0]], rtol=1e-6)
    # sqrt(120^2 + 139.57^2) - 139.57 = 44.50 MeV
    assert_allclose(events.kinetic_energy[:2], [44.50e-3, 0.2039e-3], rtol=1e-3)
    assert_array_equal(events.vertex, [[10, 11, 12], [0, 0, 0], [20, 21, 22]])
    assert_array_equal(events.event, [5, 6])
    assert_array_equal(events.run, 284500)


# LHCb: TupleToolMCTruth, MeV, mm, one particle of a decay per group of branches


def lhcb(*names: str) -> dict[str, object]:
    one = {"TRUEID": np.array([321, -321], np.int32)}
    for k, axis in enumerate("XYZ"):
        one[f"TRUEP_{axis}"] = np.array([1000.0 * (k + 1), -1000.0 * (k + 1)])
        one[f"TRUEORIGINVERTEX_{axis}"] = np.array([0.1 * k, 0.2 * k])
        one[f"P{axis}"] = np.array([999.0, -999.0])
    one["TRUEP_E"] = np.sqrt(14e6 + np.array([493.677**2] * 2))
    one["ID"] = one["TRUEID"]
    branches = {f"{name}_{tail}": column for name in names for tail, column in one.items()}
    return branches | {"eventNumber": np.array([3, 4], np.uint64), "runNumber": np.array([9, 9], np.uint32)}


def test_lhcb(tmp_path):
    reader, events = read(write_tree(tmp_path / "l.root", lhcb("Kplus"), "DecayTree"))
    assert (reader.schema.name, reader.schema.collection) == ("LHCb", "Kplus_TRUE")
    assert reader.schema.momentum_unit == "MeV"
    assert_allclose(events.momentum, [[1, 2, 3], [-1, -2, -3]])
    assert_allclose(events.mass, KAON)
    assert_allclose(events.vertex, [[0, 0.1, 0.2], [0, 0.2, 0.4]])
    assert_array_equal(events.event, [3, 4])


def test_several_particles_of_lhcb_ask_which(tmp_path):
    path = write_tree(tmp_path / "l.root", lhcb("Kplus", "piminus"), "DecayTree")
    with pytest.raises(InputError, match=r"'Kplus_TRUE' \(2 entries .*'piminus_TRUE' .*--collection Kplus_TRUE"):
        open_events(path)
    assert open_events(path, collection="piminus_TRUE").schema.collection == "piminus_TRUE"


# EDM4hep 0.x and 1.x: members that differ are the precision of momenta, and the type of the event's number


def edm4hep(kind: type, number: type) -> dict[str, dict[str, object]]:
    particles = {
        "PDG": lists([[11, 22], [211]], np.int32),
        "generatorStatus": lists([[1, 2], [1]], np.int32),
        "mass": lists([[0.511e-3, 0], [PION]], np.float64),
    }
    vectors = {"vertex": [[1, 2], [3]], "momentum": [[3, -3], [0.5]]}
    return {
        "EventHeader": {"eventNumber": lists([[8], [9]], number), "runNumber": lists([[2], [2]], np.int32)},
        "MCParticles": {
            **particles,
            **{
                name: {
                    axis: lists([[x * k for x in row] for row in rows], kind if name == "momentum" else np.float64)
                    for k, axis in enumerate("xyz", 1)
                }
                for name, rows in vectors.items()
            },
        },
        # 1.x gave reconstructed particles a PDG
        "PandoraPFOs": {
            "PDG": lists([[11], [211]], np.int32),
            "mass": lists([[0], [0]]),
            "goodnessOfPID": lists([[1], [1]]),
            "momentum": {axis: lists([[1], [1]]) for axis in "xyz"},
        },
    }


def flat_names(branches: dict[str, object], before: str = "") -> dict[str, object]:
    """Names of branches with dots, as ROOT splits classes."""
    found: dict[str, object] = {}
    for name, value in branches.items():
        found |= flat_names(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def records(value: object) -> object:
    return ak.zip({k: records(v) for k, v in value.items()}) if isinstance(value, dict) else value


@pytest.mark.parametrize(("kind", "number"), [(np.float32, np.int32), (np.float64, np.uint64)], ids=["0.x", "1.x"])
@pytest.mark.parametrize("layout", ["ttree", "rntuple", "rntuple with dots"])
def test_edm4hep_of_both_versions(tmp_path, kind, number, layout):
    branches, path = edm4hep(kind, number), tmp_path / "e.root"
    if layout == "rntuple":
        with uproot.recreate(path) as file:
            file.mkrntuple("events", {name: records(value) for name, value in branches.items()})
    else:
        (write_tree if layout == "ttree" else write_rntuple)(path, flat_names(branches), "events")
    reader, events = read(path)
    assert (reader.schema.name, reader.schema.collection) == ("EDM4hep", "MCParticles")
    assert_array_equal(events.pdg, [11, 22, 211])
    assert_array_equal(events.final, [True, False, True])
    assert_array_equal(events.momentum, [[3, 6, 9], [-3, -6, -9], [0.5, 1, 1.5]])
    assert_array_equal(events.vertex, [[1, 2, 3], [2, 4, 6], [3, 6, 9]])
    assert_array_equal(events.event, [8, 9])
    assert_array_equal(events.run, 2)
