# SPDX-License-Identifier: BSD-3-Clause
"""Species that stand for others: in the detector's description, in the engine, in the accounts."""

import json
import tomllib
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.event_lists import make_events
from helpers.models.tiny_model import write_tiny_model
from numpy.testing import assert_allclose, assert_array_equal

import fastcalo
from fastcalo import particles
from fastcalo.detector.description import load_detector, parse_detector
from fastcalo.errors import DetectorError
from fastcalo.event.events import Reason
from fastcalo.model.shower_model import ShowerModel
from fastcalo.simulation.fast import FastSimulation

DETECTOR = load_detector()
HADRONS = (211, -211, 130, 2112, 2212)


def engine(folder, species, detector=DETECTOR):
    return FastSimulation(detector, ShowerModel(write_tiny_model(folder / "tiny.onnx", species=species), threads=1))


def particle(pdg, energy=5.0):
    mass = float(particles.mass([pdg])[0])
    return {"pdg": pdg, "momentum": (np.sqrt(energy * (energy + 2 * mass)), 0, 0), "mass": mass}


def test_the_shipped_table_leads_to_species_that_exist_and_adds_what_masses_set_free():
    rows = DETECTOR.substitutes.rows
    assert len(rows) > 10
    species, substitute = (np.array([getattr(row, name) for row in rows]) for name in ("species", "pdg"))
    assert set(substitute.tolist()) <= set(HADRONS)
    # an antiproton showers as a proton does, and bends the other way
    other = ~np.isin(np.abs(species), (2212, 3222))
    assert_array_equal(particles.charge(species)[other], particles.charge(substitute)[other])
    mass, nucleon = particles.mass(species), float(particles.mass([2112])[0])
    meson = np.abs(species) < 1000
    wanted = np.where(meson, mass - particles.mass(substitute), mass - np.sign(species) * nucleon)
    assert_allclose([row.add for row in rows], np.maximum(wanted, 0), atol=2e-3)


def test_a_kaon_is_simulated_as_a_pion_where_no_model_knows_it(tmp_path):
    pions = engine(tmp_path, (211, -211))
    event = make_events([particle(321), particle(-321), particle(2212), particle(13)])
    found = pions.run(event, seed=3)
    assert_array_equal(found.reason, [0, 0, Reason.UNKNOWN_SPECIES, Reason.UNKNOWN_SPECIES])
    assert pions.provenance()["substitutes"] == {
        key: value for key, value in DETECTOR.substitutes.description.items() if abs(value["pdg"]) == 211
    }
    assert found.sections["ECAL"].energy.sum() > 0


def test_a_model_that_knows_a_species_needs_no_substitute(tmp_path):
    kaons = engine(tmp_path, (321, 211))
    assert "321" not in kaons.provenance()["substitutes"]
    codes, energy = kaons.substitutes.apply(np.array([321, -321, 211]), np.ones(3))
    assert_array_equal(codes, [321, -321, 211])
    assert_array_equal(energy, [1, 1, 1])


def test_the_energy_of_the_mass_is_added(tmp_path):
    pions = engine(tmp_path, (211,))
    codes, energy = pions.substitutes.apply(np.array([321, 211]), np.array([2.0, 2.0]))
    assert_array_equal(codes, [211, 211])
    assert_allclose(energy, [2.354, 2.0])
    # the kinetic energy that a model must reach is the one it is given
    low = FastSimulation(
        DETECTOR,
        ShowerModel(write_tiny_model(tmp_path / "low.onnx", species=(211,), kinetic_energy=(0.1, 2.2)), threads=1),
    )
    found = low.run(make_events([particle(321, 2.0), particle(211, 2.0)]))
    assert_array_equal(found.reason, [Reason.ENERGY_TOO_HIGH, Reason.SIMULATED])


def test_the_track_is_that_of_the_particle_itself(tmp_path):
    # an antiproton bends to the other side than the proton whose shower it gets
    protons = engine(tmp_path, (2212,))
    cells = []
    for pdg in (2212, -2212):
        hits = protons.run(make_events([particle(pdg)]), seed=3).sections["ECAL"]
        at = DETECTOR.decode("ECAL", hits.cell_id)
        cells.append((at["module"][0], at["x"].mean()))
    assert cells[0] != cells[1]


def test_accounts_name_the_species(tmp_path):
    event = [particle(321, 2.0), particle(321, 4.0), particle(211), particle(13, 7.0), particle(12)]
    momentum = np.array([p["momentum"] for p in event])
    source = tmp_path / "events.root"
    with uproot.recreate(source) as file:
        columns = {
            "pdg": [p["pdg"] for p in event], "mass": [p["mass"] for p in event],
            **{f"p{axis}": momentum[:, k] for k, axis in enumerate("xyz")},
            "vx": np.zeros(5), "vy": np.zeros(5), "vz": np.zeros(5), "status": np.ones(5, np.int32),
        }  # fmt: skip
        file["Events"] = {"mc": ak.zip({key: ak.Array([np.asarray(value)]) for key, value in columns.items()})}
    summary = fastcalo.convert(source, tmp_path / "hits.root", engine(tmp_path, (211, -211)))
    assert {code: (t.count, round(t.energy, 4)) for code, t in summary.substituted.items()} == {321: (2, 6.0)}
    assert {code: (t.count, round(t.energy, 4)) for code, t in summary.unknown.items()} == {13: (1, 7.0)}
    with uproot.open(tmp_path / "hits.root") as file:
        provenance = json.loads(str(file["fastcalo_provenance"]))
    assert provenance["accounts"]["substituted"]["321"] == {"as": 211, "count": 2, "energy": pytest.approx(6.0)}
    assert provenance["simulation"]["substitutes"]["321"] == {"pdg": 211, "add_gev": 0.354}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"K+": {"pdg": 211}}, r"substitutes.K\+: must be a PDG code"),
        ({"321": 211}, r"substitutes.321: must be a table"),
        ({"321": {"pdg": "pi+"}}, r"substitutes.321.pdg: must be a whole number"),
        ({"321": {"pdg": 211, "add_gev": -1}}, r"substitutes.321.add_gev: must be at least 0"),
        ({"321": {"pdg": -321}, "-321": {"pdg": -211}}, r"substitutes.321: -321 has a substitute itself"),
    ],
)
def test_a_table_that_cannot_be_is_refused(table, message):
    shipped = Path(fastcalo.detector.description.__file__).parent / "clic-like.toml"
    description = tomllib.loads(shipped.read_text())
    with pytest.raises(DetectorError, match=message):
        parse_detector({**description, "substitutes": table}, "mine.toml")


def test_the_table_may_be_left_out():
    description = {key: value for key, value in DETECTOR.description.items() if key != "substitutes"}
    detector = parse_detector(description, "mine.toml")
    assert detector.substitutes.rows == ()
    assert detector.stack_hash == DETECTOR.stack_hash
