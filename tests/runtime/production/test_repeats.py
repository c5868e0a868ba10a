# SPDX-License-Identifier: BSD-3-Clause
"""Events whose identifiers come again: showers of their own, whatever the chunk, the workers and the order of files."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from itertools import count
from pathlib import Path
from uuid import UUID

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_rntuple, write_tree
from helpers.models.tiny_model import FRACTION, write_tiny_model
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import FastSimulation, convert, load_detector, open_events
from fastcalo.event.digests import event_digest
from fastcalo.production.merge import merge
from fastcalo.validation.hits.compare import compare

DETECTOR = load_detector()
PHOTON = {"pdg": 22, "px": 20.0, "py": 0.3, "pz": 0.2}
MASK = 2**64 - 1


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> FastSimulation:
    """An engine whose showers are its photon's energy times 0.5 + u."""
    return FastSimulation(DETECTOR, write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


def photons(path: Path, event, run=None, lumi=None, write=write_tree) -> Path:
    """A file of one photon per event; without event numbers if these are only a count."""
    n = event if isinstance(event, int) else len(event)
    branches = {name: ak.Array([[value]] * n) for name, value in PHOTON.items()}
    given = {"run": run, "event": None if isinstance(event, int) else event, "luminosityBlock": lumi}
    for name, values in given.items():
        if values is not None:
            branches[name] = np.asarray(values)
    return write(path, branches)


def sums(path: Path) -> np.ndarray:
    """Energy of each event, GeV."""
    tree = uproot.open(path)["Events"]
    return ak.to_numpy(ak.sum(ak.values_astype(tree["ECAL_energy"].array(), np.float64), axis=1))


def warnings(caplog) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def accounts(path: Path) -> dict:
    return json.loads(str(uproot.open(path)["fastcalo_provenance"]))["accounts"]


def mixed(x: int) -> int:
    """SplitMix64's finaliser, number by number."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def word_of(path: Path, tree: str = "events") -> int:
    identity = uproot.open(path).file.uuid.bytes + tree.encode()
    return int.from_bytes(hashlib.sha256(identity).digest()[:8], "little")


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_two_hundred_photons_of_one_event_number(tmp_path, engine, caplog, write):
    source = photons(tmp_path / "same.root", np.zeros(200, np.int64), write=write)
    with caplog.at_level(logging.WARNING):
        summary = convert(source, tmp_path / "hits.root", engine, seed=4)
    energy = sums(tmp_path / "hits.root") / FRACTION / 20.0
    assert len(np.unique(energy)) == 200
    # uniform between 0.5 and 1.5
    assert_allclose(energy.mean(), 1, atol=3 * np.sqrt(1 / 12 / 200))
    assert_allclose(energy.std(), np.sqrt(1 / 12), rtol=0.15)
    (record,) = warnings(caplog)
    assert "199 of 200 events bear a run, luminosity block and event number that came before" in record.message
    expected = {"repeated": 199, "within_a_file": 199, "in_several_files": 0, "event_numbers": True}
    assert summary.repeats == expected == accounts(tmp_path / "hits.root")["repeats"]


def test_words_within_a_file_follow_the_rule_and_need_no_uuid(tmp_path):
    source = photons(tmp_path / "in.root", [5, 6, 5, 7, 5, 6], run=np.full(6, 3))
    (events,) = open_events(source).iterate(10)
    occurrence = [0, 0, 1, 0, 2, 1]
    words = [mixed(mixed(0) ^ k) if k else 0 for k in occurrence]
    assert events.repeat.tolist() == words
    plain = [mixed(mixed(3) ^ event) for event in events.event.tolist()]
    expected = [mixed(digest ^ word) if word else digest for digest, word in zip(plain, words, strict=True)]
    assert events.stream.tolist() == expected == events.random_keys[0].tolist()


def test_words_of_numbers_in_several_files_follow_the_rule(tmp_path):
    paths = [photons(tmp_path / f"{i}.root", numbers) for i, numbers in enumerate([[1, 2, 2], [2, 3], [9]])]
    (events,) = open_events(paths).iterate(10)
    keyed = [(None, 0), (0, 0), (0, 1), (1, 0), (None, 0), (None, 0)]
    words = [0 if file is None else mixed(mixed(word_of(paths[file])) ^ k) for file, k in keyed]
    assert events.repeat.tolist() == words


def test_ten_jobs_in_any_order_in_any_chunks_with_any_workers(tmp_path, engine, caplog, monkeypatch):
    # with new UUIDs in every run, two of 200 random numbers of 24 bits would be the same in some of them
    numbers = count(1)
    monkeypatch.setitem(uproot.create.defaults, "uuid_function", lambda: UUID(int=next(numbers)))
    paths = [photons(tmp_path / f"{i}.root", np.arange(20)) for i in range(10)]
    runs = {
        "first": (paths, {}),
        "reversed": (paths[::-1], {}),
        "small": (paths, {"step_size": 7}),
        "large": (paths, {"step_size": 1000}),
        "workers": (paths, {"step_size": 33, "workers": 2}),
    }
    found = {}
    for name, (inputs, options) in runs.items():
        caplog.clear()
        convert(inputs, tmp_path / f"{name}.out.root", engine, seed=1, **options)
        found[name] = sums(tmp_path / f"{name}.out.root")
        (record,) = warnings(caplog)
        assert "180 of 200 events" in record.message
        assert "180 in another file" in record.message
    assert len(np.unique(found["first"])) == 200
    assert_array_equal(found["reversed"].reshape(10, 20)[::-1].ravel(), found["first"])
    for name in ("small", "large", "workers"):
        assert_array_equal(found[name], found["first"])


def test_numbers_that_come_once_keep_their_showers(tmp_path, engine):
    both = [photons(tmp_path / "a.root", [1, 2, 3, 3]), photons(tmp_path / "b.root", [3, 4, 5, 6])]
    convert(photons(tmp_path / "once.root", [1, 2, 4, 5, 6]), tmp_path / "once.out.root", engine)
    convert(both, tmp_path / "both.out.root", engine)
    assert_array_equal(sums(tmp_path / "both.out.root")[[0, 1, 5, 6, 7]], sums(tmp_path / "once.out.root"))
    assert len(np.unique(sums(tmp_path / "both.out.root"))) == 8
    assert "fastcalo_repeat" not in uproot.open(tmp_path / "once.out.root")["Events"].keys()  # noqa: SIM118


def test_copies_of_a_file_differ_and_their_order_does_not_matter(tmp_path, engine):
    one = photons(tmp_path / "one.root", np.arange(20))
    other = Path(shutil.copy(one, tmp_path / "other.root"))
    for name, inputs in {"one": [one, other], "other": [other, one], "twice": [one, one]}.items():
        convert(inputs, tmp_path / f"{name}.out.root", engine)
    found = sums(tmp_path / "one.out.root")
    assert len(np.unique(found)) == 40
    assert_array_equal(sums(tmp_path / "other.out.root"), found)
    assert_array_equal(sums(tmp_path / "twice.out.root"), found)


def test_files_of_one_uuid_are_distinguished_by_their_particles(tmp_path, engine):
    one = photons(tmp_path / "one.root", np.arange(20))
    branches = {name: ak.Array([[value]] * 20) for name, value in (PHOTON | {"px": 10.0}).items()}
    other = write_tree(tmp_path / "other.root", branches | {"event": np.arange(20)})
    uuids = [uproot.open(path).file.uuid.bytes for path in (one, other)]
    other.write_bytes(other.read_bytes().replace(uuids[1], uuids[0]))
    assert uproot.open(other).file.uuid.bytes == uuids[0]
    convert([one, other], tmp_path / "a.root", engine)
    convert([other, one], tmp_path / "b.root", engine)
    a, b = sums(tmp_path / "a.root"), sums(tmp_path / "b.root")
    assert len(np.unique(np.round(np.concatenate([a[:20], 2 * a[20:]]), 6))) > 38
    assert_array_equal(np.roll(b, 20), a)


def test_the_luminosity_block_is_part_of_the_key(tmp_path, engine, caplog):
    convert(photons(tmp_path / "in.root", np.zeros(8, int), lumi=np.arange(8)), tmp_path / "hits.root", engine)
    assert not warnings(caplog)
    assert len(np.unique(sums(tmp_path / "hits.root"))) == 8
    assert accounts(tmp_path / "hits.root")["repeats"]["repeated"] == 0


def test_a_luminosity_block_of_zero_counts_as_none(tmp_path, engine):
    convert(photons(tmp_path / "in.root", np.arange(8)), tmp_path / "without.root", engine)
    convert(photons(tmp_path / "in0.root", np.arange(8), lumi=np.zeros(8, int)), tmp_path / "zero.root", engine)
    assert_array_equal(sums(tmp_path / "zero.root"), sums(tmp_path / "without.root"))


def test_digests_of_events_by_hand():
    run, event, block, word = 7, 2**64 - 1, 11, 2**63 + 5
    given = [np.array([x], np.uint64) for x in (run, event, block, word)]
    assert event_digest(given[0], given[1]).item() == mixed(mixed(run) ^ event)
    with_block = mixed(mixed(mixed(run) ^ block) ^ event)
    assert event_digest(*given[:3]).item() == with_block
    assert event_digest(*given).item() == mixed(with_block ^ word)
    # the examples of docs/models/models.md
    assert mixed(0) == 0xE220A8397B1DCDAF
    seven, answer, three = (np.array([x]) for x in (7, 42, 3))
    assert event_digest(seven, answer).item() == 0x6EAB8625DF268FBC
    assert event_digest(seven, answer, three).item() == 0x4F1091D3CBB321DC


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_numbers_of_64_bits_come_out_as_they_went_in(tmp_path, engine, write):
    numbers = np.array([2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    source = photons(tmp_path / "in.root", numbers, run=np.ones(3, np.uint32), lumi=numbers[::-1], write=write)
    convert(source, tmp_path / "hits.root", engine, rejected=tmp_path / "rejected.root")
    for path in (tmp_path / "hits.root", tmp_path / "rejected.root"):
        tree = uproot.open(path)["Events"]
        assert tree["event"].array().tolist() == numbers.tolist()
        assert tree["luminosityBlock"].array().tolist() == numbers[::-1].tolist()


def test_files_of_other_types_of_numbers_are_one_input(tmp_path, engine):
    large = photons(tmp_path / "large.root", np.array([2**64 - 1], np.uint64))
    small = photons(tmp_path / "small.root", np.arange(3, dtype=np.int32))
    convert([small, large], tmp_path / "hits.root", engine)
    assert uproot.open(tmp_path / "hits.root")["Events"]["event"].array().tolist() == [0, 1, 2, 2**64 - 1]


def test_negative_numbers_stay_negative(tmp_path, engine):
    convert(photons(tmp_path / "in.root", np.array([-1, -(2**63)])), tmp_path / "hits.root", engine)
    assert uproot.open(tmp_path / "hits.root")["Events"]["event"].array().tolist() == [-1, -(2**63)]


def test_files_without_event_numbers_differ_whatever_their_order(tmp_path, engine, caplog):
    paths = [photons(tmp_path / f"{i}.root", 20) for i in range(3)]
    convert(paths, tmp_path / "a.root", engine)
    convert(paths[::-1], tmp_path / "b.root", engine)
    a, b = sums(tmp_path / "a.root"), sums(tmp_path / "b.root")
    assert len(np.unique(a)) == 60
    assert_array_equal(b.reshape(3, 20)[::-1].ravel(), a)
    assert not warnings(caplog)
    assert uproot.open(tmp_path / "a.root")["Events"]["event"].array().tolist() == list(range(60))


def test_rows_of_one_event_are_no_repetition(tmp_path, engine):
    n = 60
    flat = {name: np.full(n, value) for name, value in PHOTON.items()} | {"event": np.arange(n) // 3}
    summary = convert(write_tree(tmp_path / "flat.root", flat), tmp_path / "hits.root", engine)
    assert summary.events == 20
    assert summary.repeats["repeated"] == 0


def test_repeated_events_are_paired_by_their_occurrence(tmp_path, engine):
    paths = [photons(tmp_path / f"{i}.root", np.arange(5)) for i in range(2)]
    for name, inputs in {"one": paths, "again": paths, "swapped": paths[::-1]}.items():
        convert(inputs, tmp_path / f"{name}.out.root", engine)
    same = compare(tmp_path / "one.out.root", tmp_path / "again.out.root")
    assert same.drop_in
    assert same.physics is not None
    (line,) = compare(tmp_path / "one.out.root", tmp_path / "swapped.out.root").differences
    assert "the same events, in another order" in line
    assert "fastcalo_repeat" in line


def test_refused_particles_of_repeated_events_are_merged_with_their_own(tmp_path, engine):
    n = 12
    columns = {name: ak.Array([[value, value]] * n) for name, value in PHOTON.items()}
    # energies of the second, for which there is no model, distinguish the events
    columns["pdg"] = ak.Array([[22, 211]] * n)
    columns["px"] = ak.Array([[20.0, 5.0 + i] for i in range(n)])
    source = write_tree(tmp_path / "in.root", columns | {"event": np.arange(n) % 3})
    pion = FastSimulation(DETECTOR, "hadron")
    convert(source, tmp_path / "hits.root", engine, rejected=tmp_path / "rejected.root")
    rest = convert(tmp_path / "rejected.root", tmp_path / "rest.root", pion)
    # the rejected file states which is which, and nothing is repeated any more
    assert rest.repeats["repeated"] == 0
    merge(tmp_path / "hits.root", tmp_path / "rest.root", tmp_path / "all.root")
    trees = [uproot.open(tmp_path / f"{name}.root")["Events"] for name in ("hits", "rest", "all")]
    words = [tree["fastcalo_repeat"].array().tolist() for tree in trees]
    assert words[0] == words[1] == words[2]
    assert words[0] == [mixed(mixed(0) ^ (i // 3)) if i >= 3 else 0 for i in range(n)]
    parts = [sums(tmp_path / f"{name}.root") for name in ("hits", "rest", "all")]
    assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-6)
