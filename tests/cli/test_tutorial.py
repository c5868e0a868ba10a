# SPDX-License-Identifier: BSD-3-Clause
"""The tutorial notebook: runs from above to below, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "tutorial" / "tutorial.ipynb"


def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text())["cells"]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    (tmp_path / "events.root").symlink_to(ROOT / "examples" / "demo" / "events.root")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells()):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec")
            exec(code, names)
    assert (tmp_path / "production" / "hits_0001.root").exists()


def test_it_is_kept_without_outputs():
    for cell in cells():
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert json.loads(NOTEBOOK.read_text())["nbformat"] == 4
