# SPDX-License-Identifier: BSD-3-Clause
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.errors import InputError
from fastcalo.event.events import Reason
from fastcalo.simulation.propagation import propagate

DETECTOR = load_detector()
BARREL, ENDCAP = DETECTOR.barrel, DETECTOR.endcap
ORIGIN = (0.0, 0.0, 0.0)
PHOTON, ELECTRON, POSITRON, PION = 22, 11, -11, 211


def one(pdg, momentum, vertex=ORIGIN, detector=DETECTOR):
    return propagate(detector, [pdg], [momentum], [vertex])


def with_field(tesla):
    return dataclasses.replace(DETECTOR, field_tesla=tesla)


def beam(angle, azimuth=0.0, size=10.0):
    """Momentum at a polar angle in degrees, and an azimuth in radians."""
    polar = np.radians(angle)
    return size * np.array([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])


def isotropic(rng, n, lowest, highest):
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1)[:, None]
    return way * np.exp(rng.uniform(np.log(lowest), np.log(highest), n))[:, None]


# momenta and vertices as a collision makes them, and vertices anywhere in the tracker
sizes = st.floats(0.05, 200.0)
azimuths = st.floats(-np.pi, np.pi)
polars = st.floats(1.0, 179.0)
momenta = st.builds(beam, polars, azimuths, sizes)
vertices = st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000), st.floats(-1990, 1990))
charged = st.sampled_from([ELECTRON, POSITRON, PION, -PION, 2212])
species = st.sampled_from([PHOTON, 130, ELECTRON, POSITRON, PION, -PION])


# --- straight lines


def test_a_photon_flies_straight_to_the_middle_of_every_stave():
    azimuth = np.arange(12) * np.pi / 6
    momentum = np.stack([np.cos(azimuth), np.sin(azimuth), np.full(12, 0.01)], axis=1)
    arrival = propagate(DETECTOR, np.full(12, PHOTON), momentum, np.zeros((12, 3)))
    assert_array_equal(arrival.reason, Reason.SIMULATED)
    assert_array_equal(arrival.module, np.arange(12))
    # 15 mm along the beam are three cells, less 0.3 mm
    assert_array_equal(arrival.cell, np.tile([0, 3], (12, 1)))
    assert_allclose(arrival.entry, np.tile([0, -0.3], (12, 1)), atol=1e-9)
    assert_allclose(arrival.position, 1500 * momentum, atol=1e-9)
    assert_allclose(arrival.direction, np.tile(np.array([0, 0.01, 1]) / np.hypot(0.01, 1), (12, 1)), atol=1e-12)


@pytest.mark.parametrize(("side", "module"), [(1, 12), (-1, 13)])
def test_a_photon_flies_straight_to_the_endcaps(side, module):
    arrival = one(PHOTON, [0.2, 0.1, side])
    assert arrival.module[0] == module
    assert_allclose(arrival.position[0], [400, 200, side * 2000], atol=1e-9)
    # seen from the origin, x of the module at -z points the other way
    assert_allclose(arrival.direction[0], np.array([side * 0.2, 0.1, 1]) / np.sqrt(1.05), atol=1e-12)
    assert_allclose(arrival.cell[0] * 5.1 + arrival.entry[0], [side * 400, 200], atol=1e-9)


def test_a_stave_ends_where_the_next_begins():
    edge = np.pi / 12
    below, above = (one(PHOTON, beam(90, azimuth)) for azimuth in (edge - 1e-9, edge + 1e-9))
    assert (below.module[0], above.module[0]) == (0, 1)
    assert_allclose(below.position, above.position, atol=1e-5)
    assert_allclose(np.hypot(*below.position[0, :2]), BARREL.corner_radius_mm)


@given(st.floats(8.0, 172.0), azimuths)
def test_nothing_slips_through_above_eight_degrees(angle, azimuth):
    assert one(PHOTON, beam(angle, azimuth)).reason[0] == Reason.SIMULATED


