# SPDX-License-Identifier: BSD-3-Clause
"""Parts of the generator of hits, untrained and small, and showers for them."""

import math

import torch
from torch import Tensor

from fastcalo.detector.description import load_detector
from fastcalo.training.architectures.hit_lists.conditions import HitConditions, hit_conditions
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hit_lists.gan import geometry_of
from fastcalo.training.architectures.hit_lists.layer_model import LayerModel
from fastcalo.training.architectures.hits.cell_model import HitModel
from fastcalo.training.architectures.hits.sampler import HitsNoise, sample_hits
from fastcalo.training.architectures.nets import linear_layers
from fastcalo.training.config import DataConfig
from fastcalo.training.data.batch import Batch
from fastcalo.training.data.showers import ShowerData
from helpers.files.shower_files import SAMPLE
from helpers.trainings.tiny_training import tiny_config

GEOMETRY = geometry_of(tiny_config(DataConfig(train=("none.h5",))))
LAYERS, HALF, THRESHOLD = GEOMETRY.layers, GEOMETRY.half, GEOMETRY.threshold[0]


def make_conditions(n: int, seed: int = 0, energy: float | None = None) -> HitConditions:
    rng = torch.Generator().manual_seed(seed)
    cosine = 0.56 + 0.44 * torch.rand(n, generator=rng)
    azimuth = 2 * math.pi * torch.rand(n, generator=rng)
    sine = (1 - cosine**2).sqrt()
    direction = torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), cosine], 1)
    entry = 5.1 * (torch.rand(n, 2, generator=rng) - 0.5)
    kinetic = torch.full((n,), energy) if energy else 0.1 * 30 ** torch.rand(n, generator=rng)
    pdg = torch.tensor([11, -11, 22])[torch.randint(3, (n,), generator=rng)]
    return hit_conditions(GEOMETRY, kinetic, direction, entry, pdg)


def make_layers(seed: int = 0) -> LayerModel:
    torch.manual_seed(seed)
    return LayerModel(GEOMETRY, 16)


def make_hits(seed: int = 0) -> HitModel:
    torch.manual_seed(seed)
    return HitModel(GEOMETRY, 16, 8)


def true_batch() -> Batch:
    data = ShowerData([SAMPLE], load_detector(), ("ECAL",), (11, -11, 22), seed=3)
    return next(data.batches(64))


def true_conditions(batch: Batch) -> HitConditions:
    return hit_conditions(GEOMETRY, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)


def as_batch(hits: DrawnHits, c: HitConditions, energy: Tensor, count: Tensor) -> Batch:
    """Drawn hits as if they were true."""
    group = hits.row * LAYERS + hits.layer
    number = torch.bincount(group, minlength=count.numel()).view_as(count).float()
    nothing = torch.zeros(len(c))
    return Batch(
        nothing, torch.zeros(len(c), 3), torch.zeros(len(c), 2), nothing.long(),
        hits.row, hits.layer, hits.x, hits.y, hits.deposit, energy, number, torch.arange(len(c)), len(c),
    )  # fmt: skip


def mean_over_error(gradients: list[Tensor]) -> Tensor:
    """How many standard errors the mean of gradients, of samples drawn apart, is from zero."""
    g = torch.stack(gradients)
    return g.mean(0) / (g.std(0) / math.sqrt(len(g)) + 1e-12)


def draw(model, count, mean=8e-4, seed=0, **options):
    """Hits of showers with given counts [B, L] and energies well above threshold."""
    c = make_conditions(len(count), seed)
    torch.manual_seed(seed)
    energy = count * (1.1 * THRESHOLD + mean * torch.rand_like(count))
    return c, energy, sample_hits(model, c, energy, count, HitsNoise.draw(count), **options)


def wide_hits(log_width):
    """One blob only, about the line of flight."""
    model = make_hits()
    with torch.no_grad():
        linear_layers(model.profile)[-1].weight.zero_()
        linear_layers(model.profile)[-1].bias.zero_()
        model.weight_bias.copy_(torch.tensor([-20.0, -20, -20, -20, 0, -20]))
        model.width_bias.fill_(log_width)
    return model
