# SPDX-License-Identifier: BSD-3-Clause
"""Options of ``fastcalo train``: where it trains, what it reports."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import torch
from helpers.command import process_command, run_command
from helpers.mpi import ENVIRONMENT, MPIEXEC, write_config
from helpers.shower_files import write_real

from fastcalo import train

LINE = re.compile(r"(\[rank (\d)/(\d)\] )?(INFO|WARNING) (fastcalo[\w.]*): (.*)")
RANKS = [0, pytest.param(2, marks=pytest.mark.mpi)]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 30)
    write_real(folder / "b.h5", 30, start=500)
    return write_config(folder / "run.toml", folder, "layers", steps=4)


def fastcalo(ranks, *arguments, verbose=()):
    if not ranks:
        return run_command(*verbose, "train", *arguments)
    command = [str(MPIEXEC), "-n", str(ranks), *process_command(*verbose, "train", *arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)


@pytest.mark.parametrize("ranks", RANKS)
def test_lines_of_the_log_say_which_rank_they_are_from(config, tmp_path, ranks):
    done = fastcalo(ranks, config, "-o", tmp_path / "run", verbose=["-v"])
    assert done.returncode == 0, done.stderr
    lines = [found for text in done.stderr.splitlines() if (found := LINE.fullmatch(text))]
    told = [(found[2], found[3]) for found in lines if found[6] == "stage layers: 60 showers, from step 0 to 4"]
    assert sorted(told) == ([(str(rank), str(ranks)) for rank in range(ranks)] if ranks else [(None, None)])
    # no line without one where there are several
    assert all(bool(found[1]) == bool(ranks) for found in lines)


@pytest.mark.parametrize("ranks", RANKS)
def test_the_device_may_be_given_on_the_command_line(config, tmp_path, ranks):
    run = tmp_path / "run"
    if not torch.cuda.is_available():
        done = fastcalo(ranks, config, "-o", run, "--device", "cuda")
        assert done.returncode != 0
        assert "device = 'cuda', but torch" in done.stderr
        assert "choose 'auto' or 'cpu'" in done.stderr
        assert not (run / "config.json").exists()
    done = fastcalo(ranks, config, "-o", run, "--device", "cpu", "--tensorboard")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "config.json").read_text())["device"] == "cpu"
    # one file, of the first rank
    assert len(list((run / "tensorboard" / "layers").iterdir())) == 1


def test_a_device_that_does_not_exist_is_refused(config, tmp_path):
    done = fastcalo(0, config, "-o", tmp_path / "run", "--device", "tpu")
    assert done.returncode == 1
    assert "argument: device: must be one of 'auto', 'cpu', 'cuda', but is 'tpu'" in done.stderr


def test_the_function_does_what_the_command_does(config, tmp_path):
    """The same run, numbers of the same steps, and a timeline, from Python."""
    lines, progress = [], []
    result = train(
        config,
        tmp_path / "function",
        trace=tmp_path / "function.json",
        report=lambda *line: lines.append(line),
        progress=lambda *done: progress.append(done),
    )
    done = fastcalo(0, config, "-o", tmp_path / "command", "--trace", tmp_path / "command.json")
    assert done.returncode == 0, done.stderr
    names = []
    for way in ("function", "command"):
        events = json.loads((tmp_path / f"{way}.json").read_text())["traceEvents"]
        names.append({event["name"] for event in events if event["ph"] == "X"})
    assert names[0] == names[1] != set()
    assert progress[-1] == (4, 4)
    assert (lines[-1][:3], result.metrics["layers"]) == (("layers", 4, 4), lines[-1][3])
    last = ", ".join(f"{key} {value:.4g}" for key, value in lines[-1][3].items() if "second" not in key)
    assert f"layers 4/4: {last}" in done.stdout
    weights = [
        torch.load(tmp_path / way / "layers.pt", weights_only=True)["networks"] for way in ("function", "command")
    ]
    for name, values in weights[0].items():
        assert all(torch.equal(value, weights[1][name][key]) for key, value in values.items())
