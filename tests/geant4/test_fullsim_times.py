# SPDX-License-Identifier: BSD-3-Clause
"""Contributions of full simulation: deposits of each particle in each hit, with times; hits are the same without."""

from __future__ import annotations

import numpy as np
import pytest
import uproot
from numpy.testing import assert_array_equal

from fastcalo import Events, Geant4Simulation, convert
from fastcalo.event.contributions import FULL_STEP_MM
from fastcalo.io.hits.edm4hep.particles import BIT_FAST

PDG = [[22, 211], [2112], [], [11]]
PX = [[2.0, 1.5], [-1.0], [], [0.1]]
PY = [[0.3, 1.0], [0.5], [], [-2.0]]


@pytest.fixture(scope="module")
def timed():
    from helpers.geant4.full_simulation import skip_without_geant4

    skip_without_geant4()
    with Geant4Simulation(contributions=True) as engine:
        yield engine


@pytest.mark.slow
def test_times_are_those_of_deposits_and_hits_do_not_change(geant4, timed):
    events = Events.from_arrays(pdg=PDG, px=PX, py=PY, pz=0.2)
    plain, with_times = geant4.run(events, seed=3), timed.run(events, seed=3)
    for name, section in with_times.sections.items():
        assert_array_equal(section.cell_id, plain.sections[name].cell_id)
        assert_array_equal(section.energy, plain.sections[name].energy)
        made = section.contributions
        sums = np.add.reduceat(made.energy.astype(np.float64), made.offsets[:-1])
        np.testing.assert_allclose(sums, section.energy, rtol=1e-6)
        # nothing comes before light
        light = np.linalg.norm(section.position, axis=1)[made.hit] / 299.792458
        reach = {"ECAL": 5.1, "HCAL": 30.0}[name] / 299.792458
        assert (made.time > light - reach).all()
        assert (made.mean_time >= made.time * (1 - 1e-6)).all()
        assert (made.step_length == FULL_STEP_MM).all()
    made = with_times.sections["ECAL"].contributions
    event = np.repeat(np.arange(4), np.diff(made.offsets[with_times.sections["ECAL"].offsets]))
    assert {(e, p) for e, p in zip(event.tolist(), made.particle.tolist(), strict=True)} >= {(0, 0), (0, 1), (3, 0)}


@pytest.mark.slow
def test_a_later_birth_makes_later_hits(timed):
    from dataclasses import replace

    events = Events.from_arrays(pdg=PDG, px=PX, py=PY, pz=0.2)
    later = replace(events, time=np.full(events.n_particles, 7.5))
    now, then = (timed.run(x, seed=3).sections["ECAL"].contributions for x in (events, later))
    np.testing.assert_allclose(then.time, now.time + 7.5, rtol=1e-5)


@pytest.mark.slow
def test_edm4hep_of_full_simulation_bears_no_mark_of_fast_simulation(timed, tmp_path):
    with uproot.recreate(tmp_path / "in.root") as file:
        file["events"] = {"pdg": np.array([22]), "px": np.array([2.0]), "py": np.array([0.1]), "pz": np.array([0.3])}
    convert(tmp_path / "in.root", tmp_path / "out.root", timed, format="edm4hep")
    (event,) = uproot.open(tmp_path / "out.root")["events"].arrays()
    assert (event["MCParticles"]["simulatorStatus"] >> BIT_FAST & 1).to_list() == [0]
    assert set(event["ECALContributions"]["stepLength"].to_list()) == {0.0}
