# SPDX-License-Identifier: BSD-3-Clause
"""Models and Geant4 as one engine: what models refuse is simulated fully, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.command import run_command
from helpers.files.hits_equal import assert_same_hits
from numpy.testing import assert_array_equal

from fastcalo import Events, FastSimulation, Geant4Simulation, Reason, convert, load_detector, merge, open_hits
from fastcalo.errors import ConfigError
from fastcalo.fullsim.combined import CombinedSimulation
from fastcalo.fullsim.extent import cells_across, with_widest_range
from fastcalo.io.hits.edm4hep.particles import BIT_FAST
from fastcalo.io.particles.reader import open_events

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "events.root"


@pytest.fixture(scope="module")
def events() -> Events:
    # known to the model; of a species that it does not know; too soft for any model; nothing to be done for
    pdg = [[22, 211, 22], [], [22, 12], [22, 13]]
    momentum = [
        [[0.0, 0.8, 0.1], [0.4, 0.0, 0.1], [0.0, 1e-4, 0.0]], [], [[0.9, 0.1, 0.0], [1.0, 0.0, 0.0]],
        [[0.0, 0.3, 0.9], [0.0, 3.0, 0.0]],
    ]  # fmt: skip
    return Events.from_arrays(pdg=pdg, momentum=momentum)


@pytest.fixture(scope="module")
def engine(geant4):
    del geant4  # which skips the tests where there is no Geant4
    full = Geant4Simulation(with_widest_range(load_detector()), workers=1, contributions=True)
    with CombinedSimulation(FastSimulation(models="em", threads=1, contributions=True), full) as both:
        yield both


@pytest.fixture
def geant4_with_contributions(geant4):
    del geant4
    with Geant4Simulation(load_detector(), workers=1, contributions=True) as full:
        yield full


def test_each_particle_is_simulated_by_one_engine(engine, events):
    hits, fast = engine.run(events, seed=3), engine.fast.run(events, seed=3)
    assert [Reason(r).name for r in fast.reason] == [
        "SIMULATED", "UNKNOWN_SPECIES", "ENERGY_TOO_LOW", "SIMULATED", "INVISIBLE", "SIMULATED", "UNKNOWN_SPECIES"
    ]  # fmt: skip
    assert [Reason(r).name for r in hits.reason] == ["SIMULATED"] * 4 + ["INVISIBLE"] + ["SIMULATED"] * 2
    assert hits.fully.tolist() == [False, True, True, False, False, False, True]
    left = replace(events, final=hits.fully)
    full = engine.full.run(left, seed=3)
    for name, section in hits.sections.items():
        parts = [fast.sections[name], full.sections[name]]
        assert section.total_energy == pytest.approx(sum(part.total_energy for part in parts), rel=1e-6)
        cells = np.concatenate([part.cell_id for part in parts])
        assert_array_equal(np.unique(section.cell_id), np.unique(cells))
        # what each particle made is known of both
        made = section.contributions
        assert made.energy.sum() == pytest.approx(section.total_energy, rel=1e-5)
        event = np.repeat(np.arange(4), np.diff(section.offsets))[made.hit]
        assert hits.reason[events.offsets[event] + made.particle].max(initial=0) == Reason.SIMULATED


def test_without_refused_particles_geant4_is_not_asked(engine):
    photon = Events.from_arrays(pdg=[[22]], momentum=[[[0.0, 0.8, 0.1]]])
    before = engine.full.geant4_seconds
    hits = engine.run(photon, seed=1)
    assert engine.full.geant4_seconds == before
    assert hits.fully.tolist() == [False]
    assert_same_hits(hits, engine.fast.run(photon, seed=1))


def test_engines_that_do_not_fit_are_refused(engine):
    with pytest.raises(ConfigError, match="both engines with contributions=True, or neither"):
        CombinedSimulation(FastSimulation(models="em"), engine.full)
    other = replace(load_detector(), field_tesla=1.0)
    with pytest.raises(ConfigError, match="of different detectors"):
        CombinedSimulation(FastSimulation(other, "em", contributions=True), engine.full)


def test_nothing_is_left_out_for_its_energy_or_angle():
    wide = with_widest_range(load_detector())
    assert wide.geant4.max_angle_degrees == 89.99
    assert wide.geant4.kinetic_energy[0] < 1e-9
    # as if there were no layers beside the longest lines of flight that are meant
    section = wide.sections[-1]
    assert cells_across(wide, section) * section.cell_mm / 2 > section.back_mm * math.tan(math.radians(88))


def test_particles_are_counted_as_by_three_commands(engine, geant4_with_contributions, tmp_path):
    """But for random numbers of Geant4: a file of refused particles counts them anew."""
    reader = open_events(DEMO).part(range(4))
    # with the settings of Geant4 that the third file states, too
    engine = CombinedSimulation(engine.fast, geant4_with_contributions)
    paths = {name: tmp_path / f"{name}.root" for name in ("both", "fast", "rejected", "rest", "merged")}
    one = convert(reader, paths["both"], engine, seed=2, contributions=True, decays=False)
    convert(reader, paths["fast"], engine.fast, seed=2, rejected=paths["rejected"], contributions=True, decays=False)
    convert(paths["rejected"], paths["rest"], engine.full, seed=2, contributions=True, decays=False)
    other = merge(paths["fast"], paths["rest"], paths["merged"])
    assert {r: c.count for r, c in one.reasons.items()} == {r: c.count for r, c in other.reasons.items()}
    # accounts are closed: all particles and their daughters have one reason
    assert sum(c.count for c in one.reasons.values()) == one.particles.count + one.daughters.count
    assert one.fully.count > 0
    with open_hits(paths["both"]) as both, open_hits(paths["merged"]) as merged:
        assert_array_equal(both.read().particles, merged.read().particles)


def test_the_command(engine, tmp_path):
    del engine
    few = tmp_path / "few.root"
    with uproot.recreate(few) as file:
        file["events"] = {"pdg": np.array([[22, 211]]), "px": np.array([[0.8, 0.3]]), "py": np.zeros((1, 2)),
                          "pz": np.zeros((1, 2))}  # fmt: skip
    done = run_command(
        "convert", few, "-o", tmp_path / "hits.root", "--engine", "both", "--model", "em", "--format", "edm4hep"
    )
    assert done.returncode == 0, done.stderr
    assert "by full simulation" in done.stdout
    status = uproot.open(tmp_path / "hits.root")["events"].arrays()["MCParticles"]["simulatorStatus"].tolist()
    assert [s >> BIT_FAST & 1 for s in status[0][:2]] == [1, 0]
