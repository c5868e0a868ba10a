# SPDX-License-Identifier: BSD-3-Clause
"""How often numbers came, kept as intervals: the same answers as from counting every one of them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastcalo.io.event_streams.occurrences import Intervals, Occurrences

LARGEST = 2**64 - 1
# near each other, so that intervals touch and overlap, and at both ends of what 64 bits hold
numbers = st.one_of(st.integers(0, 9), st.integers(LARGEST - 4, LARGEST), st.integers(2**63 - 3, 2**63 + 3))
blocks = st.lists(st.lists(st.tuples(st.integers(0, 2), numbers), max_size=25), max_size=6)


def columns(block):
    group, number = zip(*block, strict=True) if block else ((), ())
    return np.array(group, np.uint64), np.array(number, np.uint64)


@given(blocks)
def test_occurrences_are_those_of_a_counter(parts):
    seen, expected = Occurrences(), Counter()
    for block in parts:
        found = seen.number(*columns(block))
        for pair, k in zip(block, found.tolist(), strict=True):
            assert k == expected[pair]
            expected[pair] += 1
    everything = seen.all()
    assert everything.total() == expected.total()
    assert everything.distinct() == len(expected)
    asked = [(group, number) for group in range(4) for number in (*range(11), 2**63, LARGEST - 1, LARGEST)]
    assert_array_equal(everything.count_of(*columns(asked)), [expected[pair] for pair in asked])


@given(blocks)
def test_intervals_are_disjoint_in_order_and_as_long_as_can_be(parts):
    found = Intervals.sum([Intervals.of(*columns(block)) for block in parts])
    rows = list(zip(*(getattr(found, name).tolist() for name in ("group", "first", "last", "count")), strict=True))
    assert all(first <= last and count > 0 for _, first, last, count in rows)
    for (group, _, last, count), (next_group, first, _, next_count) in pairwise(rows):
        assert (group, last) < (next_group, first)
        assert (group, last + 1, count) != (next_group, first, next_count)


@given(blocks, st.integers(0, 3))
def test_parts_of_intervals(parts, most):
    counted = Counter(pair for block in parts for pair in block)
    found = Intervals.sum([Intervals.of(*columns(block)) for block in parts])
    assert found.more_than(most).distinct() == sum(count > most for count in counted.values())
    assert found.once().total() == found.distinct() == len(counted)


def test_consecutive_numbers_are_one_interval_however_many():
    seen = Occurrences()
    for start in range(0, 10**6, 10**4):
        seen.add(np.zeros(10**4, np.uint64), np.arange(start, start + 10**4, dtype=np.uint64))
    assert len(seen.all()) == 1
    assert seen.all().total() == 10**6
    # the same once more, in another order of blocks
    for start in reversed(range(0, 10**6, 10**4)):
        seen.add(np.zeros(10**4, np.uint64), np.arange(start, start + 10**4, dtype=np.uint64))
    assert len(seen.all()) == 1
    assert_array_equal(seen.all().count, [2])


def test_one_number_again_and_again_is_one_interval():
    seen = Occurrences()
    for start in range(0, 1000, 100):
        assert_array_equal(
            seen.number(np.zeros(100, np.uint64), np.full(100, 7, np.uint64)), np.arange(start, start + 100)
        )
    assert len(seen.all()) == 1


def test_random_numbers_keep_their_counts():
    rng = np.random.default_rng(5)
    seen = Occurrences()
    drawn = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
    for part in np.array_split(drawn, 40):
        assert not seen.number(np.ones(len(part), np.uint64), part).any()
    assert seen.number(np.ones(20_000, np.uint64), rng.permutation(drawn)).all()
    assert seen.all().distinct() == 20_000
