# SPDX-License-Identifier: BSD-3-Clause
"""Architecture ``hits``: two likelihood stages and an adversarial stage."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...data.batch import Batch
from ..hit_lists.conditions import HitConditions, hit_conditions
from ..hit_lists.drawn_hits import DrawnHits
from ..hit_lists.gan import HitListGan, geometry_of
from ..hit_lists.layer_model import LayerModel
from ..hit_lists.observables import HitLike
from .cell_model import HitModel, negative_elbo
from .config import HitsTrainConfig
from .critic import HitCritic, features
from .sampler import HitsNoise, rate_loss, sample_hits, with_gradient


class HitGan(HitListGan[HitConditions, HitModel, HitsNoise]):
    """Networks and losses of ``arch = "hits"``.

    Parameters
    ----------
    config : HitsTrainConfig
    """

    trains_with_late_points = False

    def __init__(self, config: HitsTrainConfig) -> None:
        geometry, size = geometry_of(config), config.network
        layers = LayerModel(geometry, size.layer_width)
        hits = HitModel(geometry, size.hit_width, size.share_width)
        super().__init__(layers, hits, HitCritic(geometry, size.critic_width), HitsNoise)

    def conditions_of(
        self, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor
    ) -> HitConditions:
        """Conditions from kinematics."""
        return hit_conditions(self.geometry, kinetic_energy_B, direction_B3, entry_B2, pdg_B)

    def observables(self, c: HitConditions, hits: HitLike, weight_H: Tensor) -> Tensor:
        """What the critic sees of some showers, float32 [B, F]."""
        return features(self.geometry, c, hits, weight_H)

    def negative_elbo(self, batch: Batch, c: HitConditions, normal_BZ: Tensor) -> dict[str, Tensor]:
        """Terms of the negative evidence lower bound, per shower."""
        return negative_elbo(self.hits, batch, c, normal_BZ)

    def log_rates(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, noise: HitsNoise) -> Tensor:
        """Log of the expected number of draws of each layer, [B, L]."""
        return self.hits.prior_profile(c, energy_BL, count_BL, noise.latent_normal).log_rate_BL

    def draw_hits(
        self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, noise: HitsNoise, *, late: bool = True
    ) -> DrawnHits:
        """Hits of showers whose layer energies and counts are known."""
        return sample_hits(self.hits, c, energy_BL, count_BL, noise, late=late)

    def with_gradient(
        self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor, latent_normal_BZ: Tensor, hits: DrawnHits
    ) -> tuple[DrawnHits, Callable[[], Tensor]]:
        """The same hits as differentiable functions of the parameters, and what gives the likelihood of their rates."""
        known = (self.hits, c, energy_BL, count_BL, latent_normal_BZ, hits)
        return with_gradient(*known), lambda: rate_loss(*known)
