# SPDX-License-Identifier: BSD-3-Clause
"""Options of ``fastcalo train``: where it trains, what it reports."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import torch
from helpers.command import run_command
from helpers.files.shower_files import write_real
from helpers.fork_server import forked_python
from helpers.mpi import ENVIRONMENT, MPIEXEC, write_config

from fastcalo import train
from fastcalo.training.trainer import load_run

LINE = re.compile(r"(\[rank (\d)/(\d)\] )?(INFO|WARNING) (fastcalo[\w.]*): (.*)")
RANKS = [0, pytest.param(2, marks=pytest.mark.mpi)]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 30)
    write_real(folder / "b.h5", 30, start=500)
    return write_config(folder / "run.toml", folder, "layers", steps=4)


def train_words(*arguments):
    """One rank of a command, where warnings are errors."""
    return [*forked_python(), "-W", "error", "-m", "fastcalo", *map(str, arguments)]


def fastcalo(ranks, *arguments, verbose=()):
    if not ranks:
        return run_command(*verbose, "train", *arguments)
    command = [str(MPIEXEC), "-n", str(ranks), *train_words(*verbose, "train", *arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)


@pytest.mark.parametrize("ranks", RANKS)
def test_lines_of_the_log_have_the_rank_they_are_from(config, tmp_path, ranks):
    done = fastcalo(ranks, config, "-o", tmp_path / "run", verbose=["-v"])
    assert done.returncode == 0, done.stderr
    lines = [found for text in done.stderr.splitlines() if (found := LINE.fullmatch(text))]
    ranks_of_lines = [
        (found[2], found[3]) for found in lines if found[6] == "stage layers: 60 showers, from step 0 to 4"
    ]
    assert sorted(ranks_of_lines) == ([(str(rank), str(ranks)) for rank in range(ranks)] if ranks else [(None, None)])
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


# values in place of the file's


def recorded(run):
    return json.loads((run / "config.json").read_text())


def test_values_of_the_command_line_are_trained_with_and_recorded(config, tmp_path):
    run = tmp_path / "run"
    options = ["--steps", 3, "--set", "stage.layers.batch=10", "--set", "species=[22, 11]", "--set", "name=other"]
    done = fastcalo(0, config, "-o", run, *options)
    assert done.returncode == 0, done.stderr
    found = recorded(run)
    (stage,) = found["stage"]
    assert (stage["steps"], stage["batch"], found["species"], found["name"]) == (3, 10, [22, 11], "other")
    assert found["origin"] == {
        "file": str(config),
        "set": {"stage.layers.steps": 3, "stage.layers.batch": 10, "species": [22, 11], "name": "other"},
    }
    assert load_run(run)[0].stage[0].steps == 3
    # a run may go on for longer, as its message states, and is finished then
    done = fastcalo(0, config, "-o", run, *options, "--set", "stage.layers.steps=5", "--resume")
    assert done.returncode == 0, done.stderr
    assert recorded(run)["origin"]["set"]["stage.layers.steps"] == 5
    assert load_run(run)[0].stage[0].steps == 5
    # without them, it is another training
    done = fastcalo(0, config, "-o", run, "--resume")
    assert "was trained with another name, species" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "stage.layers.stepz=5"], "stage.layers.stepz: unknown key; the nearest known one is 'steps'"),
        (["--set", "stage.hits.steps=5"], "stage.hits.steps: unknown key; known are layers"),
        (["--set", "stage.layers.steps=5.5"], "stage.layers.steps: must be a whole number"),
        (["--set", "stage.layers.steps=true"], "stage.layers.steps: must be a whole number"),
        (["--set", "stage.layers.steps=many"], "stage.layers.steps: must be a whole number"),
        (["--set", "stage.layers.steps=0"], "stage.layers.steps: must be at least 1"),
        (["--set", "seed=1", "--set", "seed=2"], "seed stands there twice"),
        (["--set", "seed"], "--set 'seed': must be KEY=VALUE"),
        (["--set", "stage=[1]"], "stage: is more than one value"),
        (["--set", "network=3"], "network: is more than one value"),
        (["--set", "species=[]"], "species: must hold at least 1"),
        (["--steps", "0"], "--steps"),
    ],
)
def test_values_that_cannot_be_are_refused_as_those_of_a_file(config, tmp_path, options, message):
    done = fastcalo(0, config, "-o", tmp_path / "run", *options)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_steps_are_those_of_the_stages_that_are_run(config, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(config.read_text() + HITS)
    for stage, steps in (("layers", 2), ("hits", 3)):
        done = fastcalo(0, file, "-o", tmp_path / "run", "--stage", stage, "--steps", steps)
        assert done.returncode == 0, done.stderr
    assert [(s["name"], s["steps"]) for s in recorded(tmp_path / "run")["stage"]] == [("layers", 2), ("hits", 3)]
    assert load_run(tmp_path / "run")[0].stage[1].steps == 3


HITS = """
[[stage]]
name = "hits"
steps = 4
batch = 12
warmup = 2
evaluate_every = 1000
"""


def test_a_shipped_configuration_goes_by_its_name(config, tmp_path):
    own = json.dumps([f"{config.parent}/{name}.h5" for name in "ab"])
    values = {"data.train": own, "data.test": own, "stage.layers.batch": 12, "network.layer_width": 16}
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    done = fastcalo(0, "em-hits", "-o", tmp_path / "run", "--stage", "layers", "--steps", 2, "--threads", 1, *options)
    assert done.returncode == 0, done.stderr
    assert recorded(tmp_path / "run")["name"] == "em-hits"
    done = fastcalo(0, "hadrn", "-o", tmp_path / "other")
    assert "no configuration of that name; the nearest known one is 'hadron'" in done.stderr


# a start that fails


@pytest.mark.parametrize("ranks", RANKS)
def test_a_start_that_fails_leaves_no_folder_and_the_next_one_works(config, tmp_path, ranks):
    run = tmp_path / "run"
    done = fastcalo(ranks, config, "-o", run, "--set", "data.train=['$FASTCALO_NO_SUCH_VARIABLE/a.h5']")
    assert done.returncode != 0
    assert "names an environment variable that is not set" in done.stderr
    assert not run.exists()


@pytest.mark.mpi
def test_a_start_that_fails_on_one_rank_only_leaves_no_folder(config, tmp_path):
    words = train_words("train", config, "-o", tmp_path / "run", "--set", "data.train=['$SHOWERS/a.h5']")
    parts = [str(MPIEXEC)]
    # the first has seen nothing wrong, and made the folder
    for folder in (config.parent, tmp_path):
        parts += [":"] * (len(parts) > 1) + ["-n", "1", "-env", "SHOWERS", str(folder), *words]
    done = subprocess.run(parts, capture_output=True, text=True, check=False, timeout=100, env=ENVIRONMENT)
    assert done.returncode != 0
    assert f"error on rank 1 of 2: {config}: there is no file {tmp_path}/a.h5" in done.stderr
    assert not (tmp_path / "run").exists()


def test_other_files_in_the_folder_of_a_start_that_fails_stay(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    done = fastcalo(0, config, "-o", tmp_path / "run", "--set", "data.train=['/nowhere/a.h5']")
    assert done.returncode != 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
