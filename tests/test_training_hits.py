"""The generator of hits: what is drawn obeys its constraints, and sampler and likelihood speak of one distribution."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from showers import SAMPLE
from torch import Tensor
from trainings import tiny_config

from fastcalo.detector import load_detector
from fastcalo.training.config import DataConfig, StageConfig
from fastcalo.training.data import Batch, ShowerData
from fastcalo.training.hits.conditions import Conditions, along_across, conditions, folded_offsets
from fastcalo.training.hits.critic import Critic, features, n_features
from fastcalo.training.hits.gan import geometry_of, latent_weight
from fastcalo.training.hits.layers import LayerModel
from fastcalo.training.hits.model import HitModel, hit_terms, negative_elbo, sticks
from fastcalo.training.hits.sampler import (
    DrawnHits,
    draw_noise,
    most_points,
    points_of,
    rows_of,
    sample_hits,
    with_gradient,
)
from fastcalo.training.nets import group_sum, linear_layers
from fastcalo.training.physics import compare

GEOMETRY = geometry_of(tiny_config(DataConfig(())))
LAYERS, HALF, THRESHOLD = GEOMETRY.layers, GEOMETRY.half, GEOMETRY.threshold[0]


def make_conditions(n: int, seed: int = 0, energy: float | None = None) -> Conditions:
    rng = torch.Generator().manual_seed(seed)
    cosine = 0.56 + 0.44 * torch.rand(n, generator=rng)
    azimuth = 2 * math.pi * torch.rand(n, generator=rng)
    sine = (1 - cosine**2).sqrt()
    direction = torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), cosine], 1)
    entry = 5.1 * (torch.rand(n, 2, generator=rng) - 0.5)
    kinetic = torch.full((n,), energy) if energy else 0.1 * 30 ** torch.rand(n, generator=rng)
    pdg = torch.tensor([11, -11, 22])[torch.randint(3, (n,), generator=rng)]
    return conditions(GEOMETRY, kinetic, direction, entry, pdg)


def make_layers(seed: int = 0) -> LayerModel:
    torch.manual_seed(seed)
    return LayerModel(GEOMETRY, 16)


def make_hits(seed: int = 0) -> HitModel:
    torch.manual_seed(seed)
    return HitModel(GEOMETRY, 16, 8)


@pytest.fixture(scope="module")
def batch() -> Batch:
    data = ShowerData([SAMPLE], load_detector(), ("ECAL",), (11, -11, 22), seed=3)
    return next(data.batches(64))


def true_conditions(batch: Batch) -> Conditions:
    return conditions(GEOMETRY, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)


# --- conditions


def test_conditions_are_what_their_formulae_say():
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
    straight = conditions(GEOMETRY, one, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, -2.0]]), 22 * one.long())
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
    energy, count = draw_layers(make_layers(), c, draw_noise(torch.zeros(400, LAYERS)))
    assert torch.equal(count, count.floor())
    assert count.min() >= 0
    assert ((count > 0) == (energy > 0)).all()
    assert (energy >= count * THRESHOLD).all()
    assert torch.isfinite(energy).all()
    assert count.std() > 0


def test_a_layer_depends_on_those_before_it_only():
    model, c = make_layers(), make_conditions(30)
    noise = draw_noise(torch.zeros(30, LAYERS))
    one = draw_layers(model, c, noise)
    later = {name: getattr(noise, name).clone() for name in ("layer_uniform", "layer_logistic", "layer_normal")}
    for tensor in later.values():
        tensor[:, 10:] = torch.rand_like(tensor[:, 10:])
    other = draw_layers(model, c, replace(noise, **later))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a[:, :10], b[:, :10])
        assert not torch.equal(a[:, 10:], b[:, 10:])


def mean_over_error(gradients: list[Tensor]) -> Tensor:
    """How many standard errors the mean of gradients, of samples drawn apart, is from zero."""
    g = torch.stack(gradients)
    return g.mean(0) / (g.std(0) / math.sqrt(len(g)) + 1e-12)


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
            energy, count = draw_layers(source, c, draw_noise(torch.zeros(60, LAYERS)))
            grads = torch.autograd.grad(sum(model.nll(c, energy, count)), parameters)
            found.append(torch.cat([g.flatten() for g in grads]))
        pulls[name] = mean_over_error(found)
    # Student's t of 15 degrees of freedom: its square is 1.15 on average
    assert (pulls["own"] ** 2).mean() < 2.5
    assert pulls["own"].abs().max() < 6
    # draws from another density are told
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


# --- hits

counts = st.lists(st.integers(0, 60), min_size=LAYERS, max_size=LAYERS)


def draw(model, count, mean=8e-4, seed=0, **options):
    """Hits of showers with given counts [B, L] and energies well above threshold."""
    c = make_conditions(len(count), seed)
    torch.manual_seed(seed)
    energy = count * (1.1 * THRESHOLD + mean * torch.rand_like(count))
    return c, energy, sample_hits(model, c, energy, count, draw_noise(count), **options)


def assert_sound(hits: DrawnHits, c: Conditions, energy: Tensor, count: Tensor) -> None:
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
    room = 0.025 * THRESHOLD * number + 1e-5 * energy
    assert ((total - energy).abs() <= room)[number > 0].all()
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


def wide_hits(log_width):
    """One blob only, about the line of flight."""
    model = make_hits()
    with torch.no_grad():
        linear_layers(model.profile)[-1].weight.zero_()
        linear_layers(model.profile)[-1].bias.zero_()
        model.weight_bias.copy_(torch.tensor([-20.0, -20, -20, -20, 0, -20]))
        model.width_bias.fill_(log_width)
    return model


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
    noise = draw_noise(count)
    together = sample_hits(model, c, energy, count, noise)
    for i in (0, 7, 19):
        part = slice(i, i + 1)
        own = type(noise)(*(getattr(noise, f)[part] for f in noise.__dataclass_fields__))
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
        # there is room for all: no row is used twice
        assert torch.equal(number, wanted)
        assert torch.equal(first, number.cumsum(1) - number)


def test_energy_is_shared_as_the_likelihood_says():
    # as above for layers: the score of own draws has no mean
    model, other = make_hits(1), make_hits(2)
    pulls = {}
    for name, source in (("own", model), ("other", other)):
        found = []
        for seed in range(16):
            count = torch.randint(2, 12, (40, LAYERS), generator=torch.Generator().manual_seed(seed)).float()
            c = make_conditions(40, seed)
            torch.manual_seed(seed)
            energy, noise = count * 5e-3, draw_noise(count)
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


def as_batch(hits: DrawnHits, c: Conditions, energy: Tensor, count: Tensor) -> Batch:
    """Drawn hits as if they were true."""
    group = hits.row * LAYERS + hits.layer
    number = torch.bincount(group, minlength=count.numel()).view_as(count).float()
    nothing = torch.zeros(len(c))
    return Batch(
        nothing, torch.zeros(len(c), 3), torch.zeros(len(c), 2), nothing.long(),
        hits.row, hits.layer, hits.x, hits.y, hits.deposit, energy, number, torch.arange(len(c)), len(c),
    )  # fmt: skip


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
    s = sticks(batch, GEOMETRY)
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
    free = (s.rest_H - model.floor_L[batch.layer] * s.left_H).clamp_min(0)
    again, _ = model.share_of(s.logit_H, free, s.left_H, batch.layer)
    plain = s.left_H > 1
    assert torch.allclose(again[plain], batch.deposit[plain], rtol=1e-2, atol=0.03 * THRESHOLD)


def test_the_divergence_of_the_latent_vector_is_never_negative(batch):
    terms = negative_elbo(make_hits(), batch, true_conditions(batch), torch.randn(len(batch), 16))
    assert set(terms) == {"cells", "energy", "latent"}
    assert terms["latent"].item() >= 0
    assert all(math.isfinite(v.item()) for v in terms.values())


def test_the_latent_weight_rises_from_little_to_one():
    stage = StageConfig("hits", 100, latent_start=10, latent_ramp=20)
    weights = [latent_weight(stage, s) for s in range(100)]
    assert weights[0] == weights[10] == 0.01
    assert weights == sorted(weights)
    assert weights[-1] == 1.0


# --- gradients through drawn hits


def test_hits_with_gradient_are_the_same_hits():
    model, count = make_hits(), torch.randint(0, 20, (30, LAYERS)).float()
    c, energy = make_conditions(30), count * 1e-3
    noise = draw_noise(count)
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
    noise = draw_noise(count)
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
    noise = draw_noise(count)

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
    critic, c = Critic(GEOMETRY, 16), true_conditions(batch)
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
    numbers = compare(batch, batch.layer_energy, batch.layer_count)
    assert len(numbers) == 12
    for name, value in numbers.items():
        assert value == pytest.approx(0.0 if name.startswith("layers") else 1.0, abs=1e-6)


def test_physics_numbers_tell_what_is_wrong(batch):
    energy = batch.layer_energy.clone()
    energy[:, 8] *= 1.5
    numbers = compare(batch, 1.2 * energy, 2 * batch.layer_count)
    for decade in ("0.1-1GeV", "1-10GeV", "10-100GeV"):
        assert numbers[f"hits_{decade}"] == pytest.approx(2.0)
        assert numbers[f"response_{decade}"] > 1.2
    assert numbers["layers_10-100GeV"] == pytest.approx(0.8, abs=1e-5)
    few = replace(batch, kinetic_energy=torch.full_like(batch.kinetic_energy, 0.5))
    assert {name.split("_")[1] for name in compare(few, energy, batch.layer_count)} == {"0.1-1GeV"}
    assert np.isfinite(list(numbers.values())).all()


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
