# SPDX-License-Identifier: BSD-3-Clause
"""The stage ``energies``: how hits share energy, learnt from energies drawn for the cells of true showers."""

import pytest
import torch
from helpers.models.whole_hadrons import SECTIONS, WHOLE_SPECIES, check_drawn_hits, whole_hadrons

from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.hit_networks import SHARE_COMPONENTS
from fastcalo.training.architectures.hit_lists.points import rank_in_group
from fastcalo.training.architectures.showers.config import (
    AdversarialStageConfig,
    EnergiesStageConfig,
    ShowersTrainConfig,
)
from fastcalo.training.architectures.showers.gan import ShowerGan
from fastcalo.training.architectures.showers.true_cells import energies_on_true_cells, known_of_true_hits
from fastcalo.training.config import DataConfig
from fastcalo.training.data.batch import Batch
from fastcalo.training.random_numbers import ShowerRandom

ENERGIES = EnergiesStageConfig(name="energies", steps=10, critic_only=0)
ADVERSARIAL = AdversarialStageConfig(name="adversarial", steps=10)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return whole_hadrons(40)


def gan_of(*stages: EnergiesStageConfig | AdversarialStageConfig) -> ShowerGan:
    torch.manual_seed(4)
    return ShowerGan(
        ShowersTrainConfig(
            name="whole",
            arch="showers",
            sections=SECTIONS,
            species=WHOLE_SPECIES,
            data=DataConfig(train=("none.h5",)),
            stage=stages,
        )
    )


def test_true_cells_share_the_energy_of_their_layer(batch: Batch) -> None:
    gan = gan_of(ENERGIES)
    draws, c = ShowerRandom(1, batch.slot), gan.conditions(batch)
    known = known_of_true_hits(gan.hits, batch, c, draws.normal(8, 16))
    drawn = energies_on_true_cells(gan.hits, batch, known, draws)
    for name in ("row", "layer", "x", "y"):
        assert torch.equal(getattr(drawn, name), getattr(batch, name))
    check_drawn_hits(drawn, batch)
    assert not torch.allclose(drawn.deposit, batch.deposit)


def test_only_the_sharing_and_the_critic_learn(batch: Batch) -> None:
    gan = gan_of(ENERGIES, ADVERSARIAL)
    gan.begin("energies", batch)
    trained = gan.trained_by("energies")
    shares = list(gan.hits.share.parameters())
    assert [id(p) for p in trained["generator"]] == [id(p) for p in shares]
    losses = dict(gan.losses(ENERGIES, batch, 1, {}, ShowerRandom(1, batch.slot)))
    assert set(losses) == {"critic", "generator"} == set(trained)
    losses["generator"].backward()
    assert all(p.grad is not None for p in shares)
    others = [p for p in gan.hits.parameters() if all(p is not q for q in shares)]
    assert all(p.grad is None for p in others)
    # what the adversarial stage trains is the rest, and without the stage all
    assert [id(p) for p in gan.trained_by("adversarial")["generator"]] == [id(p) for p in others]
    everything = gan_of(ADVERSARIAL)
    assert len(everything.trained_by("adversarial")["generator"]) == len(others) + len(shares)


def of_first_hits(hits: Batch | DrawnHits, batch: Batch) -> float:
    """Mean log of what the hit next to the line of flight takes, over the layer's mean."""
    group, count = batch.row * 85 + batch.layer, batch.layer_count.view(-1)
    some = (rank_in_group(group, len(count)) == 0) & (count[group] > 3)
    return torch.log(hits.deposit * (count / batch.layer_energy.view(-1))[group])[some].mean().item()


def test_the_critic_brings_energies_nearer(batch: Batch) -> None:
    """The likelihood counts for nothing here: what is learnt comes from the critic."""
    gan = gan_of(ENERGIES)
    with torch.no_grad():
        # of the first hits, by far too much
        gan.hits.share[-1].bias[SHARE_COMPONENTS : 2 * SHARE_COMPONENTS] += 2
    gan.begin("energies", batch)
    stage = ENERGIES.model_copy(update={"adversarial_weight": 1e6})
    trained = gan.trained_by("energies")
    optimisers = {
        "generator": torch.optim.Adam(trained["generator"], 5e-3, betas=(0.5, 0.99)),
        "critic": torch.optim.Adam(trained["critic"], 2e-3, betas=(0.0, 0.99)),
    }
    c, too_much = gan.conditions(batch), []
    for step in range(60):
        draws = ShowerRandom(step, batch.slot)
        known = known_of_true_hits(gan.hits, batch, c, draws.normal(8, 16))
        drawn = energies_on_true_cells(gan.hits, batch, known, draws)
        too_much.append(of_first_hits(drawn, batch) - of_first_hits(batch, batch))
        for name, loss in gan.losses(stage, batch, step, {}, draws):
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
    assert too_much[0] > 0.8
    assert sum(too_much[-5:]) < 0.8 * sum(too_much[:5])