@given(st.floats(0.0, 7.0), azimuths, species)
def test_the_hole_for_the_beam_is_open(angle, azimuth, pdg):
    assert one(pdg, beam(angle, azimuth)).reason[0] == Reason.MISSES_CALORIMETER


def test_along_the_beam_without_transverse_momentum():
    pdg = [PHOTON, ELECTRON, PHOTON, ELECTRON]
    momentum = [[0, 0, 1], [0, 0, 1], [0, 0, -1], [0, 0, -1]]
    vertex = [[0, 0, 0], [0, 0, 0], [300, 0, 10], [300, 0, 10]]
    arrival = propagate(DETECTOR, pdg, momentum, vertex)
    missed = Reason.MISSES_CALORIMETER
    assert_array_equal(arrival.reason, [missed, missed, Reason.SIMULATED, Reason.SIMULATED])
    assert_array_equal(arrival.position[2:], [[300, 0, -2000]] * 2)


# --- helices


@pytest.mark.parametrize("sign", [1, -1])
def test_a_helix_by_hand(sign):
    # the circle of radius r = pt / (0.3 B) on which a track from the origin meets (1500, 0): the chord is turned from
    # the direction at the origin by half of what the track turns, and a positive charge turns clockwise
    pt, pz = 2.0, 0.1
    r = pt / (0.299792458 * 4.0) * 1000
    half = np.arcsin(1500 / (2 * r))
    arrival = one(sign * PION, [pt * np.cos(half), sign * pt * np.sin(half), pz])
    assert arrival.module[0] == 0
    assert_allclose(arrival.position[0], [1500, 0, pz / pt * 2 * r * half], atol=1e-8)
    way = np.array([-sign * pt * np.sin(half), pz, pt * np.cos(half)])
    assert_allclose(arrival.direction[0], way / np.hypot(pt, pz), atol=1e-12)


def test_a_curling_particle_reaches_the_endcap_or_nothing():
    # a circle of 0.3 GeV in 4 T is 250 mm wide to either side: the staves are out of reach from the origin
    pdg, momentum = [ELECTRON] * 3, [[0.3, 0, 1e-4], [0.3, 0, -1e-4], [0.3, 0, 0]]
    arrival = propagate(DETECTOR, pdg, momentum, np.zeros((3, 3)))
    in_reach = np.abs(arrival.position[:, 2]) == 2000
    assert_array_equal(arrival.reason[~in_reach], Reason.MISSES_CALORIMETER)
    assert arrival.reason[2] == Reason.MISSES_CALORIMETER
    # from elsewhere the same circle never comes near the hole
    away = propagate(DETECTOR, pdg, momentum, np.tile([900.0, 0, 0], (3, 1)))
    assert_array_equal(away.module, [12, 13, -1])
    # on its way for six million kilometres
    assert one(ELECTRON, [0.3, 0, 1e-10], (900, 0, 0)).reason[0] == Reason.MISSES_CALORIMETER


def _acceleration(velocity, turn):
    # q v x B with B along z, for a velocity of one
    return turn[:, None] * np.stack([velocity[:, 1], -velocity[:, 0], np.zeros(len(turn))], axis=1)


def _runge_kutta(x, v, turn, step):
    h = step[:, None]
    k1 = _acceleration(v, turn)
    k2 = _acceleration(v + h / 2 * k1, turn)
    k3 = _acceleration(v + h / 2 * k2, turn)
    k4 = _acceleration(v + h * k3, turn)
    return x + h * v + h**2 / 6 * (k1 + k2 + k3), v + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _enclosed(x):
    azimuth = np.arange(12) * np.pi / 6
    out = x[:, :1] * np.cos(azimuth) + x[:, 1:2] * np.sin(azimuth)
    return (out.max(axis=1) < BARREL.inner_radius_mm) & (np.abs(x[:, 2]) < ENDCAP.front_mm)


