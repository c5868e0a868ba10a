# SPDX-License-Identifier: BSD-3-Clause
"""Files of particles to files of hits: the same whatever the chunk, the workers and the order; whole, or not at all."""

from __future__ import annotations

import json
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.hits_equal import Found, assert_alike
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import FRACTION, make_engine
from helpers.models.tiny_model import FRACTION as MODEL_FRACTION
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.event.events import Reason
from fastcalo.io.particles.reader import open_events
from fastcalo.production import convert as conversion
from fastcalo.production.convert import convert
from fastcalo.simulation.fast import FastSimulation

DEMO = Path(__file__).parents[3] / "examples" / "demo" / "events.root"


def same(one: Path, other: Path) -> None:
    """Make sure that two files hold the same events, and hits that are alike."""
    a, b = (uproot.open(path)["Events"].arrays() for path in (one, other))
    assert a.fields == b.fields
    for name in a.fields:
        if a[name].ndim == 1 and not name.startswith("n"):
            assert_array_equal(a[name], b[name])
    for section in ("ECAL", "HCAL"):
        if ak.sum(a[f"n{section}"]) + ak.sum(b[f"n{section}"]):
            assert_alike(*(hits_of(events, section) for events in (a, b)))


def hits_of(events: ak.Array, section: str) -> Found:
    event = np.repeat(np.arange(len(events)), ak.to_numpy(events[f"n{section}"]))
    return Found(event, *(ak.to_numpy(ak.flatten(events[f"{section}_{name}"])) for name in ("cell_id", "energy")))


def test_chunks_and_workers_and_executors_give_the_same(tmp_path, engine):
    first = tmp_path / "first.root"
    summary = convert(DEMO, first, engine, seed=5)
    with ThreadPoolExecutor(1) as executor:
        runs = {
            "small": convert(DEMO, tmp_path / "small.root", engine, seed=5, step_size=10),
            "large": convert(DEMO, tmp_path / "large.root", engine, seed=5, step_size=10_000),
            "processes": convert(DEMO, tmp_path / "processes.root", engine, seed=5, step_size=70, workers=2),
            "executor": convert(DEMO, tmp_path / "executor.root", engine, seed=5, step_size=70, executor=executor),
        }
    for name, other in runs.items():
        same(first, tmp_path / f"{name}.root")
        assert other.reasons.keys() == summary.reasons.keys()
        for reason, counts in summary.reasons.items():
            assert other.reasons[reason].count == counts.count
            assert other.reasons[reason].energy == pytest.approx(counts.energy, rel=1e-12)


def test_crowded_events_are_simulated_few_at_a_time(tmp_path, monkeypatch):
    convert(DEMO, tmp_path / "one.root", make_engine(), seed=5)
    monkeypatch.setattr(conversion, "_MOST_PARTICLES", 40)
    calls = []
    convert(DEMO, tmp_path / "other.root", make_engine(), seed=5, progress=lambda *args: calls.append(args))
    assert len(calls) > 50
    same(tmp_path / "one.root", tmp_path / "other.root")


def test_another_seed_gives_other_hits_of_the_same_particles(tmp_path, engine):
    # another seed would also let other particles decay
    one, other = (convert(DEMO, tmp_path / f"{seed}.root", engine, seed=seed, decays=False) for seed in (1, 2))
    assert one.reasons == other.reasons
    trees = [uproot.open(tmp_path / f"{seed}.root")["Events"] for seed in (1, 2)]
    first, second = (ak.to_numpy(ak.sum(tree["ECAL_energy"].array(), axis=1)) for tree in trees)
    seen = first > 0
    assert seen.sum() > 150
    assert (first[seen] != second[seen]).all()
    assert_allclose(first.mean(), second.mean(), rtol=0.1)


