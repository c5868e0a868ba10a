# SPDX-License-Identifier: BSD-3-Clause
"""Distances between samples: their published formulae, evaluated another way, and what every one of them must keep."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastcalo.validation.estimates import Estimate, bootstrap
from fastcalo.validation.showers import distances
from fastcalo.validation.showers.classifier import auc_with_error


def published(seed: int = 2024) -> tuple[np.ndarray, np.ndarray]:
    """The samples that jetnet 0.2.5 was asked about (numpy 1.26, scipy 1.17)."""
    rng = np.random.default_rng(seed)
    scale = np.diag([1, 2, 3, 1, 1, 0.5])
    a, b = rng.normal(size=(4000, 6)) @ scale, rng.normal(size=(3000, 6)) @ scale
    a[:, 3], b[:, 3] = a[:, 3] ** 2, b[:, 3] ** 2 * 1.1
    a[:, 4] += 0.5 * a[:, 0]
    b[:, 4] += 0.3 * b[:, 0]
    b[:, 5] += 0.1
    return a, b


@pytest.fixture(scope="module")
def pair():
    return published()


def normalised(a, b):
    largest = np.abs(a).max(0)
    return a / largest, b / largest


def test_frechet_distance_is_that_of_jetnet(pair):
    assert distances.frechet(*normalised(*pair)) == pytest.approx(0.004221093096257844, rel=1e-9)


def test_mean_discrepancy_is_that_of_jetnet(pair):
    assert distances.polynomial_mmd(*normalised(*pair)) == pytest.approx(0.0016905533667568307, rel=1e-7)


def test_fpd_agrees_with_jetnet_within_the_spread_of_batches(pair):
    value, error = distances.fpd(*pair, smallest=1000, largest=3000)
    assert abs(value - 0.004304616393030247) < 3 * np.hypot(error, 0.00028883711896599364)


def test_kpd_agrees_with_jetnet_within_the_spread_of_batches(pair):
    value, error = distances.kpd(*pair, size=2000)
    assert abs(value - 0.0018159939247539558) < 3 * np.hypot(error, 0.0004390177364937143)


def test_frechet_distance_of_normal_distributions_in_one_dimension():
    # |m1 - m2|^2 + (s1 - s2)^2
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (200_000, 1)), rng.normal(0.5, 2, (200_000, 1))
    assert distances.frechet(a, b) == pytest.approx(1.25, abs=0.03)


def separation_by_hand(a, b, edges):
    """Half the sum over bins of (a - b)^2 / (a + b), bin by bin."""
    total = 0.0
    for low, high in pairwise(edges):
        last = high == edges[-1]
        p, q = (np.mean((x >= low) & ((x < high) | last)) for x in (a, b))
        total += 0.5 * (p - q) ** 2 / (p + q) if p + q else 0.0
    return total


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_separation_is_its_formula(shift):
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 1, 500), np.clip(rng.uniform(0, 1, 400) * (1 - shift), 0, 1)
    edges = distances.histogram_edges(a, b, 20)
    inside = [np.clip(x, edges[0], edges[-1]) for x in (a, b)]
    value, error = distances.separation(a, b, 20)
    assert value == pytest.approx(separation_by_hand(*inside, edges), rel=1e-12)
    assert 0 < error < 0.1


finite = st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)
samples = arrays(np.float64, st.integers(2, 60), elements=finite)


@given(samples, samples)
def test_separation_is_between_0_and_1_and_the_same_both_ways(a, b):
    value, _ = distances.separation(a, b)
    assert -1e-12 <= value <= 1 + 1e-12
    assert value == pytest.approx(distances.separation(b, a)[0], abs=1e-12)
    assert distances.separation(a, a)[0] == 0


@pytest.mark.parametrize("whole", [False, True], ids=["real", "whole numbers"])
def test_samples_without_common_values_are_apart_by_1(whole):
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0, 10, 300), rng.uniform(100, 110, 300)
    a, b = (np.round(x) if whole else x for x in (a, b))
    assert distances.separation(a, b)[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("spread", [3, 40, 1000])
def test_bins_of_whole_numbers_hold_as_many_each(spread):
    values = np.random.default_rng(3).integers(0, spread, 2000).astype(float)
    edges = distances.histogram_edges(values, values)
    assert len(edges) <= distances.BINS + 2
    assert (edges % 1 == 0.5).all()
    assert len(set(np.diff(edges))) == 1


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_wasserstein_distance_of_a_shifted_sample_is_the_shift(scale, shift):
    a = np.random.default_rng(4).normal(0, scale, 400)
    value, error = distances.wasserstein(a, a + shift * scale)
    assert value == pytest.approx(abs(shift) * scale / a.std(), rel=1e-6, abs=1e-9)
    assert error >= 0


def test_error_of_the_wasserstein_distance_is_that_of_repeated_samples():
    rng = np.random.default_rng(5)
    found = [distances.wasserstein(rng.normal(0, 1, 400), rng.normal(1, 1, 400), seed=k) for k in range(60)]
    values, errors = np.array(found).T
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.4)


def test_wasserstein_distance_of_what_does_not_vary_is_0():
    assert distances.wasserstein(np.ones(10), np.zeros(10)) == (0.0, 0.0)


def inside_by_hand(a, b, k):
    """Radii of a's balls, then for each of b whether it is in one, and in how many."""
    radius = [sorted(np.linalg.norm(x - y) for y in a)[k] for x in a]
    counts = np.array([sum(np.linalg.norm(x - y) <= r for x, r in zip(a, radius, strict=True)) for y in b])
    covered = np.array([min(np.linalg.norm(x - y) for y in b) <= r for x, r in zip(a, radius, strict=True)])
    return counts, covered


