# SPDX-License-Identifier: BSD-3-Clause
"""Decays before the calorimeter: kinematics to rounding, lifetimes and angles by statistics, the same in any chunk."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_tree
from helpers.models.small_engine import StraightEngine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from fastcalo import Events, convert, load_detector, merge, particles
from fastcalo.errors import InputError
from fastcalo.event.events import Reason
from fastcalo.simulation.decay_table import decay_table
from fastcalo.simulation.decays import decay
from fastcalo.simulation.phase_space import daughters
from fastcalo.simulation.propagation import propagate

DETECTOR = load_detector()
NO_FIELD = dataclasses.replace(DETECTOR, field_tesla=0.0)
TABLE = decay_table()
K_SHORT, LAMBDA, XI, PI, PI0, MUON, PHOTON, PROTON = 310, 3122, 3312, 211, 111, 13, 22, 2212


def beam(pdg, n, momentum, seed=0):
    """One particle per event, isotropic."""
    way = np.random.default_rng(seed).normal(size=(n, 3))
    way *= momentum / np.linalg.norm(way, axis=1)[:, None]
    return Events.from_arrays(pdg=np.full(n, pdg), momentum=way, counts=np.ones(n, int))


def energy(events: Events) -> np.ndarray:
    return np.sqrt((events.momentum**2).sum(1) + events.mass**2)


def per_event(events: Events, values, chosen) -> np.ndarray:
    return np.bincount(events.event_of_particle[chosen], values[chosen], minlength=events.n_events)


# the table


def test_every_channel_keeps_charge_baryon_number_and_has_the_energy():
    baryons = (2112, 2212, 3112, 3122, 3212, 3222, 3312, 3322, 3334)
    leptons = (11, 12, 13, 14)
    parents = TABLE.pdg[np.ceil(TABLE.upto - 1e-12).astype(int) - 1]
    assert len(parents) > 60
    for parent, made in zip(parents.tolist(), TABLE.daughters.tolist(), strict=True):
        codes = [code for code in made if code]
        assert particles.charge([parent])[0] == particles.charge(codes).sum()
        assert particles.mass([parent])[0] >= particles.mass(codes).sum() - 1e-9
        for kind in (baryons, leptons):
            sign = [np.sign(code) * (abs(code) in kind) for code in (parent, *codes)]
            assert sign[0] == sum(sign[1:])


def test_channels_are_drawn_by_their_branching_ratios():
    u = (np.arange(100_000) + 0.5) / 100_000
    made = TABLE.daughters[TABLE.channel(np.repeat(TABLE.row(np.array([K_SHORT])), len(u)), u)]
    assert np.mean(made[:, 0] == PI) == pytest.approx(0.6920 / 0.9989, abs=2e-5)
    made = TABLE.daughters[TABLE.channel(np.repeat(TABLE.row(np.array([-LAMBDA])), len(u)), u)]
    assert np.mean(made[:, 0] == -PROTON) == pytest.approx(0.641, abs=2e-5)
    assert set(made[:, 1].tolist()) == {PI, PI0}


# kinematics

finite = st.floats(-50, 50)
units = st.floats(0, 1, exclude_min=True, exclude_max=True)


@given(
    st.tuples(finite, finite, finite),
    st.floats(0.2, 5),
    st.lists(st.floats(0, 1), min_size=2, max_size=3),
    st.lists(units, min_size=5, max_size=5),
)
@example((0.0, 0.0, 0.0), 1.0, [0.0, 0.0, 0.0], [0.5] * 5)
@example((0.0, 0.0, 0.0), 1.0, [0.0, 5e-324, 0.0], [0.5, 0.5, 0.5, 0.5, 5e-324])
def test_momentum_and_energy_are_kept(parent, released, masses, u):
    mass = sum(masses) + released
    padded = np.full((1, 3), np.nan)
    padded[0, : len(masses)] = masses
    made = daughters(np.array([parent]), np.array([mass]), padded, np.array([u]))[0, : len(masses)]
    assert np.isfinite(made).all()
    total = np.sqrt(np.dot(parent, parent) + mass**2)
    assert_allclose(made.sum(0), parent, atol=1e-9 * total)
    assert np.sqrt((made**2).sum(1) + np.square(masses)).sum() == pytest.approx(total, rel=1e-9)


def test_three_bodies_are_uniform_in_the_dalitz_plot():
    n, mass, masses = 40_000, 0.497611, np.array([0.1349768, 0.1349768, 0.1349768])
    u = np.random.default_rng(1).random((n, 5))
    made = daughters(np.zeros((n, 3)), np.full(n, mass), np.tile(masses, (n, 1)), u)
    four = np.concatenate([made, np.sqrt((made**2).sum(2) + masses**2)[..., None]], axis=2)

    def squared(one, other):
        both = four[:, one] + four[:, other]
        return both[:, 3] ** 2 - (both[:, :3] ** 2).sum(1)

    # equal masses: each pair is distributed like any other, and the density in any region is its area
    first, second = squared(0, 1), squared(1, 2)
    assert stats.ks_2samp(first, second).pvalue > 1e-3
    middle = (mass**2 + (masses**2).sum()) / 3
    inside = [
        np.mean((np.abs(first - middle - dx) < 5e-3) & (np.abs(second - middle) < 5e-3)) for dx in (-0.01, 0, 0.01)
    ]
    assert min(inside) * n > 300
    assert max(inside) - min(inside) < 5 * np.sqrt(max(inside) / n)


def test_two_bodies_are_isotropic_in_the_rest_frame():
    after = decay(beam(PI0, 20_000, 3.0), NO_FIELD, seed=2)
    made = after.lineage.generation == 1
    photon, parent = after.momentum[made][1::2], after.momentum[~made]
    # for isotropic photons the energy of one is uniform between its ends
    share = np.linalg.norm(photon, axis=1) / energy(after)[~made]
    beta = 3.0 / energy(after)[~made]
    assert stats.kstest((share - (1 - beta) / 2) / beta, "uniform").pvalue > 1e-3
    side = np.cross(parent, [0.0, 0.0, 1.0])
    assert abs(np.mean(np.einsum("ij,ij->i", side, photon) > 0) - 0.5) < 4 * 0.5 / np.sqrt(20_000)


# flight


@pytest.mark.parametrize(("pdg", "momentum"), [(K_SHORT, 1.0), (LAMBDA, 1.5), (-XI, 2.0), (3222, 3.0)])
def test_flight_is_exponential_and_ends_at_the_calorimeter(pdg, momentum):
    n = 20_000
    events = beam(pdg, n, momentum)
    after = decay(events, NO_FIELD, seed=3)
    ctau = TABLE.ctau[TABLE.row(np.array([pdg]))][0]
    mean = ctau * momentum / particles.mass([pdg])[0]
    first = after.lineage.generation == 0
    ended = after.lineage.decayed[first]
    # isotropic from the origin: no face is nearer than the barrel's
    length = np.full(n, np.inf)
    made = after.lineage.generation == 1
    length[after.event_of_particle[made]] = np.linalg.norm(after.vertex[made], axis=1)
    assert_array_equal(np.isfinite(length), ended)
    near = DETECTOR.barrel.inner_radius_mm
    expected = 1 - np.exp(-near / mean)
    assert np.mean(length < near) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / n) + 1e-9)
    assert stats.kstest(length[length < near], lambda x: (1 - np.exp(-x / mean)) / expected).pvalue > 1e-3


def test_charged_particles_decay_on_their_helix_and_turn_with_it():
    after = decay(beam(-3112, 2000, 2.0), DETECTOR, seed=1)
    first = after.lineage.generation == 0
    made = after.lineage.generation == 1
    start = after.momentum[first]
    rows = after.event_of_particle[made]
    sums = np.stack([per_event(after, after.momentum[:, k], made) for k in range(3)], axis=1)
    ended = after.lineage.decayed[first]
    assert_allclose(sums[ended, 2], start[ended, 2], atol=1e-12)
    assert_allclose(np.hypot(*sums[ended, :2].T), np.hypot(*start[ended, :2].T), rtol=1e-12)
    # an antiparticle of Sigma-, of charge +1, in 4 T along z turns clockwise by 0.2998e-3 * 4 / p per mm of path
    vertex = np.zeros((2000, 3))
    vertex[rows] = after.vertex[made]
    path = np.abs(vertex[:, 2]) / np.abs(start[:, 2]) * 2.0
    turned = np.angle((sums[:, 0] + 1j * sums[:, 1]) / (start[:, 0] + 1j * start[:, 1]))
    far = ended & (path > 1) & (np.abs(start[:, 2]) > 0.2)
    assert far.sum() > 500
    assert_allclose(turned[far], np.angle(np.exp(-1j * 0.299792458e-3 * 4.0 / 2.0 * path[far])), atol=1e-6)


def test_energy_closes_over_all_generations_and_daughters_reach_the_faces():
    events = beam(XI, 3000, 5.0)
    after = decay(events, DETECTOR, seed=5)
    lineage = after.lineage
    assert lineage.generation.max() >= 3
    assert_allclose(per_event(after, energy(after), ~lineage.decayed), energy(events), rtol=1e-12)
    assert not after.final[lineage.decayed].any()
    assert after.final[lineage.generation > 0].sum() == (~lineage.decayed[lineage.generation > 0]).sum()
    arrival = propagate(DETECTOR, after.pdg, after.momentum, after.vertex)
    assert not np.isin(arrival.reason, [Reason.BORN_OUTSIDE, Reason.BAD_NUMBERS, Reason.UNKNOWN_SPECIES]).any()
    assert_array_equal(lineage.origin, 0)


def test_what_cannot_decay_stays_as_it_is():
    stable = Events.from_arrays(
        pdg=[[PHOTON, 11, PROTON, 2112, 130, K_SHORT, K_SHORT, K_SHORT]],
        momentum=[[[1, 0, 0]] * 5 + [[np.nan, 0, 0], [1, 0, 0], [1, 0, 0]]],
        vertex=[[[0, 0, 0]] * 6 + [[1600, 0, 0], [0, 0, 0]]],
        final=[[True] * 7 + [False]],
    )
    assert decay(stable, DETECTOR, seed=1) is stable


def test_a_k0_becomes_one_of_the_two():
    after = decay(beam(311, 4000, 5.0), DETECTOR, seed=1)
    made = after.lineage.generation == 1
    assert set(after.pdg[made].tolist()) == {130, K_SHORT}
    assert np.mean(after.pdg[made] == 130) == pytest.approx(0.5, abs=0.03)
    assert_allclose(after.momentum[made], after.momentum[after.lineage.generation == 0], rtol=1e-12)


def test_a_seed_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="seed"):
        decay(beam(K_SHORT, 1, 1.0), DETECTOR, seed=-1)


# the same whatever the company


def mixture(n_events=60, seed=4) -> Events:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 12, n_events)
    species = [K_SHORT, LAMBDA, -LAMBDA, XI, 3334, PI, -PI, 321, 130, MUON, PHOTON, PROTON]
    return Events.from_arrays(
        pdg=rng.choice(species, counts.sum()), momentum=rng.normal(0, 2, (counts.sum(), 3)), counts=counts
    )


def part(events: Events, start: int, stop: int) -> Events:
    first, last = events.offsets[start], events.offsets[stop]
    columns = {name: getattr(events, name)[first:last] for name in ("pdg", "momentum", "mass", "vertex", "final")}
    return Events(
        offsets=events.offsets[start : stop + 1] - first,
        run=events.run[start:stop],
        event=events.event[start:stop],
        **columns,
    )


def columns_of(events: Events) -> list[np.ndarray]:
    lineage = events.lineage
    return [
        np.diff(events.offsets),
        *(getattr(events, name) for name in ("pdg", "momentum", "mass", "vertex", "final")),
        *(getattr(lineage, name) for name in ("origin", "generation", "decayed", "digest", "number")),
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 59), max_size=5, unique=True).map(sorted))
def test_chunks_give_the_same_decays(cuts):
    events = mixture()
    whole = decay(events, DETECTOR, seed=9)
    edges = [0, *cuts, 60]
    parts = [decay(part(events, a, b), DETECTOR, seed=9) for a, b in pairwise(edges)]
    for k, found in enumerate(parts):
        if found.lineage is None:
            continue
        first, last = whole.offsets[edges[k]], whole.offsets[edges[k + 1]]
        wanted = columns_of(whole)
        assert_array_equal(columns_of(found)[0], wanted[0][edges[k] : edges[k + 1]])
        for mine, its in zip(columns_of(found)[1:], wanted[1:], strict=True):
            assert_array_equal(mine, its[first:last])


def test_what_does_not_decay_draws_what_it_always_drew():
    events = mixture()
    after = decay(events, DETECTOR, seed=9)
    kept = after.lineage.generation == 0
    for mine, its in zip(after.random_keys, events.random_keys, strict=True):
        assert_array_equal(mine[kept], its)
    pairs = set(zip(*(key.tolist() for key in after.random_keys), strict=True))
    assert len(pairs) == after.n_particles


def test_another_seed_gives_other_decays():
    one, other = (decay(beam(K_SHORT, 100, 5.0), DETECTOR, seed=seed) for seed in (1, 2))
    assert not np.isin(one.vertex[one.lineage.generation == 1], other.vertex[other.lineage.generation == 1]).any()


# files


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    n = 80
    rng = np.random.default_rng(2)
    columns = {"pdg": [[PHOTON, K_SHORT, LAMBDA, PI, MUON]] * n}
    columns |= {name: rng.normal(0, 3, (n, 5)).tolist() for name in ("px", "py", "pz")}
    return write_tree(tmp_path_factory.mktemp("decays") / "in.root", columns)


def read(path: Path):
    return uproot.open(path)["Events"].arrays()


def test_accounts_close_and_count_decays(tmp_path, source):
    summary = convert(source, tmp_path / "hits.root", StraightEngine(DETECTOR), seed=1)
    assert summary.particles.count == 400
    decayed = summary.reasons[Reason.DECAYED]
    assert summary.decays[K_SHORT].count > 70
    assert summary.decays[LAMBDA].count > 70
    assert decayed.count == sum(counts.count for counts in summary.decays.values())
    assert sum(t.count for t in summary.reasons.values()) == summary.particles.count + summary.daughters.count
    total = sum(counts.energy for counts in summary.reasons.values())
    assert total == pytest.approx(summary.particles.energy + summary.daughters.energy, rel=1e-12)
    # what the masses set free: less than a K0_S weighs, each
    assert 0 < summary.daughters.energy - decayed.energy < 0.5 * decayed.count
    provenance = json.loads(str(uproot.open(tmp_path / "hits.root")["fastcalo_provenance"]))
    assert provenance["decays"] is True
    assert provenance["accounts"] == summary.accounts()
    tree = read(tmp_path / "hits.root")
    for reason, counts in summary.reasons.items():
        assert np.sum(tree[f"particles_{reason.name.lower()}"]) == counts.count


def test_decays_can_be_turned_off(tmp_path, source):
    summary = convert(source, tmp_path / "hits.root", StraightEngine(DETECTOR), decays=False)
    assert summary.reasons[Reason.DECAYED].count == summary.daughters.count == 0
    assert not summary.decays
    assert json.loads(str(uproot.open(tmp_path / "hits.root")["fastcalo_provenance"]))["decays"] is False


def test_steps_and_workers_give_the_same_hits(tmp_path, source):
    runs = {"whole": {}, "small": {"step_size": 7}, "workers": {"step_size": 33, "workers": 2}}
    for name, options in runs.items():
        convert(source, tmp_path / f"{name}.root", StraightEngine(DETECTOR), seed=6, **options)
    trees = [read(tmp_path / f"{name}.root") for name in runs]
    for tree in trees[1:]:
        assert tree.tolist() == trees[0].tolist()


class OnlyPhotons(StraightEngine):
    """An engine that refuses all but photons."""

    def _reasons(self, events):
        reason, arrival = super()._reasons(events)
        reason[(events.pdg != PHOTON) & (reason == Reason.SIMULATED)] = Reason.UNKNOWN_SPECIES
        return reason, arrival


def test_refused_daughters_are_written_do_not_decay_again_and_can_be_merged(tmp_path, source):
    paths = {name: tmp_path / f"{name}.root" for name in ("hits", "rejected", "rest", "all", "direct")}
    convert(source, paths["hits"], OnlyPhotons(DETECTOR), rejected=paths["rejected"], seed=1)
    rest = convert(paths["rejected"], paths["rest"], StraightEngine(DETECTOR), seed=1)
    assert rest.reasons[Reason.DECAYED].count == 0
    rejected = read(paths["rejected"])
    from_lambda = (rejected["pdg"] == PROTON) & (rejected["index"] == 2)
    assert np.sum(from_lambda) > 20
    direct = convert(source, paths["direct"], StraightEngine(DETECTOR), seed=1)
    merged = merge(paths["hits"], paths["rest"], paths["all"])
    assert merged.decays == direct.decays
    assert merged.daughters == direct.daughters
    assert {r: t.count for r, t in merged.reasons.items()} == {r: t.count for r, t in direct.reasons.items()}


def test_refused_particles_are_not_converted_together_with_others(tmp_path, source):
    convert(source, tmp_path / "hits.root", OnlyPhotons(DETECTOR), rejected=tmp_path / "rejected.root")
    original = write_tree(
        tmp_path / "other.root",
        {name: [[1.0]] for name in ("px", "py", "pz", "vx", "vy", "vz", "mass")}
        | {"pdg": [[PHOTON]], "run": [1], "event": [1]},
        "Events",
    )
    with pytest.raises(InputError, match="convert them separately"):
        convert([tmp_path / "rejected.root", original], tmp_path / "both.root", StraightEngine(DETECTOR))
