# SPDX-License-Identifier: BSD-3-Clause
"""What is written is read back, by uproot and by ROOT, and appears only when it is whole."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastcalo.errors import InputError, OutputError
from fastcalo.event.events import Reason
from fastcalo.event.hits import Hits, SectionHits
from fastcalo.event.reasons import NEVER_REJECTED
from fastcalo.io.atomic import whole_file
from fastcalo.io.event_streams.batches import FileEvents
from fastcalo.io.hits import root_tree as trees
from fastcalo.io.hits.writer import HitsWriter, RejectedWriter, identifier_types
from fastcalo.io.particles.reader import open_events

SECTIONS = ("ECAL", "HCAL")
WITH_BLOCKS = identifier_types({"luminosity_block": np.int64}, repeat=False)
TYPES = {"cell_id": "uint64", "energy": "float32", "x": "float32", "y": "float32", "z": "float32", "layer": "int16"}


def make(n_events: int, hits_per_event: int = 20, seed: int = 0, first: int = 0) -> tuple[FileEvents, Hits]:
    """Random events, and hits that could be theirs."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 6, n_events))])
    n = int(offsets[-1])
    number = np.arange(first, first + n_events)
    events = FileEvents(
        offsets=offsets,
        pdg=rng.choice([11, 22, 211], n).astype(np.int32),
        momentum=rng.normal(size=(n, 3)),
        mass=rng.uniform(0.001, 1, n),
        vertex=rng.normal(size=(n, 3)),
        final=rng.random(n) < 0.8,
        run=number // 100,
        event=number,
        entry=number,
        luminosity_block=number % 7,
    )
    sections = {name: random_hits(rng, n_events, hits_per_event) for name in SECTIONS}
    return events, Hits(
        sections,
        events.run,
        events.event,
        rng.choice(list(Reason), n).astype(np.int8),
        offsets,
        events.luminosity_block,
    )


def random_hits(rng: np.random.Generator, n_events: int, most: int) -> SectionHits:
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, most + 1, n_events))])
    n = int(offsets[-1])
    return SectionHits(
        offsets=offsets,
        cell_id=rng.integers(0, 2**64, n, dtype=np.uint64),
        energy=rng.exponential(1e-3, n).astype(np.float32),
        position=rng.normal(0, 1e3, (n, 3)).astype(np.float32),
        layer=rng.integers(0, 60, n).astype(np.int16),
    )


def check(path, made) -> None:
    """Compare a file with all that was written to it."""
    with uproot.open(path) as file:
        tree = file["Events"].arrays()
    for name in SECTIONS:
        parts = [hits.sections[name] for _, hits in made]
        assert_array_equal(tree[f"n{name}"], np.concatenate([np.diff(part.offsets) for part in parts]))
        for key, kind in TYPES.items():
            axis = "xyz".find(key)
            wanted = [part.position[:, axis] if axis >= 0 else getattr(part, key) for part in parts]
            got = ak.flatten(tree[f"{name}_{key}"])
            assert got.type.content.primitive == kind
            assert_array_equal(got, np.concatenate(wanted))
    assert_array_equal(tree["event"], np.concatenate([events.event for events, _ in made]))
    assert_array_equal(tree["run"], np.concatenate([events.run for events, _ in made]))


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), max_size=5),
    basket=st.sampled_from([1, 50, 1 << 17]),
    held=st.sampled_from([1, 40, 1 << 14]),
)
def test_hits_come_back_however_they_are_cut(tmp_path_factory, sizes, basket, held):
    path = tmp_path_factory.mktemp("hits") / "hits.root"
    made = [make(n, seed=i, first=100 * i) for i, n in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "_BASKET_ROWS", basket)
        patch.setattr(trees, "_BASKET_EVENTS", held)
        with HitsWriter(path, SECTIONS) as writer:
            for events, hits in made:
                writer.write(events, hits)
    check(path, made or [make(0)])


def test_particles_are_counted_by_reason_in_every_event(tmp_path):
    events, hits = make(50)
    with HitsWriter(tmp_path / "hits.root", SECTIONS, identifiers=WITH_BLOCKS) as writer:
        writer.write(events, hits)
    tree = uproot.open(tmp_path / "hits.root")["Events"].arrays()
    for reason in Reason:
        wanted = [(hits.reason[a:b] == reason).sum() for a, b in pairwise(events.offsets)]
        assert_array_equal(tree[f"particles_{reason.name.lower()}"], wanted)
    assert_array_equal(tree["luminosityBlock"], events.luminosity_block)


