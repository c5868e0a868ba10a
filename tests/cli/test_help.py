# SPDX-License-Identifier: BSD-3-Clause
"""Help, completion, and the commands that show what there is: list and inspect."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from helpers.command import process_command, run_command
from helpers.models.tiny_model import write_tiny_model

from fastcalo.cli.commands import own_commands
from fastcalo.detector.description import parse_detector
from fastcalo.io.showers.native import ShowerFile

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo" / "events.root"
SHOWERS = ROOT / "examples" / "data" / "em_geant4.h5"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def sub_commands():
    """Words of every command that a user can type."""
    for name, subcommand in own_commands().items():
        yield (name,)
        yield from ((name, below) for below in getattr(import_module(subcommand.module), "commands", {}))


@pytest.mark.parametrize("words", [(), *sub_commands()], ids=" ".join)
def test_every_help_has_an_example_and_the_exit_codes(words):
    done = run_command(*words, "-h")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_command(*words, "--help").stdout
    assert re.search(rf"Examples?:\n +(mpiexec -n \d+ )?fastcalo {' '.join(words)}", done.stdout)
    codes = dict(re.findall(r"^    (\d\S*) +(.+)$", done.stdout.partition("Exit codes:\n")[2], re.MULTILINE))
    assert list(codes) == [*"012", *("3" for _ in [0] if words in {("compare",), ("validate",), ("status",)}), "128+N"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["fastcalo", "comp"], {"compare"}),
        (["fastcalo", "fullsim", ""], {"gun", "again"}),
        (["fastcalo", "convert", "--mom"], {"--momentum-unit"}),
        (["fastcalo", "train", "--res"], {"--resume"}),
    ],
)
def test_shells_complete_commands_and_options(words, found):
    environment = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    environment = {**os.environ, "_FASTCALO_COMPLETE": "complete_bash", **environment}
    done = subprocess.run(process_command(), env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == found, done.stderr


# list and inspect


def test_list_names_what_is_shipped():
    shown, listed = run_command("list").stdout, json.loads(run_command("list", "--json").stdout)
    assert [m["name"] for m in listed["models"] if m["default"]] == ["em", "hadron", "muon"]
    em = next(m for m in listed["models"] if m["name"] == "em")
    assert (em["species"], em["kinetic_energy_gev"], em["sections"]) == ([11, -11, 22], [0.02, 100.0], ["ECAL", "HCAL"])
    assert listed["detectors"] == [{"name": "clic-like", "sections": {"ECAL": 25, "HCAL": 60}, "default": True}]
    for thing in listed["models"] + listed["detectors"]:
        assert re.search(rf"│ {thing['name']}( \*)? +│", shown)
        assert run_command("inspect", thing["name"]).returncode == 0


def test_json_of_inspect_has_what_its_text_has(tiny_model):
    done = run_command("inspect", tiny_model, "clic-like", DEMO, SHOWERS, "--json")
    model, detector, root, showers = json.loads(done.stdout)
    assert [thing["kind"] for thing in (model, detector, root, showers)] == ["model", "detector", "root", "showers"]
    assert parse_detector(detector["description"], "here").hash == detector["hash"]
    assert root["trees"]["events"]["entries"] == 300
    assert root["trees"]["events"]["particles"]["schema"] == "EDM4hep"
    with ShowerFile(SHOWERS) as file:
        assert showers["showers"] == len(file)
        assert showers["sections"]["ECAL"]["hits"] == file.hits("ECAL")[0][-1]
    text = run_command("inspect", tiny_model).stdout
    for tensor in model["inputs"] + model["outputs"]:
        assert re.search(rf"^  {tensor['name']} +{tensor['type']}", text, re.MULTILINE)
    assert model["contract"]["noise"]


def test_what_is_piped_has_no_padding_and_a_row_is_a_line():
    for words in (["inspect", "em", DEMO], ["list"], ["doctor"]):
        shown = run_command(*words).stdout
        assert not re.search(r" \n", shown)
    branches = next(line for line in run_command("inspect", DEMO).stdout.splitlines() if "branches" in line)
    assert "MCParticles.PDG" in branches
    assert "MCParticles.momentum.z" in branches
