# SPDX-License-Identifier: BSD-3-Clause
"""What is refused or reported while particles are read, instead of wrong numbers in silence."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_rntuple, write_tree
from helpers.models.small_engine import StraightEngine
from numpy.testing import assert_array_equal

from fastcalo import Reason, convert, load_detector
from fastcalo.errors import InputError
from fastcalo.io.particles.reader import open_events
from fastcalo.io.particles.schemas import SchemaOverrides
from fastcalo.simulation.acceptance import first_reason

N = 10


@pytest.fixture
def small_engine() -> StraightEngine:
    return StraightEngine(load_detector())


def with_status(*codes: int) -> dict[str, object]:
    n = len(codes)
    momenta = {f"p{axis}": [[5.0] * n] * N for axis in "xyz"}
    return {"pdg": [[22] * n] * N, "status": [list(codes)] * N, **momenta}


# final state


def test_nothing_final_states_the_codes_and_what_to_type(tmp_path):
    path = write_tree(tmp_path / "a.root", with_status(-62, 91, 23))
    with pytest.raises(InputError) as caught:
        list(open_events(path).iterate())
    text = str(caught.value)
    for part in ("none of 'status' is 1", "-62 (10 particles)", "91 (10", "23 (10", "--final-status", "status=none"):
        assert part in text
    chosen = SchemaOverrides(final_status=(23, 91))
    assert_array_equal(next(open_events(path, chosen).iterate(1)).final, [False, True, True])


def test_each_file_must_have_final_particles(tmp_path):
    good = write_tree(tmp_path / "a.root", with_status(1, 2))
    bad = write_tree(tmp_path / "b.root", with_status(2, 3))
    with pytest.raises(InputError, match=r"b\.root: tree 'events': no particle is final"):
        list(open_events([good, bad]).iterate())
    # a file without any particle lacks nothing
    none = {name: ak.values_astype(ak.Array([[], []]), np.int32) for name in ("pdg", "px", "py", "pz", "status")}
    assert next(open_events(write_tree(tmp_path / "c.root", none)).iterate()).n_particles == 0


def test_nothing_is_written_where_nothing_is_final(tmp_path, small_engine):
    path = write_tree(tmp_path / "a.root", with_status(-62, 91))
    with pytest.raises(InputError, match="no particle is final"):
        convert(path, tmp_path / "hits.root", small_engine)
    assert [file.name for file in tmp_path.iterdir()] == ["a.root"]


def test_final_particles_of_merged_backgrounds_are_reported(tmp_path):
    path = write_tree(tmp_path / "a.root", with_status(1, 2, 1001, 2001))
    (note,) = open_events(path).notes
    assert "--final-status 1,1001,2001" in note
    assert open_events(path, SchemaOverrides(final_status=(1, 1001, 2001))).notes == ()


# events


@pytest.mark.parametrize("events", [[0, 1, 0, 1], [3, 3, 4, 4, 3]])
@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_rows_of_an_event_that_do_not_stand_together_are_refused(tmp_path, events, write):
    n = len(events)
    rows = {"event": np.array(events, np.int32), "pdg": np.full(n, 22, np.int32)}
    rows |= {f"p{axis}": np.arange(1.0, n + 1) for axis in "xyz"}
    reader = open_events(write(tmp_path / "rows.root", rows))
    with pytest.raises(InputError, match=f"do not stand together: event {events[0]} comes in 2 places"):
        list(reader.iterate())
    rows["event"] = np.sort(rows["event"])
    (chunk,) = open_events(write(tmp_path / "sorted.root", rows)).iterate()
    assert_array_equal(chunk.event, np.unique(events))


def test_event_numbers_up_to_64_bits_come_out_as_they_went_in(tmp_path, small_engine):
    numbers = np.array([2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    branches = {"event": numbers, "pdg": np.full(3, 22, np.int32), **{f"p{axis}": np.ones(3) for axis in "xyz"}}
    convert(write_tree(tmp_path / "a.root", branches), tmp_path / "hits.root", small_engine)
    with uproot.open(tmp_path / "hits.root") as file:
        found = file["Events"]["event"].array(library="np")
    assert found.dtype == np.uint64
    assert_array_equal(found, numbers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e30, 2.5, 1e19])
@pytest.mark.parametrize("role", ["event", "run"])
def test_numbers_of_events_that_are_none_are_refused_with_their_entry(tmp_path, bad, role):
    branches = {role: np.array([1.0, 2.0, bad]), "pdg": np.full(3, 22, np.int32)}
    path = write_tree(tmp_path / "a.root", branches | {f"p{axis}": np.ones(3) for axis in "xyz"})
    with pytest.raises(InputError, match=rf"entry 2: '{role}' is .*--branch {role}=none"):
        list(open_events(path).iterate())
    assert next(open_events(path, SchemaOverrides({role: "none"})).iterate()).n_events == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e30, 22.4, 3e9])
def test_codes_that_are_none_are_counted_as_bad_numbers(tmp_path, bad):
    branches = {"pdg": [[22.0, bad]], **{f"p{axis}": [[1.0, 1.0]] for axis in "xyz"}}
    (events,) = open_events(write_tree(tmp_path / "a.root", branches)).iterate()
    assert_array_equal(events.pdg, [22, 0])
    assert_array_equal(first_reason(events, np.ones(2, np.bool_)), [Reason.SIMULATED, Reason.BAD_NUMBERS])


def test_particles_without_momentum_have_a_reason_of_their_own(tmp_path):
    momenta = {"px": [[0.0, 0, 0, 5]], "py": [[0.0, 0, 0, 0]], "pz": [[0.0, 0, np.nan, 0]]}
    (events,) = open_events(write_tree(tmp_path / "a.root", {"pdg": [[22, 2212, 22, 22]], **momenta})).iterate()
    reasons = first_reason(events, np.ones(4, np.bool_))
    assert_array_equal(reasons, [Reason.AT_REST, Reason.AT_REST, Reason.BAD_NUMBERS, Reason.SIMULATED])
    assert Reason.AT_REST.text == "at rest (no momentum)"


# RNTuples


def test_fields_of_an_rntuple_are_looked_at_once(tmp_path, monkeypatch):
    many = {f"other_{i}": np.zeros(3, np.float32) for i in range(300)}
    path = write_rntuple(
        tmp_path / "a.root",
        {"pdg": [[22], [11, 11], []], **many} | {f"p{axis}": [[1.0], [2.0, 3.0], []] for axis in "xyz"},
    )

    def slow(*_args: object, **_options: object) -> None:
        raise AssertionError("goes through all fields, for each of them")

    for name in ("keys", "iteritems", "num_entries_for", "to_akform"):
        monkeypatch.setattr(uproot.behaviors.RNTuple.HasFields, name, slow)
    (events,) = open_events([path, path]).iterate()
    assert_array_equal(events.momentum[:, 0], [1, 2, 3] * 2)
    assert_array_equal(np.diff(events.offsets), [1, 2, 0] * 2)


def test_clusters_of_an_rntuple_are_joined(tmp_path):
    rng = np.random.default_rng(1)
    path, parts = tmp_path / "a.root", []
    with uproot.recreate(path) as file:
        for k in range(5):
            counts = rng.integers(0, 4, 7)
            parts.append({name: ak.unflatten(rng.normal(size=counts.sum()), counts) for name in ("px", "py", "pz")})
            parts[-1]["pdg"] = ak.unflatten(np.full(counts.sum(), 22, np.int32), counts)
            parts[-1]["event"] = np.arange(7 * k, 7 * k + 7, dtype=np.uint64)
            file.mkrntuple("events", parts[-1]) if k == 0 else file["events"].extend(parts[-1])
    for step in (1, 5, 100):
        chunks = list(open_events(path).iterate(step))
        for name, axis in (("px", 0), ("pz", 2)):
            wanted = np.concatenate([ak.to_numpy(ak.flatten(part[name])) for part in parts])
            assert_array_equal(np.concatenate([chunk.momentum[:, axis] for chunk in chunks]), wanted)
        assert_array_equal(np.concatenate([chunk.event for chunk in chunks]), np.arange(35))


def test_an_rntuple_of_a_release_candidate_is_reported(tmp_path):
    path = tmp_path / "a.root"
    anchor = uproot.to_writable("the anchor")
    # uproot takes the name of the class in the file from that in Python
    anchor.__class__ = type("Model_ROOT_3a3a_Experimental_3a3a_RNTuple", (type(anchor),), {})
    with uproot.recreate(path) as file:
        file["ntpl"] = anchor
    with uproot.open(path) as file:
        assert file.classnames() == {"ntpl;1": "ROOT::Experimental::RNTuple"}
    with pytest.raises(InputError, match=r"'ntpl' was written by a release candidate .*ROOT 6\.34.*write"):
        open_events(path)


# what is reported to the user


def test_summary_and_provenance_state_what_was_chosen_and_why(tmp_path, small_engine):
    columns = {"pdg": [[211]], "mass": [[139.57]], "px": [[5000.0]], "py": [[10.0]], "pz": [[10.0]]}
    done = convert(write_tree(tmp_path / "a.root", columns), tmp_path / "hits.root", small_engine)
    units, vertices = done.notes
    assert "taken for MeV: known by the masses" in units
    assert vertices == "Vertices: the origin, for the file has none"
    assert done.to_dict()["notes"] == done.notes
    with uproot.open(tmp_path / "hits.root") as file:
        provenance = json.loads(str(file["fastcalo_provenance"]))
    assert provenance["notes"] == [units]
    assert provenance["schema"]["momentum"] == "px, py, pz [MeV, by the masses]"
    assert provenance["schema"]["vertex"] == "the origin, for the file has none"


def test_files_of_rejected_particles_are_known_to_be_in_our_units(tmp_path, small_engine):
    columns = {"pdg": [[99999999]], "px": [[20e3]], "py": [[0.0]], "pz": [[0.0]]}
    path, rejected = write_tree(tmp_path / "a.root", columns), tmp_path / "rejected.root"
    overrides = SchemaOverrides(momentum_unit="GeV")
    convert(path, tmp_path / "hits.root", small_engine, schema=overrides, rejected=rejected)
    (events,) = open_events(rejected).iterate()
    assert_array_equal(events.momentum, [[20e3, 0, 0]])
