# SPDX-License-Identifier: BSD-3-Clause
"""Files of particles to files of hits through Geant4, with the command that does it fast."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.command import run_command
from helpers.files.root_files import write_tree
from numpy.testing import assert_array_equal

from fastcalo.event.events import Reason
from fastcalo.fullsim.engine import Geant4Simulation
from fastcalo.io.particles.reader import open_events
from fastcalo.production.convert import convert
from fastcalo.simulation.fast import FastSimulation

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "events.root"


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """A few soft particles, of species that the shipped model knows and of others."""
    rng = np.random.default_rng(2)
    counts = [3, 0, 4, 2, 3]
    way = rng.normal(size=(sum(counts), 3))
    way *= rng.uniform(0.3, 1.5, len(way))[:, None] / np.linalg.norm(way, axis=1)[:, None]
    columns = {"pdg": rng.choice([11, 22, 211, 130], len(way)), **dict(zip(("px", "py", "pz"), way.T, strict=True))}
    branches = {name: ak.unflatten(values, counts) for name, values in columns.items()}
    return write_tree(tmp_path_factory.mktemp("input") / "few.root", branches)


def test_both_engines_write_the_same_branches(geant4, few, tmp_path):
    del geant4  # which skips the test where there is no Geant4
    full, fast = tmp_path / "full.root", tmp_path / "fast.root"
    for path, options in ((full, ("--engine", "geant4", "--workers", 2)), (fast, ())):
        done = run_command("convert", few, "-o", path, "--seed", 4, *options)
        assert done.returncode == 0, done.stderr
    trees = [uproot.open(path)["Events"] for path in (full, fast)]
    kinds = [{name: str(branch.interpretation) for name, branch in tree.items()} for tree in trees]
    assert kinds[0] == kinds[1]
    hits = trees[0].arrays()
    assert ak.sum(hits["nECAL"]) > 100
    assert ak.sum(hits["nHCAL"]) > 0
    assert ak.min(hits["ECAL_energy"]) > 2e-5
    assert hits["particles_unknown_species"].to_list() == [0] * 5
    provenances = [json.loads(str(uproot.open(path)["fastcalo_provenance"])) for path in (full, fast)]
    assert [t["engine"] for t in provenances] == ["Geant4Simulation", "FastSimulation"]
    assert provenances[0]["simulation"]["physics_list"] == "FTFP_BERT"
    assert provenances[0]["detector"] == provenances[1]["detector"]


def test_chunks_do_not_matter(geant4, few, tmp_path):
    arrays = []
    for chunk in (1, 3, 100):
        path = tmp_path / f"{chunk}.root"
        summary = convert(few, path, geant4, step_size=chunk, seed=1)
        assert summary.reasons[Reason.SIMULATED].count > 8
        assert summary.network_seconds is None
        arrays.append(uproot.open(path)["Events"].arrays())
    for other in arrays[1:]:
        for name in arrays[0].fields:
            assert ak.array_equal(arrays[0][name], other[name]), name


def test_processes_of_convert_and_threads_of_others_may_share_an_engine(geant4, few, tmp_path):
    convert(few, tmp_path / "one.root", geant4, seed=1)
    # each process of convert gets a copy of the engine, and that starts a process of Geant4 in its turn
    convert(few, tmp_path / "processes.root", Geant4Simulation(geant4.detector), step_size=2, workers=2, seed=1)
    with ThreadPoolExecutor(3) as executor:
        convert(few, tmp_path / "threads.root", geant4, step_size=1, executor=executor, workers=3, seed=1)
    one, *others = (uproot.open(tmp_path / f"{n}.root")["Events"].arrays() for n in ("one", "processes", "threads"))
    for other in others:
        for name in one.fields:
            assert ak.array_equal(one[name], other[name]), name


def test_what_the_model_refuses_geant4_takes(geant4, few, tmp_path):
    em = FastSimulation(geant4.detector, "em")
    fast = convert(few, tmp_path / "fast.root", em, rejected=tmp_path / "rejected.root")
    rest = convert(tmp_path / "rejected.root", tmp_path / "rest.root", geant4)
    assert fast.reasons[Reason.UNKNOWN_SPECIES].count > 3
    refused = fast.particles.count - fast.reasons[Reason.SIMULATED].count
    assert rest.particles.count == refused
    assert rest.reasons[Reason.UNKNOWN_SPECIES].count == 0
    assert rest.reasons[Reason.SIMULATED].count > 3
    for name in ("run", "event"):
        one, other = (uproot.open(tmp_path / f"{file}.root")["Events"][name].array() for file in ("fast", "rest"))
        assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_collisions_of_the_demo_deposit_alike_in_both_engines(geant4, tmp_path):
    """Electrons, positrons and photons of Z decays: what the model learnt must be what Geant4 does, event by event."""
    (events,) = open_events(DEMO).iterate(300)
    light = np.isin(events.pdg, (11, -11, 22)) & events.final & (events.kinetic_energy > 0.1)
    which = np.flatnonzero(np.bincount(events.event_of_particle, light, 300) > 0)[:60]
    branches = {}
    keep = [light & (events.event_of_particle == e) for e in which]
    columns = {"pdg": events.pdg, **dict(zip(("px", "py", "pz"), events.momentum.T, strict=True))}
    for name, column in columns.items():
        branches[name] = ak.Array([column[k] for k in keep])
    source = write_tree(tmp_path / "light.root", branches)
    sums = []
    for name, engine in (("full", geant4), ("fast", None)):
        convert(source, tmp_path / f"{name}.root", engine, seed=1)
        sums.append(
            ak.to_numpy(ak.sum(uproot.open(tmp_path / f"{name}.root")["Events"]["ECAL_energy"].array(), axis=1))
        )
    full, fast = sums
    assert (full > 0).sum() > 40
    assert fast.sum() == pytest.approx(full.sum(), rel=0.05)
    assert np.corrcoef(full, fast)[0, 1] > 0.97


@pytest.mark.parametrize("option", [("--model", "em"), ("--threads", "1")])
def test_options_of_the_fast_engine_are_refused_with_geant4(option, tmp_path):
    done = run_command("convert", DEMO, "-o", tmp_path / "x.root", "--engine", "geant4", *option)
    assert done.returncode == 2
    assert f"{option[0]}" in done.stderr
    assert "is for the fast engine" in done.stderr
    assert not (tmp_path / "x.root").exists()
