# SPDX-License-Identifier: BSD-3-Clause
"""Job files of conversions: run as a batch system runs them, and shown in the documents as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import uproot
from helpers.files.root_files import plain, write_tree

from fastcalo.production.parts.status import production_status

ROOT = Path(__file__).parents[3]
CLUSTER = ROOT / "examples" / "cluster"


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """With a command ``fastcalo``."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "fastcalo"
    program.write_text(f'#!/bin/bash\nexec {sys.executable} -m fastcalo "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "EVENTS_PER_FILE": "8"}


@pytest.fixture
def source(tmp_path) -> Path:
    return write_tree(tmp_path / "in.root", plain(30, seed=1))


def run(environment: dict[str, str], *command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_array_of_slurm(environment, source, tmp_path):
    folder = tmp_path / "production"
    for job in ("1", "0", "1"):
        variables = {"SLURM_ARRAY_TASK_ID": job, "SLURM_ARRAY_TASK_COUNT": "2"}
        run(environment | variables, "bash", CLUSTER / "convert.slurm", source, folder)
    assert production_status(folder, check=True).complete
    assert len(list(folder.glob("hits_*.root"))) == 4
    assert len((folder / "log-1.jsonl").read_text().splitlines()) >= 3


@pytest.mark.slow
def test_jobs_of_condor(environment, source, tmp_path):
    lines = [
        line for line in (CLUSTER / "convert.condor").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert lines.pop() == "queue $(jobs)"
    commands = dict(re.fullmatch(r"(\w+) *= (.+)", line).groups() for line in lines)
    for value in commands.values():
        assert set(re.findall(r"\$\((\w+)\)", value)) <= commands.keys() | {"Process"}
    folder = tmp_path / "production"
    values = {"inputs": source, "folder": folder, "jobs": 2, "workers": 1}
    for job in (0, 1):
        words = re.sub(r"\$\((\w+)\)", lambda m, job=job: str({**values, "Process": job}[m[1]]), commands["arguments"])
        run(environment, "bash", CLUSTER / commands["executable"], *words.split())
    assert production_status(folder, check=True).complete


@pytest.mark.slow
def test_workers_of_dask(environment, source, tmp_path):
    pytest.importorskip("distributed")
    printed = run(environment, sys.executable, CLUSTER / "convert_dask.py", source, tmp_path / "production")
    assert printed.startswith("<Summary: 30 events")
    assert production_status(tmp_path / "production", check=True).complete
    assert uproot.open(tmp_path / "production" / "hits_0000.root")["Events"].num_entries == 30


@pytest.mark.parametrize("name", ["convert.slurm", "convert.condor", "convert.sh", "convert_dask.py"])
def test_the_page_shows_the_files_as_they_are(name):
    assert f"```\n{(CLUSTER / name).read_text()}```" in re.sub(
        r"^```\w+$", "```", (ROOT / "docs" / "hits" / "production.md").read_text(), flags=re.MULTILINE
    )


@pytest.mark.parametrize("name", ["convert.slurm", "convert.sh"])
def test_the_shell_understands_them(name):
    done = subprocess.run(["bash", "-n", str(CLUSTER / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
