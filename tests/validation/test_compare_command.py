# SPDX-License-Identifier: BSD-3-Clause
"""Command fastcalo compare."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.command import run_command
from helpers.files.hit_files import Content

from fastcalo import compare


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return Content().write(tmp_path_factory.mktemp("full") / "full.root")


def retyped(c: Content) -> None:
    c.set("energy", c.column("energy").astype(np.float64))


def louder(c: Content) -> None:
    c.set("energy", c.column("energy") * np.float32(1.1))


# the command


def test_the_command_prints_and_writes(full, tmp_path):
    fast = Content(spread=0.2)
    louder(fast)
    fast.write(tmp_path / "fast.root")
    folder = tmp_path / "a" / "b"
    done = run_command("compare", full, tmp_path / "fast.root", "-o", folder)
    # the schemas are the same, but there is too much energy
    assert done.returncode == 3, done.stderr
    assert done.stderr == ""
    assert re.search(r"^NOT KEPT: ECAL.energy.p_value = \d.*e-\d+, min 1e-06$", done.stdout, re.MULTILINE)
    assert re.search(r"^Physics: \d+ of \d+ limits are not kept: the physics differs$", done.stdout, re.MULTILINE)
    assert "no difference: what reads one file reads the other" in done.stdout
    assert "ECAL: all events (60)" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "comparison.png"]
    written = json.loads((folder / "comparison.json").read_text())
    assert written["drop_in"] is True
    assert written["kept"] is False
    missed = {v["name"] for v in written["verdicts"] if not v["kept"]}
    assert "ECAL.energy.p_value" in missed
    assert not [name for name in missed if name.startswith("HCAL")]
    assert written["physics"]["sections"]["ECAL"]["energy"]["ratio"] == pytest.approx(1.1, abs=0.05)
    assert matplotlib.image.imread(folder / "comparison.png").std() > 0.05
    # a second time it replaces what it wrote
    assert run_command("compare", full, full, "-o", folder).returncode == 0
    assert json.loads((folder / "comparison.json").read_text())["kept"] is True


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('"*.hits.ratio" = { min = 1, max = 1 }', 0),
        ('"ECAL.energy.ratio" = { max = 1.2 }', 0),
        ('"ECAL.energy.ratio" = { max = 1.05, sigmas = 1000 }', 0),
        ('"*.energy.ratio" = { max = 1.05 }', 3),
        ('"*.p_value" = { min = 1e-3 }', 3),
        ('"HCAL.hits.p_value" = { min = 1e-3 }', 0),
        ('"ECAL.energy.correlation" = { min = 0.5 }\n"ECAL.event_hits.p_value" = { min = 1 }', 0),
        # of 60 events, too few to test so many bins
        ('"ECAL.cells.p_value" = { min = 0 }', 3),
        ('"ECAL.energi.ratio" = { max = 2 }', "no such number in this comparison; the nearest known one is"),
        ('"alike.ECAL.energy.ratio" = { max = 2 }', "no such number in this comparison"),
        ('"ECAL.energy.ratio" = { max_over_floor = 2 }', "unknown key"),
        ('"ECAL.energy.ratio" = { sigmas = 2 }', "must be a table with one or more of max, min"),
    ],
)
def test_limits_on_the_physics(full, tmp_path, text, status):
    fast = Content(spread=0.2)
    louder(fast)
    fast.write(tmp_path / "fast.root")
    (tmp_path / "limits.toml").write_text(f"[limits]\n{text}\n")
    done = run_command("compare", full, tmp_path / "fast.root", "--limits", tmp_path / "limits.toml")
    assert done.returncode == (status if isinstance(status, int) else 1), done.stdout + done.stderr
    if isinstance(status, str):
        assert status in done.stderr


def test_a_number_for_which_there_are_too_few_events_keeps_no_limit(tmp_path):
    path = Content(3).write(tmp_path / "few.root")
    (tmp_path / "limits.toml").write_text('[limits]\n"ECAL.hits.correlation" = { min = -1 }\n')
    single = Content(1).write(tmp_path / "single.root")
    assert compare(path, path, limits=tmp_path / "limits.toml").kept
    assert not compare(single, single, limits=tmp_path / "limits.toml").kept


def bare_energies(c: Content) -> None:
    c.provenance, c.lists = None, {name: (o, {"energy": columns["energy"]}) for name, (o, columns) in c.lists.items()}


def layers_as_floats(c: Content) -> None:
    c.provenance = None
    c.set("layer", c.column("layer").astype(np.float32))


@pytest.mark.parametrize("spoil", [bare_energies, layers_as_floats])
def test_files_of_others_are_drawn_as_far_as_they_go(tmp_path, spoil):
    content = Content()
    spoil(content)
    path = content.write(tmp_path / "other.root")
    done = run_command("compare", path, path, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000


def test_the_command_writes_to_a_folder_only(full, tmp_path):
    (tmp_path / "file").touch()
    done = run_command("compare", full, full, "-o", tmp_path / "file")
    assert done.returncode == 1
    assert "is a file; give the name of a folder" in done.stderr


def test_the_command_ends_with_1_where_schemas_differ(full, tmp_path):
    spoilt = Content()
    retyped(spoilt)
    spoilt.write(tmp_path / "fast.root")
    done = run_command("compare", full, tmp_path / "fast.root", "--json")
    assert done.returncode == 1
    written = json.loads(done.stdout)
    assert written["drop_in"] is False
    assert written["schema_differences"] == [
        "tree 'Events': branch 'ECAL_energy': float[] in FULL, but double[] in FAST"
    ]


def test_the_command_refuses_a_cut_file_in_one_line(full, tmp_path):
    path = tmp_path / "fast.root"
    path.write_bytes(full.read_bytes()[:3000])
    done = run_command("compare", full, path)
    assert done.returncode == 1
    assert done.stderr.startswith("fastcalo: error: ")
    assert "fast.root: is cut short" in done.stderr
    assert done.stderr.count("\n") == 1
