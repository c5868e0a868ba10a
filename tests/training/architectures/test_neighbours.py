# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of neighbouring hits: counted correctly, drawn as often as the likelihood states."""

import math

import numpy as np
import pytest
import torch
from helpers.files.shower_files import SAMPLE
from helpers.models.hit_models import (
    GEOMETRY,
    HALF,
    LAYERS,
    draw,
    make_conditions,
    make_hits,
    true_conditions,
    wide_hits,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.hits.cell_model import BLOBS, LARGEST_NEIGHBOUR_RATE, hit_terms
from fastcalo.training.architectures.hits.neighbours import DIRECTIONS, coupling, neighbours, successors
from fastcalo.training.architectures.nets import linear_layers
from fastcalo.training.data.showers import ShowerData

cells = st.sets(st.tuples(st.integers(0, LAYERS - 1), *[st.integers(-HALF, HALF)] * 2), min_size=1, max_size=60)


@settings(max_examples=50)
@given(cells, st.integers(0, 100))
def test_neighbours_are_those_that_one_counts_by_hand(hit, seed):
    c, hits = make_conditions(1, seed), sorted(hit)
    layer, x, y = (torch.tensor(column) for column in zip(*hits, strict=True))
    near = neighbours(GEOMETRY, c, torch.zeros_like(layer), layer, x.float(), y.float())
    for h, (k, i, j) in enumerate(hits):
        ox, oy = c.offset_BL2[0, k].tolist()
        own = (i - ox) ** 2 + (j - oy) ** 2
        nearer, farther, pull, spread = 0, 0, 0.0, 0.0
        for a, b in DIRECTIONS:
            cell = (k, i + int(a), j + int(b))
            square = (cell[1] - ox) ** 2 + (cell[2] - oy) ** 2
            if square > own:
                farther += cell in hit
                spread += (max(abs(cell[1]), abs(cell[2])) <= HALF) * own / (own + 1)
            else:
                nearer += cell in hit
                pull += (cell in hit) * square / (square + 1)
        assert (near.nearer_H[h], near.farther_H[h]) == (nearer, farther)
        assert near.pull_H[h].item() == pytest.approx(pull, abs=1e-5)
        assert near.spread_H[h].item() == pytest.approx(spread, abs=1e-5)


def test_a_hit_brings_about_farther_neighbours_at_the_given_rate():
    n = 40_000
    generator = torch.Generator().manual_seed(5)
    xy = torch.randint(-6, 7, (n, 2), generator=generator).float()
    d = xy - (torch.rand(n, 2, generator=generator) - 0.5)
    brought = successors(torch.full((n,), 0.2), d, xy, torch.rand(n, generator=generator), 25.0)
    there = brought[:, 0] < 25
    after = brought - xy + d
    assert ((brought - xy)[there].abs().sum(1) == 1).all()
    assert ((after**2).sum(1) > (d**2).sum(1))[there].all()
    # neighbours of a cell that are farther: two, or three or four of those near the line of flight
    farther = sum((2 * (d * torch.tensor(step)).sum(1) + 1 > 0).float() for step in DIRECTIONS)
    wanted = 0.2 * coupling((d**2).sum(1)) * farther
    error = (there.float() - wanted).std() / math.sqrt(n)
    assert abs((there.float() - wanted).mean()) < 4 * error
    assert wanted.mean() > 0.3


def test_the_rate_of_neighbours_raises_pairs_and_not_hits():
    count = torch.full((60, LAYERS), 12.0)
    pairs = []
    for rate in (1e-4, 0.1, 0.2):
        model = wide_hits(math.log(2.5))
        with torch.no_grad():
            bias = linear_layers(model.profile)[-1].bias.view(LAYERS, -1)
            bias[:, 4 * BLOBS + 1] = 2 + math.log(rate / (LARGEST_NEIGHBOUR_RATE - rate))
        c, _, hits = draw(model, count)
        assert len(hits.row) == count.sum()
        pairs.append(neighbours(GEOMETRY, c, hits.row, hits.layer, hits.x, hits.y).nearer_H.mean().item())
    assert pairs[0] * 1.5 < pairs[1] < pairs[2] / 1.15


def test_the_likelihood_of_cells_is_that_of_every_cell_of_the_window():
    batch = next(ShowerData([SAMPLE], load_detector(), ("ECAL",), (11, -11, 22), seed=3).batches(64))
    model, c = make_hits(), true_conditions(batch)
    x = model.inputs(c, batch.layer_energy, batch.layer_count)
    profile = model.profile_of(c, x, batch.layer_count, torch.zeros(len(batch), 16))
    got = hit_terms(model, batch, c, profile)["cells"]
    # cell by cell: -ln(1 - e^-rate) for those that are hit and the rate for the others, in layers with hits
    gx, gy = (t.flatten().float() for t in torch.meshgrid(*[torch.arange(-HALF, HALF + 1)] * 2, indexing="ij"))
    row, layer = (batch.layer_count > 0).nonzero().T
    each = (t.repeat_interleave(len(gx)) for t in (row, layer))
    log_p = profile.log_probability(*each, gx.repeat(len(row)), gy.repeat(len(row))).view(len(row), -1).double()
    rate = (log_p + profile.log_rate_BL[row, layer][:, None]).exp().detach().numpy()
    hit = np.zeros((len(batch), LAYERS, 27, 27))
    hit[batch.row, batch.layer, (batch.x + HALF + 1).long(), (batch.y + HALF + 1).long()] = 1
    hit = hit[row, layer]
    places = np.arange(-HALF - 1, HALF + 2)
    offset = c.offset_BL2[row, layer].numpy()
    square = (places[:, None] - offset[:, 0, None, None]) ** 2 + (places - offset[:, 1, None, None]) ** 2
    sources, inside = hit * square / (square + 1), slice(1, -1)
    for axis in (1, 2):
        for step in (-1, 1):
            nearer = np.roll(square, step, axis) < square
            gained = np.where(nearer, np.roll(sources, step, axis), 0)[:, inside, inside]
            rate = rate + profile.kappa_BL[row, layer].detach().numpy()[:, None] * gained.reshape(len(row), -1)
    hit = hit[:, inside, inside].reshape(len(row), -1)
    wanted = np.where(hit, -np.log(-np.expm1(-rate)), rate).sum() / len(batch)
    assert got.item() == pytest.approx(wanted, rel=1e-3)
