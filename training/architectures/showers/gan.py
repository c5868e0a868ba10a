# SPDX-License-Identifier: BSD-3-Clause
"""Architecture ``showers``: two likelihood stages and an adversarial stage."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...data.batch import Batch
from ..hit_lists.drawn_hits import DrawnHits
from ..hit_lists.gan import HitListGan, geometry_of
from ..hit_lists.observables import HitLike
from .cell_model import HitModel
from .conditions import ShowerConditions, shower_conditions
from .config import ShowersTrainConfig
from .critic import Critic, features
from .layer_model import LayerModel
from .likelihood import negative_elbo
from .sampler import ShowersNoise, sample_hits, with_gradient


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
        return sample_hits(self.hits, c, energy_BL, count_BL, noise, late=late)

    def with_gradient(
        self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, noise: ShowersNoise, hits: DrawnHits
    ) -> tuple[DrawnHits, Callable[[], Tensor]]:
        """The same hits as differentiable functions of the parameters, and what gives the likelihood of their rates."""
        moved, rates = with_gradient(self.hits, c, energy_BL, count_BL, noise.latent_normal, hits)
        return moved, lambda: rates
