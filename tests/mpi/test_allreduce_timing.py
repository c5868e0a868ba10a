# SPDX-License-Identifier: BSD-3-Clause
"""Sums over real ranks: right or not, and waiting that leaves the core to others."""

from __future__ import annotations

import json
import sys

import pytest
from helpers.mpi import script

pytestmark = pytest.mark.mpi

# everything in one start of three ranks: starting takes longer than all of it
SCRIPT = """
import json, time
import numpy as np
from mpi4py import MPI
from fastcalo.training.diagnostics.doctor import _sums
from fastcalo.training.distributed.allreduce_timing import check_allreduce, time_allreduce, wait_for
world, found = MPI.COMM_WORLD, {}

for ranks in (1, 2, 3):
    part = world.Split(0 if world.rank < ranks else MPI.UNDEFINED)
    if part:
        right = [check_allreduce(part, size) for size in (1, 8, 1000, 400_012)]
        seconds = time_allreduce(part, (8, 1024), repeats=5)
        same = part.allgather(seconds.tolist())
        found[f"sums {ranks}"] = [all(right), seconds.shape, bool((seconds > 0).all()), all(s == same[0] for s in same)]

class Lying:
    # a world that loses what the other rank sends
    rank, size = 0, 2
    Iallreduce, Ibarrier = MPI.COMM_SELF.Iallreduce, MPI.COMM_SELF.Ibarrier
found["lying"] = [check_allreduce(Lying, 1000), *(f"{f.verdict}: {f.text}" for f in _sums(Lying))]

world.Barrier()
before = time.process_time()
if not world.rank: time.sleep(1.5)
wait_for(world.Ibarrier(), 60, "rank 0", pause=0.01)
found["seconds of a waiting rank"] = world.gather(time.process_time() - before)
if not world.rank: print(json.dumps(found))
"""

IN_VAIN = """
import time
import numpy as np
from mpi4py import MPI
from fastcalo.errors import TrainingError
from fastcalo.training.distributed.allreduce_timing import wait_for
try:
    wait_for(MPI.COMM_SELF.Irecv(np.zeros(1), 0), 0.1, "a letter")
except TrainingError as error:
    print(error, flush=True)
    # or the launcher may end before it has read that
    time.sleep(1)
MPI.COMM_WORLD.Abort(0)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, list]:
    """What three ranks have found."""
    done = script(3, SCRIPT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_sums_are_right_and_take_time(found, ranks):
    assert found[f"sums {ranks}"] == [True, [2, 5], True, True]


def test_a_wrong_sum_is_noticed_and_reported_by_the_doctor(found):
    assert found["lying"] == [False, "bad: a sum of numbers over all ranks is wrong"]


def test_who_waits_sleeps(found):
    assert found["seconds of a waiting rank"][1] < 0.75


def test_a_wait_in_vain_is_reported_with_what_it_was_for():
    # ends by MPI_Abort, of whose status a forked process may not report in time
    done = script(1, IN_VAIN, python=[sys.executable])
    assert done.returncode == 0, done.stderr
    assert "while waiting for a letter" in done.stdout
