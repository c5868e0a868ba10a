# SPDX-License-Identifier: BSD-3-Clause
"""ONNX Runtime: which one is there, and how many threads it takes."""

import os
import subprocess
import sys
from pathlib import Path

import lazy_loader
import pytest
from helpers.models.tiny_model import write_tiny_model

from fastcalo.errors import ConfigError
from fastcalo.model.onnx_session import available_cores, open_session

ROOT = Path(__file__).parents[3]
STATES = """
from fastcalo.errors import MissingDependencyError
from fastcalo.model.onnx_session import import_onnxruntime
try:
    print("found", import_onnxruntime().__version__)
except MissingDependencyError as error:
    print("refused:", error)
"""
# what limits threads on this machine is no concern of the tests that set it themselves
PLAIN = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")}


def python(code, *options, **environment):
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**PLAIN, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout


def only_lazy_loader(folder):
    """A folder in which nothing but what ``import fastcalo`` needs is installed."""
    folder.mkdir()
    (folder / "lazy_loader").symlink_to(Path(lazy_loader.__file__).parent)
    return f"{folder}{os.pathsep}{ROOT}"


def distribution(folder, name):
    """What pip leaves behind of an installed distribution."""
    place = folder / f"{name.replace('-', '_')}-1.20.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.20.0\n")
    return f"{folder}{os.pathsep}{ROOT}"


# --- which one


def test_one_distribution_is_found():
    assert python(STATES).startswith("found 1.")


def test_both_distributions_are_refused_with_the_way_out(tmp_path):
    answer = python(STATES, PYTHONPATH=distribution(tmp_path, "onnxruntime-gpu"))
    assert answer.startswith("refused: onnxruntime and onnxruntime-gpu are both installed")
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in answer


def test_without_any_distribution_the_extra_is_named(tmp_path):
    # without site-packages nothing is installed
    answer = python(STATES, "-S", PYTHONPATH=only_lazy_loader(tmp_path / "site"))
    assert answer.startswith("refused: ")
    assert "pip install 'fastcalo[cpu]'" in answer


def test_a_distribution_whose_files_are_gone_is_refused(tmp_path):
    path = f"{distribution(tmp_path, 'onnxruntime-gpu')}{os.pathsep}{only_lazy_loader(tmp_path / 'site')}"
    answer = python(STATES, "-S", PYTHONPATH=path)
    assert answer.startswith("refused: ")
    assert "or gpu in place of cpu" in answer


# --- how many threads

CORES = "from fastcalo.model.onnx_session import available_cores; print(available_cores())"
affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity of processes")


def test_cores_are_at_least_one_and_at_most_the_machines():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@affinity
def test_a_process_bound_to_one_core_has_one():
    core = min(os.sched_getaffinity(0))
    assert int(python(f"import os; os.sched_setaffinity(0, {{{core}}}); {CORES}")) == 1


@pytest.mark.parametrize("variable", ["SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"])
def test_the_batch_systems_word_limits_the_cores(variable):
    free = int(python(CORES))
    assert int(python(CORES, **{variable: "1"})) == 1
    assert int(python(CORES, **{variable: "4096"})) == free


@pytest.mark.parametrize("value", ["", "0", "many", "-2", "4,2"])
def test_what_is_no_number_of_cores_limits_nothing(value):
    assert python(CORES, SLURM_CPUS_PER_TASK=value) == python(CORES)


# psutil counts the threads of the system, whoever has started them
COUNT = """
import os, pathlib, sys
{bind}
import numpy, onnxruntime, psutil
from fastcalo.model.onnx_session import open_session
before = psutil.Process().num_threads()
session = open_session(pathlib.Path(sys.argv[1]), {threads})
print(psutil.Process().num_threads() - before)
"""
BIND = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"


def started(path, threads, bind=""):
    code = COUNT.replace("sys.argv[1]", repr(str(path))).format(bind=bind, threads=threads)
    return int(python(code))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_session_has_the_threads_that_are_asked_for(tiny, threads):
    # the thread that asks works, too
    assert started(tiny, threads) == threads - 1


@affinity
def test_left_alone_a_session_in_a_cpuset_of_one_core_starts_no_thread(tiny):
    assert started(tiny, None, BIND) == 0


@affinity
def test_more_threads_than_a_cpuset_has_cores_are_no_error(tiny):
    assert started(tiny, 3, BIND) == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(tiny, threads):
    with pytest.raises(ConfigError, match=f"threads must be a whole number from 1 to 1024, not {threads}"):
        open_session(tiny, threads)


def test_a_session_runs_on_the_processor_where_there_is_nothing_else(tiny):
    assert open_session(tiny, 1).get_providers()[-1] == "CPUExecutionProvider"
