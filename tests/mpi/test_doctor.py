# SPDX-License-Identifier: BSD-3-Clause
"""`fastcalo doctor` on real ranks: each verdict that can be provoked on one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastcalo.system.install import install_line
from fastcalo.training.diagnostics.doctor_gpu import check_gpus
from fastcalo.training.diagnostics.findings import RankFacts, check_binding, check_threads, check_versions, format_ranks

MPIEXEC = Path(sys.executable).with_name("mpiexec")
DOCTOR = [sys.executable, "-m", "fastcalo", "doctor"]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def examine(*options: str, ranks: int = 0, launcher: tuple[str, ...] = (), **variables: str):
    """Findings by subject, and the exit code."""
    command = [*DOCTOR, "--json", *options]
    if ranks:
        command = [str(MPIEXEC), "-n", str(ranks), *launcher, *command]
    path = f"{MPIEXEC.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    # one report, however many ranks
    findings = json.loads(done.stdout)
    verdicts = {f["subject"].split(" ")[0]: f for f in findings}
    assert all(f["verdict"] in ("good", "warning", "bad") for f in findings)
    assert all(f["mend"] for f in findings if f["verdict"] != "good")
    bad = any(f["verdict"] == "bad" for f in findings)
    # a process that others may wait for in MPI_Init ends by a signal
    assert done.returncode in ((1, -signal.SIGTERM) if bad else (0,)), done.stderr
    return verdicts, int(bad)


def python_path(first: Path) -> str:
    return f"{first}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


@pytest.mark.mpi
def test_one_process_without_a_launcher(tmp_path):
    found, code = examine("--folder", str(tmp_path))
    assert code == 0
    assert "one process" in found["MPI"]["text"]
    assert found["mpiexec"]["verdict"] == "good"
    assert str(MPIEXEC) in found["mpiexec"]["text"]
    assert "all-reduce" not in found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_under_mpiexec(ranks, tmp_path):
    found, code = examine("--folder", str(tmp_path), ranks=ranks)
    assert code == 0
    assert found["MPI"]["verdict"] == "good"
    assert ("all-reduce" in found) == (ranks > 1)
    if ranks > 1:
        assert "2 ranks, as many as were started" in found["MPI"]["text"]
        assert "sums are right" in found["all-reduce"]["text"]
        assert "GB/s" in found["all-reduce"]["text"]
        assert "seen by all ranks" in found["folder"]["text"]
        # ranks that are not bound share cores
        assert found["cores"]["verdict"] == "warning"
        assert CORES == 1 or "ranks [0, 1] may run on the same cores" in found["cores"]["text"]


@pytest.mark.mpi
@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_bound_ranks_are_good():
    found, _ = examine(ranks=2, launcher=("-bind-to", "core"))
    assert found["cores"]["verdict"] == "good"


@pytest.mark.mpi
@pytest.mark.slow
def test_more_ranks_than_cores_are_warned_of():
    found, _ = examine(ranks=CORES + 1)
    assert f"{CORES + 1} ranks on {CORES} cores" in found["cores"]["text"]


@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=[pytest.mark.mpi, pytest.mark.slow])])
def test_more_threads_than_cores_are_bad(ranks):
    found, code = examine(ranks=ranks, OMP_NUM_THREADS=str(CORES + 3))
    assert code == 1
    assert found["threads"]["verdict"] == "bad"
    assert f"(OMP_NUM_THREADS={CORES + 3})" in found["threads"]["text"]
    assert f"export OMP_NUM_THREADS={CORES}" in found["threads"]["mend"]


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_more_threads_of_all_ranks_than_cores_are_warned_of():
    found, code = examine(ranks=2, OMP_NUM_THREADS=str(CORES))
    assert code == 0
    assert found["threads"]["verdict"] == "warning"


@pytest.mark.mpi
def test_a_launcher_of_another_mpi_is_bad():
    found, code = examine(OMPI_COMM_WORLD_SIZE="4")
    assert code == 1
    assert "4 processes were started together, but MPICH" in found["MPI"]["text"]
    assert "knows of 1" in found["MPI"]["text"]


@pytest.mark.mpi
def test_of_processes_on_their_own_only_the_first_writes():
    done = subprocess.run(
        DOCTOR, capture_output=True, text=True, check=False, timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.mpi
def test_an_mpiexec_of_another_mpi_in_the_path_is_bad(tmp_path):
    script = tmp_path / "mpiexec"
    script.write_text("#!/bin/sh\necho 'mpiexec (Open MPI) 5.0.2'\n")
    script.chmod(0o755)
    found, code = examine(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert code == 1
    assert "is that of Open MPI, but mpi4py uses MPICH" in found["mpiexec"]["text"]


@pytest.mark.parametrize(("started", "verdict"), [("1", "warning"), ("4", "bad")])
def test_without_mpi4py(tmp_path, started, verdict):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py')")
    found, code = examine(PYTHONPATH=python_path(tmp_path), PMI_SIZE=started)
    assert code == (verdict == "bad")
    assert found["MPI"]["verdict"] == verdict
    assert "no mpi4py" in found["MPI"]["text"]
    assert install_line("mpi") in found["MPI"]["mend"]


def test_without_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch')")
    found, _ = examine(PYTHONPATH=python_path(tmp_path))
    assert found["threads"]["verdict"] == "good"


def test_two_onnx_runtimes_are_bad(tmp_path):
    for name in ("onnxruntime", "onnxruntime_gpu"):
        info = tmp_path / f"{name}-1.30.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.30\n")
    found, code = examine(PYTHONPATH=python_path(tmp_path))
    assert code == 1
    assert found["ONNX"]["verdict"] == "bad"
    assert "pip uninstall" in found["ONNX"]["mend"]


@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=[pytest.mark.mpi, pytest.mark.slow])])
def test_a_folder_that_is_not_there_is_bad(tmp_path, ranks):
    found, code = examine("--folder", str(tmp_path / "nothing"), ranks=ranks)
    assert code == 1
    assert "nothing cannot be written to" in found["folder"]["text"]


@pytest.mark.mpi
def test_a_folder_that_another_rank_does_not_see_is_bad(tmp_path):
    """Ranks of which each has another folder under one name: what a node without the shared file system is like."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom mpi4py import MPI\n"
        "from fastcalo.training.diagnostics import doctor\n"
        "if MPI.COMM_WORLD.rank: doctor._seen = lambda file: False\n"
        "found = doctor.diagnose(MPI.COMM_WORLD, '', Path(sys.argv[1]))\n"
        "print(*(f.verdict + ' ' + f.text for f in found if f.subject == 'folder'), end='')\n"
    )
    command = [str(MPIEXEC), "-n", "2", sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.startswith(f"bad what rank 0 writes to {tmp_path} is not seen on {os.uname().nodename}")


def test_missing_data_of_geant4_are_warned_of(tmp_path):
    found, code = examine(GEANT4_DATA_DIR=str(tmp_path / "nothing"))
    assert code == 0
    assert found["Geant4"]["verdict"] == "warning"


def test_the_report_on_a_terminal_names_verdict_and_mend():
    done = subprocess.run(
        DOCTOR, capture_output=True, text=True, check=False, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "999"}
    )
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("bad     threads on "))
    assert lines[at + 1].startswith("        → export OMP_NUM_THREADS=")


