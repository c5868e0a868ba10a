# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration, run as a newcomer runs it."""

import subprocess
import sys
from pathlib import Path

import awkward as ak
import matplotlib.image
import pytest
import uproot

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_makes_hits_and_pictures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO / "demo.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    events, hits = uproot.open(DEMO / "events.root")["events"], uproot.open(tmp_path / "hits.root")["Events"]
    assert hits.num_entries == events.num_entries
    energy = hits["ECAL_energy"].array()
    # an electron of 45 GeV leaves more than one GeV in the silicon, and most of these events have two of them
    assert ak.sum(ak.sum(energy, axis=1) > 1.0) > events.num_entries / 3

    for name in ("event.png", "profile.png"):
        image = matplotlib.image.imread(tmp_path / name)
        assert image.shape[0] > 400
        assert image.std() > 0.05, f"{name} is blank"