def test_a_section_without_hits_has_empty_lists(tmp_path):
    events, hits = make(5)
    only = replace(hits, sections={"ECAL": hits.sections["ECAL"]})
    with HitsWriter(tmp_path / "hits.root", SECTIONS) as writer:
        writer.write(events, only)
    tree = uproot.open(tmp_path / "hits.root")["Events"].arrays()
    assert_array_equal(tree["nHCAL"], 0)
    assert ak.sum(tree["nECAL"]) > 0


def test_baskets_are_neither_tiny_nor_huge(tmp_path):
    path = tmp_path / "hits.root"
    with HitsWriter(path, SECTIONS) as writer:
        for i in range(300):
            writer.write(*make(10, seed=i))
        writer.write(*make(20, hits_per_event=100_000))
    branch = uproot.open(path)["Events"]["ECAL_cell_id"]
    rows = [ak.count(branch.array(entry_start=a, entry_stop=b)) for a, b in pairwise(branch.entry_offsets)]
    assert len(rows) < 20
    assert max(rows) <= (1 << 17) + 100_000


def test_provenance_is_kept(tmp_path):
    with HitsWriter(tmp_path / "hits.root", SECTIONS) as writer:
        writer.provenance["seed"] = 7
        writer.provenance["model"] = {"name": "µ" * 1000}
    text = str(uproot.open(tmp_path / "hits.root")["fastcalo_provenance"])
    assert json.loads(text) == {"seed": 7, "model": {"name": "µ" * 1000}}


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3), step=st.integers(1, 50))
def test_rejected_particles_are_read_back(tmp_path_factory, sizes, step):
    path = tmp_path_factory.mktemp("rejected") / "rejected.root"
    made = [make(n, seed=i, first=100 * i) for i, n in enumerate(sizes)]
    with RejectedWriter(path, identifiers=WITH_BLOCKS) as writer:
        for events, hits in made:
            writer.write(events, hits.reason)
    chunks = list(open_events(path).iterate(step))
    chosen = [~np.isin(hits.reason, NEVER_REJECTED) for _, hits in made]
    for name in ("pdg", "momentum", "mass", "vertex"):
        wanted = np.concatenate([getattr(events, name)[mask] for (events, _), mask in zip(made, chosen, strict=True)])
        got = [getattr(chunk, name) for chunk in chunks]
        assert_array_equal(np.concatenate([wanted[:0], *got]), wanted)
    for name in ("run", "event", "luminosity_block"):
        wanted = np.concatenate([getattr(events, name) for events, _ in made])
        assert_array_equal(np.concatenate([wanted[:0], *[getattr(chunk, name) for chunk in chunks]]), wanted)
    assert all(chunk.final.all() for chunk in chunks)
    tree = uproot.open(path)["Events"].arrays()
    index = np.concatenate([events.index_in_event[mask] for (events, _), mask in zip(made, chosen, strict=True)])
    assert_array_equal(ak.flatten(tree["index"]), index)
    reasons = np.concatenate([hits.reason[mask] for (_, hits), mask in zip(made, chosen, strict=True)])
    assert_array_equal(ak.flatten(tree["reason"]), reasons)


# read back with ROOT

ROOT_SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ROOT

def look(path):
    file = ROOT.TFile.Open(path)
    tree = file.Get("Events")
    fold = "ULong64_t all = 0; for (auto cell : ECAL_cell_id) all ^= cell; return all;"
    frame = ROOT.RDataFrame("Events", path).Define("cells", fold)
    names = [branch.GetName() for branch in tree.GetListOfBranches()]
    sums = {name: frame.Sum(name) for name in names if not name.endswith("cell_id")}
    cells = frame.Take["ULong64_t"]("cells")
    by_hand = 0.0
    for entry in range(tree.GetEntries()):
        tree.GetEntry(entry)
        by_hand += sum(tree.ECAL_energy)
    folded = 0
    for value in cells.GetValue():
        folded ^= int(value)
    return {
        "entries": int(tree.GetEntries()),
        "types": {name: str(tree.GetLeaf(name).GetTypeName()) for name in names},
        "sums": {name: float(total.GetValue()) for name, total in sums.items()},
        "by_hand": by_hand,
        "folded": folded,
        "provenance": str(file.Get("fastcalo_provenance").GetString()),
    }