def follow(charge, momentum, vertex, step=2.5, longest=20000.0):
    """Follow tracks in small steps of the equation of motion, and halve the last one until it ends on a face."""
    size = np.linalg.norm(momentum, axis=1)
    turn = 0.299792458 * charge * DETECTOR.field_tesla / size / 1000
    x, v, h = vertex.copy(), momentum / size[:, None], np.full(len(size), step)
    going = np.ones(len(size), dtype=bool)
    for _ in range(int(longest / step)):
        ahead, turned = _runge_kutta(x[going], v[going], turn[going], h[going])
        inside = _enclosed(ahead)
        rows = np.flatnonzero(going)
        x[rows[inside]], v[rows[inside]] = ahead[inside], turned[inside]
        going[rows[~inside]] = False
        if not going.any():
            break
    ended = ~going
    for _ in range(40):
        h[ended] /= 2
        ahead, turned = _runge_kutta(x, v, turn, h)
        inside = ended & _enclosed(ahead)
        x[inside], v[inside] = ahead[inside], turned[inside]
    return ended, x, v


def test_agrees_with_steps_along_the_equation_of_motion():
    rng = np.random.default_rng(7)
    n = 500
    momentum = isotropic(rng, n, 0.2, 100)
    vertex = rng.uniform([-700, -700, -1500], [700, 700, 1500], (n, 3)) * (rng.random((n, 1)) < 0.7)
    pdg = rng.choice([ELECTRON, POSITRON, PHOTON], n)
    arrival = propagate(DETECTOR, pdg, momentum, vertex)
    ended, position, velocity = follow((pdg == POSITRON) * 1.0 - (pdg == ELECTRON), momentum, vertex)

    radius = np.hypot(position[:, 0], position[:, 1])
    on_end = np.abs(position[:, 2]) > ENDCAP.front_mm - 1e-6
    arrives = ended & (~on_end | (radius > ENDCAP.inner_radius_mm))
    # the others curl for longer than they are followed
    assert ended.mean() > 0.98
    assert_array_equal(arrival.reason[ended] == Reason.SIMULATED, arrives[ended])
    # what is left is the steps' error, which falls with their fourth power
    assert_allclose(arrival.position[arrives], position[arrives], rtol=0, atol=2e-5)
    module = arrival.module[arrives]
    assert_allclose(arrival.direction[arrives], DETECTOR.layout.rotate_to_local(module, velocity[arrives]), atol=1e-8)
    assert_array_equal(module >= 12, on_end[arrives])


# --- what always holds


@given(species, momenta, vertices)
def test_arrivals_lie_on_the_face_of_their_module(pdg, momentum, vertex):
    arrival = one(pdg, momentum, vertex)
    if arrival.reason[0] != Reason.SIMULATED:
        assert arrival.module[0] == -1
        assert np.isnan(arrival.position).all()
        return
    module = arrival.module
    local = np.append(arrival.cell[0] * 5.1 + arrival.entry[0], 0.0)
    assert_allclose(DETECTOR.layout.to_global(module, local[None]), arrival.position, atol=1e-9)
    assert (np.abs(arrival.entry) <= 5.1 / 2 + 1e-9).all()
    if module[0] < 12:
        assert abs(local[0]) <= BARREL.half_width_mm + 1e-6
        assert abs(local[1]) <= BARREL.half_length_mm
    else:
        assert ENDCAP.inner_radius_mm <= np.hypot(*local[:2]) <= ENDCAP.outer_radius_mm


@given(species, momenta, vertices)
def test_momentum_is_kept(pdg, momentum, vertex):
    arrival = one(pdg, momentum, vertex)
    if arrival.reason[0] != Reason.SIMULATED:
        return
    way = arrival.direction[0] @ DETECTOR.layout.axes[arrival.module[0]]
    assert_allclose(np.linalg.norm(way), 1, rtol=1e-12)
    assert_allclose(way[2], momentum[2] / np.linalg.norm(momentum), atol=1e-12)
    assert arrival.direction[0, 2] > 0


