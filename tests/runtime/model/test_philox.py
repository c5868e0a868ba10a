# SPDX-License-Identifier: BSD-3-Clause
"""Counter-based random numbers: the published generator, and streams that depend on nothing but the particle."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.errors import FastCaloError
from fastcalo.model.random_numbers import RandomStreams, logistic, normal, philox, random_streams, table_of, uniform

# Philox4x32-10 from the known-answer tests of Random123, the authors' own implementation
ONES = 0xFFFFFFFF
KNOWN = [
    ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, (ONES, ONES), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        (0xA4093822, 0x299F31D0),
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]

ids = st.integers(-(2**63), 2**63 - 1)
words = st.integers(0, ONES)
seeds = st.integers(0, 2**64 - 1)


def columns(values):
    return [np.array(column, np.uint64) for column in zip(*values, strict=True)]


def some_streams(n=64, seed=3):
    i = np.arange(n)
    return random_streams(seed, i // 16, i // 4, i % 4)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_published_numbers_come_out(counter, key, answer):
    assert_array_equal(philox(columns([counter]), key), [answer])


def test_known_answers_do_not_depend_on_their_place_in_a_long_array():
    n = 40_000  # longer than what is worked on at a time
    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (n, 4))
    places = [0, 16_383, 16_384, n - 1]
    counters[places] = KNOWN[2][0]
    got = philox(columns(counters.tolist()), KNOWN[2][1])
    assert_array_equal(got[places], [KNOWN[2][2]] * len(places))


@given(st.lists(st.tuples(words, words, words, words), min_size=1, max_size=20), words, words)
def test_counters_are_not_changed_and_one_by_one_gives_the_same(counters, low, high):
    given_columns = columns(counters)
    before = [c.copy() for c in given_columns]
    together = philox(given_columns, (low, high))
    assert_array_equal(given_columns, before)
    alone = [philox(columns([c]), (low, high))[0] for c in counters]
    assert_array_equal(together, alone)
    assert together.dtype == np.uint32


@given(st.lists(st.tuples(words, words, words, words), min_size=2, max_size=20, unique=True), words, words)
def test_different_counters_give_different_blocks(counters, low, high):
    # for one key the rounds are a permutation of the counters
    blocks = philox(columns(counters), (low, high))
    assert len(np.unique(blocks, axis=0)) == len(counters)


def test_uniform_numbers_stay_strictly_between_zero_and_one():
    ends = uniform(np.array([[0, 511, 512, ONES]], np.uint32))
    assert ends.dtype == np.float32
    assert ends.min() == np.float32(2**-24)
    assert 1 - ends.max() == np.float32(2**-24)
    assert ends[0, 0] == ends[0, 1] < ends[0, 2]


@given(words)
def test_every_word_gives_a_usable_number(word):
    block = np.array([[word, ONES - word, word, 0]], np.uint32)
    u, z, q = uniform(block), normal(block), logistic(block)
    assert ((u > 0) & (u < 1)).all()
    # the smallest of the uniform numbers is 2**-24
    assert (np.abs(z) < np.sqrt(2 * 24 * np.log(2)) + 1e-3).all()
    assert (np.abs(q) < 24 * np.log(2) + 1e-3).all()
    assert u.dtype == z.dtype == q.dtype == np.float32


def test_moments_of_uniform_and_normal_numbers():
    s = some_streams(4)
    n = 1 << 18
    blocks = s.blocks(np.zeros(n, np.int64), np.arange(n))
    u, z = uniform(blocks).astype(np.float64), normal(blocks).astype(np.float64)
    # four standard errors: (1/12, 1/180) and (1, 2, 15, 96) are the variances of the moments
    error = 4 / np.sqrt(u.size)
    assert abs(u.mean() - 1 / 2) < error * np.sqrt(1 / 12)
    assert abs(u.var() - 1 / 12) < error * np.sqrt(1 / 180)
    for power, (moment, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs((z**power).mean() - moment) < error * np.sqrt(variance), power
    # the four numbers of a block, and blocks that follow each other, know nothing of each other
    for values in (u, z):
        correlation = np.corrcoef(np.column_stack([values[:-1], values[1:, 0]]).T) - np.eye(5)
        assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_logistic_numbers_are_quantiles_of_uniform_ones():
    blocks = some_streams(4).blocks(np.zeros(1 << 16, np.int64), np.arange(1 << 16))
    q = logistic(blocks).astype(np.float64)
    # four standard errors: pi^2 / 3 is the variance, and the fourth moment is 7 pi^4 / 15
    assert abs(q.mean()) < 4 * np.sqrt(np.pi**2 / 3 / q.size)
    assert abs((q**2).mean() - np.pi**2 / 3) < 4 * np.sqrt((7 / 15 - 1 / 9) * np.pi**4 / q.size)
    assert_allclose(1 / (1 + np.exp(-q)), uniform(blocks), rtol=1e-5)


def test_halves_are_those_of_the_words_stream_by_stream():
    s, count = some_streams(5), np.array([3, 0, 1, 4, 2])
    got = s.halves(7, count)
    assert got.dtype == np.uint16
    words = np.concatenate([s.take(np.array([i])).words(7, 4 * n).ravel() for i, n in enumerate(count)])
    assert_array_equal(got.ravel(), np.stack([words & 0xFFFF, words >> 16], 1).ravel())


@pytest.mark.parametrize(
    ("distribution", "cumulative"),
    [
        ("uniform", lambda x: x),
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
        ("normal", lambda x: np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])),
    ],
)
def test_halves_stand_for_quantiles(distribution, cumulative):
    table = table_of(distribution)
    assert table.dtype == np.float32
    assert_allclose(cumulative(table.astype(np.float64)), (np.arange(2**16) + 0.5) / 2**16, atol=1e-7)
    assert (np.diff(table) > 0).all()


def test_uniform_numbers_fill_all_bins_alike():
    blocks = some_streams().blocks(np.repeat(np.arange(64), 4096), np.tile(np.arange(4096), 64))
    counts = np.histogram(uniform(blocks), 256, (0, 1))[0]
    expected = blocks.size / 256
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)


@given(st.data(), seeds)
def test_a_particle_draws_the_same_whatever_the_order_and_the_company(data, seed):
    who = data.draw(st.lists(st.tuples(ids, ids, st.integers(0, 10_000)), min_size=1, max_size=20))
    run, event, particle = np.array(who, np.int64).T
    blocks = np.array(data.draw(st.lists(st.integers(0, 2**26), min_size=len(who), max_size=len(who))))
    all_rows = np.arange(len(who))
    together = random_streams(seed, run, event, particle).blocks(all_rows, blocks)

    order = np.array(data.draw(st.permutations(range(len(who)))))
    shuffled = random_streams(seed, run[order], event[order], particle[order]).blocks(all_rows, blocks[order])
    assert_array_equal(shuffled, together[order])

    cut = data.draw(st.integers(0, len(who)))
    halves = [
        random_streams(seed, run[part], event[part], particle[part]).blocks(np.arange(len(run[part])), blocks[part])
        for part in (slice(None, cut), slice(cut, None))
    ]
    assert_array_equal(np.concatenate(halves), together)

    taken = random_streams(seed, run, event, particle).take(order)
    assert len(taken) == len(who)
    assert_array_equal(taken.blocks(all_rows, blocks[order]), together[order])


@given(
    st.lists(
        st.tuples(seeds, st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31), st.integers(0, 1000)),
        min_size=2,
        max_size=12,
        unique=True,
    )
)
def test_whatever_differs_in_seed_run_event_or_particle_draws_other_numbers(who):
    drawn = {
        random_streams(seed, *(np.array([x]) for x in rest)).blocks(np.zeros(1, int), np.zeros(1, int)).tobytes()
        for seed, *rest in who
    }
    assert len(drawn) == len(who)


def test_run_and_event_are_not_interchangeable():
    one, two = np.array([1]), np.array([2])
    a, b = random_streams(0, one, two, one), random_streams(0, two, one, one)
    assert (a.low, a.high) != (b.low, b.high)


def test_streams_of_neighbouring_particles_are_not_correlated():
    s, n = some_streams(16), 1 << 14
    drawn = uniform(s.blocks(np.repeat(np.arange(16), n), np.tile(np.arange(n), 16))).reshape(16, -1)
    correlation = np.corrcoef(drawn.astype(np.float64)) - np.eye(16)
    assert np.abs(correlation).max() < 5 / np.sqrt(4 * n)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(FastCaloError, match=str(seed)):
        random_streams(seed, *[np.zeros(1, np.int64)] * 3)


def test_no_particles_draw_nothing():
    empty = np.zeros(0, np.int64)
    s = random_streams(1, empty, empty, empty)
    assert isinstance(s, RandomStreams)
    assert len(s) == 0
    assert s.blocks(empty, empty).shape == (0, 4)
    assert uniform(s.blocks(empty, empty)).shape == normal(s.blocks(empty, empty)).shape == (0, 4)
