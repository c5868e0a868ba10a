# SPDX-License-Identifier: BSD-3-Clause
"""What the critic sees of showers, and the numbers that a training is followed by."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.models.hit_models import GEOMETRY, LAYERS, as_batch, make_conditions, true_batch, true_conditions
from helpers.trainings.tiny_training import tiny_config

from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.gan import LIKELIHOOD_SCALE
from fastcalo.training.architectures.hits.config import AdversarialStageConfig
from fastcalo.training.architectures.hits.critic import HitCritic, features, n_features
from fastcalo.training.architectures.hits.gan import HitGan
from fastcalo.training.architectures.response import response_metrics
from fastcalo.training.config import DataConfig
from fastcalo.training.data.batch import Batch
from fastcalo.training.random_numbers import ShowerRandom


@pytest.fixture(scope="module")
def batch() -> Batch:
    return true_batch()


# --- the critic

MIRRORS = [(sx, sy, swap) for sx in (1, -1) for sy in (1, -1) for swap in (False, True)]


@pytest.mark.parametrize(("sx", "sy", "swap"), MIRRORS)
def test_observables_are_the_same_for_mirrored_showers(batch, sx, sy, swap):
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
    assert torch.allclose(a, b, atol=2e-3, rtol=1e-3)
    assert torch.isfinite(a).all()


def test_observables_of_a_shower_without_hits_are_finite():
    nothing = torch.zeros(0)
    c = make_conditions(2)
    hits = as_batch(
        DrawnHits(*[nothing.long()] * 2, *[nothing] * 7, nothing.long(), nothing), c, *[torch.zeros(2, LAYERS)] * 2
    )
    assert torch.isfinite(features(GEOMETRY, c, hits, nothing)).all()


def test_the_critic_takes_its_scale_from_true_showers(batch):
    torch.manual_seed(0)
    critic, c = HitCritic(GEOMETRY, 16), true_conditions(batch)
    observed = features(GEOMETRY, c, batch, torch.ones_like(batch.deposit))
    critic.calibrate(observed)
    assert torch.allclose(critic.mean, observed.mean(0))
    assert (critic.deviation > 0).all()
    context = critic.context(c, batch.layer_energy, batch.layer_count)
    score = critic(context, observed)
    assert score.shape == (len(batch),)
    # no observable, however far off, can move the score without bound
    assert torch.equal(critic(context, observed + 1e6), critic(context, observed + 1e9))


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