print(json.dumps([look(path) for path in sys.argv[1:]]))
"""


def look_with_root(*paths) -> list[dict]:
    # in a process of its own: ROOT takes over signals, and changes how others import
    command = [sys.executable, "-c", ROOT_SCRIPT, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.root
def test_root_reads_back_what_was_written(tmp_path, monkeypatch):
    path = tmp_path / "hits.root"
    # several baskets, longer lists in later ones
    monkeypatch.setattr(trees, "_BASKET_ROWS", 500)
    made = [make(40, hits_per_event=20 * (i + 1), seed=i, first=40 * i) for i in range(5)]
    with HitsWriter(path, SECTIONS) as writer:
        for events, hits in made:
            writer.write(events, hits)
        writer.provenance["seed"] = 3
    with HitsWriter(tmp_path / "none.root", SECTIONS):
        pass
    found, nothing = look_with_root(path, tmp_path / "none.root")
    assert nothing["entries"] == 0
    assert nothing["types"] == found["types"]
    assert found["entries"] == 200
    assert json.loads(found["provenance"]) == {"seed": 3}
    expected = {"cell_id": "ULong64_t", "energy": "Float_t", "layer": "Short_t"}
    expected |= dict.fromkeys("xyz", "Float_t")
    for name in SECTIONS:
        parts = [hits.sections[name] for _, hits in made]
        assert found["sums"][f"n{name}"] == sum(len(part.energy) for part in parts)
        for key, kind in expected.items():
            assert found["types"][f"{name}_{key}"] == kind
        energy = sum(part.energy.sum(dtype=float) for part in parts)
        assert found["sums"][f"{name}_energy"] == pytest.approx(energy, rel=1e-12)
        assert found["sums"][f"{name}_layer"] == sum(part.layer.sum(dtype=int) for part in parts)
        for axis, key in enumerate("xyz"):
            total = sum(part.position[:, axis].sum(dtype=float) for part in parts)
            assert found["sums"][f"{name}_{key}"] == pytest.approx(total, rel=1e-9, abs=1e-6)
    assert found["by_hand"] == pytest.approx(found["sums"]["ECAL_energy"], rel=1e-12)
    cells = np.concatenate([hits.sections["ECAL"].cell_id for _, hits in made])
    assert found["folded"] == int(np.bitwise_xor.reduce(cells))
    assert found["types"]["event"] == "Long64_t"
    assert found["sums"]["event"] == sum(range(200))
    for reason in Reason:
        counted = sum((hits.reason == reason).sum() for _, hits in made)
        assert found["sums"][f"particles_{reason.name.lower()}"] == counted


# whole, or not at all


@contextmanager
def files_no_larger_than(limit: int):
    """A full disk, as far as this process can see: the kernel refuses to let any file grow beyond the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 10_000, 300_000])
def test_a_full_disk_leaves_nothing(tmp_path, limit):
    def write() -> None:
        with HitsWriter(tmp_path / "hits.root", SECTIONS) as writer:
            for i in range(100):
                writer.write(*make(100, hits_per_event=200, seed=i))

    with (
        files_no_larger_than(limit),
        pytest.raises(OutputError, match=r"hits\.root: cannot be written: File too large"),
    ):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_nothing(tmp_path, error):
    path = tmp_path / "hits.root"
    path.write_text("precious")

    def write() -> None:
        with HitsWriter(path, SECTIONS, overwrite=True) as writer:
            writer.write(*make(10))
            assert len(list(tmp_path.iterdir())) == 2
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "precious"


def test_an_existing_file_is_replaced_only_if_asked_for(tmp_path):
    path = tmp_path / "hits.root"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"exists already; give another name, or ask to overwrite it \(--overwrite\)"):
        HitsWriter(path, SECTIONS).__enter__()
    with HitsWriter(path, SECTIONS, overwrite=True) as writer:
        writer.write(*make(10))
        assert path.read_text() == "precious"
    assert uproot.open(path)["Events"].num_entries == 10


def test_folders_that_cannot_be_written_to(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        HitsWriter(tmp_path / "none" / "hits.root", SECTIONS).__enter__()
    with pytest.raises(OutputError, match="is a folder"):
        HitsWriter(tmp_path, SECTIONS).__enter__()
    with pytest.raises(OutputError, match="cannot be written"):
        HitsWriter("/proc/self/hits.root", SECTIONS).__enter__()


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    with whole_file(tmp_path / "a") as temporary:
        temporary.touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_hits_of_other_events_are_refused(tmp_path):
    events, hits = make(10)
    other, _ = make(9)
    with (
        pytest.raises(InputError, match="hits of 10 events"),
        HitsWriter(tmp_path / "hits.root", SECTIONS) as writer,
    ):
        writer.write(other, hits)
    with (
        pytest.raises(InputError, match="'luminosityBlock', but the events have none"),
        HitsWriter(tmp_path / "hits.root", SECTIONS, identifiers=WITH_BLOCKS) as writer,
    ):
        writer.write(FileEvents(**{**vars(events), "luminosity_block": None}), hits)
    assert list(tmp_path.iterdir()) == []
