# SPDX-License-Identifier: BSD-3-Clause
"""The example of a downstream analysis, run as a user runs it, on hits of the shipped model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_tree

from fastcalo.event.events import Reason
from fastcalo.io.particles.reader import open_events
from fastcalo.production.convert import convert

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ANALYSIS = ROOT / "examples" / "analysis"
DEMO = ROOT / "examples" / "demo" / "events.root"
BRANCHES = tuple(f"ECAL_{name}" for name in ("energy", "x", "y", "z", "layer"))
NUMBER = r"([-\d.]+|nan)"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", ANALYSIS / script, *map(str, arguments)],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def hits(tmp_path_factory) -> dict[str, Path]:
    """Hits of the example collisions by two seeds, and by one with a tenth more energy."""
    folder = tmp_path_factory.mktemp("hits")
    paths = {name: folder / f"{name}.root" for name in ("one", "two", "louder")}
    for seed, name in enumerate(("one", "two")):
        convert(DEMO, paths[name], seed=seed)
    arrays = uproot.open(paths["one"])["Events"].arrays()
    arrays["ECAL_energy"] = arrays["ECAL_energy"] * np.float32(1.1)
    write_tree(paths["louder"], {name: arrays[name] for name in BRANCHES}, "Events")
    return paths


@pytest.fixture(scope="module")
def printed(hits, tmp_path_factory) -> dict[str, str]:
    """What the script prints of each file, by label."""
    picture = tmp_path_factory.mktemp("picture") / "z.png"
    done = run("z_mass.py", DEMO, *(f"{name}={path}" for name, path in hits.items()), "-o", picture)
    assert done.returncode == 0, done.stderr
    assert matplotlib.image.imread(picture).std() > 0.05
    return dict(re.findall(r"^(\w+):\n((?:  .*\n)+)", done.stdout, re.MULTILINE))


def mass(text: str) -> tuple[float, float, float, float]:
    """Mean, its error, width and generated mean."""
    found = re.search(rf"mean {NUMBER} ± {NUMBER} GeV, width {NUMBER} .* \(generated: mean {NUMBER} GeV\)", text)
    assert found, text
    mean, error, width, generated = map(float, found.groups())
    return mean, error, width, generated


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_mass_of_the_z_is_found(printed, name):
    mean, error, width, generated = mass(printed[name])
    assert 90 < generated < 92
    assert mean == pytest.approx(generated, abs=4 * error + 0.1)
    # two showers of 45 GeV, measured to some 20 % / sqrt(E)
    assert 1.5 < width < 4
    assert error < 0.4


def test_photons_are_measured(printed):
    found = re.search(rf"of all energies: \({NUMBER} ± {NUMBER}\) % / sqrt\(E/GeV\), (\d+) photons", printed["one"])
    assert found
    assert 10 < float(found[1]) < 35
    assert int(found[3]) > 100


def test_a_shift_of_energy_is_seen_because_one_constant_serves_all_files(printed):
    assert mass(printed["louder"])[0] == pytest.approx(1.1 * mass(printed["one"])[0], rel=0.01)


def test_single_photons_are_made_converted_and_analysed(tmp_path):
    events, hits, picture = tmp_path / "photons.root", tmp_path / "hits.root", tmp_path / "z.png"
    done = run("make_photons.py", events, "--photons", 120, "--seed", 3)
    assert done.returncode == 0, done.stderr
    generated = next(open_events(events).iterate(1000))
    assert generated.n_events == 120
    assert (generated.pdg == 22).all()
    assert 1 <= generated.kinetic_energy.min() < generated.kinetic_energy.max() <= 50
    summary = convert(events, hits)
    assert summary.reasons[Reason.SIMULATED].count == 120
    done = run("z_mass.py", events, f"photons={hits}", "-o", picture)
    assert done.returncode == 0, done.stderr
    assert "Z mass" not in done.stdout
    rows = re.findall(rf"of {NUMBER} GeV: resolution {NUMBER} ± {NUMBER} %, response {NUMBER}", done.stdout)
    assert len(rows) >= 3
    # the higher the energy, the better
    assert float(rows[0][1]) > float(rows[-1][1])
    assert all(float(row[3]) == pytest.approx(1, abs=0.1) for row in rows)
    assert picture.stat().st_size > 5000


def test_hits_of_other_events_are_refused(tmp_path):
    write_tree(tmp_path / "hits.root", {name: [[1.0], [2.0]] for name in BRANCHES}, "Events")
    done = run("z_mass.py", DEMO, tmp_path / "hits.root", "-o", tmp_path / "z.png")
    assert done.returncode == 1
    assert f"has 2 events, but {DEMO} has 300" in done.stderr
