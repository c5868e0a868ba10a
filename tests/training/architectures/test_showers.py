# SPDX-License-Identifier: BSD-3-Clause
"""Networks of ``arch = "showers"``: densities, rates, drawing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from helpers.files.shower_files import WHOLE_HADRONS, WHOLE_SPECIES
from helpers.models.whole_hadrons import SECTIONS, check_drawn_hits, whole_hadrons
from torch import Tensor

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError
from fastcalo.training.architectures.hit_lists.hit_networks import LATENT
from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.conditions import Geometry, ShowerConditions, shower_conditions
from fastcalo.training.architectures.showers.critic import features, n_features
from fastcalo.training.architectures.showers.likelihood import REACH, earlier_layers, negative_elbo, pairs, rates_of
from fastcalo.training.architectures.showers.neighbours import (
    LONGEST,
    SIDE,
    Near,
    neighbours,
    place_on_torus,
    projected,
)
from fastcalo.training.architectures.showers.placing import (
    Parents,
    ShowersNoise,
    hits_of_layer,
    noise_rows,
    placed_layers,
)
from fastcalo.training.architectures.showers.sampler import sample_hits, with_gradient
from fastcalo.training.data.batch import Batch
from fastcalo.training.data.layer_stack import LayerStack
from fastcalo.training.data.showers import ShowerData


@pytest.fixture(scope="module")
def batch() -> Batch:
    return whole_hadrons(24)


def test_whole_files_keep_hits_beyond_every_window(batch: Batch) -> None:
    assert torch.maximum(batch.x.abs(), batch.y.abs()).max() > 60
    assert batch.layer.max() > 25
    assert batch.layer_count.sum() == len(batch.deposit)


def test_offsets_of_each_section_follow_the_entry_in_the_module(geometry: Geometry) -> None:
    direction = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    entry = torch.tensor([[0.0, 0.0], [5.1, 0.0], [10.2, 7.0]])
    offset = shower_conditions(geometry, torch.ones(3), direction, entry, torch.full((3,), 211)).offset_BL2
    assert torch.allclose(offset[:, 0, 0], torch.zeros(3), atol=1e-5)
    assert torch.allclose(offset[:, 30], entry / 30, atol=1e-5)


def test_what_a_particle_may_leave_exceeds_its_kinetic_energy_where_it_annihilates(geometry: Geometry) -> None:
    direction, pdg = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3), torch.tensor([2212, -2212])
    c = shower_conditions(geometry, torch.full((2,), 0.05), direction, torch.zeros(2, 2), pdg)
    assert c.largest_deposit_B[0] < 0.1
    assert c.largest_deposit_B[1] > 1.9


def test_blobs_hold_all_their_probability_in_the_plane(model: HitModel, c: ShowerConditions, batch: Batch) -> None:
    with torch.no_grad():
        normal = torch.zeros(len(batch), LATENT)
        profile = model.prior_profile(c, batch.layer_energy, batch.layer_count, normal)
        side = torch.arange(-400.0, 401.0)
        x, y = (t.reshape(-1) for t in torch.meshgrid(side, side, indexing="ij"))
        for row, layer in ((0, 3), (5, 40)):
            where = (torch.full((len(x),), row), torch.full((len(x),), layer))
            total = profile.log_probability(c, *where, x, y).exp().sum()
            # a few parts in a hundred of the widest blob lie beyond
            assert 0.96 < total < 1.01


def test_the_rate_of_descendants_sums_to_the_part_of_draws_that_is_accepted(
    model: HitModel, c: ShowerConditions, batch: Batch
) -> None:
    """Cells all around the hits of a layer share what its parents give."""
    layer, row = 30, 0
    side = torch.arange(-12.0, 13.0)
    x, y = (t.reshape(-1) for t in torch.meshgrid(side, side, indexing="ij"))
    parents = torch.tensor([[0.0, 0.0], [2.0, -3.0]])
    rows = torch.full((2 + len(x),), row)
    layers = torch.cat([torch.full((2,), layer - 1), torch.full((len(x),), layer)])
    xs, ys = torch.cat([parents[:, 0], x]), torch.cat([parents[:, 1], y])
    with torch.no_grad():
        profile = model.prior_profile(c, batch.layer_energy, batch.layer_count, torch.zeros(len(batch), LATENT))
        profile = dataclasses.replace(profile, chained_BL=torch.full_like(profile.chained_BL, 1.0))
        near = neighbours(model.geometry, c, rows, layers, xs, ys)
        rates = rates_of(model, c, profile, rows, layers, xs, ys, near)
    assert rates.draw_H[2:].sum() == pytest.approx(rates.mass_BL[row, layer].item(), rel=1e-3)
    assert rates.mass_BL[row, layer] < 1


def test_the_last_layer_with_hits_before_each() -> None:
    number = torch.tensor([[0, 2, 0, 0, 1, 3], [1, 0, 0, 0, 0, 0]])
    assert earlier_layers(number).tolist() == [[-1, -1, 1, 1, 1, 4], [-1, 0, 0, 0, 0, 0]]


def test_pairs_are_hits_of_successive_layers_close_to_each_other(
    model: HitModel, batch: Batch, c: ShowerConditions
) -> None:
    """Layers without hits between them do not count."""
    d = torch.stack([batch.x, batch.y], 1) - c.offset_BL2[batch.row, batch.layer]
    number = torch.bincount(batch.row * 85 + batch.layer, minlength=len(batch) * 85)
    child, parent = pairs(batch.row, batch.layer, d, number, earlier_layers(number.view(-1, 85)), model.cell_L, REACH)
    assert (batch.row[child] == batch.row[parent]).all()
    there = torch.cumsum(number.view(-1, 85) > 0, 1)
    assert (there[batch.row[child], batch.layer[child]] == there[batch.row[parent], batch.layer[parent]] + 1).all()
    assert (batch.layer[child] > batch.layer[parent] + 1).any()
    mm = d * model.cell_L[batch.layer][:, None]
    assert ((mm[child] - mm[parent]).abs().amax(1) < REACH * model.cell_L[batch.layer[child]]).all()
    assert len(child) > 100


def test_a_hit_sees_those_around_its_projection_only() -> None:
    hit = torch.zeros(SIDE * SIDE, dtype=torch.uint8)
    hit[
        place_on_torus(torch.zeros(3, dtype=torch.long), torch.tensor([4.0, 5.0, 9.0]), torch.tensor([-2.0, -2.0, 0.0]))
    ] = torch.tensor([3, 7, 9], dtype=torch.uint8)
    zero = torch.zeros(2, dtype=torch.long)
    d = torch.tensor([[4.2, -2.1], [20.0, 20.0]])
    number, length, step = projected(hit, zero, d, torch.zeros(2, 2))
    assert number.tolist() == [2, 0]
    assert length.tolist() == [7, 0]
    assert torch.allclose(step, torch.tensor([[-0.3, -0.1], [0.0, 0.0]]), atol=1e-5)


def test_lengths_count_the_layers_in_a_row_that_lead_to_a_hit(model: HitModel, c: ShowerConditions) -> None:
    """A straight track through all layers, a hit beside it that joins late, and one far away."""
    layers = model.geometry.layers
    sections = torch.tensor(model.geometry.section_of_layer)
    track = torch.arange(layers)
    layer = torch.cat([track, torch.tensor([4, 4])])
    offset = c.offset_BL2[0, layer]
    away = torch.cat([torch.zeros(layers, 2), torch.tensor([[1.0, 0.0], [20.0, 0.0]])])
    x, y = torch.floor(away + offset + 0.5).unbind(1)
    order = torch.argsort(layer, stable=True)
    row, layer, x, y = torch.zeros(len(order), dtype=torch.long), layer[order], x[order], y[order]
    near = neighbours(model.geometry, c, row, layer, x, y)
    first = torch.tensor(model.geometry.first_layers)[sections]
    expected = (track - first).clamp_max(LONGEST).float()
    assert torch.equal(near.length_H[layer.ne(4)], expected[track != 4])
    assert near.length_H[layer == 4].tolist() == [4, 4, 0]
    assert near.before_H[layer == 4].tolist() == [1, 1, 0]


def test_drawn_hits_are_seen_alike_layer_by_layer_and_all_at_once(
    model: HitModel, c: ShowerConditions, batch: Batch
) -> None:
    """What the chain is given while it draws is what the likelihood is given of the same hits."""
    torch.manual_seed(4)
    noise = ShowersNoise.draw(batch.layer_count)
    seen: list[Near] = []

    class Recorded(HitModel):
        """Keeps what decides about parents."""

        def parents(self, *given: Any) -> tuple[Tensor, Tensor]:
            seen.append(given[-1])
            return super().parents(*given)

    recorded = Recorded(model.geometry)
    recorded.load_state_dict(model.state_dict())
    with torch.no_grad():
        profile = recorded.prior_profile(c, batch.layer_energy, batch.layer_count, noise.latent_normal)
        layers = list(placed_layers(recorded, None, profile, c, batch.layer_energy, batch.layer_count, noise, True))
    row, xy = torch.cat([h.row_H for h in layers]), torch.cat([h.xy_H2 for h in layers])
    layer = torch.repeat_interleave(torch.arange(len(layers)), torch.tensor([len(h.row_H) for h in layers]))
    near = neighbours(model.geometry, c, row, layer, *xy.unbind(1))
    assert near.length_H.max() > 5
    for name in ("before_H", "length_H", "step_H2"):
        assert torch.equal(getattr(near, name), torch.cat([getattr(n, name) for n in seen])), name


def test_a_hit_brings_about_another_and_that_a_third(model: HitModel, c: ShowerConditions, batch: Batch) -> None:
    """With the smallest numbers every hit does, in the first direction that leads away from the axis."""
    torch.manual_seed(9)
    count = torch.full_like(batch.layer_count, 3)
    noise = ShowersNoise.draw(count)
    numbers = noise.point_uniform.clone()
    numbers[..., 1:] = 0
    noise = dataclasses.replace(noise, point_uniform=numbers)
    with torch.no_grad():
        profile = model.prior_profile(c, batch.layer_energy, count, noise.latent_normal)
        rows = noise_rows(profile, count, noise)
        none = Parents.none(len(batch), count.device)
        row, xy = hits_of_layer(model, profile, c, noise, none, 30, rows[30], count[:, 30].long())
    assert torch.equal(row, torch.arange(len(batch)).repeat_interleave(3))
    first, second, third = xy.view(-1, 3, 2).unbind(1)
    for one, other in ((first, second), (second, third)):
        assert ((other - one).abs().amax(1) == 1).all()
        offset = c.offset_BL2[:, 30]
        assert ((other - offset).norm(dim=1) >= (one - offset).norm(dim=1)).all()


def test_drawn_hits_have_the_numbers_and_energies_asked_for(model: HitModel, c: ShowerConditions, batch: Batch) -> None:
    torch.manual_seed(5)
    hits = sample_hits(model, c, batch.layer_energy, batch.layer_count, ShowersNoise.draw(batch.layer_count))
    check_drawn_hits(hits, batch)


def test_hits_with_gradient_are_the_same_hits(model: HitModel, c: ShowerConditions, batch: Batch) -> None:
    torch.manual_seed(6)
    noise = ShowersNoise.draw(batch.layer_count)
    hits = sample_hits(model, c, batch.layer_energy, batch.layer_count, noise, late=False)
    moved, rates = with_gradient(model, c, batch.layer_energy, batch.layer_count, noise.latent_normal, hits)
    assert torch.allclose(moved.weight, torch.ones_like(moved.weight))
    full = (hits.deposit - moved.deposit).abs() < 1e-3 * hits.deposit + 2e-6
    # layers that lack hits are scaled to the energy that was asked for
    assert full.float().mean() > 0.8
    (moved.deposit.square().sum() + rates).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_likelihood_falls_in_training(model: HitModel, c: ShowerConditions, batch: Batch) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        terms = negative_elbo(model, batch, c, torch.zeros(len(batch), LATENT))
        loss = terms["cells"] + terms["energy"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 30


def test_the_critic_sees_how_hits_lie_to_each_other(geometry: Geometry, c: ShowerConditions, batch: Batch) -> None:
    """Hits moved as a whole layer keep all layer-wise numbers but the places, and lose those before them."""
    one = torch.ones_like(batch.deposit)
    seen = features(geometry, c, batch, one)
    assert seen.shape == (len(batch), n_features(geometry))
    assert torch.isfinite(seen).all()
    shifted = dataclasses.replace(batch, x=batch.x + 7.0 * (batch.layer % 2))
    moved = features(geometry, c, shifted, one)
    assert (moved - seen).abs().max() > 0.5


def test_a_model_may_cover_the_first_layers_of_a_section() -> None:
    options = {"seed": 3, "whole": True}
    all_layers, some = (
        ShowerData([WHOLE_HADRONS], load_detector(), SECTIONS, WHOLE_SPECIES, section_layers=n, **options).sample(24)
        for n in ((), (25, 12))
    )
    assert torch.equal(some.kinetic_energy, all_layers.kinetic_energy)
    assert torch.equal(some.layer_count, all_layers.layer_count[:, :37])
    kept = all_layers.layer < 37
    assert 0 < kept.sum() < len(kept)
    for name in ("row", "layer", "x", "y", "deposit"):
        assert torch.equal(getattr(some, name), getattr(all_layers, name)[kept])


def test_a_section_has_no_more_layers_than_it_has() -> None:
    with pytest.raises(ConfigError, match="'HCAL' has 60 layers, fewer than 61"):
        LayerStack.of(load_detector(), SECTIONS, (25, 61))