def test_the_accounts_close(tmp_path, engine):
    path = tmp_path / "hits.root"
    summary = convert(DEMO, path, engine, step_size=64)
    (events,) = open_events(DEMO).iterate(1000)
    assert summary.events == 300
    assert summary.particles.count == events.n_particles
    made = summary.daughters
    assert summary.particles.count + made.count == sum(counts.count for counts in summary.reasons.values())
    assert summary.particles.energy == pytest.approx(events.kinetic_energy.sum(), rel=1e-12)
    total = summary.particles.energy + made.energy
    assert sum(counts.energy for counts in summary.reasons.values()) == pytest.approx(total, rel=1e-12)
    assert summary.reasons[Reason.NOT_FINAL_STATE].count == (~events.final).sum()
    tree = uproot.open(path)["Events"].arrays()
    for reason, counts in summary.reasons.items():
        assert ak.sum(tree[f"particles_{reason.name.lower()}"]) == counts.count
    for name, counts in summary.sections.items():
        assert ak.sum(tree[f"n{name}"]) == counts.count == ak.count(tree[f"{name}_energy"])
        assert ak.sum(ak.values_astype(tree[f"{name}_energy"], float)) == pytest.approx(counts.energy, rel=1e-9)
    assert summary.reasons[Reason.SIMULATED].count > 100
    assert summary.sections["ECAL"].energy > 0
    assert summary.wall_seconds > 0
    assert 0 < summary.network_seconds < summary.wall_seconds
    assert 0 < summary.share_outside_network < 1


def test_energy_of_every_event_is_that_of_its_particles(tmp_path):
    engine = make_engine()
    convert(DEMO, tmp_path / "hits.root", engine, seed=3, step_size=77, decays=False)
    (events,) = open_events(DEMO).iterate(1000)
    hits = engine.run(events, seed=3)
    kinetic = np.where(hits.reason == Reason.SIMULATED, events.kinetic_energy, 0)
    keys = zip(events.run.tolist(), events.event.tolist(), strict=True)
    factors = [np.random.default_rng([3, run, event]).uniform(0.5, 1.5) for run, event in keys]
    wanted = FRACTION * np.bincount(events.event_of_particle, kinetic) * factors
    tree = uproot.open(tmp_path / "hits.root")["Events"].arrays()
    found = sum(ak.sum(ak.values_astype(tree[f"{name}_energy"], float), axis=1) for name in ("ECAL", "HCAL"))
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)


def test_the_tiny_model_deposits_its_part(tmp_path, tiny_model):
    summary = convert(DEMO, tmp_path / "hits.root", FastSimulation(load_detector(), tiny_model))
    assert summary.reasons[Reason.ENERGY_TOO_LOW].count > 0
    expected = MODEL_FRACTION * summary.reasons[Reason.SIMULATED].energy
    # the factors 0.5 + u scatter by 0.29 about 1
    assert summary.sections["ECAL"].energy == pytest.approx(expected, rel=0.05)
    assert summary.sections["HCAL"].count == 0


def test_hits_are_in_cells_of_the_detector(tmp_path, engine):
    convert(DEMO, tmp_path / "hits.root", engine)
    tree = uproot.open(tmp_path / "hits.root")["Events"].arrays()
    detector = load_detector()
    for section in detector.sections:
        columns = {key: ak.to_numpy(ak.flatten(tree[f"{section.name}_{key}"])) for key in ("cell_id", "layer", *"xyz")}
        cells = detector.decode(section.name, columns["cell_id"])
        assert_array_equal(cells["layer"], columns["layer"])
        centres = detector.cell_centre(section.name, cells["module"], cells["x"], cells["y"], cells["layer"])
        assert_allclose(np.stack([columns[axis] for axis in "xyz"], axis=1), centres, atol=1e-3)
        event = np.repeat(np.arange(300), ak.to_numpy(tree[f"n{section.name}"]))
        assert len(np.unique(np.stack([event, columns["cell_id"].astype(np.int64)]), axis=1).T) == len(event)


def test_provenance_states_how_the_file_was_made(tmp_path, engine):
    path = tmp_path / "hits.root"
    summary = convert(DEMO, path, engine, seed=11)
    provenance = json.loads(str(uproot.open(path)["fastcalo_provenance"]))
    assert provenance["seed"] == 11
    assert provenance["inputs"] == [{"path": str(DEMO), "tree": "events", "entries": 300}]
    assert provenance["schema"]["schema"] == "EDM4hep"
    assert provenance["detector"]["hash"] == engine.detector.hash
    ecal = {"encoding": "system:5,module:5,layer:8,x:32:-16,y:-16", "system": 20, "threshold_gev": 2e-5}
    assert provenance["detector"]["sections"]["ECAL"] == ecal
    assert list(provenance["detector"]["sections"]) == ["ECAL", "HCAL"]
    assert provenance["units"] == {"energy": "GeV", "x": "mm", "y": "mm", "z": "mm"}
    assert provenance["simulation"] == json.loads(json.dumps(engine.provenance()))
    assert provenance["accounts"] == summary.accounts()
    assert {"python", "numpy", "uproot"} <= provenance["versions"].keys()
    json.dumps(summary.to_dict())


