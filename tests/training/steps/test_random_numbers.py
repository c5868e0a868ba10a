# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers of showers: theirs alone, and as random as they should be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcalo.training.random_numbers import ShowerRandom, _mix

slots = st.lists(st.integers(0, 2**40), min_size=1, max_size=8, unique=True)


def test_the_hash_is_splitmix64():
    # the first number of the published generator from seed 0
    assert int(_mix(torch.tensor(0))) & (2**64 - 1) == 0xE220A8397B1DCDAF


@settings(max_examples=30)
@given(slots, st.integers(0, 2**64 - 1), st.integers(0, 20), st.sampled_from(["uniform", "normal", "logistic"]))
def test_a_shower_draws_the_same_whoever_is_beside_it(places, key, stream, kind):
    together = getattr(ShowerRandom(key, torch.tensor(places)), kind)(stream, 5, 2)
    for k, place in enumerate(places):
        alone = getattr(ShowerRandom(key, torch.tensor([place])), kind)(stream, 5, 2)
        assert torch.equal(alone[0], together[k])


def test_more_numbers_begin_with_the_same():
    d = ShowerRandom(3, torch.arange(4))
    assert torch.equal(d.uniform(0, 100, 2)[:, :7], d.uniform(0, 7, 2))


@pytest.mark.parametrize("change", ["key", "slot", "stream"])
def test_keys_slots_and_streams_have_nothing_to_do_with_each_other(change):
    n = 20_000
    first = ShowerRandom(1, torch.tensor([5])).uniform(2, n)[0]
    key, slot, stream = {"key": (2, 5, 2), "slot": (1, 6, 2), "stream": (1, 5, 3)}[change]
    other = ShowerRandom(key, torch.tensor([slot])).uniform(stream, n)[0]
    assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 4 / n**0.5


def test_moments_and_ends():
    d = ShowerRandom(7, torch.arange(100))
    u, z, logistic = d.uniform(0, 2000), d.normal(1, 2000), d.logistic(2, 2000)
    assert u.min() > 0
    assert u.max() < 1
    assert u.mean().item() == pytest.approx(0.5, abs=0.003)
    assert u.var().item() == pytest.approx(1 / 12, rel=0.01)
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.var().item() == pytest.approx(1, rel=0.02)
    assert (z**4).mean().item() == pytest.approx(3, rel=0.05)
    assert logistic.var().item() == pytest.approx(torch.pi**2 / 3, rel=0.02)
    # serial correlation
    assert abs(torch.corrcoef(torch.stack([u.ravel()[1:], u.ravel()[:-1]]))[0, 1]) < 0.01


def test_fresh_ones_follow_torchs_seed():
    torch.manual_seed(4)
    one, other = ShowerRandom.fresh(3).uniform(0, 4), ShowerRandom.fresh(3).uniform(0, 4)
    torch.manual_seed(4)
    assert torch.equal(ShowerRandom.fresh(3).uniform(0, 4), one)
    assert not torch.equal(one, other)
