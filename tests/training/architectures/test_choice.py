# SPDX-License-Identifier: BSD-3-Clause
"""The choice between candidates of a layer: what it sees, what it keeps, what it learns."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from helpers.models.whole_hadrons import check_drawn_hits, whole_hadrons

from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.choice import (
    FEATURES,
    LEAST_SQUARE,
    SMALL_LAYER,
    SPREAD,
    ChoiceNetwork,
    columns_of_hits,
    features,
)
from fastcalo.training.architectures.showers.choice_training import (
    choice_loss,
    contrastive_loss,
    layer_pairs,
    margins,
    shower_pairs,
)
from fastcalo.training.architectures.showers.conditions import Geometry, ShowerConditions
from fastcalo.training.architectures.showers.neighbours import Near
from fastcalo.training.architectures.showers.placing import ShowersNoise, noise_rows
from fastcalo.training.architectures.showers.sampler import sample_hits
from fastcalo.training.data.batch import Batch


@pytest.fixture(scope="module")
def batch() -> Batch:
    return whole_hadrons(160)


@pytest.fixture
def choice(geometry: Geometry) -> ChoiceNetwork:
    """One with preferences, which nothing has taught it."""
    torch.manual_seed(8)
    network = ChoiceNetwork(geometry)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network


def test_features_of_mirrored_hits_are_the_same(c: ShowerConditions) -> None:
    """No side of the plane of incidence is preferred."""
    torch.manual_seed(1)
    shower = dataclasses.replace(c, along_B2=torch.tensor([[1.0, 0.0]]))
    row, d = torch.zeros(9, dtype=torch.long), torch.randn(9, 2) * 4
    near = Near(*torch.randint(0, 4, (4, 9)).float(), torch.randn(9, 2))
    mirror = torch.tensor([1.0, -1.0])
    mirrored = dataclasses.replace(near, step_H2=near.step_H2 * mirror)
    seen = [features(columns_of_hits(shower, row, x, n), row, 1)[0] for x, n in ((d, near), (d * mirror, mirrored))]
    assert torch.allclose(seen[0], seen[1], atol=1e-6)
    turned = columns_of_hits(shower, row, d.flip(1), near)
    assert not torch.allclose(features(turned, row, 1)[0], seen[0], atol=1e-2)


def test_features_are_those_of_each_group_alone(c: ShowerConditions) -> None:
    torch.manual_seed(2)
    row, d = torch.arange(12) % 3, torch.randn(12, 2) * 3
    near = Near(*torch.randint(0, 4, (4, 12)).float(), torch.randn(12, 2))
    columns = columns_of_hits(c, row, d, near)
    together, number = features(columns, row, 4)
    assert number.tolist() == [4, 4, 4, 0]
    for k in range(3):
        alone, _ = features(columns[row == k], torch.zeros(4, dtype=torch.long), 1)
        assert torch.allclose(alone[0], together[k], atol=1e-6)
    nothing = torch.zeros(FEATURES)
    nothing[SPREAD] = LEAST_SQUARE**0.5
    assert torch.allclose(together[3], nothing, rtol=0, atol=1e-9)


def test_a_single_hit_has_the_least_spread_wherever_it_is(c: ShowerConditions) -> None:
    """Differences of squares leave rounding, whose root would tell candidates apart by chance."""
    torch.manual_seed(3)
    row, d = torch.arange(20), torch.randn(20, 2) * 30
    near = Near(*torch.zeros(4, 20), torch.zeros(20, 2))
    shower = dataclasses.replace(c, along_B2=F.normalize(torch.randn(20, 2), dim=1))
    feature, _ = features(columns_of_hits(shower, row, d, near), row, 20)
    assert (feature[:, SPREAD] == feature[0, SPREAD]).all()


def test_a_network_that_has_learnt_nothing_has_no_preference(
    geometry: Geometry, c: ShowerConditions, batch: Batch
) -> None:
    network = ChoiceNetwork(geometry)
    known = network.known_of_layers(c, batch.layer_energy, batch.layer_count)[:, 5]
    feature, number = torch.randn(len(batch), 2, FEATURES), torch.full((len(batch), 2), 3.0)
    uniform = torch.linspace(0, 1, len(batch))
    assert torch.equal(network.kept(known, feature, number, uniform), (uniform > 0.5).long())


def test_candidates_are_kept_in_proportion_to_their_ratios(
    choice: ChoiceNetwork, c: ShowerConditions, batch: Batch
) -> None:
    known = choice.known_of_layers(c, batch.layer_energy, batch.layer_count)[:1, 3].expand(4000, -1)
    feature, number = torch.randn(1, 2, FEATURES).expand(4000, -1, -1), torch.full((4000, 2), 5.0)
    score = choice(known[:1, None], feature[:1], number[:1])[0]
    first = (choice.kept(known, feature, number, torch.rand(4000)) == 0).float().mean().item()
    expected = 1 / (1 + math.exp(score[1].item() - score[0].item()))
    assert 0.02 < expected < 0.98
    assert first == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 4000))


def test_large_layers_have_fewer_candidates(
    model: HitModel, geometry: Geometry, c: ShowerConditions, batch: Batch
) -> None:
    network = ChoiceNetwork(geometry, 5, 2)
    large = batch.layer_count > SMALL_LAYER
    assert large.any()
    assert not large.all()
    noise = ShowersNoise.draw(batch.layer_count, None, network.drawn(batch.layer_count))
    profile = model.prior_profile(c, batch.layer_energy, batch.layer_count, noise.latent_normal)
    rows = noise_rows(profile, batch.layer_count, noise, network)
    number_BLK = torch.stack([layer.number_C.view(-1, 5) for layer in rows], 1)
    there = batch.layer_count > 0
    assert (number_BLK[..., :2] > 0)[there].all()
    assert ((number_BLK[..., 2:] > 0) == (there & ~large)[..., None]).all()
    # each has rows of its own
    first_BLK = torch.stack([layer.first_C.view(-1, 5) for layer in rows], 1)
    assert torch.equal(first_BLK.flatten(1)[:, 1:], torch.cumsum(number_BLK.flatten(1), 1)[:, :-1])


def test_a_candidate_without_hits_is_never_kept(choice: ChoiceNetwork, c: ShowerConditions, batch: Batch) -> None:
    known = choice.known_of_layers(c, batch.layer_energy, batch.layer_count)[:1, 3].expand(2000, -1)
    feature, number = 3 * torch.randn(2000, 4, FEATURES), torch.tensor([5.0, 0.0, 5.0, 0.0]).expand(2000, -1)
    kept = choice.kept(known, feature, number, torch.rand(2000))
    assert set(kept.tolist()) == {0, 2}
    # sums of probabilities may be below one by rounding
    largest = torch.full((2000,), 1 - 2**-24)
    assert set(choice.kept(known, feature, number, largest).tolist()) == {0, 2}


def test_chosen_hits_have_the_numbers_and_energies_asked_for(
    model: HitModel, choice: ChoiceNetwork, c: ShowerConditions, batch: Batch
) -> None:
    torch.manual_seed(5)
    noise = ShowersNoise.draw(batch.layer_count, None, choice.drawn(batch.layer_count))
    hits = sample_hits(model, c, batch.layer_energy, batch.layer_count, noise, choice=choice)
    check_drawn_hits(hits, batch)


def test_the_choice_changes_what_it_prefers(
    model: HitModel, geometry: Geometry, c: ShowerConditions, batch: Batch
) -> None:
    """A network that prefers hits close to the line of flight brings them closer."""
    near = ChoiceNetwork(geometry)
    with torch.no_grad():
        # the first output is the tilt of each feature; the one of the logarithm of the distance
        list(near.known.children())[-1].bias[8] = -5.0
    distance = []
    for network in (ChoiceNetwork(geometry), near):
        torch.manual_seed(5)
        noise = ShowersNoise.draw(batch.layer_count, None, network.drawn(batch.layer_count))
        hits = sample_hits(model, c, batch.layer_energy, batch.layer_count, noise, choice=network)
        d = torch.stack([hits.x, hits.y], 1) - c.offset_BL2[hits.row, hits.layer]
        distance.append(torch.log(d.square().sum(1) + 0.1).mean().item())
    assert distance[1] < distance[0] - 0.2


def test_the_choice_learns_which_layers_are_true(
    model: HitModel, geometry: Geometry, c: ShowerConditions, batch: Batch
) -> None:
    torch.manual_seed(7)
    network, half = ChoiceNetwork(geometry), len(batch) // 2
    pairs = layer_pairs(model, c, batch, ShowersNoise.draw(batch.layer_count))
    there = (pairs.count_BL > 0) & (pairs.number_BL > 0)
    network.calibrate(pairs.true_BLF[there])
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    train, held = slice(0, half), slice(half, len(batch))

    def loss(showers: slice) -> torch.Tensor:
        known = network.known_of_layers(c[showers], batch.layer_energy[showers], batch.layer_count[showers])
        return choice_loss(margins(network, known, pairs[showers]), half)

    undecided = math.log(2) * there[held].sum().item() / half
    assert loss(held).item() == pytest.approx(undecided, rel=1e-4)
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(train)
        value.backward()
        optimiser.step()
    assert loss(held).item() < 0.9 * undecided


def test_whole_showers_are_paired_with_the_layers_that_are_kept(
    model: HitModel, choice: ChoiceNetwork, c: ShowerConditions, batch: Batch
) -> None:
    torch.manual_seed(5)
    noise = ShowersNoise.draw(batch.layer_count, None, choice.drawn(batch.layer_count))
    pairs = shower_pairs(model, choice, c, batch, noise)
    hits = sample_hits(model, c, batch.layer_energy, batch.layer_count, noise, choice=choice)
    number = torch.bincount(hits.row * 85 + hits.layer, minlength=pairs.number_BL.numel()).view_as(pairs.number_BL)
    assert torch.equal(pairs.number_BL, number.float())
    # the tenth feature is the part of the hits within 2.5 cells
    offset = c.offset_BL2[hits.row, hits.layer]
    within = ((torch.stack([hits.x, hits.y], 1) - offset).square().sum(1) < 2.5**2).float()
    inside = torch.zeros(number.numel()).index_add(0, hits.row * 85 + hits.layer, within).view_as(number)
    assert torch.allclose(pairs.drawn_BLF[..., 10], inside / number.clamp_min(1), atol=1e-4)
    assert torch.equal(pairs.true_BLF, layer_pairs(model, c, batch, ShowersNoise.draw(batch.layer_count)).true_BLF)


def test_what_is_kept_of_whole_showers_comes_to_look_like_the_truth(
    model: HitModel, geometry: Geometry, c: ShowerConditions, batch: Batch
) -> None:
    torch.manual_seed(6)
    network, part = ChoiceNetwork(geometry, 4), next(iter(batch.split(2)))
    conditions = c[slice(0, len(part))]
    optimiser = torch.optim.SGD([list(network.known.children())[-1].bias], 0.05)
    away = []
    for _ in range(12):
        noise = ShowersNoise.draw(part.layer_count, None, network.drawn(part.layer_count))
        pairs = shower_pairs(model, network, conditions, part, noise)
        there = (pairs.count_BL > 0) & (pairs.number_BL > 0)
        if not away:
            network.calibrate(pairs.true_BLF[there])
        z = (pairs.drawn_BLF - pairs.true_BLF)[there] / network.deviation_F
        away.append((z * pairs.count_BL[there].sqrt()[:, None]).mean(0).square().sum().item())
        known = network.known_of_layers(conditions, part.layer_energy, part.layer_count)
        optimiser.zero_grad()
        (contrastive_loss(margins(network, known, pairs), 1) / there.sum()).backward()
        optimiser.step()
    assert min(away[-3:]) < 0.8 * away[0]
