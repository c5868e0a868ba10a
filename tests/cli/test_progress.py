# SPDX-License-Identifier: BSD-3-Clause
"""What commands report while they work, and to readers who leave."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.models.tiny_model import write_tiny_model

from fastcalo.cli import output
from fastcalo.cli.output import ProgressLines

PARTICLES = Path(__file__).parents[1] / "data" / "edm4hep_ttree.root"


def test_progress_is_reported_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: clock[0])
    lines = ProgressLines("events")
    for clock[0], done in ((1.0, 100), (20.0, 200), (31.0, 400), (40.0, 450), (61.0, 700)):
        lines(done, 1000)
    printed = capsys.readouterr().err.splitlines()
    assert printed == ["events: 400/1000, 10 per second, 1.0 min left", "events: 700/1000, 10 per second, 0.5 min left"]


def test_progress_without_pace_is_reported_too(capsys, monkeypatch):
    monkeypatch.setattr(output, "SAY_AGAIN_S", 0.0)
    ProgressLines("events")(0, 0)
    assert capsys.readouterr().err == "events: 0/0\n"


def test_a_broken_pipe_loses_neither_summary_nor_status(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.onnx")
    read, write = os.pipe()
    os.close(read)
    hits, summary = tmp_path / "hits.root", tmp_path / "summary.json"
    arguments = ["convert", PARTICLES, "-o", hits, "--model", model, "--summary", summary]
    done = subprocess.run(
        [sys.executable, "-m", "fastcalo", *map(str, arguments)],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=100,
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 0
    assert hits.exists()
    assert summary.exists()
