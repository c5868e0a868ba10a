# SPDX-License-Identifier: BSD-3-Clause
"""Rows of one event that stand apart: gathered when that is asked for, in bounded memory, whatever the chunks."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.command import run_command
from helpers.files.root_files import write_rntuple, write_tree
from helpers.models.small_engine import StraightEngine
from numpy.testing import assert_array_equal

from fastcalo import convert, load_detector, open_events
from fastcalo.errors import InputError
from fastcalo.io.event_streams.batches import FileEvents
from fastcalo.io.event_streams.gather import Rows, gather_rows
from fastcalo.io.event_streams.identifiers import Identifiers
from fastcalo.io.event_streams.occurrences import Intervals


@pytest.fixture
def small_engine() -> StraightEngine:
    return StraightEngine(load_detector())


def rows_of_threads(path: Path, n_events=60, threads=4, seed=1, write=write_tree) -> tuple[Path, dict[int, list]]:
    """An ntuple whose rows are filled by threads, each of which writes its events one after the other."""
    rng = np.random.default_rng(seed)
    queues: list[list[int]] = [[] for _ in range(threads)]
    for event in range(n_events):
        queues[event % threads] += [event] * int(rng.integers(1, 6))
    numbers = []
    while any(queues):
        queue = queues[int(rng.choice([k for k, q in enumerate(queues) if q]))]
        numbers.append(queue.pop(0))
    number = np.array(numbers)
    px = np.arange(1.0, len(number) + 1)
    branches = {"event": number, "run": np.full(len(number), 7), "pdg": np.full(len(number), 22, np.int32)}
    branches |= {"px": px, "py": np.full(len(px), 0.5), "pz": np.full(len(px), 0.25)}
    expected = {int(e): px[number == e].tolist() for e in dict.fromkeys(numbers)}
    return write(path, branches), expected


def found_in(chunks) -> dict[int, list]:
    found = {}
    for events in chunks:
        for i, event in enumerate(events.event.tolist()):
            assert event not in found
            found[event] = events.momentum[events.offsets[i] : events.offsets[i + 1], 0].tolist()
    return found


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_all_rows_of_an_event_come_together_in_the_order_of_its_first_row(tmp_path, write, step, monkeypatch):
    path, expected = rows_of_threads(tmp_path / "rows.root", write=write)
    # blocks of a few rows, so that events go on in many of them
    monkeypatch.setattr("fastcalo.io.particles.tree._BLOCK", 400.0)
    found = found_in(open_events(path, gather=True).iterate(step))
    assert found == expected
    assert list(found) == list(expected)


def test_without_being_asked_they_are_refused_with_the_line_to_type(tmp_path):
    path, _ = rows_of_threads(tmp_path / "rows.root")
    with pytest.raises(InputError, match=r"do not stand together: event .* --gather-rows puts them together.*hadd"):
        list(open_events(path).iterate())


def test_the_output_is_that_of_sorted_rows_and_states_that_rows_were_gathered(tmp_path, small_engine, caplog):
    path, expected = rows_of_threads(tmp_path / "rows.root")
    order = np.concatenate([np.full(len(v), k) for k, v in expected.items()])
    px = np.concatenate(list(expected.values()))
    columns = {"event": order, "run": np.full(len(px), 7), "pdg": np.full(len(px), 22, np.int32), "px": px}
    columns |= {"py": np.full(len(px), 0.5), "pz": np.full(len(px), 0.25)}
    convert(write_tree(tmp_path / "sorted.root", columns), tmp_path / "sorted.hits.root", small_engine)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        convert(path, tmp_path / "hits.root", small_engine, gather=True, step_size=9)
    (record,) = [r for r in caplog.records if "stand together" in r.message]
    one, other = (uproot.open(tmp_path / f"{name}.root")["Events"].arrays() for name in ("hits", "sorted.hits"))
    assert one.tolist() == other.tolist()
    repeats = json.loads(str(uproot.open(tmp_path / "hits.root")["fastcalo_provenance"]))["accounts"]["repeats"]
    assert repeats["gathered"] > 20
    assert repeats["repeated"] == 0
    assert f"there were {repeats['gathered']} more places than events" in record.message


def test_rows_that_stand_together_are_not_spoken_of(tmp_path, small_engine, caplog):
    path, _ = rows_of_threads(tmp_path / "rows.root", threads=1)
    convert(path, tmp_path / "a.root", small_engine)
    with caplog.at_level(logging.WARNING):
        convert(path, tmp_path / "b.root", small_engine, gather=True)
    assert not [r for r in caplog.records if "stand together" in r.message]
    trees = [uproot.open(tmp_path / f"{name}.root")["Events"].arrays().tolist() for name in "ab"]
    assert trees[0] == trees[1]


def test_the_same_events_in_two_files_stay_two(tmp_path):
    paths = [rows_of_threads(tmp_path / f"{k}.root", seed=k)[0] for k in (1, 2)]
    (events,) = open_events(paths, gather=True).iterate(1000)
    assert events.n_events == 120
    assert len(set(events.stream.tolist())) == 120


def row_events(numbers) -> FileEvents:
    n = len(numbers)
    zero = np.zeros(n, np.int64)
    return FileEvents(
        offsets=np.arange(n + 1), pdg=np.full(n, 22, np.int32), momentum=np.ones((n, 3)), mass=np.zeros(n),
        vertex=np.zeros((n, 3)), final=np.ones(n, bool), run=zero, event=np.array(numbers), entry=np.arange(n),
    )  # fmt: skip


def test_rows_too_far_apart_are_refused_and_no_more_than_the_bound_wait():
    numbers = [5, *range(100, 160), 5]
    parts = [row_events(numbers[k : k + 10]) for k in range(0, len(numbers), 10)]
    everything = Identifiers(np.zeros(len(numbers), np.int64), np.array(numbers))
    rows = Rows("file: tree 'a'", Intervals.of(*everything.key), 62)
    assert sum(part.n_events for part in gather_rows(iter(parts), rows, most=70)) == 61
    with pytest.raises(InputError, match="file: tree 'a': the rows of event 5 lie more than 40 rows apart"):
        list(gather_rows(iter(parts), rows, most=40))


def test_the_command(tmp_path):
    path, expected = rows_of_threads(tmp_path / "rows.root", n_events=8)
    arguments = ["convert", path, "-o", tmp_path / "hits.root", "--model", "em"]
    assert run_command(*arguments).returncode != 0
    assert run_command(*arguments, "--gather-rows").returncode == 0
    assert_array_equal(uproot.open(tmp_path / "hits.root")["Events"]["event"].array(), list(expected))
