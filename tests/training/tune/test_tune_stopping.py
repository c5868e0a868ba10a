# SPDX-License-Identifier: BSD-3-Clause
"""Rules by which trials are stopped, and what those would have come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.training.tune.config import StoppingConfig
from fastcalo.training.tune.study.stopping import extrapolated, halving_rule, hopeless, median_rule


def curve(*values, every=10):
    return [(every * (i + 1), float(v)) for i, v in enumerate(values)]


OTHERS = [curve(5, 4, 3), curve(6, 5, 4), curve(7, 6, 5), curve(8, 7, 6)]


@pytest.mark.parametrize(
    ("mine", "stopped"),
    [
        (curve(6), False),
        (curve(7), True),  # median at step 10: 6.5
        (curve(6.5), False),  # strictly worse only
        (curve(7, 5), False),  # the best so far counts; means by step 20 are 4.5, 5.5, 6.5, 7.5
        (curve(5, 9), False),
        (curve(9, 6.1), True),
        (curve(9, 9, 9, 9), False),  # nobody came as far
    ],
)
def test_median_rule(mine, stopped):
    reason = median_rule(mine, OTHERS, 4)
    assert bool(reason) == stopped
    assert not stopped or f"step {mine[-1][0]}" in reason


def test_median_rule_waits_for_others():
    assert median_rule(curve(99), OTHERS, 4)
    assert not median_rule(curve(99), OTHERS, 5)
    assert not median_rule(curve(99), [*OTHERS, []], 5)
    assert not median_rule(curve(99), [], 1)


@pytest.mark.parametrize(
    ("mine", "stopped"),
    [
        (curve(5.5), False),  # two of four may go on; one was better
        (curve(6.5), True),
        (curve(6.5, every=5), False),  # before the first level
        (curve(4, 99), True),  # 20 is a level for a reduction of 2
        (curve(4, 3, 99), False),  # 30 is none
        (curve(4, 3, 2, 99), False),  # 40 is one, but nobody came as far
    ],
)
def test_halving_rule(mine, stopped):
    others = [curve(5, 4, 3), curve(6, 5, 4), curve(7, 6, 5)]
    reason = halving_rule(mine, others, 3, 10, 2)
    assert bool(reason) == stopped
    assert not stopped or f"step {mine[-1][0]}" in reason


def test_halving_keeps_one_in_so_many():
    # trials come one after the other, each worse than all before
    stopped = [bool(halving_rule([(10, float(i))], [[(10, float(j))] for j in range(i)], 3, 10, 3)) for i in range(12)]
    assert stopped == [False] * 3 + [True] * 9
    # each better than all before
    assert not any(halving_rule([(10, -i)], [[(10, -j)] for j in range(i)], 1, 10, 3) for i in range(12))


def test_rungs_between_levels_count_for_the_level_before():
    others = [[(12, 1.0)], [(11, 2.0)], [(13, 3.0)]]
    assert halving_rule([(14, 9.0)], others, 3, 10, 3)
    # evaluated once only
    assert not halving_rule([(12, 9.0), (14, 9.0)], others, 3, 10, 3)


rungs = st.lists(st.floats(-9, 9), max_size=5).map(lambda v: curve(*v))


@given(rungs, st.lists(rungs, max_size=6), st.sampled_from(["median", "halving", "none"]), st.integers(1, 40))
def test_no_rule_stops_the_best_or_the_young(mine, others, rule, first):
    reason = hopeless(mine, others, StoppingConfig(rule=rule, least=1, first=first))
    assert isinstance(reason, str)
    if not mine or rule == "none" or mine[-1][0] < first or all(v <= w for _, v in mine for o in others for _, w in o):
        assert reason == ""


def test_a_stopped_trial_is_reported_as_what_others_gained_from_there():
    finished = [(curve(5, 4), 3.0), (curve(7, 5), 4.0)]
    # from step 10 on they gained 2 and 3; from step 20 on, 1 and 1
    assert extrapolated(curve(9), finished) == (6.5, 0.5)
    assert extrapolated(curve(9, 8), finished) == (7.0, 0.0)


def test_where_little_is_known_the_guess_is_uncertain():
    value, variance = extrapolated(curve(9), [], [curve(1), curve(5)])
    assert value == 9.0
    assert variance == 16.0
    assert extrapolated(curve(9), [(curve(5), 4.0)], [curve(5)]) == (8.0, 8.0)
    assert extrapolated(curve(9), []) == (9.0, 0.0)