def test_precision_recall_density_coverage_are_their_formulae():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(60, 3)), rng.normal(0.5, 0.7, size=(50, 3))
    a = (a - a.mean(0)) / a.std(0)
    found = distances.precision_recall(a, b, neighbours=3)
    counts, covered = inside_by_hand(a, b, 3)
    backwards, _ = inside_by_hand(b, a, 3)
    expected = {
        "precision": np.mean(counts > 0),
        "recall": np.mean(backwards > 0),
        "density": counts.mean() / 3,
        "coverage": covered.mean(),
        "nearest": np.mean([min(np.linalg.norm(x - y) for x in a) for y in b]) / np.sqrt(3),
    }
    assert {name: value for name, (value, _) in found.items()} == pytest.approx(expected)


def test_a_forgotten_mode_lowers_recall_and_coverage_only():
    rng = np.random.default_rng(7)
    modes = np.array([[0.0, 0], [8, 0], [0, 8], [8, 8]])
    truth = modes[rng.integers(4, size=2000)] + rng.normal(size=(2000, 2))
    again = modes[rng.integers(4, size=2000)] + rng.normal(size=(2000, 2))
    collapsed = modes[rng.integers(2, size=2000)] + rng.normal(size=(2000, 2))
    best, worse = distances.precision_recall(truth, again), distances.precision_recall(truth, collapsed)
    for name in ("recall", "coverage"):
        assert worse[name][0] < 0.6
        assert best[name][0] > 0.9
    assert worse["precision"][0] == pytest.approx(best["precision"][0], abs=0.05)


def test_what_repeats_the_reference_is_nearer_to_it_than_the_truth():
    rng = np.random.default_rng(9)
    reference, truth = rng.normal(size=(2, 1500, 4))
    repeated = reference[rng.permutation(1500)[:1000]] + 0.01 * rng.normal(size=(1000, 4))
    (low, _), (usual, error) = (distances.precision_recall(reference, x)["nearest"] for x in (repeated, truth))
    assert low < 0.05 < usual - 10 * error


@pytest.mark.parametrize("distance", [distances.fpd, distances.kpd])
def test_distances_see_a_shift_above_their_floor(distance):
    rng = np.random.default_rng(8)
    truth, again, shifted = (rng.normal(x, 1, size=(1500, 4)) for x in (0, 0, 0.5))
    baseline, baseline_error = distance(truth, again)
    value, error = distance(truth, shifted)
    assert value - baseline > 5 * np.hypot(error, baseline_error)


def test_a_bootstrap_draws_as_many_and_gives_the_error_of_a_mean():
    weights = bootstrap(1000, seed=0, replicas=400)
    assert (weights.sum(1) == 1000).all()
    values = np.random.default_rng(9).normal(0, 2, 1000)
    assert (weights @ values / 1000).std() == pytest.approx(2 / np.sqrt(1000), rel=0.15)


def test_a_number_holds_plain_floats():
    number = Estimate.of((np.float64(1), np.float32(2)), (np.int64(3), 4))
    assert [type(x) for x in vars(number).values()] == [float] * 4


def test_what_the_reference_never_has_counts_alike_in_any_unit():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 400, 2))
    a[:, 1] = 0
    found = [distances.fpd(a, b * [1, unit])[0] for unit in (1, 1000)]
    assert found[0] == pytest.approx(found[1])
    assert found[0] < 1


def test_one_shower_far_beyond_the_reference_does_not_make_kpd_any_number():
    rng = np.random.default_rng(5)
    reference, other = rng.normal(size=(2, 400, 3))
    other[7, 1] = 1e4
    value, error = distances.kpd(reference, other)
    assert abs(value) < 1
    assert error < 1


@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.integers(1, 8))
def test_area_under_the_curve_is_that_of_scikit_learn(seed, n, values):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    # few values, so that scores are equal now and then
    score, truth = rng.integers(0, values, n) / 7, np.arange(n) % 2
    assert auc_with_error(truth, score, 1)[0] == pytest.approx(roc_auc_score(truth, score))


def test_error_of_the_area_under_the_curve_is_that_of_repeated_samples():
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1], 300)
    found = [auc_with_error(truth, rng.normal(size=600) + truth, seed) for seed in range(60)]
    areas, errors = np.transpose(found)
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.3)