@given(charged, momenta, vertices)
def test_arrivals_lie_on_the_circle_of_the_track(pdg, momentum, vertex):
    arrival = one(pdg, momentum, vertex)
    if arrival.reason[0] != Reason.SIMULATED:
        return
    charge = -1 if pdg in (ELECTRON, -PION) else 1
    scale = charge * 0.299792458 * DETECTOR.field_tesla / 1000
    centre = np.array(vertex[:2]) + np.array([momentum[1], -momentum[0]]) / scale
    radius = np.hypot(*momentum[:2]) / abs(scale)
    assert_allclose(np.hypot(*(arrival.position[0, :2] - centre)), radius, rtol=1e-9, atol=1e-6)


@given(species, momenta, vertices, st.integers(1, 11))
def test_turning_everything_by_staves_turns_the_arrival(pdg, momentum, vertex, staves):
    angle = staves * np.pi / 6
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    arrival, turned = one(pdg, momentum, vertex), one(pdg, turn @ momentum, turn @ vertex)
    assert_array_equal(arrival.reason, turned.reason)
    assert_allclose(turned.position, arrival.position @ turn.T, atol=1e-5)
    edge = BARREL.half_width_mm - np.abs(arrival.cell[0, 0] * 5.1 + arrival.entry[0, 0])
    if 0 <= arrival.module[0] < 12 and edge > 1e-5:
        assert turned.module[0] == (arrival.module[0] + staves) % 12
        assert_allclose(turned.direction, arrival.direction, atol=1e-8)


@given(charged, momenta, vertices)
def test_the_antiparticle_in_the_mirror_arrives_in_the_mirror(pdg, momentum, vertex):
    mirror = np.array([1.0, -1.0, 1.0])
    arrival, mirrored = one(pdg, momentum, vertex), one(-pdg, mirror * momentum, mirror * vertex)
    assert_array_equal(arrival.reason, mirrored.reason)
    assert_allclose(mirrored.position, mirror * arrival.position, atol=1e-5)


@given(charged, momenta, vertices)
def test_great_momentum_flies_straight(pdg, momentum, vertex):
    way = momentum / np.linalg.norm(momentum)
    curved, straight = one(pdg, 1e12 * way, vertex), one(PHOTON, way, vertex)
    assert_array_equal(curved.reason, straight.reason)
    if straight.reason[0] == Reason.SIMULATED and straight.direction[0, 2] > 0.01:
        assert_allclose(curved.position, straight.position, atol=1e-5)


@given(charged, momenta, vertices)
def test_without_field_charge_does_not_matter(pdg, momentum, vertex):
    off = with_field(0.0)
    assert_array_equal(
        one(pdg, momentum, vertex, off).position,
        one(PHOTON, momentum, vertex, off).position,
    )


@given(
    st.sampled_from([PHOTON, ELECTRON, 1000822080, 99]),
    st.tuples(*[st.floats()] * 3),
    st.tuples(*[st.floats() | st.floats(-1500, 1500)] * 3),
)
def test_any_numbers_give_a_reason(pdg, momentum, vertex):
    arrival = one(pdg, momentum, vertex)
    reason = arrival.reason[0]
    if not (np.isfinite(momentum).all() and np.isfinite(vertex).all()):
        assert reason == Reason.BAD_NUMBERS
    for values in (arrival.entry, arrival.direction, arrival.position):
        assert np.isfinite(values).all() == (reason == Reason.SIMULATED)
    assert (arrival.module[0] >= 0) == (reason == Reason.SIMULATED)


def test_particles_do_not_feel_each_other():
    rng = np.random.default_rng(3)
    n = 997
    pdg, momentum = rng.choice([PHOTON, ELECTRON, PION], n), isotropic(rng, n, 0.1, 100)
    vertex = rng.normal(size=(n, 3)) * [1, 1, 50]
    whole = propagate(DETECTOR, pdg, momentum, vertex)
    for cut in (slice(0, 1), slice(1, 14), slice(14, n)):
        part = propagate(DETECTOR, pdg[cut], momentum[cut], vertex[cut])
        for field in dataclasses.fields(whole):
            assert_array_equal(getattr(part, field.name), getattr(whole, field.name)[cut])