# what needs several machines, on facts as ranks would send them


def facts(
    rank, node="a", cpus=(0, 1), threads=1, versions=(("Python", "3.11"), ("torch", "2.6")), gpus=()
) -> RankFacts:
    return RankFacts(rank, node, cpus, threads, "", tuple((name, "A100") for name in gpus), versions, "")


def test_nodes_are_judged_apart():
    everyone = [facts(0), facts(1, "b"), facts(2, "b"), facts(3, "c", (0,), threads=2)]
    assert [f.verdict for f in check_binding(everyone)] == ["good", "warning", "good"]
    assert [f.verdict for f in check_threads(everyone)] == ["good", "good", "bad"]


def test_other_software_on_another_rank_is_bad():
    (found,) = check_versions([facts(0), facts(1, versions=(("Python", "3.11"), ("torch", "2.5")))])
    assert found.verdict == "bad"
    assert "ranks [1] have another version of torch than rank 0, with 2.6" in found.text


@pytest.mark.parametrize(
    ("gpus", "verdict", "text"),
    [
        (("", "", ""), "good", "no GPU"),
        (("uv", "uv", "w"), "good", "rank 0: 0 (A100), rank 1: 1 (A100)"),
        # each sees its own only, as its number 0
        (("u", "v", "w"), "good", "rank 0: 0 (A100), rank 1: 0 (A100)"),
        (("u", "u", "w"), "warning", "ranks share one"),
        (("u", "", "w"), "warning", "ranks [1] of 3 see no GPU"),
    ],
)
def test_gpus_of_ranks(gpus, verdict, text):
    everyone = [facts(k, "b" if k == 2 else "a", gpus=own) for k, own in enumerate(gpus)]
    first = next(check_gpus(everyone, driver=False))
    assert first.verdict == verdict
    assert text in first.text
    assert bool(first.mend) == (verdict != "good")


def test_a_gpu_that_torch_cannot_use_is_warned_of():
    (found,) = check_gpus([facts(0)], driver=True)
    assert found.verdict == "warning"
    assert "pytorch.org" in found.mend


def test_spans():
    assert format_ranks({5, 0, 1, 2}) == "0-2,5"
