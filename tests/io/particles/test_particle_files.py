# SPDX-License-Identifier: BSD-3-Clause
"""Particles from ROOT files of every layout, and the messages about files that hold none."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import plain, write_rntuple, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import particles
from fastcalo.errors import InputError
from fastcalo.event.events import Events
from fastcalo.io.event_streams.batches import FileEvents, limit_particles
from fastcalo.io.particles import tree as tree_module
from fastcalo.io.particles.reader import EventReader, open_events
from fastcalo.io.particles.schemas import SchemaOverrides

DATA = Path(__file__).parents[2] / "data"
DEMO = Path(__file__).parents[3] / "examples" / "demo" / "events.root"
ELECTRON = particles.mass([11])[0]


def read(reader: EventReader) -> Events:
    """Everything at once."""
    (events,) = reader.iterate(10**9)
    return events


# layouts


@pytest.mark.parametrize("name", ["edm4hep_ttree.root", "edm4hep_rntuple.root"])
def test_edm4hep_as_podio_lays_it_out(name):
    reader = open_events(DATA / name)
    assert reader.schema.name == "EDM4hep"
    assert reader.schema.tree == "events"
    assert reader.n_entries == 6
    events = read(reader)
    index = events.index_in_event
    assert_array_equal(np.diff(events.offsets), np.arange(6))
    assert_array_equal(events.pdg, np.where(index % 2, 22, 11))
    assert_array_equal(events.final, index % 3 != 2)
    assert_allclose(events.momentum, np.outer(10 + index, [0.6, 0, 0.8]), rtol=1e-15)
    assert_allclose(events.vertex, np.stack([0.1 * index, 0 * index + 0.2, 0 * index - 0.3], axis=1), rtol=1e-15)
    assert_allclose(events.mass, np.where(index % 2, 0, 0.00051099895))
    assert_array_equal(events.run, 7)
    assert_array_equal(events.event, 1000 + np.arange(6))


def test_the_demo_events_conserve_energy_at_the_z_pole():
    events = read(open_events(DEMO))
    total = np.sqrt(np.einsum("ij,ij->i", events.momentum, events.momentum) + events.mass**2)
    sums = np.bincount(events.event_of_particle, np.where(events.final, total, 0))
    assert_allclose(sums, 91.2, rtol=1e-3)


NANOAOD = {
    "run": np.array([1, 1], np.uint32),
    "luminosityBlock": np.array([5, 6], np.uint32),
    "event": np.array([2**40, 2**40 + 1], np.uint64),
    "GenPart_pdgId": [[11, 23, 22], [211]],
    "GenPart_pt": [[10.0, 30.0, 5.0], [2.0]],
    "GenPart_eta": [[0.0, 1.0, -1.5], [0.3]],
    "GenPart_phi": [[0.5, -0.5, 3.0], [1.0]],
    "GenPart_mass": [[0.0, 90.5, 0.0], [0.0]],
    "GenPart_status": [[1, 62, 1], [1]],
    "GenVtx_x": np.array([0.01, 0.02], np.float32),
    "GenVtx_y": np.array([-0.01, 0.0], np.float32),
    "GenVtx_z": np.array([3.0, -4.0], np.float32),
}


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_nanoaod(tmp_path, write):
    reader = open_events(write(tmp_path / "nano.root", NANOAOD))
    assert reader.schema.name == "NanoAOD"
    events = read(reader)
    pt, eta, phi = (np.concatenate(NANOAOD[f"GenPart_{name}"]) for name in ("pt", "eta", "phi"))
    assert_allclose(np.hypot(*events.momentum[:, :2].T), pt)
    assert_allclose(np.arctan2(events.momentum[:, 1], events.momentum[:, 0]), phi)
    assert_allclose(np.arcsinh(events.momentum[:, 2] / pt), eta, atol=1e-12)
    # the file has no masses of light particles: they are the PDG's
    assert_allclose(events.mass, [ELECTRON, 90.5, 0, particles.mass([211])[0]])
    assert_array_equal(events.final, [True, False, True, True])
    assert_allclose(events.vertex[:, 2], [30, 30, 30, -40])
    assert_allclose(events.vertex[:, 0], [0.1, 0.1, 0.1, 0.2], rtol=1e-6)
    assert_array_equal(events.event, [2**40, 2**40 + 1])
    assert_array_equal(events.luminosity_block, [5, 6])


def test_a_mass_below_zero_is_rounding_and_one_that_is_no_number_stays(tmp_path):
    columns = {**NANOAOD, "GenPart_mass": [[-1e-4, 90.5, -2e-9], [float("nan")]]}
    events = read(open_events(write_tree(tmp_path / "nano.root", columns)))
    assert_allclose(events.mass, [ELECTRON, 90.5, 0, np.nan])


def test_nanogen_without_mass_and_vertex(tmp_path):
    few = {name: values for name, values in NANOAOD.items() if name != "GenPart_mass" and not name.startswith("GenVtx")}
    events = read(open_events(write_tree(tmp_path / "nano.root", few, "Events")))
    assert_allclose(events.mass, particles.mass([11, 23, 22, 211]))
    assert_array_equal(events.vertex, 0)


@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_plain_jagged(tmp_path, write):
    branches = plain()
    events = read(open_events(write(tmp_path / "plain.root", branches)))
    assert_array_equal(np.diff(events.offsets), ak.num(branches["pdg"]))
    assert_array_equal(events.pdg, ak.flatten(branches["pdg"]))
    assert_array_equal(events.momentum[:, 1], ak.flatten(branches["py"]))
    assert_array_equal(events.vertex[:, 2], ak.flatten(branches["vz"]))
    assert_allclose(events.mass, particles.mass(events.pdg))
    assert events.final.all()
    assert_array_equal(events.event, np.arange(5))
    assert_array_equal(events.run, 0)


FLAT = {"pdg": [22, 11, 22, 211], "px": [1.0, 2.0, 3.0, 4.0], "py": [0.0] * 4, "pz": [0.5] * 4}


def test_flat_without_event_numbers_is_one_event_per_entry(tmp_path):
    reader = open_events(write_tree(tmp_path / "flat.root", FLAT))
    events = read(reader)
    assert dict(reader.describe())["entries"] == "4 (one particle per entry)"
    assert_array_equal(events.offsets, np.arange(5))
    assert_array_equal(events.event, np.arange(4))


@pytest.mark.parametrize("step", [1, 2, 100])
@pytest.mark.parametrize("block", [1.0, 4e6])
def test_flat_rows_with_the_same_event_number_are_one_event(tmp_path, monkeypatch, step, block):
    monkeypatch.setattr(tree_module, "_BLOCK", block)
    path = write_tree(tmp_path / "flat.root", {**FLAT, "event": [8, 9, 9, 8], "run": [1, 1, 1, 2]})
    chunks = list(open_events([path, path]).iterate(step))
    assert [chunk.n_events for chunk in chunks][:-1] == [step] * (len(chunks) - 1)
    assert_array_equal(np.concatenate([chunk.event for chunk in chunks]), [8, 9, 8, 8, 9, 8])
    assert_array_equal(np.concatenate([np.diff(chunk.offsets) for chunk in chunks]), [1, 2, 1, 1, 2, 1])
    assert_array_equal(np.concatenate([chunk.entry for chunk in chunks]), [0, 1, 3, 4, 5, 7])


def test_branches_with_prefixes_units_and_an_energy(tmp_path):
    proton, unknown = particles.mass([2212])[0], 0.7
    momentum = np.array([[1.0, 2.0, 2.0], [0.0, 3.0, 4.0]])
    energy = np.sqrt(np.array([9.0, 25.0]) + np.array([proton, unknown]) ** 2)
    names = {"mc_pdg": [[2212, 99999999]], "mc_e": [(1e3 * energy).tolist()], "mc_vx": [[1.0, 2.0]]}
    names |= {f"mc_p{axis}": [(1e3 * momentum[:, i]).tolist()] for i, axis in enumerate("xyz")}
    path = write_tree(tmp_path / "mev.root", names)
    events = read(open_events(path, SchemaOverrides(momentum_unit="MeV", length_unit="cm")))
    assert_allclose(events.momentum, momentum)
    assert_allclose(events.mass, [proton, unknown])
    assert_array_equal(events.vertex, [[10, 0, 0], [20, 0, 0]])


def test_an_energy_in_single_precision_does_not_spoil_the_mass_of_an_electron(tmp_path):
    momentum = np.float32(50.0)
    names = {"pdg": [11], "px": [momentum], "py": [np.float32(0)], "pz": [np.float32(0)], "e": [np.float32(50.00001)]}
    assert_allclose(read(open_events(write_tree(tmp_path / "a.root", names))).mass, ELECTRON)


def test_final_state_by_status(tmp_path):
    path = write_tree(tmp_path / "a.root", {**FLAT, "status": [1, 2, 3, -1]})
    assert_array_equal(read(open_events(path)).final, [True, False, False, False])
    chosen = SchemaOverrides(final_status=(1, 3))
    assert_array_equal(read(open_events(path, chosen)).final, [True, False, True, False])


def test_codes_as_floating_point_numbers(tmp_path):
    names = {**FLAT, "pdg": np.array([22.0, -11.0, np.nan, 1e300])}
    assert_array_equal(read(open_events(write_tree(tmp_path / "a.root", names))).pdg, [22, -11, 0, 0])


def test_wild_numbers_are_kept_for_the_engine_to_count(tmp_path):
    names = {**FLAT, "px": [np.nan, np.inf, -np.inf, 1e308], "mass": [0.1, np.nan, np.inf, 0.0]}
    events = read(open_events(write_tree(tmp_path / "a.root", names)))
    assert_array_equal(events.momentum[:, 0], names["px"])
    assert_array_equal(events.mass[:3], names["mass"][:3])


def test_events_without_particles_and_a_tree_without_events(tmp_path):
    empty = {name: ak.values_astype(ak.Array([[], []]), float) for name in ("px", "py", "pz")}
    empty["pdg"] = ak.values_astype(ak.Array([[], []]), np.int32)
    events = read(open_events(write_tree(tmp_path / "none.root", empty)))
    assert_array_equal(events.offsets, [0, 0, 0])
    nothing = {name: array[:0] for name, array in empty.items()}
    reader = open_events(write_tree(tmp_path / "nothing.root", nothing))
    assert reader.n_entries == 0
    assert list(reader.iterate(10)) == []


# chunks and files


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=3),
    step=st.integers(1, 40),
    block=st.sampled_from([1.0, 500.0, 4e6]),
)
def test_chunks_of_any_size_over_any_files_hold_the_same(tmp_path_factory, sizes, step, block):
    folder = tmp_path_factory.mktemp("files")
    parts = [plain(n, seed=i) for i, n in enumerate(sizes)]
    reader = open_events([write_tree(folder / f"{i}.root", part) for i, part in enumerate(parts)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "_BLOCK", block)
        chunks = list(reader.iterate(step))
    n, rest = sum(sizes), sum(sizes) % step
    assert reader.n_entries == n
    assert [chunk.n_events for chunk in chunks] == [step] * (n // step) + [rest] * (rest > 0)
    assert_array_equal(np.concatenate([[], *[chunk.entry for chunk in chunks]]), np.arange(n))
    for name, axis in (("px", 0), ("pz", 2)):
        wanted = np.concatenate([ak.to_numpy(ak.flatten(part[name])) for part in parts])
        assert_array_equal(np.concatenate([np.empty(0), *[chunk.momentum[:, axis] for chunk in chunks]]), wanted)


@settings(max_examples=50)
@given(n=st.integers(0, 20), most=st.integers(1, 30), seed=st.integers(0, 100))
def test_chunks_with_many_particles_are_cut_between_events(n, most, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 12, n))])
    size, number = int(offsets[-1]), np.arange(n)
    vectors = rng.normal(size=(size, 3))
    whole = FileEvents(
        offsets=offsets,
        pdg=np.arange(size, dtype=np.int32),
        momentum=vectors,
        mass=vectors[:, 0],
        vertex=vectors,
        final=rng.random(size) < 0.5,
        run=number,
        event=number,
        entry=number,
    )
    cut = list(limit_particles([whole], most))
    assert_array_equal(np.concatenate([[], *[part.event for part in cut]]), number)
    assert_array_equal(np.concatenate([[], *[part.pdg for part in cut]]), whole.pdg)
    for part, after in pairwise(cut):
        # neither too many, unless it is one event, nor fewer than fit into it
        assert part.final.sum() <= most or part.n_events == 1
        first = after.final[: after.offsets[1]].sum()
        assert part.final.sum() + first > most


def test_files_of_both_kinds_in_one_input():
    reader = open_events([DATA / "edm4hep_ttree.root", DATA / "edm4hep_rntuple.root"])
    events = read(reader)
    assert_array_equal(events.event, np.tile(1000 + np.arange(6), 2))
    assert_array_equal(events.momentum[:15], events.momentum[15:])


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "large.root"
    peaks = {}
    for thousands in (50, 200):
        with uproot.recreate(path) as file:
            block = {name: ak.unflatten(np.arange(5000.0) / 100, np.full(1000, 5)) for name in ("px", "py", "pz")}
            block["pdg"] = ak.values_astype(block["px"] * 0 + 22, np.int32)
            file.mktree("events", {name: array.type.content for name, array in block.items()})
            for _ in range(thousands):
                file["events"].extend(block)
        reader = open_events(path)
        tracemalloc.start()
        assert sum(events.n_particles for events in reader.iterate(1000)) == 5000 * thousands
        peaks[thousands] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # the larger file has a million particles: 28 MB in columns, 80 MB as events
    assert peaks[200] < 1.2 * peaks[50]
    assert peaks[200] < 40e6


# what the user states


def test_named_tree_and_branches(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for name in ("one", "two"):
            file.mktree(name, {"id": "int32", "px": "float64", "py": "float64", "pz": "float64"})
            file[name].extend({"id": [22], "px": [1.0 if name == "one" else 2.0], "py": [0.0], "pz": [0.0]})
    with pytest.raises(InputError, match=r"particles in the trees \['one', 'two'\]; choose one \(--tree\)"):
        open_events(path)
    assert read(open_events(path, tree="two")).momentum[0, 0] == 2
    with pytest.raises(InputError, match=r"has no tree 'tow'; the nearest are \['two'"):
        open_events(path, tree="tow")
    toml = tmp_path / "schema.toml"
    toml.write_text("[schema]\ntree = 'one'\npx = 'py'\npy = 'px'\n")
    assert_array_equal(read(open_events(path, toml)).momentum, [[0, 1, 0]])
    assert_array_equal(read(open_events(path, toml, tree="two")).momentum, [[0, 2, 0]])


def test_the_usual_tree_is_taken_before_others(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        for name in ("copies", "folder/events"):
            file.mktree(name, {"pdg": "int32", "px": "float64", "py": "float64", "pz": "float64"})
            file[name].extend({"pdg": [22], "px": [1.0], "py": [0.0], "pz": [0.0]})
    assert open_events(path).schema.tree == "folder/events"


def test_description_states_what_was_found():
    described = dict(open_events([DEMO, DEMO]).describe())
    assert described["input"] == f"{DEMO} and 1 more"
    assert described["entries"] == "600 (one event per entry)"
    assert described["schema"] == "EDM4hep"
