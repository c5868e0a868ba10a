# SPDX-License-Identifier: BSD-3-Clause
"""What cannot give right numbers, or cannot fit into memory, is refused before any work is done."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from helpers.models.tiny_model import write_tiny_model

import fastcalo
from fastcalo.cli.output import printable
from fastcalo.errors import ConfigError, InputError
from fastcalo.model.random_numbers import random_streams
from fastcalo.production.convert import convert
from fastcalo.system import memory

PHOTON = {"pdg": 22, "kinetic_energy": [2.0, 5.0], "direction": [0, 0, 1], "entry": [0, 0]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fastcalo.load_model(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.mark.parametrize("entry", [[1e30, 0], [0, -2.6], [np.nan, 0], [0, np.inf]])
def test_an_entry_outside_the_cell_that_is_hit_is_refused(model, entry):
    with pytest.raises(InputError, match=r"entry must be within 2\.55 mm of the centre of the cell that is hit"):
        model.generate(**PHOTON | {"entry": entry})


def test_the_edge_of_the_cell_is_within_it(model):
    assert model.generate(**PHOTON | {"entry": [2.55, -2.55]})["ECAL"].sum() > 0


@pytest.mark.parametrize("pdg", [22.4, np.nan, np.inf, "22", None, 22 + 0j])
def test_a_code_that_is_no_whole_number_is_refused(model, pdg):
    with pytest.raises(InputError, match=r"do not fit together: (pdg must be whole numbers|they must be numbers)"):
        model.generate(**PHOTON | {"pdg": pdg})


def test_a_code_in_floating_point_is_taken(model):
    assert model.generate(**PHOTON | {"pdg": 22.0})["ECAL"].shape == (2, 25, 25, 25)


@pytest.mark.parametrize("seed", [1.5, None, "1", -1, 2**64, True])
def test_a_seed_that_is_none_is_refused(model, seed):
    with pytest.raises(InputError, match="seed must be a whole number"):
        model.generate(**PHOTON, seed=seed)


def test_a_seed_may_be_of_numpy():
    one = np.zeros(1, np.int64)
    assert random_streams(np.uint64(7), one, one, one).seed == 7


def test_windows_that_do_not_fit_into_memory_are_refused_before_any_shower_is_drawn(model, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000_000)
    before = model.network_seconds
    message = r"dense windows of 1000 showers needs about 0\.0625 GB of memory, but 0\.01 GB.*ShowerModel\.sample"
    with pytest.raises(InputError, match=message):
        model.generate(**PHOTON | {"kinetic_energy": np.full(1000, 2.0)})
    assert model.network_seconds == before
    # lists need not be refused
    assert model.generate(**PHOTON)["ECAL"].sum() > 0


def test_memory_that_is_left_is_that_of_the_machine_or_of_the_control_group(tmp_path, monkeypatch):
    assert 0 < memory.available_bytes() <= psutil.virtual_memory().total
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.available_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 3000
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nothing")
    assert memory.available_bytes() > 3000


@pytest.mark.parametrize("threads", [0, -1, 10**6, 1.5, "2"])
def test_numbers_of_threads_that_make_no_sense_are_refused(tmp_path, threads):
    with pytest.raises(ConfigError, match="threads must be a whole number from 1 to 1024"):
        fastcalo.load_model(write_tiny_model(tmp_path / "tiny.onnx"), threads=threads)


def test_a_number_of_workers_that_no_machine_bears_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="workers must be at most 1024"):
        convert("examples/demo/events.root", tmp_path / "hits.root", workers=10**6)


def test_control_characters_are_written_out():
    assert printable("a\x1b[31mred\x07\r\n\tb\x9bc\u202ed é") == "a\\x1b[31mred\\x07\\x0d\n\tb\\x9bc\\u202ed é"


def test_names_in_files_do_not_reach_the_terminal_as_they_are(tmp_path):
    path = tmp_path / "hits\x1b[2J.root"
    path.write_bytes(b"root")
    done = subprocess.run(
        [sys.executable, "-m", "fastcalo", "inspect", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 1
    assert "\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_a_name_of_a_model_does_not_reach_the_terminal_as_it_is(tmp_path):
    path = write_tiny_model(tmp_path / "tiny.onnx", name="tiny\x1b]0;title\x07")
    done = subprocess.run(
        [sys.executable, "-m", "fastcalo", "inspect", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert "tiny\\x1b]0;title\\x07" in done.stdout
    assert "\x1b" not in done.stdout


CONVERT = """
import sys
from fastcalo import FastSimulation, load_detector
from fastcalo.production.convert import convert

if __name__ == "__main__":
    engine = FastSimulation(load_detector(), sys.argv[2])
    convert([sys.argv[1]] * 40, sys.argv[3], engine, step_size=5, workers=2)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.onnx")
    script = tmp_path / "script.py"
    script.write_text(CONVERT)
    arguments = [sys.executable, str(script), "examples/demo/events.root", str(model), str(tmp_path / "hits.root")]
    limit = time.monotonic() + 100
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        workers = []
        try:
            # two workers, and the tracker of resources that multiprocessing starts
            while len(workers) < 3:
                assert process.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.1)
                workers = psutil.Process(process.pid).children(recursive=True)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(workers, timeout=60)
    for left in alive:
        left.kill()
    assert not alive
    assert len(gone) == len(workers)
