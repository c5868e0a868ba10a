# SPDX-License-Identifier: BSD-3-Clause
"""Architecture ``showers``: two likelihood stages, two with a critic, and two of the choice between candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ...config import StageConfig
from ...data.batch import Batch
from ...random_numbers import ShowerRandom
from ..base import Metrics
from ..hit_lists import layer_model
from ..hit_lists.drawn_hits import DrawnHits, with_weights
from ..hit_lists.gan import CALIBRATION_PART, LIKELIHOOD_SCALE, POSTERIOR_STREAM, HitListGan, geometry_of
from ..hit_lists.hit_networks import LATENT
from ..hit_lists.observables import HitLike
from ..hit_lists.true_hits import energy_term
from .cell_model import HitModel
from .choice import ChoiceNetwork
from .choice_training import LayerPairs, choice_loss, contrastive_loss, layer_pairs, margins, shower_pairs
from .conditions import ShowerConditions, shower_conditions
from .config import ChoiceStageConfig, ContrastiveStageConfig, EnergiesStageConfig, ShowersTrainConfig
from .critic import Critic, features
from .likelihood import negative_elbo
from .placing import ShowersNoise
from .sampler import sample_hits, with_gradient
from .true_cells import energies_on_true_cells, known_of_true_hits

CHOICE_STAGES = ("choice", "contrastive")
"""Stages that train the choice between candidates."""


class LayerModel(layer_model.LayerModel):
    """First network: number of hits and energy of each layer, as of ``arch = "hits"``, for layers without a window."""

    largest_count = 400.0


class ShowerGan(HitListGan[ShowerConditions, HitModel, ShowersNoise]):
    """Networks and losses of ``arch = "showers"``.

    Parameters
    ----------
    config : ShowersTrainConfig
    """

    trains_with_late_points = True

    def __init__(self, config: ShowersTrainConfig) -> None:
        geometry, size = geometry_of(config), config.network
        layers = LayerModel(geometry, size.layer_width)
        hits = HitModel(geometry, size.hit_width, size.share_width)
        super().__init__(layers, hits, Critic(geometry, size.critic_width), ShowersNoise)
        self._shares_apart = any(stage.name == "energies" for stage in config.stage)
        self.choice = None
        if size.candidates > 1:
            self.choice = ChoiceNetwork(geometry, size.candidates, size.candidates_of_large)
            self.networks["choice"] = self.choice

    def conditions_of(
        self, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor
    ) -> ShowerConditions:
        """Conditions from kinematics."""
        return shower_conditions(self.geometry, kinetic_energy_B, direction_B3, entry_B2, pdg_B)

    def observables(self, c: ShowerConditions, hits: HitLike, weight_H: Tensor) -> Tensor:
        """What the critic sees of some showers, float32 [B, F]."""
        return features(self.geometry, c, hits, weight_H)

    def negative_elbo(self, batch: Batch, c: ShowerConditions, normal_BZ: Tensor) -> dict[str, Tensor]:
        """Terms of the negative evidence lower bound, per shower."""
        return negative_elbo(self.hits, batch, c, normal_BZ)

    def log_rates(self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: ShowersNoise) -> Tensor:
        """Log of the expected number of draws of each layer, [B, L]."""
        return self.hits.prior_profile(c, energy_BL, count_BL, noise.latent_normal).log_rate_BL

    def draw_hits(
        self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: ShowersNoise, *, late: bool = True
    ) -> DrawnHits:
        """Hits of showers whose layer energies and counts are known."""
        return sample_hits(self.hits, c, energy_BL, count_BL, noise, choice=self.choice, late=late)

    def draw_noise(self, count_BL: Tensor, draws: ShowerRandom | None = None) -> ShowersNoise:
        """As much noise as showers of known hit counts need; fresh random numbers unless given."""
        return ShowersNoise.draw(count_BL, draws, self.choice.drawn(count_BL) if self.choice else None)

    def with_gradient(
        self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal_BZ: Tensor, hits: DrawnHits
    ) -> tuple[DrawnHits, Callable[[], Tensor]]:
        """The same hits as differentiable functions of the parameters, and what gives the likelihood of their rates."""
        moved, rates = with_gradient(self.hits, c, energy_BL, count_BL, latent_normal_BZ, hits)
        return moved, lambda: rates

    def trained_by(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Parameters of each optimiser of a stage."""
        if stage in CHOICE_STAGES:
            return {"generator": list(self._choice().parameters())}
        critic = list(self.critic.parameters())
        if stage == "energies":
            return {"generator": list(self.hits.share.parameters()), "critic": critic}
        if stage == "adversarial" and self._shares_apart:
            others = [p for name, p in self.hits.named_parameters() if not name.startswith("share.")]
            return {"generator": others, "critic": critic}
        return super().trained_by(stage)

    def kept_by(self, stage: str) -> tuple[str, ...]:
        """Networks that a stage changes."""
        if stage == "energies":
            return ("hits", "critic")
        return ("choice",) if stage in CHOICE_STAGES else super().kept_by(stage)

    def begin(self, stage: str, batch: Batch) -> None:
        """The choice learns the scale of what it sees."""
        if stage != "choice":
            super().begin(stage, batch)
            return
        part = batch.split(-(-len(batch) // CALIBRATION_PART))[0]
        pairs = self._pairs(part, self.conditions(part))
        self._choice().calibrate(pairs.true_BLF[pairs.count_BL > 0])

    def losses(
        self, stage: StageConfig, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """Losses of one step, one optimiser after the other."""
        if isinstance(stage, EnergiesStageConfig):
            yield from self._energies(stage, batch, step, metrics, draws)
            return
        if not isinstance(stage, ChoiceStageConfig | ContrastiveStageConfig):
            yield from super().losses(stage, batch, step, metrics, draws)
            return
        c, kept = self.conditions(batch), isinstance(stage, ContrastiveStageConfig)
        pairs, end = self._kept_pairs(batch, c, draws) if kept else self._pairs(batch, c, draws), 0
        for part in batch.split(stage.updates):
            begin, end = end, end + len(part)
            known = self._choice().known_of_layers(c[begin:end], part.layer_energy, part.layer_count)
            margin = margins(self._choice(), known, pairs[begin:end])
            loss = contrastive_loss(margin, len(part)) if kept else choice_loss(margin, len(part))
            metrics.update({stage.name: loss.item()}, recognised=(margin > 0).float().mean().item())
            yield "generator", loss

    def _energies(
        self, stage: EnergiesStageConfig, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """An update of the sharing of energy and of the critic, by energies drawn for true cells."""
        c = self.conditions(batch)
        known_HS = known_of_true_hits(self.hits, batch, c, draws.normal(POSTERIOR_STREAM, LATENT))
        drawn = energies_on_true_cells(self.hits, batch, known_HS, draws)

        def move() -> tuple[DrawnHits, Callable[[], Tensor]]:
            moved = with_weights(self.hits, known_HS, drawn, torch.ones_like(drawn.deposit), batch.layer_energy)
            return moved, lambda: energy_term(self.hits, batch, known_HS) / (len(batch) * LIKELIHOOD_SCALE)

        yield from self._update(stage, c, batch, drawn, move, step, step, metrics)

    @torch.no_grad()
    def evaluate(self, stage: StageConfig, batch: Batch) -> Metrics:
        """Generated against true showers, and how many true layers the choice tells from drawn ones."""
        metrics = super().evaluate(stage, batch)
        if stage.name not in CHOICE_STAGES:
            return metrics
        c = self.conditions(batch)
        known = self._choice().known_of_layers(c, batch.layer_energy, batch.layer_count)
        margin = margins(self._choice(), known, self._pairs(batch, c))
        loss = choice_loss(margin, len(batch)).item()
        return {**metrics, "held_out_choice": loss, "held_out_recognised": (margin > 0).float().mean().item()}

    def _choice(self) -> ChoiceNetwork:
        if self.choice is None:
            raise TypeError("there is nothing to choose from; candidates is 1")
        return self.choice

    @torch.no_grad()
    def _pairs(self, batch: Batch, c: ShowerConditions, draws: ShowerRandom | None = None) -> LayerPairs:
        """True and drawn layers of some showers."""
        return layer_pairs(self.hits, c, batch, ShowersNoise.draw(batch.layer_count, draws))

    @torch.no_grad()
    def _kept_pairs(self, batch: Batch, c: ShowerConditions, draws: ShowerRandom) -> LayerPairs:
        """True layers of some showers, and those that are kept of drawn ones."""
        return shower_pairs(self.hits, self._choice(), c, batch, self.draw_noise(batch.layer_count, draws))
