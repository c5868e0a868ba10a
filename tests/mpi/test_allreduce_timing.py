# SPDX-License-Identifier: BSD-3-Clause
"""Sums over real ranks: right or not, and waiting that leaves the core to others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MPIEXEC = Path(sys.executable).with_name("mpiexec")

pytestmark = pytest.mark.mpi

HEAD = """
import time
import numpy as np
from mpi4py import MPI
from fastcalo.errors import TrainingError
from fastcalo.training.diagnostics.doctor import _sums
from fastcalo.training.distributed.allreduce_timing import check_allreduce, time_allreduce, wait_for
world = MPI.COMM_WORLD
"""


def on_ranks(ranks: int, tmp_path: Path, text: str) -> str:
    """Run a script on ranks; return what the first printed."""
    script = tmp_path / "script.py"
    script.write_text(HEAD + text)
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_sums_are_right_and_take_time(tmp_path, ranks):
    text = """
right = [check_allreduce(world, size) for size in (1, 8, 1000, 400_012)]
seconds = time_allreduce(world, (8, 1024), repeats=5)
same = world.allgather(seconds.tolist())
if not world.rank: print(all(right), seconds.shape, (seconds > 0).all(), all(s == same[0] for s in same))
"""
    assert on_ranks(ranks, tmp_path, text) == "True (2, 5) True True"


def test_a_wrong_sum_is_noticed_and_told_by_the_doctor(tmp_path):
    text = """
class Lying:
    # a world that loses what the other rank sends
    rank, size = 0, 2
    Iallreduce, Ibarrier = MPI.COMM_SELF.Iallreduce, MPI.COMM_SELF.Ibarrier
print(check_allreduce(Lying, 1000), *(f"{f.verdict}: {f.text}" for f in _sums(Lying)))
"""
    assert on_ranks(1, tmp_path, text) == "False bad: a sum of numbers over all ranks is wrong"


def test_who_waits_sleeps(tmp_path):
    text = """
before = time.process_time()
if not world.rank: time.sleep(1.5)
wait_for(world.Ibarrier(), 60, "rank 0", pause=0.01)
taken = world.gather(time.process_time() - before)
if not world.rank: print(taken[1] < 0.75)
"""
    assert on_ranks(2, tmp_path, text) == "True"


def test_who_waits_in_vain_says_for_what(tmp_path):
    text = """
try:
    if not world.rank: wait_for(MPI.COMM_SELF.Irecv(np.zeros(1), 0), 0.1, "a letter")
except TrainingError as error:
    print(error, flush=True)
    # or the launcher may end before it has read that
    time.sleep(1)
world.Barrier()
if not world.rank: world.Abort(0)
"""
    assert "while waiting for a letter" in on_ranks(1, tmp_path, text)
