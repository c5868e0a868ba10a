# SPDX-License-Identifier: BSD-3-Clause
"""Closure of the shipped model: its showers against full simulation of the same particles, never seen in training.

The sample is finite. A difference is judged against its limit plus twice its statistical error (three times for
layers, of which many are looked at); the error is taken from the spread of the differences between true and generated
showers of the same particle.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import fastcalo
from fastcalo.io.showers.reader import open_showers
from fastcalo.validation.showers.classifier import auc_of_observables
from fastcalo.validation.showers.observables import ObservableBins, conditions, observables
from fastcalo.validation.showers.sample import generate_sample, read_sample

ECAL = fastcalo.load_detector().section("ECAL")
DATA = os.environ.get("FASTCALO_DATA")
TEST = Path(DATA or ".") / "em_test.h5"
DECADES = ((0.1, 1.0), (1.0, 10.0), (10.0, 100.0))
SHOWERS = 6_000
REPEATS = 3
"""Generated showers per true one, so that nearly all of the statistical error is that of the truth."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (DATA and TEST.is_file()),
        reason="needs full simulation: set FASTCALO_DATA to the folder that holds em_test.h5",
    ),
]


@pytest.fixture(scope="module")
def true():
    with open_showers(TEST) as source:
        return read_sample(source, ["ECAL"], {"ECAL": ECAL.threshold}, np.arange(min(len(source), SHOWERS)))


@pytest.fixture(scope="module")
def generated(true):
    model = fastcalo.load_model("em", threads=1)
    return [generate_sample(model, true, seed)[0] for seed in range(REPEATS)]


@pytest.fixture(params=[(pdg, decade) for pdg in (11, 22) for decade in DECADES], ids=lambda p: f"{p[0]}, {p[1]} GeV")
def pair(request, true, generated):
    """True showers of one species and decade, and the generated ones of the same particles."""
    pdg, (low, high) = request.param
    chosen = np.flatnonzero((true.pdg == pdg) & (true.kinetic_energy >= low) & (true.kinetic_energy < high))
    assert len(chosen) > 300
    return true.take(chosen), [g.take(chosen) for g in generated]


def ratio(true, generated):
    """Mean of generated [repeats, n, ...] over mean of true [n, ...], less one, and its statistical error."""
    difference = np.mean(generated, 0) - true
    return difference.mean(0) / true.mean(0), difference.std(0) / np.sqrt(len(true)) / true.mean(0)


def report(capsys, name, value, error, limit):
    with capsys.disabled():
        print(f"\n  {name}: {100 * value:+.2f} % +- {100 * error:.2f} % (limit {100 * limit:g} %)", end="")


def test_mean_visible_energy(pair, capsys):
    true, generated = pair
    value, error = ratio(true.energy("ECAL"), [g.energy("ECAL") for g in generated])
    report(capsys, "mean visible energy", value, error, 0.01)
    assert abs(value) <= 0.01 + 2 * error


def test_relative_width_of_the_response(pair, capsys):
    true, generated = pair

    def width(s):
        response = s.energy("ECAL") / s.kinetic_energy
        return response.std() / response.mean()

    def error_of(s):
        # of a standard deviation, from the fourth moment
        z = s.energy("ECAL") / s.kinetic_energy
        z = (z - z.mean()) / z.std()
        return np.sqrt(((z**4).mean() - 1) / len(z)) / 2

    value = np.mean([width(g) for g in generated]) / width(true) - 1
    error = error_of(true) * np.sqrt(1 + 1 / REPEATS)
    report(capsys, "relative width", value, error, 0.1)
    assert abs(value) <= 0.1 + 2 * error


def test_mean_layer_profile(pair, capsys):
    true, generated = pair
    profile = true.by_layer("ECAL").mean(0)
    large = profile > 0.02 * profile.sum()
    assert 8 < large.sum() < ECAL.layers
    value, error = (x[large] for x in ratio(true.by_layer("ECAL"), [g.by_layer("ECAL") for g in generated]))
    worst = np.argmax(np.abs(value) / (0.05 + 3 * error))
    report(capsys, f"layer {np.flatnonzero(large)[worst]}, the worst", value[worst], error[worst], 0.05)
    assert (np.abs(value) <= 0.05 + 3 * error).all()


def test_number_of_hits(pair, capsys):
    true, generated = pair
    value, error = ratio(true.count("ECAL"), [g.count("ECAL") for g in generated])
    report(capsys, "number of hits", value, error, 0.03)
    assert abs(value) <= 0.03 + 2 * error


def test_every_deposit_is_a_hit(generated):
    assert min(g.sections["ECAL"].deposit.min() for g in generated) > ECAL.threshold


def test_a_classifier_can_hardly_distinguish(true, generated, capsys):
    rulers = ObservableBins.of(true)
    a, b, more = (
        # five per cent more energy in every hit must be seen, or the classifier is blind
        np.hstack([observables(s, rulers).values, conditions(s, (11, 22))])
        for s in (true, generated[0], generated[0].scaled(1.05))
    )
    assert a.shape[1] > 150
    half = len(true) // 2
    found, _ = auc_of_observables(a, b)
    baseline, _ = auc_of_observables(a[:half], a[half : 2 * half])
    control, _ = auc_of_observables(b, more)
    with capsys.disabled():
        print(
            f"\n  AUC {found:.3f} (limit 0.65), full simulation against itself {baseline:.3f}, 5 % off {control:.3f}",
            end="",
        )
    assert found <= 0.65
    assert abs(baseline - 0.5) < 0.03
    assert control > 0.65
