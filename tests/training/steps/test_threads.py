# SPDX-License-Identifier: BSD-3-Clause
"""Number of threads where the user leaves it to fastcalo."""

from __future__ import annotations

import os

import pytest
import torch

from fastcalo.training.exchange import SingleProcess
from fastcalo.training.run import threads


@pytest.mark.parametrize(
    ("cores", "load", "ranks", "expected"),
    [
        (16, 0.3, 1, 16),
        (16, 3.9, 1, 13),
        (16, 0.0, 4, 4),
        (16, 8.2, 3, 2),
        # the node is full, or has more ranks than cores
        (16, 40.0, 1, 1),
        (2, 0.0, 6, 1),
        # a container with part of a core
        (0.5, 0.0, 1, 1),
        (3.5, 0.0, 1, 3),
    ],
)
def test_a_rank_takes_its_part_of_the_cores_that_others_leave(cores, load, ranks, expected):
    assert threads.default_threads(cores, load, ranks) == expected


def test_the_quota_of_a_container_counts(tmp_path):
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.available_cores(tmp_path) == bound
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert threads.available_cores(tmp_path) == bound
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert threads.available_cores(tmp_path) == 0.5
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("25000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert threads.available_cores(tmp_path) == 0.25


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no processes")
def test_cores_are_those_that_the_process_is_bound_to(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert threads.available_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_what_is_asked_for_goes_before_what_the_machine_can_bear(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "available_cores", lambda: 7.0)
    monkeypatch.setattr(threads, "load", lambda: 1.2)
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        threads.set_threads(2, SingleProcess())
        assert torch.get_num_threads() == 2
        # torch itself has read the variable
        threads.set_threads(0, SingleProcess())
        assert torch.get_num_threads() == 2
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", *threads._RANKS_OF_NODE):
            monkeypatch.delenv(name, raising=False)
        threads.set_threads(0, SingleProcess())
        assert torch.get_num_threads() == 6
        monkeypatch.setenv("MPI_LOCALNRANKS", "3")
        threads.set_threads(0, SingleProcess())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_load_is_that_of_the_cores_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 4.0, 1.0))
    monkeypatch.setattr(threads, "available_cores", lambda: 2.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads.load() == 1.0
