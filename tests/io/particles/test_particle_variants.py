# SPDX-License-Identifier: BSD-3-Clause
"""Files as people write them, in other spellings, types and layouts: what is found, or what is asked."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_tree
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import open_events
from fastcalo.errors import InputError

N = 3
CODES, PX = [22, 211], [5.0, 3.0]


def lists(values, kind=np.float64, n=N):
    return ak.values_astype(ak.Array([list(values)] * n), kind)


def pair(unit=1.0, pdg="pdg", names=("px", "py", "pz"), **more):
    """A photon and a pion in each event."""
    momenta = zip(names, (PX, [0.1, 0.2], [0.3, 0.4]), strict=True)
    columns = {pdg: lists(CODES, np.int32)} | {name: lists(np.array(values) * unit) for name, values in momenta}
    return columns | more


def polar(head, energy):
    return {
        f"{head}pdgId": lists(CODES, np.int32),
        f"{head}pt": lists([4.0, 5.0]),
        f"{head}eta": lists([0.0, 0.0]),
        f"{head}phi": lists([0.0, 0.0]),
        **({f"{head}E": lists([4.0, np.hypot(5, 0.13957)])} if energy else {}),
    }


def rows(**more):
    n = len(next(iter(more.values()), [0, 0, 0]))
    return more | {"pdg": np.full(n, 22, np.int32), **{f"p{axis}": np.arange(1.0, n + 1) for axis in "xyz"}}


def write_trees(path: Path, trees) -> Path:
    with uproot.recreate(path) as file:
        for name, branches in trees.items():
            kinds = {
                key: column.type.content if isinstance(column, ak.Array) else (column.dtype, column.shape[1:])
                for key, column in branches.items()
            }
            file.mktree(name, kinds)
            file[name].extend(branches)
    return path


def read(path, **options):
    reader = open_events(path, **options)
    (events,) = reader.iterate(1000)
    return reader, events


SPELLINGS = {
    "prefix": pair(pdg="particle_pdg", names=("particle_px", "particle_py", "particle_pz")),
    "dots": pair(pdg="truth.pdg", names=("truth.px", "truth.py", "truth.pz")),
    "capitals": pair(pdg="PDG", names=("PX", "PY", "PZ")),
    "camel": pair(pdg="mcPDG", names=("mcPX", "mcPY", "mcPZ")),
    "words": pair(pdg="pdgCode", names=("momentum_x", "momentum_y", "momentum_z")),
    "units in names": pair(1e3, names=("px_MeV", "py_MeV", "pz_MeV")),
    "units in names, small": pair(1e3, names=("px_mev", "py_mev", "pz_mev")),
    "number of the track": pair(id=lists([1, 2], np.int32)),
    "pid of something else": pair(pid=lists([7, 8], np.int32)),
    "jets beside": pair(pt=lists([9.0, 9.0]), eta=lists([1.0, 1.0]), phi=lists([1.0, 1.0])),
    "codes of 64 bits": pair() | {"pdg": lists(CODES, np.int64)},
    "codes as double": pair() | {"pdg": lists(CODES, np.float64)},
    "masses in keV": pair(1e6, mass=lists([0, 139_570.0])),
    "masses in TeV": pair(1e-3, mass=lists([0, 0.00013957])),
    "reconstruction beside": pair(pdg="mc_pdg", names=("mc_px", "mc_py", "mc_pz"))
    | pair(0.9, pdg="rec_pdg", names=("rec_px", "rec_py", "rec_pz")),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_codes_and_momenta(tmp_path, name):
    _, events = read(write_tree(tmp_path / "a.root", SPELLINGS[name]))
    assert_array_equal(np.diff(events.offsets), [2] * N)
    assert_array_equal(events.pdg, CODES * N)
    assert_allclose(events.momentum[:, 0], PX * N, rtol=1e-12)
    assert_allclose(events.mass, [0, 0.13957] * N, atol=1e-4)


@pytest.mark.parametrize("energy", [True, False])
@pytest.mark.parametrize("head", ["", "gen_", "genParticle_"])
def test_polar_coordinates_with_and_without_energy(tmp_path, head, energy):
    _, events = read(write_tree(tmp_path / "a.root", polar(head, energy)))
    assert_allclose(events.momentum[:2], [[4, 0, 0], [5, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("names", "per_mm"),
    [
        (("vx", "vy", "vz"), 1),
        (("Vx", "Vy", "Vz"), 1),
        (("startX", "startY", "startZ"), 1),
        (("prod_vertex_x", "prod_vertex_y", "prod_vertex_z"), 1),
        (("origin_x", "origin_y", "origin_z"), 1),
        (("vx_cm", "vy_cm", "vz_cm"), 0.1),
        (("vtx_x_um", "vtx_y_um", "vtx_z_um"), 1000),
    ],
)
def test_spellings_of_vertices(tmp_path, names, per_mm):
    branches = {name: lists(np.array([10.0, 20.0]) * (k + 1) * per_mm) for k, name in enumerate(names)}
    reader, events = read(write_tree(tmp_path / "a.root", pair(**branches)))
    assert_allclose(events.vertex[:2], [[10, 20, 30], [20, 40, 60]], rtol=1e-12)
    assert "each particle's own" in reader.schema.vertex


def test_positions_that_may_be_vertices_are_named_with_the_line_to_type(tmp_path):
    path = write_tree(tmp_path / "a.root", pair(**{axis: lists([1.0, 2.0]) for axis in "xyz"}))
    reader, events = read(path)
    (note,) = reader.notes
    assert "--branch vx=x --branch vy=y --branch vz=z" in note
    assert not events.vertex.any()


def test_a_part_of_a_vertex_is_reported(tmp_path):
    reader, events = read(write_tree(tmp_path / "a.root", pair(vx=lists([1, 2]), vy=lists([3, 4]))))
    assert "no branch for vz" in reader.notes[0]
    assert_allclose(events.vertex[:2], [[1, 3, 0], [2, 4, 0]])


def test_one_vertex_for_all_particles_is_said_to_be_the_events(tmp_path):
    shared = {f"vertex_{axis}": np.arange(N) + 1.0 for axis in "xyz"}
    reader, events = read(write_tree(tmp_path / "a.root", pair(**shared)))
    assert reader.schema.vertex.startswith("the event's")
    assert_allclose(events.vertex[:, 0], [1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize("flag", ["isFinal", "is_final_state", "stable"])
@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float32])
def test_flags_of_the_final_state(tmp_path, flag, kind):
    _, events = read(write_tree(tmp_path / "a.root", pair(**{flag: lists([1, 0], kind)})))
    assert_array_equal(events.final, [True, False] * N)


@pytest.mark.parametrize(
    ("run", "event", "lumi"),
    [
        ("runNum", "evtNum", "ls"),
        ("run_number", "event_number", "lumi_block"),
        ("RunNumber", "EventNumber", "LumiBlock"),
        ("runId", "eventID", "lumiSection"),
    ],
)
@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.uint64, np.float64])
def test_spellings_and_types_of_identifiers(tmp_path, run, event, lumi, kind):
    numbers = {run: np.array([4, 4, 5], kind), event: np.array([7, 7, 7], kind), lumi: np.array([1, 2, 2], kind)}
    reader, events = read(write_tree(tmp_path / "a.root", pair(**numbers)))
    assert_array_equal([events.run, events.event, events.luminosity_block], [[4, 4, 5], [7, 7, 7], [1, 2, 2]])
    assert reader.repeats.repeated == 0


def test_a_number_in_a_list_of_one(tmp_path):
    _, events = read(write_tree(tmp_path / "a.root", pair(event=ak.Array([[3], [4], [5]]))))
    assert_array_equal(events.event, [3, 4, 5])


@pytest.mark.parametrize("name", ["run", "luminosityBlock"])
def test_rows_of_the_same_event_number_in_another_run_or_block_are_another_event(tmp_path, name):
    columns = rows(**{name: np.array([1, 1, 2]), "event": np.array([6, 6, 6])})
    _, events = read(write_tree(tmp_path / "a.root", columns))
    assert_array_equal(np.diff(events.offsets), [2, 1])


def test_rows_without_a_number_of_the_event_are_reported(tmp_path):
    reader, events = read(write_tree(tmp_path / "a.root", rows(counter=np.array([1, 1, 2]))))
    assert events.n_events == 3
    assert "--branch event=NAME" in reader.notes[0]
    reader, _ = read(write_tree(tmp_path / "b.root", rows(event=np.array([1, 1, 2]))))
    assert reader.notes == ()


def test_arrays_of_fixed_size_are_read_whole(tmp_path):
    padded = np.array([[22, 0, 0], [22, 211, 0], [0, 0, 0]], np.int32)
    columns = {"n": np.array([1, 2, 0]), "pdg": padded, **{f"p{axis}": (padded != 0) * 2.0 for axis in "xyz"}}
    _, events = read(write_trees(tmp_path / "a.root", {"t": columns}))
    assert_array_equal(np.diff(events.offsets), [3, 3, 3])
    assert_array_equal(events.kinetic_energy > 0, (padded != 0).ravel())


def test_trees_in_folders_and_beside_others(tmp_path):
    hits = {"cellID": lists([1, 2]), "energy": lists([1, 2])}
    reader, events = read(write_trees(tmp_path / "a.root", {"ana/hits": hits, "ana/truth": pair()}))
    assert reader.schema.tree == "ana/truth"
    assert events.n_particles == 2 * N
    path = write_trees(tmp_path / "b.root", {"one": pair(), "other": pair()})
    with pytest.raises(InputError, match=r"particles in the trees \['one', 'other'\]; choose one \(--tree\)"):
        open_events(path)


def test_counters_of_a_writer_are_no_collection(tmp_path):
    tails = {"PDG": lists(CODES, np.int32), **{f"momentum.{axis}": lists(PX) for axis in "xyz"}}
    path = write_tree(tmp_path / "a.root", {f"GeneratedParticles.{tail}": column for tail, column in tails.items()})
    assert read(path)[0].schema.collection == "GeneratedParticles"


def test_empty_events_first_and_codes_that_decide_nothing(tmp_path):
    columns = {name: ak.concatenate([column[:0], [[]], column]) for name, column in pair().items()}
    _, events = read(write_tree(tmp_path / "a.root", columns))
    assert_array_equal(np.diff(events.offsets), [0, *[2] * N])


# several files


def test_files_in_other_types_of_numbers_are_one_input(tmp_path):
    single = {name: ak.values_astype(column, np.float32) for name, column in pair().items()}
    one, other = write_tree(tmp_path / "a.root", pair()), write_tree(tmp_path / "b.root", single)
    _, events = read([one, other])
    assert_allclose(events.momentum[:, 0], PX * 2 * N)


def test_a_file_in_other_units_than_the_first_is_refused(tmp_path):
    gev = write_tree(tmp_path / "a.root", pair(mass=lists([0, 0.13957])))
    mev = write_tree(tmp_path / "b.root", pair(1e3, mass=lists([0, 139.57])))
    with pytest.raises(InputError, match=r"b.root.* in MeV, known by the masses, but .*a.root are taken for GeV"):
        open_events([gev, mev])
    with pytest.raises(InputError, match="are in GeV"):
        open_events([mev, gev])
    empty = write_tree(tmp_path / "c.root", {name: column[:0] for name, column in pair(mass=lists([0, 1])).items()})
    with pytest.raises(InputError, match="--momentum-unit"):
        open_events([empty, mev])
    assert open_events([gev, empty]).n_entries == N


def test_rows_and_lists_in_one_input(tmp_path):
    one = write_tree(tmp_path / "a.root", pair(event=np.arange(N)))
    other = write_tree(tmp_path / "b.root", rows(event=np.array([9, 9, 9])))
    _, events = read([one, other])
    assert_array_equal(np.diff(events.offsets), [2, 2, 2, 3])
