# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of the shots of the particle gun, and the windows that keep their deposits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError
from fastcalo.fullsim.campaign import run_campaign
from fastcalo.fullsim.gun import Gun, Spectrum, cut_to_windows, rounded
from fastcalo.fullsim.shots import CellColumns, Shots, Showers
from fastcalo.particles import code_of
from fastcalo.simulation.placing import crossed_cells

DETECTOR = load_detector()


# conditions


@pytest.mark.parametrize("spectrum", list(Spectrum))
def test_conditions_are_spread_as_asked_for(spectrum):
    gun = Gun((11, 22, 2112), (0.5, 50.0), spectrum, 40.0, seed=1)
    c = gun.conditions(DETECTOR, 0, 30_000)
    energy = c["kinetic_energy"].astype(np.float64)
    u = np.log(energy / 0.5) / np.log(100) if spectrum is Spectrum.LOG else (energy - 0.5) / 49.5
    cosine = (1 - c["direction"][:, 2].astype(np.float64)) / (1 - np.cos(np.radians(40)))
    azimuth = np.arctan2(c["direction"][:, 1], c["direction"][:, 0]) / (2 * np.pi) + 0.5
    x, y = (c["entry"] / 5.1 + 0.5).T.astype(np.float64)
    seeds = c["seeds"].T / 2.0**31
    for values in (u, cosine, azimuth, x, y, *seeds):
        assert values.min() >= -1e-6
        assert values.max() <= 1 + 1e-6
        # Kolmogorov: five standard deviations and more
        distance = np.abs(np.sort(values) - np.arange(30_000) / 30_000).max()
        assert distance < 2.6 / np.sqrt(30_000)
    correlation = np.corrcoef([u, cosine, azimuth, x, y, *seeds]) - np.eye(7)
    assert np.abs(correlation).max() < 5 / np.sqrt(30_000)
    assert_allclose([np.mean(c["pdg"] == s) for s in (11, 22, 2112)], 1 / 3, atol=0.014)
    assert_allclose(np.linalg.norm(c["direction"].astype(np.float64), axis=1), 1, atol=1e-6)
    assert (np.abs(c["entry"]) < 2.55).all()
    assert len(np.unique(c["seeds"], axis=0)) == 30_000
    assert {k: v.dtype for k, v in c.items()} == {
        "pdg": np.int32, "kinetic_energy": np.float32, "direction": np.float32, "entry": np.float32, "seeds": np.int64,
    }  # fmt: skip


@settings(max_examples=20)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 60), min_size=2, max_size=2).map(sorted))
def test_conditions_of_a_shower_depend_on_its_number_only(seed, bounds):
    gun = Gun(seed=seed)
    whole, part = gun.conditions(DETECTOR, 0, 60), gun.conditions(DETECTOR, *bounds)
    for name, values in part.items():
        assert_array_equal(values, whole[name][slice(*bounds)])


@pytest.mark.parametrize(
    ("gun", "message"),
    [
        (Gun(species=()), "species: at least one"),
        (Gun(energy=(0.0001, 1)), r"energy: 0\.0001 to 1 GeV .* geant4\.kinetic_energy_gev of clic-like"),
        (Gun(energy=(2, 1)), "energy: 2 to 1 GeV is not a range"),
        (Gun(energy=(1, float("nan"))), "energy: 1 to nan GeV"),
        (Gun(cone_degrees=81), r"cone: 81 degrees .* geant4\.max_angle_degrees"),
        (Gun(cone_degrees=-1), "cone: -1 degrees"),
    ],
)
def test_guns_that_cannot_be(gun, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run_campaign(tmp_path / "x.h5", DETECTOR, gun, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("e-", 11), ("e+", -11), ("gamma", 22), ("pi+", 211), ("K_L0", 130), ("n", 2112), ("p", 2212), (" -211", -211),
     ("bogus", None), ("", None)],
)  # fmt: skip
def test_species_go_by_code_or_name(text, code):
    assert code_of(text) == code


# windows


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_windows_hold_what_is_around_the_line_of_flight(seed):
    rng = np.random.default_rng(seed)
    conditions = Gun(seed=seed).conditions(DETECTOR, 0, 8)
    direction, entry = conditions["direction"], conditions["entry"]
    columns, parts = {}, []
    for section in DETECTOR.sections:
        shot = np.sort(rng.integers(0, 8, 300))
        layer = rng.integers(0, section.layers, 300)
        centre = crossed_cells(section, entry, direction)[shot, layer]
        off = rng.integers(-16, 17, (300, 2))
        columns[section.name] = shot, layer, off, rng.exponential(1e-3, 300), centre
    for rows in (slice(0, 3), slice(3, 8)):
        sections = {}
        for name, (shot, layer, off, deposit, centre) in columns.items():
            mine = (shot >= rows.start) & (shot < rows.stop)
            ix, iy = (centre + off)[mine].T
            sections[name] = CellColumns(shot[mine] - rows.start, ix, iy, layer[mine], deposit[mine])
        shots = Shots(
            np.arange(8)[rows], conditions["pdg"][rows], conditions["kinetic_energy"][rows],
            direction[rows].astype(np.float64), entry[rows].astype(np.float64), conditions["seeds"][rows],
        )  # fmt: skip
        parts.append(Showers(shots, sections, 0.0))
    cut = cut_to_windows(DETECTOR, parts)
    hits, totals = cut.hits, cut.totals
    for section in DETECTOR.sections:
        shot, layer, off, deposit, _ = columns[section.name]
        inside = (np.abs(off) <= 12).all(axis=1)
        offsets, cell, stored = hits[section.name]
        assert_array_equal(np.diff(offsets), np.bincount(shot[inside], minlength=8))
        row = np.repeat(np.arange(8), np.diff(offsets))
        found = np.stack([row, *np.unravel_index(cell, section.shape)], axis=1)
        wanted = np.stack([shot, *(off.T + 12), layer], axis=1)[inside]
        order = np.lexsort(wanted.T[::-1])
        assert_array_equal(found, wanted[order])
        assert_allclose(np.sort(stored), np.sort(deposit[inside]), rtol=2**-13.9)
        assert_allclose(totals[section.name], np.bincount(shot, deposit, 8), rtol=1e-6)


@given(st.lists(st.floats(2.0**-100, 1024, width=32), min_size=1))
def test_deposits_are_rounded_to_13_bits(values):
    exact = np.array(values, np.float32)
    short = rounded(exact)
    assert_allclose(short, exact, rtol=2**-14)
    assert not (short.view(np.uint32) & 0x3FF).any()
    assert_array_equal(rounded(short), short)
