# SPDX-License-Identifier: BSD-3-Clause
"""The generator of hits: what is drawn obeys its constraints, and sampler and likelihood speak of one distribution."""

import math
from dataclasses import fields, replace

import pytest
import torch
from helpers.models.hit_models import (
    GEOMETRY,
    HALF,
    LAYERS,
    THRESHOLD,
    as_batch,
    draw,
    make_conditions,
    make_hits,
    mean_over_error,
    true_batch,
    true_conditions,
    wide_hits,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fastcalo.training.architectures.hit_lists.conditions import HitConditions
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.gan import latent_weight
from fastcalo.training.architectures.hit_lists.points import most_points, points_of, rows_of
from fastcalo.training.architectures.hit_lists.true_hits import stick_breaking
from fastcalo.training.architectures.hits.cell_model import BLOBS, hit_terms, negative_elbo
from fastcalo.training.architectures.hits.config import HitsStageConfig
from fastcalo.training.architectures.hits.sampler import HitsNoise, rate_loss, sample_hits, with_gradient
from fastcalo.training.architectures.nets import group_sum, linear_layers
from fastcalo.training.data.batch import Batch


@pytest.fixture(scope="module")
def batch() -> Batch:
    return true_batch()


# --- hits

counts = st.lists(st.integers(0, 60), min_size=LAYERS, max_size=LAYERS)


def assert_sound(hits: DrawnHits, c: HitConditions, energy: Tensor, count: Tensor) -> None:
    """All that must hold whatever the networks have learnt."""
    batch = len(c)
    group = hits.row * LAYERS + hits.layer
    assert (hits.x.abs() <= HALF).all()
    assert (hits.y.abs() <= HALF).all()
    assert torch.equal(hits.x, hits.x.round())
    cell = (group * 25 + hits.x.long() + HALF) * 25 + hits.y.long() + HALF
    assert len(cell.unique()) == len(cell), "a cell is hit twice"
    number = torch.bincount(group, minlength=batch * LAYERS).view(batch, LAYERS)
    assert (number <= count).all()
    assert (hits.deposit > THRESHOLD).all()
    total = group_sum(hits.deposit.double(), group, batch * LAYERS).view(batch, LAYERS)
    # each hit is lifted to just above the threshold, by 2.5 % of it at most
    tolerance = 0.025 * THRESHOLD * number + 1e-5 * energy
    assert ((total - energy).abs() <= tolerance)[number > 0].all()
    d = torch.stack([hits.x, hits.y], 1) - c.offset_BL2[hits.row, hits.layer]
    distance = (d**2).sum(1)
    assert (group.diff() >= 0).all()
    assert (distance.diff()[group.diff() == 0] > -1 / 4096 - 1e-4).all()


@settings(max_examples=25)
@given(st.lists(counts, min_size=1, max_size=4), st.integers(0, 2**31), st.floats(1e-6, 1e-2))
def test_hits_obey_their_constraints(count, seed, mean):
    count = torch.tensor(count, dtype=torch.float32)
    c, energy, hits = draw(make_hits(seed % 5), count, mean, seed)
    assert_sound(hits, c, energy, count)


def test_nearly_all_hits_that_are_asked_for_are_drawn():
    count = torch.randint(0, 60, (60, LAYERS)).float()
    _, _, hits = draw(wide_hits(math.log(4)), count)
    assert len(hits.row) > 0.999 * count.sum()


@pytest.mark.parametrize("log_width", [-4.0, -3.0])
def test_a_narrow_blob_gives_as_many_hits_as_are_asked_for(log_width):
    # a track: all points fall into one or two cells, but the layer has some hits more
    count = torch.randint(0, 5, (60, LAYERS)).float()
    c, _, hits = draw(wide_hits(log_width), count)
    assert len(hits.row) > 0.99 * count.sum()
    # whoever asks for their chances gets those of the blob only
    _, _, early = draw(wide_hits(log_width), count, late=False)
    assert len(early.row) < 0.8 * count.sum()
    # and those that are late are not far away
    d = torch.stack([hits.x, hits.y], 1) - c.offset_BL2[hits.row, hits.layer]
    assert d.square().sum(1).sqrt().quantile(0.9) < 5


def test_showers_without_hits_are_no_error():
    count = torch.zeros(3, LAYERS)
    _, _, hits = draw(make_hits(), count)
    assert len(hits.row) == len(hits.deposit) == 0
    count[1, 4] = 1
    _, energy, hits = draw(make_hits(), count)
    assert (hits.row.tolist(), hits.layer.tolist()) == ([1], [4])
    assert hits.deposit.item() == pytest.approx(energy[1, 4].item(), rel=1e-6)


def test_hits_of_a_shower_do_not_depend_on_its_company():
    model, count = make_hits(), torch.randint(0, 30, (20, LAYERS)).float()
    c, energy = make_conditions(20), count * 1e-3
    noise = HitsNoise.draw(count)
    together = sample_hits(model, c, energy, count, noise)
    for i in (0, 7, 19):
        part = slice(i, i + 1)
        own = type(noise)(**{f.name: getattr(noise, f.name)[part] for f in fields(noise)})
        alone = sample_hits(model, c[part], energy[part], count[part], own)
        mine = together.row == i
        assert torch.equal(alone.x, together.x[mine])
        assert torch.equal(alone.y, together.y[mine])
        assert torch.allclose(alone.deposit, together.deposit[mine], rtol=1e-3)


@given(counts, st.integers(1, 4000))
def test_rows_of_noise_lie_within_their_capacity(count, capacity):
    wanted = most_points(torch.tensor([count], dtype=torch.float32))
    first, number = rows_of(wanted, torch.tensor([capacity]))
    assert (first >= 0).all()
    assert (first + number <= capacity).all()
    if wanted.sum() <= capacity:
        # there are rows enough: none is used twice
        assert torch.equal(number, wanted)
        assert torch.equal(first, number.cumsum(1) - number)


def test_energy_is_shared_by_the_likelihood():
    # as above for layers: the score of own draws has no mean
    model, other = make_hits(1), make_hits(2)
    pulls = {}
    for name, source in (("own", model), ("other", other)):
        found = []
        for seed in range(16):
            count = torch.randint(2, 12, (40, LAYERS), generator=torch.Generator().manual_seed(seed)).float()
            c = make_conditions(40, seed)
            torch.manual_seed(seed)
            energy, noise = count * 5e-3, HitsNoise.draw(count)
            drawn = sample_hits(source, c, energy, count, noise)
            fake = as_batch(drawn, c, energy, count)
            x = model.inputs(c, energy, count)
            mean, log_sd = model.prior_moments(x)
            profile = model.profile_of(c, x, count, mean + log_sd.exp() * noise.latent_normal)
            loss = hit_terms(model, fake, c, profile)["energy"]
            found.append(torch.autograd.grad(loss, model.share[-1].bias)[0])
        pulls[name] = mean_over_error(found)
    assert (pulls["own"] ** 2).mean() < 3
    assert pulls["own"].abs().max() < 6
    assert (pulls["other"] ** 2).mean() > 10


def test_no_rate_asks_for_more_points_than_a_layer_may_draw():
    count = torch.tensor([0.0, 1.0, 30.0])
    for log_rate in (30.0, 200.0, math.inf):
        assert torch.equal(points_of(count, torch.full((3,), log_rate)), most_points(count))


@pytest.mark.parametrize(("hits", "width"), [(2, 0.5), (8, 0.5), (8, 1.5), (30, 1.5), (30, 4.0), (90, 4.0)])
def test_points_are_enough_for_the_hits_of_nearly_all_layers(hits, width):
    # a layer of one blob, and the rate at which points fall in that many distinct cells on average
    edges = torch.arange(-12.5, 13) / width
    p = torch.outer(*2 * [torch.sigmoid(edges).diff()]).flatten()
    rates = torch.exp(torch.linspace(-1, 12, 2000))
    cells = (1 - torch.exp(-rates[:, None] * p)).sum(1)
    rate = rates[torch.searchsorted(cells, float(hits))]
    number = int(points_of(torch.tensor(float(hits)), rate.log()))
    torch.manual_seed(hits)
    outside = (1 - p.sum()).clamp_min(0)[None]
    drawn = torch.multinomial(torch.cat([p, outside]), 2000 * number, replacement=True).view(2000, number)
    hit = torch.zeros(2000, len(p) + 1).scatter_(1, drawn, 1.0)[:, :-1]
    assert (hit.sum(1) < hits).float().mean() < 0.01


# --- likelihood of true hits


def test_cells_of_the_window_share_the_profiles_mass():
    model, c = make_hits(), make_conditions(3)
    count = torch.full((3, LAYERS), 5.0)
    profile = model.profile_of(c, model.inputs(c, count * 1e-3, count), count, torch.randn(3, 16))
    x, y = (t.flatten().float() for t in torch.meshgrid(*[torch.arange(-HALF, HALF + 1)] * 2, indexing="ij"))
    mass = profile.mass_in_window(HALF)
    assert (mass <= 1 + 1e-5).all()
    for row, layer in ((0, 0), (1, 12), (2, 24)):
        at = torch.full_like(x, 1).long()
        total = profile.log_probability(row * at, layer * at, x, y).exp().sum()
        assert total.item() == pytest.approx(mass[row, layer].item(), abs=1e-4)


def test_sticks_account_for_all_energy_and_hits(batch):
    s = stick_breaking(batch, GEOMETRY)
    first = torch.cat([torch.ones(1, dtype=torch.bool), s.group_H.diff() > 0])
    row, layer = s.group_H[first] // LAYERS, s.group_H[first] % LAYERS
    assert torch.allclose(s.rest_H[first], batch.layer_energy[row, layer], rtol=1e-4)
    assert torch.equal(s.left_H[first], batch.layer_count[row, layer])
    assert (s.previous_H[first] == 0).all()
    inside = (~first).nonzero()[:, 0]
    assert torch.equal(s.left_H[inside], s.left_H[inside - 1] - 1)
    assert torch.allclose(s.rest_H[inside], s.rest_H[inside - 1] - batch.deposit[inside - 1], rtol=1e-3, atol=1e-7)
    assert torch.equal(s.previous_H[inside], s.logit_H[inside - 1])
    # the share that a logit stands for gives the deposit back
    model = make_hits()
    free = (s.rest_H - model.minimum_deposit_L[batch.layer] * s.left_H).clamp_min(0)
    again, _ = model.share_of(s.logit_H, free, s.left_H, batch.layer)
    plain = s.left_H > 1
    assert torch.allclose(again[plain], batch.deposit[plain], rtol=1e-2, atol=0.03 * THRESHOLD)


def test_the_divergence_of_the_latent_vector_is_never_negative(batch):
    terms = negative_elbo(make_hits(), batch, true_conditions(batch), torch.randn(len(batch), 16))
    assert set(terms) == {"cells", "energy", "latent"}
    assert terms["latent"].item() >= 0
    assert all(math.isfinite(v.item()) for v in terms.values())


def test_the_latent_weight_rises_from_little_to_one():
    stage = HitsStageConfig(name="hits", steps=100, latent_start=10, latent_ramp=20)
    weights = [latent_weight(stage, s) for s in range(100)]
    assert weights[0] == weights[10] == 0.01
    assert weights == sorted(weights)
    assert weights[-1] == 1.0


# --- gradients through drawn hits


def test_hits_with_gradient_are_the_same_hits():
    model, count = make_hits(), torch.randint(0, 20, (30, LAYERS)).float()
    c, energy = make_conditions(30), count * 1e-3
    noise = HitsNoise.draw(count)
    drawn = sample_hits(model, c, energy, count, noise)
    moved = with_gradient(model, c, energy, count, noise.latent_normal, drawn)
    assert torch.allclose(moved.deposit, drawn.deposit, rtol=2e-3)
    assert torch.allclose(moved.weight, drawn.weight, rtol=1e-5)
    assert torch.equal(moved.x, drawn.x)
    # every network of the generator is reached, the encoder is not
    moved_loss = (moved.deposit * moved.x.abs()).sum() + (moved.weight * moved.y**2).sum()
    gradients = torch.autograd.grad(moved_loss, list(model.parameters()), allow_unused=True)
    for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
        reached = gradient is not None and bool(gradient.abs().sum() > 0)
        assert reached != name.startswith("encoder"), name


def test_energy_and_hits_of_a_layer_cannot_be_moved():
    model, count = make_hits(), torch.randint(1, 20, (10, LAYERS)).float()
    c, energy = make_conditions(10), count * 1e-3
    noise = HitsNoise.draw(count)
    drawn = sample_hits(model, c, energy, count, noise)
    moved = with_gradient(model, c, energy, count, noise.latent_normal, drawn)
    of_layer = drawn.layer == 5

    def size(value):
        gradients = torch.autograd.grad(value, list(model.parameters()), retain_graph=True, allow_unused=True)
        return sum(g.abs().sum().item() for g in gradients if g is not None)

    assert size(moved.deposit[of_layer].sum()) < 1e-3 * size((moved.deposit * moved.x.abs())[of_layer].sum())
    assert size(moved.weight[of_layer].sum()) < 1e-3 * size((moved.weight * moved.x.abs())[of_layer].sum())


def test_the_score_function_gives_the_gradient_of_an_expectation():
    # so wide that cells are hardly ever hit twice
    middle = math.log(2.5)
    model = wide_hits(middle)
    hits_each = 6
    count = torch.full((250, LAYERS), float(hits_each))
    c, energy = make_conditions(250), count * 1e-3
    torch.manual_seed(1)
    noise = HitsNoise.draw(count)

    def spread(log_width):
        with torch.no_grad():
            model.width_bias.fill_(log_width)
        hits = sample_hits(model, c, energy, count, noise)
        return hits, (hits.x**2 + hits.y**2).sum().item() / len(hits.x)

    step = 0.05
    difference = (spread(middle + step)[1] - spread(middle - step)[1]) / (2 * step)
    drawn, _ = spread(middle)
    moved = with_gradient(model, c, energy, count, noise.latent_normal, drawn)
    value = (moved.weight * (moved.x**2 + moved.y**2)).sum() / len(moved.x)
    gradient = torch.autograd.grad(value, model.width_bias)[0].sum().item()
    # weights are renormalised by the layer's own mean, which takes one of n degrees of freedom
    assert gradient * hits_each / (hits_each - 1) == pytest.approx(difference, rel=0.1)
    assert difference > 10


@pytest.mark.parametrize(("excess", "sign"), [(2.0, 1), (-1.0, -1)])
def test_rates_are_drawn_to_what_the_drawn_hits_need(excess, sign):
    model, count = wide_hits(math.log(1.5)), torch.full((20, LAYERS), 8.0)
    last = linear_layers(model.profile)[-1].bias
    with torch.no_grad():
        last.view(LAYERS, -1)[:, 4 * BLOBS] = excess / 0.3
    c, energy = make_conditions(20), count * 1e-3
    noise = HitsNoise.draw(count)
    drawn = sample_hits(model, c, energy, count, noise)
    loss = rate_loss(model, c, energy, count, noise.latent_normal, drawn)
    gradient = torch.autograd.grad(loss, [last, model.weight_bias, model.width_bias], allow_unused=True)
    of_rates = gradient[0].view(LAYERS, -1)[:, 4 * BLOBS]
    assert (sign * of_rates > 0).all()
    # blobs and neighbours do not feel it
    assert gradient[0].abs().sum() == pytest.approx(of_rates.abs().sum().item())
    assert all(g is None or not g.any() for g in gradient[1:])


def test_rates_that_are_not_looked_at_have_no_part_whatever_they_are(batch):
    model, c, count = make_hits(), true_conditions(batch), batch.layer_count
    profile = model.profile_of(c, model.inputs(c, batch.layer_energy, count), count, torch.zeros(len(batch), 16))
    empty = count == 0
    assert empty.any()
    wild = replace(profile, log_rate_BL=torch.where(empty, 200.0, profile.log_rate_BL).requires_grad_())
    tame, terms = (hit_terms(model, batch, c, p)["cells"] for p in (profile, wild))
    assert terms.item() == tame.item()
    assert torch.isfinite(torch.autograd.grad(terms, wild.log_rate_BL)[0]).all()


def test_layers_that_lack_hits_do_not_lower_their_rates():
    model, count = make_hits(), torch.full((5, LAYERS), 6.0)
    c, energy = make_conditions(5), count * 1e-3
    noise = HitsNoise.draw(count)
    drawn = sample_hits(model, c, energy, count, noise)

    def loss(asked):
        return rate_loss(model, c, energy, asked, noise.latent_normal, drawn).item()

    assert loss(count) != 0
    assert loss(count + 1) == 0
