# SPDX-License-Identifier: BSD-3-Clause
"""Options of `fastcalo convert` that state what the input means."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.files.root_files import write_tree
from helpers.models.tiny_model import write_tiny_model

from fastcalo.cli import main

N = 4


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def convert(tmp_path, tiny_model, capsys):
    """Run the command; returns its exit status, what it printed, and the summary that it wrote."""

    def run(path, *options: str):
        summary = tmp_path / "summary.json"
        arguments = ["convert", path, "-o", tmp_path / "hits.root", "--overwrite", "--model", tiny_model]
        try:
            status = main([*map(str, arguments), "--summary", str(summary), *options])
        except SystemExit as done:
            status = done.code
        written = json.loads(summary.read_text()) if summary.exists() else {}
        shown = capsys.readouterr()
        return status or 0, shown.out + shown.err, written

    return run


def columns(head: str, n: int, energy: float, status: int | None = None) -> dict[str, object]:
    found: dict[str, object] = {f"{head}_pdg": [[22] * n] * N}
    found |= {f"{head}_p{axis}": [[value] * n] * N for axis, value in zip("xyz", (energy, 0.1, 0.1), strict=True)}
    return found | ({} if status is None else {f"{head}_status": [[status] * n] * N})


def test_collection(tmp_path, convert):
    path = write_tree(tmp_path / "a.root", columns("genA", 1, 5.0) | columns("genB", 2, 7.0))
    status, shown, _ = convert(path)
    assert status != 0
    assert "--collection genA" in " ".join(shown.split())
    status, shown, summary = convert(path, "--collection", "genB")
    assert status == 0
    assert summary["particles"]["count"] == 2 * N
    assert summary["particles"]["energy"] == pytest.approx(2 * N * np.sqrt(49.02))
    assert "Note: Vertices: the origin" in shown


def test_final_status(tmp_path, convert):
    path = write_tree(tmp_path / "a.root", columns("gen", 1, 5.0, status=23))
    status, shown, _ = convert(path)
    assert status != 0
    assert "23 (4 particles)" in " ".join(shown.split())
    status, _, summary = convert(path, "--final-status", "1,23")
    assert status == 0
    assert summary["reasons"]["not_final_state"]["count"] == 0
    status, shown, _ = convert(path, "--final-status", "one")
    assert status == 2
    assert "--final-status" in shown
    assert convert(path, "--branch", "status=none")[0] == 0


def test_units(tmp_path, convert):
    path = write_tree(tmp_path / "a.root", columns("gen", 1, 30e3))
    status, shown, _ = convert(path)
    assert status != 0
    assert "--momentum-unit MeV" in " ".join(shown.split())
    _, _, summary = convert(path, "--momentum-unit", "MeV", "--length-unit", "cm")
    assert summary["particles"]["energy"] == pytest.approx(N * 30.0)
    status, shown, _ = convert(path, "--momentum-unit", "mev")
    assert status == 2
    assert "unit 'mev' is not known" in " ".join(shown.split())
