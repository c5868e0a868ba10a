# SPDX-License-Identifier: BSD-3-Clause
"""Identifiers kept as runs of consecutive numbers, and files that stay open: read once, with the same outcome."""

from __future__ import annotations

import copy
import gc
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_rntuple, write_tree
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastcalo import open_events
from fastcalo.io.event_streams.identifiers import IdentifierRuns, Identifiers
from fastcalo.io.particles import open_trees, tree
from fastcalo.io.particles.open_trees import OpenFiles

numbers = st.one_of(st.integers(0, 5), st.integers(2**64 - 4, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2))
one_event = st.tuples(st.integers(0, 1), numbers, st.integers(0, 1))
# the first of a run, and how long it is
runs_of_events = st.lists(st.tuples(one_event, st.integers(1, 6)), max_size=8)


def block_of(runs, kind=np.uint64) -> Identifiers:
    rows = [(run, (event + k) % 2**64, lumi) for (run, event, lumi), length in runs for k in range(length)]
    run, event, lumi = zip(*rows, strict=True) if rows else ((), (), ())
    return Identifiers(np.array(run, np.int64), np.array(event, np.uint64).astype(kind), np.array(lumi, np.int64))


@given(st.lists(runs_of_events, max_size=4), st.sampled_from([np.uint64, np.int64]), st.data())
def test_runs_give_back_what_they_were_made_of(blocks, kind, data):
    parts = [block_of(runs, kind) for runs in blocks]
    known = IdentifierRuns()
    for part in parts:
        known.add(part, part.begins())
    total = sum(len(part) for part in parts)
    if not total:
        return
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    found = known.of(range(start, stop))
    for name in ("run", "event", "luminosity_block"):
        column = np.concatenate([getattr(part, name) for part in parts])[start:stop]
        assert getattr(found, name).dtype == column.dtype
        assert_array_equal(getattr(found, name), column)
    assert found.repeat is None


def test_consecutive_numbers_are_one_run_and_random_ones_are_forgotten():
    known = IdentifierRuns(limit=100)
    block = Identifiers(np.ones(10_000, np.int64), np.arange(10_000))
    known.add(block, block.begins())
    assert known.limit == 99
    random = Identifiers(np.ones(500, np.int64), np.random.default_rng(1).permutation(500))
    known.add(random, random.begins())
    assert not known.complete
    with pytest.raises(LookupError):
        known.of(range(10))


def write_events(path: Path, event, write=write_tree, **more) -> Path:
    n = len(event)
    branches = {name: ak.Array([[value]] * n) for name, value in {"pdg": 22, "px": 3.0, "py": 0.1, "pz": 0.2}.items()}
    return write(path, branches | {"event": np.asarray(event), "run": np.ones(n, np.int32)} | more)


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_identifiers_are_read_once_where_they_are_consecutive(tmp_path, write, monkeypatch):
    reader = open_events(write_events(tmp_path / "a.root", np.arange(50) + 7, write))
    read = []
    original = tree.OpenTree.read
    monkeypatch.setattr(tree.OpenTree, "read", lambda self, b, e: (read.append(b), original(self, b, e))[1])
    (events,) = reader.iterate(100)
    assert_array_equal(events.event, np.arange(50) + 7)
    assert_array_equal(events.run, 1)
    assert sorted(read) == ["event", "pdg", "px", "py", "pz", "run"]


def test_a_file_is_looked_at_once_by_opening_identifiers_and_events(tmp_path, monkeypatch):
    path = write_events(tmp_path / "a.root", np.arange(50))
    opened = []
    original = uproot.open
    monkeypatch.setattr(uproot, "open", lambda *a, **k: (opened.append(a), original(*a, **k))[1])
    reader = open_events([path])
    assert sum(events.n_events for events in reader.iterate(20)) == 50
    assert sum(events.n_events for events in reader.iterate(20)) == 50
    assert len(opened) == 1


def test_few_files_stay_open_and_all_are_closed_with_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(open_trees, "_MOST_FILES", 2)
    paths = [write_events(tmp_path / f"{k}.root", np.arange(5) + 10 * k) for k in range(4)]
    reader = open_events(paths)
    (events,) = reader.iterate(100)
    assert events.n_events == 20
    files = [file.root.file for file, _ in reader._open._files.values()]
    assert len(files) == 2
    assert not any(file.closed for file in files)
    assert next(copy.deepcopy(reader).iterate(100)).n_events == 20
    del reader
    gc.collect()
    assert all(file.closed for file in files)


def test_a_file_that_is_being_read_is_not_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(open_trees, "_MOST_FILES", 0)
    paths = [str(write_events(tmp_path / f"{k}.root", np.arange(5))) for k in range(2)]
    files = OpenFiles()
    with files.open(paths[0]) as one:
        with files.open(paths[1]) as other, files.open(paths[0]) as again:
            assert again is one
        assert other.root.file.closed
        assert one.tree("events").n_entries == 5
    assert one.root.file.closed
