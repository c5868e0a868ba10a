# SPDX-License-Identifier: BSD-3-Clause
"""Memory that showers take is reported before a training begins."""

from __future__ import annotations

import logging

import pytest
from helpers.files.shower_files import write_real
from helpers.trainings.tiny_training import tiny_config, write_data

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError
from fastcalo.training.data import memory
from fastcalo.training.data.showers import ShowerData
from fastcalo.training.exchange import SingleProcess
from fastcalo.training.trainer import run_stages


class Node(SingleProcess):
    """One of several ranks of a node that need the same."""

    def __init__(self, size: int) -> None:
        self.size = size

    def on_node(self, fact: str) -> tuple[int, list[str]]:
        return 0, [fact] * self.size


def opened(tmp_path, **options) -> ShowerData:
    return ShowerData([write_real(tmp_path / "a.h5", 120)], load_detector(), ("ECAL",), (11, -11, 22), **options)


def in_memory(data: ShowerData) -> int:
    """Bytes of the arrays of all showers."""
    return sum(array.nbytes for array in vars(data._load([(0, len(data))])).values())


@pytest.mark.parametrize(("pool", "ranks", "pieces"), [(1000, 1, 1), (1000, 3, 1), (40, 1, 3)])
def test_the_estimate_is_what_the_arrays_take(tmp_path, pool, ranks, pieces):
    data = opened(tmp_path, pool=pool)
    # of several pieces two are there, and of a piece half is there twice for a moment
    expected = in_memory(data) / ranks * (1.5 if pieces == 1 else 2.5 / pieces)
    assert memory.showers_bytes(data, ranks) == pytest.approx(expected, rel=0.2)


def test_showers_that_do_not_fit_are_refused_with_the_numbers(tmp_path, monkeypatch):
    data = opened(tmp_path)
    size = memory.showers_bytes(data, 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: size * 9 // 10)
    with pytest.raises(InputError, match=r"120 showers take about \S+ GB of memory, .*lower data\.pool \(now 60000"):
        memory.check_showers_fit(data, SingleProcess())
    # together, ranks of a node take what one would
    with pytest.raises(InputError, match="on each of 3 ranks of this node"):
        memory.check_showers_fit(data, Node(3))


def test_a_training_is_refused_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"lower data\.pool"):
        run_stages(tiny_config(write_data(tmp_path)), run)
    assert not run.exists()


def test_what_takes_much_is_reported_and_what_takes_little_is_not_measured(tmp_path, monkeypatch, caplog):
    data = opened(tmp_path)
    size = memory.showers_bytes(data, 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: size + 1)
    with caplog.at_level(logging.INFO, memory.__name__):
        memory.check_showers_fit(data, SingleProcess())
    (record,) = caplog.records
    assert (record.levelname, "120 showers take about" in record.message) == ("WARNING", True)
    caplog.clear()
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 60)
    monkeypatch.setattr(memory, "showers_bytes", lambda *_: pytest.fail("was measured"))
    with caplog.at_level(logging.INFO, memory.__name__):
        memory.check_showers_fit(data, SingleProcess())
    assert not caplog.records