def test_rejected_particles_go_to_a_file_that_can_be_converted(tmp_path, engine):
    rejected = tmp_path / "rejected.root"
    summary = convert(DEMO, tmp_path / "hits.root", engine, rejected=rejected, step_size=50)
    again = convert(rejected, tmp_path / "again.root", engine)
    assert again.events == summary.events
    assert again.reasons[Reason.SIMULATED].count == again.reasons[Reason.NOT_FINAL_STATE].count == 0
    for reason in set(Reason) - {Reason.SIMULATED, Reason.NOT_FINAL_STATE, Reason.DECAYED}:
        assert again.reasons[reason].count == summary.reasons[reason].count
        assert again.reasons[reason].energy == pytest.approx(summary.reasons[reason].energy, rel=1e-12)
    assert again.particles.count > 0
    for name in ("run", "event"):
        one, other = (uproot.open(path)["Events"][name].array() for path in (tmp_path / "hits.root", rejected))
        assert_array_equal(one, other)


def test_wild_particles_are_counted_under_their_reason(tmp_path, tiny_model):
    wild = {
        # pdg, px, py, pz, mass, reason
        "good": (11, 10.0, 0.0, 0.0, 0.000511, Reason.SIMULATED),
        "nan": (11, np.nan, 0.0, 1.0, 0.000511, Reason.BAD_NUMBERS),
        "inf": (22, np.inf, 0.0, 1.0, 0.0, Reason.BAD_NUMBERS),
        "overflow": (22, 1e200, 1e200, 1.0, 0.0, Reason.BAD_NUMBERS),
        "mass": (11, 10.0, 0.0, 1.0, np.nan, Reason.BAD_NUMBERS),
        "negative": (11, 10.0, 0.0, 1.0, -1.0, Reason.BAD_NUMBERS),
        "at rest": (11, 0.0, 0.0, 0.0, 0.000511, Reason.AT_REST),
        "unknown": (987654321, 10.0, 0.0, 0.0, 0.1, Reason.UNKNOWN_SPECIES),
        "hadron": (211, 10.0, 0.0, 0.0, 0.13957, Reason.UNKNOWN_SPECIES),
        "neutrino": (14, 10.0, 0.0, 0.0, 0.0, Reason.INVISIBLE),
        "soft": (22, 0.01, 0.0, 0.0, 0.0, Reason.ENERGY_TOO_LOW),
        "hard": (22, 1e4, 0.0, 0.0, 0.0, Reason.ENERGY_TOO_HIGH),
        "forward": (22, 0.1, 0.0, 90.0, 0.0, Reason.MISSES_CALORIMETER),
    }
    pdg, px, py, pz, mass, reasons = (list(column) for column in zip(*wild.values(), strict=True))
    columns = {"pdg": pdg, "px": px, "py": py, "pz": pz, "mass": mass}
    # an event with all, one with none, one with the good one
    branches = {name: ak.Array([values, [], values[:1]]) for name, values in columns.items()}
    source = write_tree(tmp_path / "wild.root", branches)
    engine = FastSimulation(load_detector(), tiny_model)
    rejected = tmp_path / "rejected.root"
    summary = convert(source, tmp_path / "hits.root", engine, rejected=rejected)
    wanted = {reason: reasons.count(reason) + (reason == Reason.SIMULATED) for reason in Reason}
    assert {reason: counts.count for reason, counts in summary.reasons.items()} == wanted
    assert np.isfinite(summary.particles.energy)
    assert sum(counts.energy for counts in summary.reasons.values()) == pytest.approx(summary.particles.energy)
    assert_array_equal(uproot.open(tmp_path / "hits.root")["Events/nECAL"].array() > 0, [True, False, True])
    kept = uproot.open(rejected)["Events"].arrays()
    assert_array_equal(kept["index"][0], np.arange(1, len(wild)))
    assert_array_equal(kept["px"][0], px[1:])
    assert_array_equal(kept["reason"][0], reasons[1:])


