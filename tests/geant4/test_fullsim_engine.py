# SPDX-License-Identifier: BSD-3-Clause
"""Full simulation as an engine: the same face as the fast one, and showers where their particles fly."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from helpers.geant4.full_simulation import detector_with, skip_without_geant4
from numpy.testing import assert_array_equal

import fastcalo
from fastcalo import particles
from fastcalo.detector.description import load_detector
from fastcalo.event.events import Events, Reason
from fastcalo.event.hits import Hits
from fastcalo.fullsim.engine import Geant4Simulation
from fastcalo.production.convert import TracedEngine

DETECTOR = load_detector()
COLUMNS = ("offsets", "cell_id", "energy", "position", "layer")


def make_events(*events, first=0):
    """Events of lists of particles, each a dictionary of pdg, momentum and perhaps vertex and final."""
    flat = [particle for event in events for particle in event]
    pdg = np.array([p["pdg"] for p in flat], np.int32)
    return Events(
        offsets=np.cumsum([0, *map(len, events)]),
        pdg=pdg,
        momentum=np.array([p["momentum"] for p in flat], np.float64).reshape(-1, 3),
        mass=np.nan_to_num(particles.mass(pdg)),
        vertex=np.array([p.get("vertex", (0, 0, 0)) for p in flat], np.float64).reshape(-1, 3),
        final=np.array([p.get("final", True) for p in flat], bool),
        run=np.ones(len(events), np.int64),
        event=np.arange(len(events)) + first,
    )


def particle(pdg, *momentum, **more):
    return {"pdg": pdg, "momentum": momentum, **more}


def mixed_events(n, seed=0, species=(11, -11, 22, 211, -211, 130, 2112, 2212, 13)):
    rng = np.random.default_rng(seed)
    events = []
    for _ in range(n):
        way = rng.normal(size=(rng.integers(0, 4), 3))
        way *= rng.uniform(0.3, 2, len(way))[:, None] / np.linalg.norm(way, axis=1)[:, None]
        events.append([particle(rng.choice(species), *p) for p in way])
    return events


def assert_identical(one: Hits, other: Hits):
    assert_array_equal(one.reason, other.reason)
    for name, hits in one.sections.items():
        for column in COLUMNS:
            assert_array_equal(getattr(hits, column), getattr(other.sections[name], column))


def joined(parts: list[Hits]) -> dict[str, list]:
    return {
        name: [np.concatenate([getattr(p.sections[name], c) for p in parts]) for c in ("cell_id", "energy")]
        for name in parts[0].sections
    }


def test_what_comes_out_depends_on_seed_and_event_only(geant4):
    lists = mixed_events(12)
    whole = geant4.run(make_events(*lists), seed=3)
    assert len(whole.sections["ECAL"].energy) > 500
    assert len(whole.sections["HCAL"].energy) > 50
    with Geant4Simulation(DETECTOR, workers=1) as single:
        chunks = [single.run(make_events(*lists[i : i + 5], first=i), seed=3) for i in (0, 5, 10)]
    for name, columns in joined(chunks).items():
        hits = whole.sections[name]
        assert_array_equal(columns[0], hits.cell_id)
        assert_array_equal(columns[1], hits.energy)
    other = geant4.run(make_events(*lists), seed=4)
    assert len(other.sections["ECAL"].energy) != len(whole.sections["ECAL"].energy)


def test_events_of_the_same_numbers_have_showers_of_their_own_by_block_and_repetition(geant4):
    events = make_events(*[[particle(22, 1.0, 0.1, 0.1)]] * 4)
    same = replace(events, event=np.zeros(4, np.int64))
    alike = [geant4.run(same, seed=1)]
    word = replace(same, repeat=np.arange(4, dtype=np.uint64))
    block = replace(same, luminosity_block=np.arange(4))
    for other in (word, block):
        hits = geant4.run(other, seed=1).sections["ECAL"]
        energies = np.add.reduceat(hits.energy, hits.offsets[:-1])
        assert len(np.unique(energies)) == 4
        alike.append(geant4.run(other, seed=1))
    first = [hits.sections["ECAL"].energy[: hits.sections["ECAL"].offsets[1]] for hits in alike]
    # neither a word nor a block of zero is one
    assert_array_equal(first[0], first[1])
    assert_array_equal(first[0], first[2])


def test_a_pickled_engine_is_the_same_engine(geant4):
    events = make_events(*mixed_events(3, seed=1))
    with pickle.loads(pickle.dumps(geant4)) as again:  # noqa: S301 - what this test has pickled itself
        assert_identical(geant4.run(events, seed=1), again.run(events, seed=1))


def test_energies_close(geant4):
    lists = [[particle(p, 2, 0.1 * i, 0.5)] for i, p in enumerate((11, -11, 22, 211, 130, 2112, 2212, -2212) * 3)]
    events = make_events(*lists)
    before = geant4.geant4_seconds
    hits = geant4.run(events)
    assert geant4.geant4_seconds > before
    assert (hits.reason == Reason.SIMULATED).all()
    visible = sum(
        np.bincount(np.repeat(np.arange(24), np.diff(s.offsets)), s.energy, 24) for s in hits.sections.values()
    )
    # an antiparticle brings the mass of two
    available = events.kinetic_energy + 2 * events.mass
    assert (visible > 0.002).all()
    assert (visible < 0.15 * available).all()


REASONS = [
    (Reason.SIMULATED, particle(22, 1, 0, 0)),
    (Reason.SIMULATED, particle(1000020040, 10, 0, 0)),
    (Reason.SIMULATED, particle(3122, 1, 0, 0)),
    (Reason.NOT_FINAL_STATE, particle(22, 1, 0, 0, final=False)),
    (Reason.BAD_NUMBERS, particle(22, np.nan, 0, 0)),
    (Reason.AT_REST, particle(22, 0, 0, 0)),
    (Reason.INVISIBLE, particle(14, 1, 0, 0)),
    (Reason.UNKNOWN_SPECIES, particle(99999999, 1, 0, 0)),
    (Reason.UNKNOWN_SPECIES, particle(21, 1, 0, 0)),
    (Reason.UNKNOWN_SPECIES, particle(2, 1, 0, 0)),
    (Reason.UNKNOWN_SPECIES, particle(-22, 1, 0, 0)),
    (Reason.UNKNOWN_SPECIES, particle(0, 1, 0, 0)),
    (Reason.BORN_OUTSIDE, particle(22, 1, 0, 0, vertex=(1600, 0, 0))),
    (Reason.MISSES_CALORIMETER, particle(22, 0, 0, 1)),
    (Reason.MISSES_CALORIMETER, particle(11, 0.2, 0, 0)),
    (Reason.ENERGY_TOO_LOW, particle(22, 0.0009, 0, 0)),
    (Reason.ENERGY_TOO_HIGH, particle(22, 1001, 0, 0)),
    (Reason.ANGLE_TOO_LARGE, particle(22, 0.5, 0, 3.6, vertex=(1200, 0, -1900.0))),
]


def test_every_particle_has_its_reason(geant4):
    hits = geant4.run(make_events(*[[p] for _, p in REASONS]))
    assert [Reason(r) for r in hits.reason] == [r for r, _ in REASONS]
    seen = sum(np.diff(s.offsets) for s in hits.sections.values()) > 0
    assert_array_equal(seen, hits.reason == Reason.SIMULATED)
    assert set(hits.reason.tolist()) == set(Reason) - {Reason.DECAYED}


@pytest.mark.parametrize("lists", [(), ([],), ([], [particle(12, 1, 0, 0)])], ids=["none", "empty", "invisible"])
def test_events_without_showers_have_no_hits(geant4, lists):
    hits = geant4.run(make_events(*lists))
    assert hits.n_events == len(lists)
    for section in hits.sections.values():
        assert_array_equal(section.offsets, np.zeros(len(lists) + 1))
        assert section.position.shape == (0, 3)


def test_the_threshold_is_for_the_sum_of_an_event():
    skip_without_geant4()
    # neighbours, so that many cells get a little of each
    event = [particle(22, 1, 0.001 * i, 0.2) for i in range(9)]
    alone = [[{**p, "final": k == i} for k, p in enumerate(event)] for i in range(9)]
    open_detector = detector_with(section__ECAL__threshold_gev=0.0, section__HCAL__threshold_gev=0.0)
    assert open_detector.stack_hash != DETECTOR.stack_hash
    with Geant4Simulation(open_detector, workers=2) as engine:
        # all are event 0, so that each particle draws the same numbers in every one
        parts = [engine.run(make_events(e)).sections["ECAL"] for e in alone]
    # three times what one particle leaves in a cell
    threshold = 5e-4
    with Geant4Simulation(detector_with(section__ECAL__threshold_gev=threshold)) as engine:
        together = engine.run(make_events(event)).sections["ECAL"]
    ids = np.concatenate([p.cell_id for p in parts])
    energy = np.concatenate([p.energy for p in parts]).astype(np.float64)
    cells, which = np.unique(ids, return_inverse=True)
    summed, largest = np.bincount(which, energy), np.zeros(len(cells))
    np.maximum.at(largest, which, energy)
    hit = summed > threshold
    assert (hit & (largest < threshold)).sum() > 3
    order = np.argsort(together.cell_id)
    assert_array_equal(together.cell_id[order], cells[hit])
    np.testing.assert_allclose(together.energy[order], summed[hit], rtol=1e-6)


WAYS = {
    # a stave away from its middle, obliquely; the corner of an endcap; and the other endcap
    "stave": (2.0, 0.35, 1.9),
    "stave 7": (-1.8, -1.1, -0.7),
    "endcap": (0.9, -0.8, 2.0),
    "other endcap": (0.4, 0.9, -2.0),
}


@pytest.mark.parametrize("pdg", [22, 2112])
def test_showers_lie_around_the_line_of_flight(geant4, pdg):
    # all the way through a section: a muon-like line would do, but showers are what is placed
    momentum = [np.array(way) / np.linalg.norm(way) * (3 if pdg == 22 else 12) for way in WAYS.values()]
    lists = [[particle(pdg, *p)] for p in momentum for _ in range(6)]
    hits = geant4.run(make_events(*lists), seed=2)
    assert (hits.reason == Reason.SIMULATED).all()
    for name in ("ECAL",) if pdg == 22 else ("ECAL", "HCAL"):
        section, s = DETECTOR.section(name), hits.sections[name]
        group = np.repeat(np.arange(len(lists)), np.diff(s.offsets)) // 6
        modules = DETECTOR.decode(name, s.cell_id)["module"]
        for k, p in enumerate(momentum):
            unit = p / np.linalg.norm(p)
            position, energy = s.position[group == k].astype(np.float64), s.energy[group == k]
            away = position - (position @ unit)[:, None] * unit
            # the core: what lies far out is neutrons
            near = np.linalg.norm(away, axis=1) < 12 * section.cell_mm
            centre = np.average(away[near], axis=0, weights=energy[near])
            spread = math.sqrt(np.average(np.linalg.norm(away[near], axis=1) ** 2, weights=energy[near]))
            assert np.linalg.norm(centre) < (1.0 if pdg == 22 else 1.5) * section.cell_mm
            assert spread < 6 * section.cell_mm
            assert len(np.unique(modules[group == k])) == 1


def test_a_straight_track_crosses_the_cells_of_the_geometry(geant4):
    """A fast muon hardly scatters: cell by cell it must be where propagation and the grid have it, in both sections."""
    rng = np.random.default_rng(5)
    way = rng.normal(size=(30, 3))
    lists = [[particle(13, *p)] for p in 200 * way / np.linalg.norm(way, axis=1)[:, None]]
    events = make_events(*lists)
    hits = geant4.run(events)
    arrived = hits.reason == Reason.SIMULATED
    assert arrived.sum() > 25
    arrival = fastcalo.simulation.propagation.propagate(DETECTOR, events.pdg, events.momentum, events.vertex)
    assert len(np.unique(arrival.module[arrived])) > 6
    for section in DETECTOR.sections:
        s = hits.sections[section.name]
        event = np.repeat(np.arange(30), np.diff(s.offsets))
        found = DETECTOR.decode(section.name, s.cell_id)
        assert_array_equal(found["module"], arrival.module[event])
        start = arrival.cell * DETECTOR.sections[0].cell_mm + arrival.entry
        slope = arrival.direction[:, :2] / arrival.direction[:, 2:]
        crossed = start[event] + section.sensor_z[found["layer"], None] * slope[event]
        cell = np.stack([found["x"], found["y"]], axis=1)
        on_track = (cell == np.floor(crossed / section.cell_mm + 0.5)).all(axis=1)
        # save where the line passes so close to a border that the little it scatters matters
        missed = arrived.sum() * section.layers - on_track.sum()
        assert missed < 0.1 * arrived.sum() * section.layers


def test_provenance_states_the_physics(geant4):
    provenance = geant4.provenance()
    assert provenance["geant4"].startswith("geant4-1")
    assert (provenance["physics_list"], provenance["production_cut_mm"]) == ("FTFP_BERT", 0.1)
    assert provenance["data_sets"]["G4LEDATA"].startswith("G4EMLOW")
    assert json.loads(json.dumps(provenance)) == provenance
    assert isinstance(geant4, TracedEngine)


def test_making_an_engine_starts_nothing_and_imports_nothing():
    assert fastcalo.Geant4Simulation is Geant4Simulation
    engine = Geant4Simulation(DETECTOR)
    assert engine.detector is DETECTOR
    engine.close()
