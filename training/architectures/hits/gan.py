# SPDX-License-Identifier: BSD-3-Clause
"""Architecture ``hits``: two likelihood stages and an adversarial stage."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcalo.detector.description import load_detector

from ...config import CriticStageConfig, StageConfig, TrainConfig
from ...data.layer_stack import LayerStack
from ...data.showers import Batch
from ...random_numbers import ShowerRandom
from ..base import Metrics
from ..nets import group_sum
from ..response import response_metrics
from .cell_model import LATENT, HitModel, negative_elbo
from .conditions import Geometry, HitConditions, hit_conditions
from .config import HitsStageConfig, HitsTrainConfig, LayersStageConfig
from .critic import HitCritic, features
from .layer_model import LayerModel
from .sampler import NOISE_STREAMS, draw_noise, rate_loss, sample_hits, with_gradient

LIKELIHOOD_SCALE = 250.0
"""About the number of hits in a shower: brings the likelihood per shower to order one."""
POSTERIOR_STREAM = NOISE_STREAMS
"""Random numbers of the latent vector given the true hits; those of drawn showers come before."""


def geometry_of(config: TrainConfig) -> Geometry:
    """The sections that a configuration trains for, in numbers.

    Raises
    ------
    ConfigError
        They do not stand one behind the other, or their windows differ.
    """
    stack = LayerStack.of(load_detector(config.detector), config.sections)
    return Geometry(
        tuple((section.name, section.layers) for section in stack.sections),
        tuple(stack.sensor_z.tolist()),
        tuple(stack.cell_mm.tolist()),
        tuple(stack.threshold.tolist()),
        stack.shape[0],
        config.species,
    )


class HitGan:
    """Networks and losses of ``arch = "hits"``.

    Parameters
    ----------
    config : HitsTrainConfig
    """

    def __init__(self, config: HitsTrainConfig) -> None:
        self.geometry = geometry_of(config)
        size = config.network
        self.layers = LayerModel(self.geometry, size.layer_width)
        self.hits = HitModel(self.geometry, size.hit_width, size.share_width)
        self.critic = HitCritic(self.geometry, size.critic_width)
        self.networks = nn.ModuleDict({"layers": self.layers, "hits": self.hits, "critic": self.critic})

    def trained_by(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Parameters of each optimiser of a stage."""
        if stage == "layers":
            return {"generator": list(self.layers.parameters())}
        if stage == "hits":
            return {"generator": list(self.hits.parameters())}
        return {"generator": list(self.hits.parameters()), "critic": list(self.critic.parameters())}

    def kept_by(self, stage: str) -> tuple[str, ...]:
        """Networks that a stage changes."""
        return {"layers": ("layers",), "hits": ("hits",), "adversarial": ("hits", "critic")}[stage]

    def conditions(self, batch: Batch) -> HitConditions:
        """HitConditions of a batch of true showers."""
        return hit_conditions(self.geometry, batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)

    def begin(self, stage: str, batch: Batch) -> None:
        """The critic takes the scale of its observables from true showers."""
        if stage == "adversarial":
            c = self.conditions(batch)
            self.critic.calibrate(features(self.geometry, c, batch, torch.ones_like(batch.deposit)))

    def losses(
        self, stage: StageConfig, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """Losses of one step, one optimiser after the other."""
        c = self.conditions(batch)
        if isinstance(stage, LayersStageConfig):
            count, energy = self.layers.nll(c, batch.layer_energy, batch.layer_count)
            metrics.update(count=count.item(), energy=energy.item())
            yield "generator", count + energy
        elif isinstance(stage, HitsStageConfig):
            yield "generator", self._likelihood(c, batch, latent_weight(stage, step), metrics, draws)
        elif isinstance(stage, CriticStageConfig):
            yield from self._adversarial(stage, c, batch, step, metrics, draws)
        else:
            raise TypeError(f"{type(stage).__name__} is no stage of this architecture")

    def _likelihood(
        self, c: HitConditions, batch: Batch, weight: float, metrics: Metrics, draws: ShowerRandom
    ) -> Tensor:
        terms = negative_elbo(self.hits, batch, c, draws.normal(POSTERIOR_STREAM, LATENT))
        metrics.update({name: value.item() for name, value in terms.items()})
        return (terms["cells"] + terms["energy"] + weight * terms["latent"]) / LIKELIHOOD_SCALE

    def _adversarial(
        self, stage: CriticStageConfig, c: HitConditions, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """Relativistic pairing of true and drawn showers of the same conditions, layer energies and counts.

        Softplus of the score difference (Jolicoeur-Martineau, arXiv:1807.00734) with zero-centred gradient
        penalties on true and drawn showers (R1 + R2; Huang et al., arXiv:2501.05441), every few steps. The
        generator stays anchored to its likelihood, and its rates to that of the drawn hits.
        """
        energy, count = batch.layer_energy, batch.layer_count
        context = self.critic.context(c, energy, count)
        noise = draw_noise(count, draws)
        drawn = sample_hits(self.hits, c, energy, count, noise, late=False)
        true = features(self.geometry, c, batch, torch.ones_like(batch.deposit))
        fake = features(self.geometry, c, drawn, drawn.weight)
        penalise = step % stage.penalty_every == 0
        true.requires_grad_(penalise)
        fake.requires_grad_(penalise)
        score_true, score_fake = self.critic(context, true), self.critic(context, fake)
        loss = F.softplus(score_fake - score_true).mean()
        metrics["critic"] = loss.item()
        if penalise:
            grads = torch.autograd.grad(score_true.sum() + score_fake.sum(), [true, fake], create_graph=True)
            size = sum((g * self.critic.deviation).square().sum(1).mean() for g in grads)
            loss = loss + stage.penalty_every * stage.gradient_penalty / 2 * size
        yield "critic", loss
        if step < stage.critic_only:
            return
        moved = with_gradient(self.hits, c, energy, count, noise.latent_normal, drawn)
        score_fake = self.critic(context, features(self.geometry, c, moved, moved.weight))
        with torch.no_grad():
            score_true = self.critic(context, true)
        fooled = F.softplus(score_true - score_fake).mean()
        metrics["generator"] = fooled.item()
        rates = rate_loss(self.hits, c, energy, count, noise.latent_normal, drawn)
        metrics["rates"] = rates.item()
        anchor = self._likelihood(c, batch, 1.0, metrics, draws) + rates / LIKELIHOOD_SCALE
        yield "generator", stage.adversarial_weight * fooled + anchor

    @torch.no_grad()
    def evaluate(self, stage: StageConfig, batch: Batch) -> Metrics:
        """Generated against true showers; the stage ``hits`` is judged on true layer energies and counts."""
        c, layers = self.conditions(batch), self.geometry.layers
        if stage.name == "layers":
            noise = draw_noise(batch.layer_count)
            energy, count = self.layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)
            return response_metrics(batch, energy, count)
        noise = draw_noise(batch.layer_count)
        drawn = sample_hits(self.hits, c, batch.layer_energy, batch.layer_count, noise)
        group = drawn.row * layers + drawn.layer
        number = torch.bincount(group, minlength=len(batch) * layers).view(len(batch), layers).float()
        energy = group_sum(drawn.deposit, group, len(batch) * layers).view(len(batch), layers)
        metrics = response_metrics(batch, energy, number)
        one = torch.ones_like(batch.deposit)
        true, fake = features(self.geometry, c, batch, one), features(self.geometry, c, drawn, drawn.weight)
        scale = true.std(0) + 1e-6
        metrics["observables_mean_pull"] = ((fake.mean(0) - true.mean(0)) / scale).abs().mean().item()
        metrics["observables_width_ratio"] = ((fake.std(0) + 1e-6) / scale).log().abs().mean().exp().item()
        return metrics


def latent_weight(stage: HitsStageConfig, step: int) -> float:
    """Weight of the latent divergence: small at first, or the latent vector would be ignored for good."""
    return min(1.0, 0.01 + max(0, step - stage.latent_start) / stage.latent_ramp)