def test_a_tree_without_entries_gives_a_file_without_entries(tmp_path, engine):
    nothing = {name: array[:0] for name, array in plain(3).items()}
    source = write_tree(tmp_path / "none.root", nothing)
    for workers in (1, 2):
        path = tmp_path / f"hits{workers}.root"
        summary = convert(source, path, engine, workers=workers, rejected=tmp_path / f"rejected{workers}.root")
        assert summary.events == summary.particles.count == 0
        tree = uproot.open(path)["Events"]
        assert tree.num_entries == 0
        assert "ECAL_cell_id" in tree.keys()  # noqa: SIM118


def test_luminosity_blocks_are_carried_over(tmp_path):
    branches = plain(20, seed=1) | {"run": np.full(20, 3), "event": np.arange(20) + 2**33, "lumi": np.arange(20) // 4}
    source = write_tree(tmp_path / "in.root", branches)
    convert(source, tmp_path / "hits.root", make_engine(), rejected=tmp_path / "rejected.root", step_size=7)
    for name in ("hits.root", "rejected.root"):
        tree = uproot.open(tmp_path / name)["Events"].arrays(["run", "luminosityBlock", "event"])
        assert_array_equal(tree["run"], 3)
        assert_array_equal(tree["luminosityBlock"], np.arange(20) // 4)
        assert_array_equal(tree["event"], np.arange(20) + 2**33)


def test_several_files_are_one_input(tmp_path, engine):
    sources = [
        write_tree(tmp_path / f"in{k}.root", plain(60, seed=k) | {"event": np.arange(60) + 60 * k}) for k in range(2)
    ]
    for name, inputs in {"both": sources, "first": sources[0], "second": sources[1]}.items():
        convert(inputs, tmp_path / f"{name}.root", engine, step_size=50)
    both, *halves = (uproot.open(tmp_path / f"{name}.root")["Events"].arrays() for name in ("both", "first", "second"))
    assert len(both) == 120
    for half, part in zip(halves, (both[:60], both[60:]), strict=True):
        assert_array_equal(half["event"], part["event"])
        assert_alike(hits_of(half, "ECAL"), hits_of(part, "ECAL"))


def test_progress_is_reported(tmp_path):
    calls = []
    convert(DEMO, tmp_path / "hits.root", make_engine(), step_size=120, progress=lambda *args: calls.append(args))
    assert calls == [(120, 300), (240, 300), (300, 300)]


# streaming


class Watched(ThreadPoolExecutor):
    """An executor that knows how many chunks were submitted, and not yet finished and fetched."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.lock, self.submitted, self.most = threading.Lock(), 0, 0

    def submit(self, function, /, *args, **kwargs):
        with self.lock:
            self.submitted += 1
        return super().submit(function, *args, **kwargs)


def test_no_more_chunks_are_under_way_than_the_workers_need(tmp_path):
    written = []
    with Watched(2) as executor:

        def look(done: int, _: int) -> None:
            written.append(done)
            executor.most = max(executor.most, executor.submitted - len(written) + 1)

        convert(DEMO, tmp_path / "hits.root", make_engine(), step_size=10, executor=executor, workers=2, progress=look)
    # a worker that is asked before it has the engine is asked again: at most once for each chunk under way
    assert 30 <= executor.submitted <= 34
    assert 2 <= executor.most <= 8
    assert written == sorted(written)


def test_memory_does_not_grow_with_the_number_of_entries(tmp_path):
    peaks = {}
    for times in (3, 12):
        path = tmp_path / f"{times}.root"
        with uproot.recreate(path) as file:
            block = plain(500, per_event=6)
            file.mktree("events", {name: array.type.content for name, array in block.items()})
            for _ in range(times):
                file["events"].extend(block)
        engine = make_engine()
        convert(path, tmp_path / "warm.root", engine, overwrite=True)
        tracemalloc.start()
        convert(path, tmp_path / "hits.root", engine, step_size=100, overwrite=True)
        peaks[times] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[12] < 1.3 * peaks[3]
