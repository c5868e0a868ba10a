# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of paired events: right whatever the chunks, with errors and probabilities that mean what they state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from fastcalo.validation.hits.paired import PairedMean, PairedSpectrum, hotelling_probability


def test_the_probability_of_chi2_from_few_events():
    # F with 2 and k degrees of freedom has a closed form: (1 + 2 f / k)^(-k / 2)
    assert hotelling_probability(6.0, 2, 12) == pytest.approx((1 + 6.0 / 10) ** -5)
    assert hotelling_probability(0.0, 5, 50) == 1
    assert np.isnan(hotelling_probability(1.0, 5, 5))


def test_with_many_events_it_is_that_of_chi2():
    assert hotelling_probability(40, 25, 10**7) == pytest.approx(stats.chi2.sf(40, 25), rel=1e-4)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=30), st.integers(1, 29))
def test_pairs_don_t_depend_on_chunks(numbers, cut):
    full, fast = np.array(numbers).T
    whole, parts = PairedMean(), PairedMean()
    whole.add(full, fast)
    parts.add(full[:cut], fast[:cut])
    parts.add(full[cut:], fast[cut:])
    assert whole.n == parts.n
    assert_allclose(whole.mean, parts.mean, atol=1e-9)
    assert_allclose(whole.mean, [full.mean(), fast.mean()], atol=1e-9)
    assert_allclose(whole.rms, [full.std(ddof=1), fast.std(ddof=1)], atol=1e-5)


def test_the_error_of_the_ratio_covers():
    rng, pulls = np.random.default_rng(5), []
    for _ in range(400):
        common = rng.normal(10, 3, 100)
        pair = PairedMean()
        pair.add(common + rng.normal(0, 0.5, 100), 1.2 * common + rng.normal(0, 0.5, 100))
        ratio, error = pair.ratio
        pulls.append((ratio - 1.2) / error)
    # without pairing the error would be some four times as large
    assert 0.9 < np.std(pulls) < 1.1
    assert abs(np.mean(pulls)) < 0.2


@pytest.mark.parametrize(("bins", "events"), [(12, 120), (30, 120)])
def test_p_values_of_equal_spectra_are_uniform(bins, events):
    rng, p_values = np.random.default_rng(6), []
    for _ in range(600):
        spectrum = PairedSpectrum(bins)
        common = rng.normal(size=(events, bins))
        mix = np.tril(np.ones((bins, bins)))
        spectrum.add(*(common + rng.normal(size=(events, bins)) @ mix for _ in range(2)))
        p_values.append(spectrum.test[2])
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    # by chi2 alone, 30 bins of 120 events would come out below 0.05 in one case of twelve
    assert np.mean(np.array(p_values) < 0.05) < 0.075


def test_rounding_is_no_difference():
    """Two engines that draw the same showers: all contents differ in their last bits, those of one event by a lot."""
    rng = np.random.default_rng(1)
    full = rng.gamma(2.0, size=(300, 10))
    rounded = full * (1 + 1e-7 * rng.normal(size=full.shape))
    same = PairedSpectrum(10)
    same.add(full, rounded)
    assert same.test == (0.0, 0, 1.0)
    rounded[7] *= 1.5
    one = PairedSpectrum(10)
    one.add(full, rounded)
    assert np.isnan(one.test[2])
    shifted = PairedSpectrum(10)
    shifted.add(full, full * 1.001)
    assert shifted.test[2] < 1e-6