# --- what is refused


@pytest.mark.parametrize(
    ("momentum", "vertex"),
    [
        ((0, 0, 0), ORIGIN),
        ((np.nan, 0, 1), ORIGIN),
        ((1, np.inf, 0), ORIGIN),
        ((1, 0, 0), (0, np.nan, 0)),
        ((1, 0, 0), (0, 0, -np.inf)),
    ],
)
def test_bad_numbers(momentum, vertex):
    assert one(ELECTRON, momentum, vertex).reason[0] == Reason.BAD_NUMBERS


@pytest.mark.parametrize("vertex", [(1501, 0, 0), (0, -1600, 10), (0, 0, 2001), (0, 0, -2001), (1e200, 0, 0)])
def test_born_outside(vertex):
    assert one(PHOTON, (1, 1, 0.1), vertex).reason[0] == Reason.BORN_OUTSIDE


def test_the_corners_of_the_prism_are_inside():
    corner = 1552 * np.array([np.cos(np.pi / 12), np.sin(np.pi / 12), 0])
    assert one(PHOTON, corner, corner).reason[0] == Reason.SIMULATED
    assert one(PHOTON, (1, 0, 0), (1552, 0, 0)).reason[0] == Reason.BORN_OUTSIDE


def test_unknown_charge():
    assert one(99, (1, 0, 0)).reason[0] == Reason.UNKNOWN_SPECIES


def test_a_vertex_on_the_face():
    face = (1500.0, 10.0, 20.0)
    outwards = one(ELECTRON, (1, 0.1, 0.1), face)
    assert_array_equal(outwards.position[0], face)
    inwards = one(PHOTON, (-1, 0, 0), face)
    assert inwards.module[0] == 6
    assert_allclose(inwards.position[0], (-1500, 10, 20))
    # along the face: straight to the next stave, bent inwards to an endcap, bent outwards into the face at no angle
    along = [one(pdg, (0, 1, 0.1), face) for pdg in (PHOTON, ELECTRON, POSITRON)]
    assert [arrival.module[0] for arrival in along] == [1, 12, -1]


@pytest.mark.parametrize("vertex", [(1500 + 1e-10, 10, 20), (0, -1500 - 1e-10, 0), (400, 0, 2000 + 1e-10)])
def test_a_vertex_behind_the_face_by_rounding(vertex):
    assert_allclose(one(ELECTRON, vertex, vertex).position[0], vertex, atol=1e-9)


def test_a_slit_between_barrel_and_endcap():
    wide = dataclasses.replace(DETECTOR, endcap=dataclasses.replace(ENDCAP, front_mm=2100.0))
    through = one(PHOTON, (1500, 0, 2050), detector=wide)
    assert through.module[0] == 12
    assert_allclose(through.position[0], [1500 * 2100 / 2050, 0, 2100])
    assert one(PHOTON, (1500, 0, 1999), detector=wide).module[0] == 0
    # born in the slit and away from the endcap, into the flank of the barrel
    assert one(PHOTON, (1, 0, -4), (1499, 0, 2050), wide).reason[0] == Reason.MISSES_CALORIMETER


def test_beyond_the_rim_of_a_small_endcap():
    small = dataclasses.replace(DETECTOR, endcap=dataclasses.replace(ENDCAP, outer_radius_mm=1000.0))
    assert one(PHOTON, (999, 0, 2000), detector=small).module[0] == 12
    assert one(PHOTON, (1001, 0, 2000), detector=small).reason[0] == Reason.MISSES_CALORIMETER


def test_shapes_must_fit():
    with pytest.raises(InputError, match=r"momentum has shape \(2, 3\)"):
        propagate(DETECTOR, [ELECTRON], np.ones((2, 3)), np.zeros((1, 3)))
    empty = propagate(DETECTOR, [], np.zeros((0, 3)), np.zeros((0, 3)))
    assert empty.cell.shape == (0, 2)
