# SPDX-License-Identifier: BSD-3-Clause
"""The three stages of both architectures: two likelihood stages and an adversarial stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcalo.detector.description import load_detector

from ...config import StageConfig, TrainConfig
from ...config.stages import CriticStageConfig
from ...data.batch import Batch
from ...data.layer_stack import LayerStack
from ...random_numbers import ShowerRandom
from ..base import Metrics
from ..nets import group_sum
from ..response import response_metrics
from .conditions import Geometry, HitConditions
from .config import AdversarialStageConfig, HitsStageConfig, LayersStageConfig
from .critic import ObservableCritic
from .drawn_hits import DrawnHits
from .hit_networks import LATENT, HitNetworks
from .layer_model import LayerModel
from .noise import Noise
from .observables import HitLike

CALIBRATION_PART = 500
GROUP = 128
"""Showers that a processor draws together in the adversarial stage."""
LIKELIHOOD_SCALE = 250.0
"""About the number of hits in a shower: brings the likelihood per shower to order one."""
NOISE_STREAMS = 8
"""Streams of random numbers that drawn showers take, from 0 on."""
POSTERIOR_STREAM = NOISE_STREAMS
"""Random numbers of the latent vector given the true hits; those of drawn showers come before."""

C = TypeVar("C", bound=HitConditions)
H = TypeVar("H", bound=HitNetworks)
N = TypeVar("N", bound=Noise)


def geometry_of(config: TrainConfig) -> Geometry:
    """The sections that a configuration trains for, in numbers.

    Raises
    ------
    ConfigError
        They do not stand one behind the other, their windows differ, or one has fewer layers than are asked for.
    """
    stack = LayerStack.of(load_detector(config.detector), config.sections, config.section_layers)
    return Geometry(
        tuple((section.name, section.layers) for section in stack.sections),
        tuple(stack.sensor_z.tolist()),
        tuple(stack.cell_mm.tolist()),
        tuple(stack.threshold.tolist()),
        stack.shape[0],
        config.species,
    )


def latent_weight(stage: HitsStageConfig, step: int) -> float:
    """Weight of the latent divergence: small at first, or the latent vector would be ignored for good."""
    return min(1.0, 0.01 + max(0, step - stage.latent_start) / stage.latent_ramp)


class HitListGan(ABC, Generic[C, H, N]):
    """Networks and losses of an architecture that draws lists of hits.

    The type variables are those of its conditions, of its hit model and of its noise.

    Parameters
    ----------
    layers : LayerModel
    hits : HitNetworks
    critic : ObservableCritic
    noise_type : type
        Class of the noise.

    Attributes
    ----------
    trains_with_late_points : bool
        Whether the critic sees showers just as they are drawn later. Late points have not the chances that gradients
        take them to have; without them, layers of narrow blobs lack hits, which the critic sees.
    """

    trains_with_late_points: ClassVar[bool]

    def __init__(self, layers: LayerModel, hits: H, critic: ObservableCritic, noise_type: type[N]) -> None:
        self.geometry, self.layers, self.hits, self.critic = hits.geometry, layers, hits, critic
        self.noise_type = noise_type
        self.networks = nn.ModuleDict({"layers": layers, "hits": hits, "critic": critic})

    def conditions(self, batch: Batch) -> C:
        """Conditions of a batch of true showers."""
        return self.conditions_of(batch.kinetic_energy, batch.direction, batch.entry, batch.pdg)

    @abstractmethod
    def conditions_of(self, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor) -> C:
        """Conditions from kinematics: GeV, unit vectors with z > 0, mm."""

    @abstractmethod
    def observables(self, c: C, hits: HitLike, weight_H: Tensor) -> Tensor:
        """What the critic sees of some showers, float32 [B, F]; `weight_H` is how much each counts as a hit."""

    @abstractmethod
    def negative_elbo(self, batch: Batch, c: C, normal_BZ: Tensor) -> dict[str, Tensor]:
        """Terms of the negative evidence lower bound, per shower: ``cells``, ``energy`` and ``latent``."""

    def draw_noise(self, count_BL: Tensor, draws: ShowerRandom | None = None) -> N:
        """As much noise as showers of known hit counts need; fresh random numbers unless given."""
        return self.noise_type.draw(count_BL, draws)

    def draw_layers(self, c: C, noise: N) -> tuple[Tensor, Tensor]:
        """Energies (GeV) and hit counts of layers, [B, L]."""
        return self.layers.sample(c, noise.layer_uniform, noise.layer_logistic, noise.layer_normal)

    @torch.no_grad()
    def draw_showers(self, c: C, noise: N) -> DrawnHits:
        """Both networks, one after the other."""
        energy, count = self.draw_layers(c, noise)
        return self.draw_hits(c, energy, count, noise)

    @abstractmethod
    def log_rates(self, c: C, energy_BL: Tensor, count_BL: Tensor, noise: N) -> Tensor:
        """Log of the expected number of draws of each layer, [B, L]."""

    @abstractmethod
    def draw_hits(self, c: C, energy_BL: Tensor, count_BL: Tensor, noise: N, *, late: bool = True) -> DrawnHits:
        """Hits of showers whose layer energies and counts are known."""

    @abstractmethod
    def with_gradient(
        self, c: C, energy_BL: Tensor, count_BL: Tensor, latent_normal_BZ: Tensor, hits: DrawnHits
    ) -> tuple[DrawnHits, Callable[[], Tensor]]:
        """The same hits as differentiable functions of the parameters, and what gives the likelihood of their rates."""

    @torch.no_grad()
    def draw_for_training(self, c: C, batch: Batch, draws: ShowerRandom) -> tuple[DrawnHits, Tensor]:
        """Hits of drawn showers with the layer energies and counts of true ones, and their latent noise, [B, Z].

        A processor draws showers of similar size together: the noise of all has the length of the largest, and what
        small groups need stays in the cache.
        """
        count_BL = batch.layer_count
        group = GROUP if count_BL.device.type == "cpu" else len(c)
        drawn, latent_normal_BZ = [], count_BL.new_zeros(len(c), LATENT)
        for some in torch.split(torch.argsort(count_BL.sum(1), stable=True), group):
            noise = self.draw_noise(count_BL[some], draws[some])
            late = self.trains_with_late_points
            hits = self.draw_hits(c[some], batch.layer_energy[some], count_BL[some], noise, late=late)
            drawn.append(replace(hits, row=some[hits.row]))
            latent_normal_BZ[some] = noise.latent_normal
        return DrawnHits.of_groups(drawn), latent_normal_BZ

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

    def begin(self, stage: str, batch: Batch) -> None:
        """The critic learns what to expect of the observables of true showers."""
        if "critic" in self.trained_by(stage):
            # a part at a time, for the maps of all cells take much memory
            parts = [self._what_critic_sees(part) for part in batch.split(-(-len(batch) // CALIBRATION_PART))]
            self.critic.calibrate(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    @torch.no_grad()
    def _what_critic_sees(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Context and observables of true showers."""
        c = self.conditions(batch)
        context = self.critic.context(c, batch.layer_energy, batch.layer_count)
        return context, self.observables(c, batch, torch.ones_like(batch.deposit))

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
            normal_BZ = draws.normal(POSTERIOR_STREAM, LATENT)
            yield "generator", self._likelihood(c, batch, latent_weight(stage, step), metrics, normal_BZ)
        elif isinstance(stage, AdversarialStageConfig):
            yield from self._adversarial(stage, c, batch, step, metrics, draws)
        else:
            raise TypeError(f"{type(stage).__name__} is no stage of this architecture")

    def _likelihood(self, c: C, batch: Batch, weight: float, metrics: Metrics, normal_BZ: Tensor) -> Tensor:
        terms = self.negative_elbo(batch, c, normal_BZ)
        metrics.update({name: value.item() for name, value in terms.items()})
        return (terms["cells"] + terms["energy"] + weight * terms["latent"]) / LIKELIHOOD_SCALE

    def _adversarial(
        self, stage: AdversarialStageConfig, c: C, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """Showers drawn at once, which takes most of the time, and an update of both networks by each part of them."""
        drawn, latent_normal_BZ = self.draw_for_training(c, batch, draws)
        normal_BZ = draws.normal(POSTERIOR_STREAM, LATENT)
        parts, end = batch.split(stage.updates), 0
        for k, part in enumerate(parts):
            begin, end = end, end + len(part)
            known = (c[begin:end], part, drawn.showers(begin, end))
            move = partial(self._moved, *known, latent_normal_BZ[begin:end], normal_BZ[begin:end], metrics)
            yield from self._update(stage, *known, move, step, step * len(parts) + k, metrics)

    def _moved(
        self, c: C, batch: Batch, drawn: DrawnHits, latent_normal_BZ: Tensor, normal_BZ: Tensor, metrics: Metrics
    ) -> tuple[DrawnHits, Callable[[], Tensor]]:
        """Drawn hits with gradients; and their anchor: the likelihood of true hits, and of the rates of the drawn ones.

        Noise is that of the drawn showers' latent vectors, and that of vectors given the true hits.
        """
        moved, likelihood_of_rates = self.with_gradient(
            c, batch.layer_energy, batch.layer_count, latent_normal_BZ, drawn
        )

        def anchor() -> Tensor:
            rates = likelihood_of_rates()
            metrics["rates"] = rates.item()
            return self._likelihood(c, batch, 1.0, metrics, normal_BZ) + rates / LIKELIHOOD_SCALE

        return moved, anchor

    def _update(
        self, stage: CriticStageConfig, c: C, batch: Batch, drawn: DrawnHits,
        move: Callable[[], tuple[DrawnHits, Callable[[], Tensor]]], step: int, update: int, metrics: Metrics,
    ) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
        """Relativistic pairing of true and drawn showers of the same conditions, layer energies and counts.

        Softplus of the score difference (Jolicoeur-Martineau, arXiv:1807.00734) with zero-centred gradient
        penalties on true and drawn showers (R1 + R2; Huang et al., arXiv:2501.05441), every few updates. The
        generator's loss is that of the drawn hits that `move` gives with gradients, and their anchor.
        """
        context = self.critic.context(c, batch.layer_energy, batch.layer_count)
        true = self._standardised(context, c, batch, torch.ones_like(batch.deposit))
        fake = self._standardised(context, c, drawn, drawn.weight)
        penalise = update % stage.penalty_every == 0
        true.requires_grad_(penalise)
        fake.requires_grad_(penalise)
        score_true, score_fake = self.critic(context, true), self.critic(context, fake)
        loss = F.softplus(score_fake - score_true).mean()
        metrics["critic"] = loss.item()
        if penalise:
            grads = torch.autograd.grad(score_true.sum() + score_fake.sum(), [true, fake], create_graph=True)
            size = sum(g.square().sum(1).mean() for g in grads)
            loss = loss + stage.penalty_every * stage.gradient_penalty / 2 * size
        yield "critic", loss
        if step < stage.critic_only:
            return
        moved, anchor = move()
        score_fake = self.critic(context, self._standardised(context, c, moved, moved.weight))
        with torch.no_grad():
            score_true = self.critic(context, true)
        fooled = F.softplus(score_true - score_fake).mean()
        metrics["generator"] = fooled.item()
        yield "generator", stage.adversarial_weight * fooled + anchor()

    def _standardised(self, context: Tensor, c: C, hits: HitLike, weight_H: Tensor) -> Tensor:
        """Observables as the critic's network sees them, float32 [B, F]."""
        return self.critic.standardised(context, self.observables(c, hits, weight_H))

    @torch.no_grad()
    def evaluate(self, stage: StageConfig, batch: Batch) -> Metrics:
        """Generated against true showers, and the likelihood of the true ones.

        The stages behind ``layers`` are judged on true layer energies and counts.
        """
        c, layers = self.conditions(batch), self.geometry.layers
        noise = self.draw_noise(batch.layer_count)
        if stage.name == "layers":
            energy, count = self.draw_layers(c, noise)
            terms = self.layers.nll(c, batch.layer_energy, batch.layer_count)
            likelihood = dict(zip(("held_out_count", "held_out_energy"), (t.item() for t in terms), strict=True))
            return {**response_metrics(batch, energy, count), **likelihood}
        drawn = self.draw_hits(c, batch.layer_energy, batch.layer_count, noise)
        group = drawn.row * layers + drawn.layer
        number = torch.bincount(group, minlength=len(batch) * layers).view(len(batch), layers).float()
        energy = group_sum(drawn.deposit, group, len(batch) * layers).view(len(batch), layers)
        metrics = response_metrics(batch, energy, number)
        true = self.observables(c, batch, torch.ones_like(batch.deposit))
        fake = self.observables(c, drawn, drawn.weight)
        scale = true.std(0) + 1e-6
        metrics["observables_mean_pull"] = ((fake.mean(0) - true.mean(0)) / scale).abs().mean().item()
        metrics["observables_width_ratio"] = ((fake.std(0) + 1e-6) / scale).log().abs().mean().exp().item()
        terms_of_hits = self.negative_elbo(batch, c, torch.randn(len(batch), LATENT, device=c.log_energy_B.device))
        return {**metrics, **{f"held_out_{name}": value.item() for name, value in terms_of_hits.items()}}
