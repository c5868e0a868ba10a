# SPDX-License-Identifier: BSD-3-Clause
"""What the critic sees of showers, and the numbers that a training is followed by."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.models.hit_models import GEOMETRY, LAYERS, as_batch, make_conditions, true_batch, true_conditions
from helpers.trainings.tiny_training import change_stage, tiny_config

from fastcalo.errors import ConfigError
from fastcalo.training.architectures.hit_lists import gan as hit_list_gan
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.gan import LIKELIHOOD_SCALE
from fastcalo.training.architectures.hit_lists.observables import canonical_azimuth
from fastcalo.training.architectures.hits.config import AdversarialStageConfig
from fastcalo.training.architectures.hits.critic import HitCritic, features, n_features
from fastcalo.training.architectures.hits.gan import HitGan
from fastcalo.training.architectures.response import response_metrics
from fastcalo.training.config import DataConfig
from fastcalo.training.data.batch import Batch
from fastcalo.training.random_numbers import ShowerRandom
from fastcalo.training.strategies import check_ranks


@pytest.fixture(scope="module")
def batch() -> Batch:
    return true_batch()


# --- the critic

MIRRORS = [(sx, sy, swap) for sx in (1, -1) for sy in (1, -1) for swap in (False, True)]


@pytest.mark.parametrize(("sx", "sy", "swap"), MIRRORS)
def test_observables_are_the_same_for_turned_showers_and_of_the_other_hand_for_mirrored_ones(batch, sx, sy, swap):
    def mirrored(x, y):
        return (sx * y, sy * x) if swap else (sx * x, sy * y)

    def both(vectors):
        return torch.stack([*mirrored(vectors[:, 0], vectors[:, 1]), *vectors.T[2:]], 1)

    x, y = mirrored(batch.x, batch.y)
    other = replace(batch, x=x, y=y, direction=both(batch.direction), entry=both(batch.entry))
    one = torch.ones_like(batch.deposit)
    a = features(GEOMETRY, true_conditions(batch), batch, one)
    b = features(GEOMETRY, true_conditions(other), other, one)
    assert a.shape == (len(batch), n_features(GEOMETRY))
    assert torch.isfinite(a).all()
    turned = (sx == sy) != swap
    # how far hits stand aside changes its sign, and nothing else
    assert torch.allclose(a.abs(), b.abs(), atol=2e-3, rtol=1e-3)
    assert torch.allclose(a, b, atol=2e-3, rtol=1e-3) == turned
    azimuths = [canonical_azimuth(true_conditions(x).along_B2) for x in (batch, other)]
    assert torch.allclose(azimuths[0].abs(), azimuths[1].abs(), atol=1e-5)
    assert torch.allclose(*azimuths, atol=1e-5) == turned
    assert (azimuths[0][:, 0] >= azimuths[0][:, 1].abs()).all()


def test_observables_of_a_shower_without_hits_are_finite():
    nothing = torch.zeros(0)
    c = make_conditions(2)
    hits = as_batch(
        DrawnHits(*[nothing.long()] * 2, *[nothing] * 7, nothing.long(), nothing), c, *[torch.zeros(2, LAYERS)] * 2
    )
    assert torch.isfinite(features(GEOMETRY, c, hits, nothing)).all()


def test_the_critic_sees_observables_as_deviations_from_what_is_expected(batch):
    torch.manual_seed(0)
    critic, c = HitCritic(GEOMETRY, 16), true_conditions(batch)
    observed = features(GEOMETRY, c, batch, torch.ones_like(batch.deposit))
    context = critic.context(c, batch.layer_energy, batch.layer_count)
    critic.calibrate(context, observed)
    standardised = critic.standardised(context, observed)
    assert standardised.shape == observed.shape
    assert torch.isfinite(standardised).all()
    score = critic(context, standardised)
    assert score.shape == (len(batch),)
    # no observable, however far off, can move the score without bound
    far, farther = (critic(context, critic.standardised(context, observed + x)) for x in (1e6, 1e9))
    assert torch.equal(far, farther)


def test_expectations_follow_from_what_is_given():
    """Observables of showers that were not fitted have mean 0 and deviation 1, in every part of what is given."""
    torch.manual_seed(0)
    critic = HitCritic(GEOMETRY, 16)
    width = critic.expectation_IF.shape[0] // 2
    features = critic.expectation_IF.shape[1]
    slope, curve = torch.randn(width, features) / 10, torch.randn(width, features) / 10
    spread = torch.randn(width, features) / 20

    def showers(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        context = torch.randn(n, width)
        deviation = 0.1 * torch.exp(context @ spread)
        return context, context @ slope + context.square() @ curve + deviation * torch.randn(n, features)

    critic.calibrate(*showers(6_000))
    context, observed = showers(4_000)
    standardised = critic.standardised(context, observed)
    for part in (context[:, 0] < -0.7, context[:, 0] > 0.7):
        assert standardised[part].mean(0).abs().max() < 0.2
        assert standardised[part].std(0) == pytest.approx(np.ones(features), abs=0.25)


def test_few_true_showers_give_no_deviations_that_are_too_small():
    torch.manual_seed(0)
    critic = HitCritic(GEOMETRY, 16)
    width, features = critic.expectation_IF.shape[0] // 2, critic.expectation_IF.shape[1]
    critic.calibrate(torch.randn(40, width), torch.randn(40, features))
    assert critic.standardised(torch.randn(500, width), torch.randn(500, features)).square().mean() < 9


# --- physics numbers


def test_physics_numbers_of_the_truth_are_one(batch):
    numbers = response_metrics(batch, batch.layer_energy, batch.layer_count)
    assert len(numbers) == 12
    for name, value in numbers.items():
        assert value == pytest.approx(0.0 if name.startswith("layers") else 1.0, abs=1e-6)


def test_physics_numbers_show_what_is_wrong(batch):
    energy = batch.layer_energy.clone()
    energy[:, 8] *= 1.5
    numbers = response_metrics(batch, 1.2 * energy, 2 * batch.layer_count)
    for decade in ("0.1-1GeV", "1-10GeV", "10-100GeV"):
        assert numbers[f"hits_{decade}"] == pytest.approx(2.0)
        assert numbers[f"response_{decade}"] > 1.2
    assert numbers["layers_10-100GeV"] == pytest.approx(0.8, abs=1e-5)
    few = replace(batch, kinetic_energy=torch.full_like(batch.kinetic_energy, 0.5))
    assert {name.split("_")[1] for name in response_metrics(few, energy, batch.layer_count)} == {"0.1-1GeV"}
    assert np.isfinite(list(numbers.values())).all()


def test_the_generator_is_held_by_likelihoods_of_true_hits_and_of_the_rates_of_drawn_ones(batch):
    torch.manual_seed(0)
    gan, stage = (
        HitGan(tiny_config(DataConfig(train=("none.h5",)))),
        AdversarialStageConfig(name="adversarial", steps=10, critic_only=0),
    )
    gan.begin("adversarial", batch)
    metrics = {}
    losses = dict(gan.losses(stage, batch, 1, metrics, ShowerRandom(0, batch.slot)))
    held = sum(metrics[name] for name in ("cells", "energy", "latent", "rates")) / LIKELIHOOD_SCALE
    assert abs(metrics["rates"]) > 1
    assert losses["generator"].item() == pytest.approx(stage.adversarial_weight * metrics["generator"] + held, rel=1e-5)


@pytest.mark.parametrize("updates", [1, 3])
def test_every_part_of_a_batch_updates_both_networks_by_showers_drawn_once(batch, updates, monkeypatch):
    torch.manual_seed(0)
    gan = HitGan(tiny_config(DataConfig(train=("none.h5",))))
    stage = AdversarialStageConfig(name="adversarial", steps=10, critic_only=0, updates=updates)
    gan.begin("adversarial", batch)
    drawn, draw, seen = [], gan.draw_for_training, []
    monkeypatch.setattr(gan, "draw_for_training", lambda *a: drawn.append(draw(*a)) or drawn[-1])
    with_gradient = gan.with_gradient

    def noted(c, energy, count, latent_normal, hits):
        seen.append((len(c), count, latent_normal, hits))
        return with_gradient(c, energy, count, latent_normal, hits)

    monkeypatch.setattr(gan, "with_gradient", noted)
    losses = [name for name, loss in gan.losses(stage, batch, 1, {}, ShowerRandom(0, batch.slot)) if loss.isfinite()]
    assert losses == ["critic", "generator"] * updates
    assert len(drawn) == 1
    numbers, counts, latents, hits_of_parts = zip(*seen, strict=True)
    assert sum(numbers) == len(batch)
    assert torch.equal(torch.cat(counts), batch.layer_count)
    assert torch.equal(torch.cat([hits.deposit for hits in hits_of_parts]), drawn[0][0].deposit)
    assert torch.equal(torch.cat(latents), drawn[0][1])
    for n, hits in zip(numbers, hits_of_parts, strict=True):
        assert hits.row.min() >= 0
        assert hits.row.max() < n


def test_showers_are_the_same_in_groups_of_any_size(batch, monkeypatch):
    torch.manual_seed(0)
    gan = HitGan(tiny_config(DataConfig(train=("none.h5",))))
    c, drawn = gan.conditions(batch), []
    for size in (len(batch), 5):
        monkeypatch.setattr(hit_list_gan, "GROUP", size)
        drawn.append(gan.draw_for_training(c, batch, ShowerRandom(3, batch.slot)))
    (whole, latent), (parts, latent_of_parts) = drawn
    assert len(whole.row) > len(batch)
    for field in fields(whole):
        # sums of products may differ by their last bits
        assert torch.allclose(getattr(whole, field.name), getattr(parts, field.name), atol=1e-5), field.name
    assert torch.equal(latent, latent_of_parts)


@pytest.mark.parametrize(("ranks", "fits"), [(1, True), (2, True), (3, False)])
def test_more_updates_than_a_rank_has_showers_are_refused(ranks, fits):
    config = change_stage(tiny_config(DataConfig(train=("none.h5",))), "adversarial", batch=12, updates=6)
    exchange = SimpleNamespace(size=ranks)
    if fits:
        check_ranks(config, exchange, "run.toml")
        return
    with pytest.raises(ConfigError, match=r"updates = 6 in 3 process.*at least 18 showers"):
        check_ranks(config, exchange, "run.toml")
