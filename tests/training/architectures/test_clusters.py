# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of hits that critics look at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fastcalo.training.architectures.showers.clusters import SIZES, cluster_observables, cluster_of_hits

PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=80))
)


def as_lists(pairs: list[tuple[int, int]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two lists of pairs, as those of a layer and those of the layer before."""
    array = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return [tuple(part.T) for part in array.tensor_split(2)]


@given(PAIRS)
def test_hits_that_pairs_connect_are_one_cluster(case):
    n, pairs = case
    one, other = np.array(pairs, dtype=int).reshape(-1, 2).T
    expected = connected_components(coo_matrix((np.ones(len(one)), (one, other)), (n, n)), directed=False)[1]
    first = cluster_of_hits(n, as_lists(pairs)).numpy()
    assert ((first[:, None] == first) == (expected[:, None] == expected)).all()
    assert all(k == np.flatnonzero(first == k)[0] for k in first)


def test_a_long_chain_in_any_order_is_one_cluster():
    order = np.random.default_rng(1).permutation(3_000).tolist()
    assert not cluster_of_hits(3_000, as_lists(list(pairwise(order)))).any()


def test_observables_of_clusters_are_their_numbers_by_size_and_the_parts_that_the_first_two_hold():
    # of the first shower: four in a row, a pair that holds more, one alone; of the second: nothing; of the third: one
    group = torch.tensor([0, 0, 0, 0, 0, 0, 0, 2])
    e = torch.tensor([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 2.0, 7.0]) / 1_000
    lists = as_lists([(0, 1), (4, 5), (3, 2), (1, 2)])
    h = torch.ones(8, requires_grad=True)
    seen = cluster_observables(3, group, e, h, lists)
    counts, parts = seen[:, : len(SIZES)].square() - 0.3, seen[:, len(SIZES) :]
    assert counts.detach().numpy() == pytest.approx(np.array([[3, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]), abs=1e-5)
    expected = np.array([[10 / 16, 4 / 16, 2 / 7], [0, 0, 0], [1, 0, 1]])
    assert parts.detach().numpy() == pytest.approx(expected, abs=1e-5)
    # more of a hit of a small cluster makes more clusters than more of one of a large cluster
    (slope,) = torch.autograd.grad(counts[0, 0], h)
    assert slope.numpy() == pytest.approx([0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 1, 0], abs=1e-5)
