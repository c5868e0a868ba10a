# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of showers, and the network that draws their layers: sampler and likelihood speak of one distribution."""

from dataclasses import replace

import pytest
import torch
from helpers.models.hit_models import GEOMETRY, LAYERS, THRESHOLD, make_conditions, make_layers, mean_over_error

from fastcalo.training.architectures.hit_lists.conditions import along_across, folded_offsets, hit_conditions
from fastcalo.training.architectures.hits.sampler import HitsNoise

# --- conditions


def test_conditions_follow_their_formulae():
    c = make_conditions(200, seed=2)
    assert len(c) == 200
    assert c.globals_BG.shape == (200, GEOMETRY.n_globals)
    assert torch.allclose(c.globals_BG[:, 0], c.log_energy_B / 2)
    assert torch.allclose(c.globals_BG[:, 3:].sum(1), torch.ones(200))
    assert torch.allclose(c.along_B2.norm(dim=1), torch.ones(200), atol=1e-5)
    assert c.offset_BL2.abs().max() <= 0.5 + 1e-5
    fold = folded_offsets(c.offset_BL2)
    assert (fold[..., 0] <= fold[..., 1]).all()
    assert fold.abs().max() <= 1 + 1e-4
    part = c[3:7]
    assert torch.equal(part.offset_BL2, c.offset_BL2[3:7])


def test_at_normal_incidence_the_azimuth_is_along_x():
    one = torch.ones(1)
    straight = hit_conditions(
        GEOMETRY, one, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, -2.0]]), 22 * one.long()
    )
    assert straight.along_B2.tolist() == [[1.0, 0.0]]
    assert torch.allclose(straight.offset_BL2, torch.tensor([1.0, -2.0]).expand(1, LAYERS, 2) / 5.1)


def test_along_and_across_are_a_rotation():
    c = make_conditions(50, seed=4)
    x, y = torch.randn(50), torch.randn(50)
    offset = c.offset_BL2[:, 3]
    a, b = along_across(c.along_B2, offset, x, y)
    assert torch.allclose(a**2 + b**2, (x - offset[:, 0]) ** 2 + (y - offset[:, 1]) ** 2, atol=1e-5)
    # a point ahead on the azimuth of incidence is ahead, and not aside
    ahead, aside = along_across(c.along_B2, offset, *(offset + 2 * c.along_B2).T)
    assert torch.allclose(ahead, torch.full((50,), 2.0), atol=1e-5)
    assert torch.allclose(aside, torch.zeros(50), atol=1e-5)


# --- layers


def draw_layers(model, c, noise):
    return model.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)


def test_layers_hold_whole_numbers_of_hits_and_the_energy_that_they_need():
    c = make_conditions(400)
    energy, count = draw_layers(make_layers(), c, HitsNoise.draw(torch.zeros(400, LAYERS)))
    assert torch.equal(count, count.floor())
    assert count.min() >= 0
    assert ((count > 0) == (energy > 0)).all()
    assert (energy >= count * THRESHOLD).all()
    assert torch.isfinite(energy).all()
    assert count.std() > 0


def test_a_layer_depends_on_those_before_it_only():
    model, c = make_layers(), make_conditions(30)
    noise = HitsNoise.draw(torch.zeros(30, LAYERS))
    one = draw_layers(model, c, noise)
    later = {name: getattr(noise, name).clone() for name in ("layer_uniform", "layer_logistic", "layer_normal")}
    for tensor in later.values():
        tensor[:, 10:] = torch.rand_like(tensor[:, 10:])
    other = draw_layers(model, c, replace(noise, **later))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a[:, :10], b[:, :10])
        assert not torch.equal(a[:, 10:], b[:, 10:])


def test_the_likelihood_of_layers_is_that_of_the_sampler():
    # the mean gradient of a log density over draws from that very density is zero
    model, other = make_layers(1), make_layers(2)
    parameters = [model.count[-1].bias, model.energy[-1].bias]
    pulls = {}
    for name, source in (("own", model), ("other", other)):
        found = []
        for seed in range(16):
            c = make_conditions(60, seed)
            torch.manual_seed(seed)
            energy, count = draw_layers(source, c, HitsNoise.draw(torch.zeros(60, LAYERS)))
            grads = torch.autograd.grad(sum(model.nll(c, energy, count)), parameters)
            found.append(torch.cat([g.flatten() for g in grads]))
        pulls[name] = mean_over_error(found)
    # Student's t of 15 degrees of freedom: its square is 1.15 on average
    assert (pulls["own"] ** 2).mean() < 2.5
    assert pulls["own"].abs().max() < 6
    # draws from another density are recognised
    assert (pulls["other"] ** 2).mean() > 10


@torch.no_grad()
def test_probabilities_of_hit_counts_sum_to_one():
    model, c, last = make_layers(), make_conditions(1), LAYERS - 1
    log_p = []
    for number in range(60):
        # hits in the last layer only: what the others contribute is always the same
        count = torch.zeros(1, LAYERS)
        count[:, last] = number
        log_p.append(-model.nll(c, count * 1e-3, count)[0].double())
    nothing = torch.zeros(1, LAYERS)
    x = model.inputs(c, folded_offsets(c.offset_BL2), nothing, nothing, torch.tensor([last]))
    weight, centre, width = (t[0].double() for t in model.count_mixture(x))
    # below sqrt(1) there is no hit
    none = (torch.sigmoid((1 - centre) / width.exp()) * weight.exp()).sum()
    assert none < 0.9
    total = none * torch.exp(torch.stack(log_p) - log_p[0]).sum()
    assert total.item() == pytest.approx(1.0, abs=1e-3)
