# SPDX-License-Identifier: BSD-3-Clause
"""Fast simulation in a Geant4 event loop: what is stopped, what is tracked on, and that no energy is lost."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.geant4.full_simulation import skip_without_geant4
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import Events, FastSimulation
from fastcalo.detector.description import load_detector
from fastcalo.event.events import Reason
from fastcalo.event.hits import Hits

ROOT = Path(__file__).parents[2]
DETECTOR = load_detector()
DIRECTION, POINT = np.array([0.36, -0.48, 0.8]), np.array([40.3, -12.7])


def run_program(name: str, folder: Path) -> dict[str, Any]:
    # Geant4 runs once in a process
    skip_without_geant4()
    output = folder / f"{name}.pickle"
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "geant4" / "geant4_hook.py"), name, str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found: dict[str, Any] = pickle.loads(output.read_bytes())  # noqa: S301
    return found


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> dict[str, Any]:
    return run_program("module", tmp_path_factory.mktemp("hook"))


def photon(event: int, vertex: np.ndarray) -> Events:
    """The photon of the programs, in global coordinates."""
    axes = DETECTOR.layout.axes[0]
    momentum = 2.0 * DIRECTION @ axes
    return Events.from_arrays(pdg=[[22]], momentum=[[momentum]], vertex=[[vertex]], run=[0], event=[event])


def model_hits(event: int) -> Hits:
    vertex = DETECTOR.layout.to_global([0], np.array([[*POINT, 0.0]]))[0]
    return FastSimulation("clic-like", "em").run(photon(event, vertex), seed=5)


def cells(hits: Hits, section: str, event: int) -> dict[int, float]:
    s = hits.sections[section]
    rows = slice(s.offsets[event], s.offsets[event + 1])
    return dict(zip(s.cell_id[rows].tolist(), s.energy[rows].tolist(), strict=True))


def test_a_photon_is_stopped_and_replaced_by_the_models_hits(module):
    expected = cells(model_hits(0), "ECAL", 0)
    assert len(expected) > 20
    assert cells(module["with"], "ECAL", 0) == expected
    assert cells(module["with"], "HCAL", 0) == {}
    # which are about what Geant4 makes of it
    full = sum(cells(module["without"], "ECAL", 0).values())
    assert 0.5 < sum(expected.values()) / full < 2


def test_a_particle_outside_the_domain_is_tracked_on_as_if_there_were_no_hook(module):
    without = cells(module["without"], "ECAL", 1)
    assert without
    assert cells(module["with"], "ECAL", 1) == without
    assert cells(module["with"], "HCAL", 1) == cells(module["without"], "HCAL", 1)


def test_deposits_of_models_and_of_geant4_are_summed_in_one_collection(module):
    hits = module["with"]
    # the last of the primaries is tracked first: it draws other numbers than were it alone
    entered = hits.reason[hits.particle_offsets[2] : hits.particle_offsets[3]]
    assert sorted(entered.tolist()) == [Reason.SIMULATED, Reason.UNKNOWN_SPECIES, Reason.ENERGY_TOO_LOW]
    total = sum(sum(cells(hits, name, 2).values()) for name in hits.sections)
    model = sum(cells(module["with"], "ECAL", 0).values())
    # the model's for 2 GeV, and less than all energy of the others
    assert 0.5 * model < total < 2 * model + 0.35
    far = [k for k, e in cells(hits, "ECAL", 2).items() if k in cells(module["without"], "ECAL", 2)]
    x = DETECTOR.decode("ECAL", np.array(far, np.uint64))["x"]
    # the proton's track, 100 mm from the middle, where the model puts nothing
    assert (np.abs(x - round(100 / 5.1)) <= 1).any()
    assert all(len(set(cells(hits, name, 2))) == np.diff(hits.sections[name].offsets)[2] for name in hits.sections)


def test_energy_accounts_are_closed(module):
    statistics = module["statistics"]
    assert statistics.events == 4
    assert (statistics.stopped, statistics.tracked_on) == (2, 3)
    entries, energy = statistics.entries, statistics.kinetic_energy
    assert (entries[Reason.ENERGY_TOO_LOW], entries[Reason.UNKNOWN_SPECIES]) == (2, 1)
    assert_allclose(energy[Reason.SIMULATED], 2 * 2.0, rtol=1e-12)
    assert_allclose(energy[Reason.ENERGY_TOO_LOW], 2 * 0.019, rtol=1e-12)
    # a millimetre of air takes a keV
    assert_allclose(energy.sum(), 4.0 + 0.038 + 0.3, atol=1e-5)
    # the last event has no particle and no hit, and is there
    assert module["with"].n_events == 4
    assert_array_equal(module["with"].particle_offsets, [0, 1, 2, 5, 5])
    assert statistics.model_seconds > 0
    lines = [" ".join(line.split()) for line in str(statistics).splitlines()]
    assert lines[0] == "4 events, 5 particles entered the region"
    assert "2 with 0.038 GeV: energy below the engine's range" in lines


def test_without_the_hook_nothing_is_stopped(module):
    assert module["before"] == (0, 0)


def test_what_does_not_exist_is_refused(module):
    assert module["refusals"] == [
        "FastSimulationHook: Geant4's geometry has no region 'tracker'",
        "module: 14 is not one of 0 to 13, the modules of clic-like",
    ]


def test_a_detector_in_global_coordinates(tmp_path):
    found = run_program("detector", tmp_path)
    hits = found["with"]
    assert hits.reason.tolist() == [Reason.SIMULATED]
    momentum = 2.0 * np.array([2.0, -3.0, 6.0]) / 7
    events = Events.from_arrays(pdg=[[22]], momentum=[[momentum]], vertex=[[[*POINT, 0.0]]], run=[0], event=[0])
    expected = FastSimulation("clic-like", "em").run(events, seed=5)
    assert set(DETECTOR.decode("ECAL", hits.sections["ECAL"].cell_id)["module"].tolist()) == {12}
    assert hits.sections["ECAL"].n_hits > 20
    assert_array_equal(hits.sections["ECAL"].cell_id, expected.sections["ECAL"].cell_id)
    assert_allclose(hits.sections["ECAL"].energy, expected.sections["ECAL"].energy, rtol=1e-3)
