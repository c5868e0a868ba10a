# SPDX-License-Identifier: BSD-3-Clause
"""Reasons of particles in the fast simulation, and events without particles."""

import numpy as np
import pytest
from helpers.files.event_lists import make_events
from helpers.files.hits_equal import assert_same_hits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import fastcalo
from fastcalo.detector.description import load_detector
from fastcalo.event.events import Reason
from fastcalo.simulation.fast import FastSimulation

DETECTOR = load_detector()
EM = FastSimulation(DETECTOR, fastcalo.load_model("em", threads=1))


def photon(*momentum, **more):
    return {"pdg": 22, "momentum": momentum, **more}


# --- reasons

NEAR_AN_ENDCAP = (0.0, 0.0, 1900.0)
REASONS = [
    (Reason.SIMULATED, photon(1, 0, 0)),
    (Reason.NOT_FINAL_STATE, photon(1, 0, 0, final=False)),
    (Reason.BAD_NUMBERS, photon(np.nan, 0, 0)),
    (Reason.BAD_NUMBERS, photon(np.inf, 0, 0)),
    (Reason.AT_REST, photon(0, 0, 0)),
    (Reason.BAD_NUMBERS, photon(1, 0, 0, vertex=(0, np.nan, 0))),
    (Reason.BAD_NUMBERS, photon(1, 0, 0, vertex=(0, -np.inf, 0))),
    (Reason.BAD_NUMBERS, photon(1, 0, 0, mass=-0.1)),
    (Reason.BAD_NUMBERS, photon(1, 0, 0, mass=np.nan)),
    (Reason.BAD_NUMBERS, photon(1, 0, 0, mass=np.inf)),
    (Reason.BAD_NUMBERS, photon(1e200, 0, 0)),
    (Reason.AT_REST, photon(1e-300, 0, 0)),
    (Reason.INVISIBLE, {"pdg": 12, "momentum": (1, 0, 0)}),
    (Reason.INVISIBLE, {"pdg": -16, "momentum": (1, 0, 0)}),
    (Reason.UNKNOWN_SPECIES, {"pdg": 211, "momentum": (1, 0, 0)}),
    (Reason.UNKNOWN_SPECIES, {"pdg": 99999999, "momentum": (1, 0, 0)}),
    (Reason.UNKNOWN_SPECIES, {"pdg": 0, "momentum": (1, 0, 0)}),
    (Reason.BORN_OUTSIDE, photon(1, 0, 0, vertex=(1600, 0, 0))),
    (Reason.MISSES_CALORIMETER, photon(0, 0, 1)),
    (Reason.MISSES_CALORIMETER, {"pdg": 11, "momentum": (0.2, 0, 0)}),
    (Reason.ENERGY_TOO_LOW, photon(0.019, 0, 0)),
    (Reason.ENERGY_TOO_HIGH, photon(101, 0, 0)),
    (Reason.ENERGY_TOO_HIGH, photon(1e8, 0, 0)),
    (Reason.ANGLE_TOO_LARGE, photon(5, 0, 1, vertex=NEAR_AN_ENDCAP)),
]


@pytest.mark.parametrize(("reason", "particle"), REASONS, ids=lambda v: v.name if isinstance(v, Reason) else "")
def test_every_particle_has_its_reason(reason, particle):
    hits = EM.run(make_events([particle]))
    assert hits.reason.dtype == np.int8
    assert Reason(hits.reason[0]) is reason
    assert (len(hits.sections["ECAL"].energy) > 0) == (reason is Reason.SIMULATED)


def test_all_reasons_occur_and_are_counted_together():
    # in one event, and once more shuffled over several
    every = [p for _, p in REASONS]
    wanted = np.array([r for r, _ in REASONS])
    # decays are done before
    assert set(Reason) - {Reason.DECAYED} == set(wanted.tolist())
    assert_array_equal(EM.run(make_events(every)).reason, wanted)
    order = np.random.default_rng(0).permutation(len(every))
    shuffled = [every[i] for i in order]
    hits = EM.run(make_events(shuffled[:5], [], shuffled[5:6], shuffled[6:]))
    assert_array_equal(hits.reason, wanted[order])
    assert len(hits.reason) == len(every)


def test_what_is_refused_leaves_the_others_alone():
    good = [photon(1, 0.1 * i, 0) for i in range(3)]
    bad = [p for r, p in REASONS if r is not Reason.SIMULATED]
    alone, among = EM.run(make_events(good), seed=9), EM.run(make_events([*good, *bad]), seed=9)
    assert_same_hits(alone, among)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**31), 2**31 - 1) | st.sampled_from([11, -11, 22, 12, 211]),
            st.tuples(*[st.floats(-1e3, 1e3) | st.floats()] * 3),
            st.tuples(*[st.floats(-3e3, 3e3) | st.floats()] * 3),
            st.floats(0, 1) | st.floats(),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_no_particle_however_wild_is_an_error(wild):
    names = ("pdg", "momentum", "vertex", "mass", "final")
    hits = EM.run(make_events([dict(zip(names, p, strict=True)) for p in wild]))
    assert set(hits.reason.tolist()) <= set(Reason)
    assert np.isfinite(hits.sections["ECAL"].energy).all()


# --- empty


@pytest.mark.parametrize("counts", [(), (0,), (0, 0, 0)], ids=str)
def test_events_without_particles_have_no_hits(counts):
    hits = EM.run(make_events(*[[] for _ in counts]))
    assert hits.n_events == len(counts)
    assert hits.reason.shape == (0,)
    for s in hits.sections.values():
        assert_array_equal(s.offsets, np.zeros(len(counts) + 1))
        assert s.position.shape == (0, 3)
        assert len(s.cell_id) == len(s.energy) == len(s.layer) == 0


def test_empty_events_between_others_stay_empty():
    hits = EM.run(make_events([], [photon(1, 0, 0)], [], [], [photon(0, 1, 0)], []))
    assert_array_equal(np.diff(hits.sections["ECAL"].offsets) > 0, [False, True, False, False, True, False])
