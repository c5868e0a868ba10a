# SPDX-License-Identifier: BSD-3-Clause
"""Architecture ``3dgan``: dense convolutional GAN."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError

from ...config import StageConfig
from ...data.batch import Batch
from ...random_numbers import ShowerRandom
from ..base import Metrics
from ..response import response_metrics
from .config import DenseStageConfig, DenseTrainConfig
from .frame import (
    COSINE_CENTRE,
    DenseConditions,
    FoldedFrame,
    compress,
    dense_conditions,
    expand,
    fold,
    fold_cells,
    unfold,
)
from .networks import DenseCritic, DenseGenerator

CHUNK = 100
"""Showers drawn at a time while judging: bounds memory."""


class DenseGan:
    """Networks and losses of ``arch = "3dgan"``.

    Parameters
    ----------
    config : DenseTrainConfig

    Raises
    ------
    ConfigError
        The section's window is not square.
    """

    def __init__(self, config: DenseTrainConfig) -> None:
        self.section, self.species = load_detector(config.detector).section(config.sections[0]), config.species
        nx, ny, _ = self.section.shape
        channels, self.latent = config.network.dense_channels, config.network.dense_latent
        if nx != ny:
            raise ConfigError(
                f"arch '3dgan' exchanges x and y, but the window of {config.sections[0]} has {nx} by {ny} cells; "
                "describe the detector with a square one"
            )
        width = DenseConditions.width(self.section, self.species)
        self.generator = DenseGenerator(self.section, width, self.latent, channels)
        self.critic = DenseCritic(self.section, width, channels)
        self.networks = nn.ModuleDict({"generator": self.generator, "critic": self.critic})

    def trained_by(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Parameters of each optimiser; there is one stage."""
        return {name: list(self.networks[name].parameters()) for name in self.kept_by(stage)}

    def kept_by(self, stage: str) -> tuple[str, ...]:  # noqa: ARG002
        """Networks that the one stage changes."""
        return ("generator", "critic")

    def begin(self, stage: str, batch: Batch) -> None:
        """Nothing is taken from the data before the first step."""

    def conditions(self, batch: Batch) -> tuple[FoldedFrame, DenseConditions]:
        """Particles of a batch in the folded frame, and what the networks know of them."""
        folded = fold(batch.direction, batch.entry)
        return folded, dense_conditions(self.section, self.species, batch.kinetic_energy, folded, batch.pdg)

    def images(self, batch: Batch, folded: FoldedFrame) -> Tensor:
        """True showers as the networks see them: compressed deposits in the folded frame, [B, X, Y, L]."""
        nx, ny, layers = self.section.shape
        x, y = fold_cells(folded, batch.row, batch.x, batch.y)
        out = torch.zeros(len(batch), nx, ny, layers, device=batch.row.device)
        value = compress(batch.deposit, self.section.threshold)
        return out.index_put((batch.row, x.long() + nx // 2, y.long() + ny // 2, batch.layer), value)

    def losses(
        self, stage: StageConfig, batch: Batch, step: int, metrics: Metrics, draws: ShowerRandom
    ) -> Iterator[tuple[str, Tensor]]:
        """The critic on true showers, the critic on drawn ones, the generator."""
        if not isinstance(stage, DenseStageConfig):
            raise TypeError(f"{type(stage).__name__} is no stage of this architecture")
        folded, c = self.conditions(batch)
        moves = step >= stage.critic_only
        # of several parts' graphs there must be one at a time: the generator draws again when its turn comes
        once = moves and stage.accumulate == 1
        yield "critic", self._on_true(stage, c, self.images(batch, folded), step, metrics)
        latent = draws.normal(0, self.latent)
        with torch.set_grad_enabled(once):
            drawn = self.generator(c, latent)
        score = self.critic.judge(self.critic.features(drawn.detach()), c)
        loss = F.softplus(score).mean()
        metrics["critic_drawn"] = loss.item()
        yield "critic", loss
        if moves:
            if not once:
                drawn = self.generator(c, latent)
            yield "generator", self._on_drawn(stage, c, batch.layer_energy.sum(1), drawn, metrics)

    def _on_true(
        self, stage: DenseStageConfig, c: DenseConditions, true: Tensor, step: int, metrics: Metrics
    ) -> Tensor:
        """Cross-entropy and measurements on full simulation.

        The measurements are learnt here only: from drawn showers the critic would learn to read whatever the
        generator writes. Now and then with a zero-centred gradient penalty (R1; Mescheder, Geiger & Nowozin,
        arXiv:1801.04406), which makes up for the steps without.
        """
        penalise = step % stage.penalty_every == 0
        features = self.critic.features(true.requires_grad_(penalise))
        score = self.critic.judge(features, c)
        loss = F.softplus(-score).mean()
        metrics["critic_true"] = loss.item()
        energy, cosine = self._mismeasured(features, c)
        metrics.update(energy_true=energy.item(), cosine_true=cosine.item())
        loss = loss + stage.energy_weight * energy + stage.angle_weight * cosine
        if penalise:
            (slope,) = torch.autograd.grad(score.sum(), true, create_graph=True)
            size = slope.square().sum((1, 2, 3)).mean()
            loss = loss + stage.penalty_every * stage.gradient_penalty / 2 * size
        return loss

    def _on_drawn(
        self, stage: DenseStageConfig, c: DenseConditions, true_sum_B: Tensor, drawn: Tensor, metrics: Metrics
    ) -> Tensor:
        """The critic taken in, its measurements right, and the summed energy that of the true shower.

        Energies are compared by the difference of their logarithms: for small differences 3DGAN's mean absolute
        percentage error, and as steep for too little as for too much.
        """
        features = self.critic.features(drawn)
        fooled = F.softplus(-self.critic.judge(features, c)).mean()
        energy, cosine = self._mismeasured(features, c)
        total = expand(drawn, self.section.threshold).sum((1, 2, 3))
        least = self.section.threshold + 1e-6
        missed = (torch.log(total + least) - torch.log(true_sum_B + least)).abs().mean()
        metrics.update(generator=fooled.item(), energy=energy.item(), cosine=cosine.item(), sum=missed.item())
        return (
            stage.adversarial_weight * fooled
            + stage.energy_weight * energy
            + stage.angle_weight * cosine
            + stage.sum_weight * missed
        )

    def _mismeasured(self, features: Tensor, c: DenseConditions) -> tuple[Tensor, Tensor]:
        """Mean absolute errors of the critic's ln E and cosine."""
        log_energy, cosine = self.critic.measure(features)
        return (log_energy - c.log_energy_B).abs().mean(), (cosine + COSINE_CENTRE - c.cosine_B).abs().mean()

    @torch.no_grad()
    def sample(
        self, kinetic_energy_B: Tensor, direction_B3: Tensor, entry_B2: Tensor, pdg_B: Tensor, latent_BZ: Tensor
    ) -> Tensor:
        """Deposits in GeV where the particles fly, float32 [B, X, Y, L]; hits only."""
        folded = fold(direction_B3, entry_B2)
        c = dense_conditions(self.section, self.species, kinetic_energy_B, folded, pdg_B)
        return unfold(expand(self.generator(c, latent_BZ), self.section.threshold), folded)

    @torch.no_grad()
    def evaluate(self, stage: StageConfig, batch: Batch) -> Metrics:  # noqa: ARG002
        """Drawn against true showers: layers, hits, and the mean distance of energy from the window's centre."""
        nx, ny, _ = self.section.shape
        device = batch.row.device
        centre_x, centre_y = (torch.arange(n, device=device) - float(n // 2) for n in (nx, ny))
        radius = torch.hypot(centre_x[:, None], centre_y[None])
        # the same numbers on every device
        latent = torch.randn(len(batch), self.latent).to(device)
        energy, count, spread = [], [], []
        for i in range(0, len(batch), CHUNK):
            b = slice(i, i + CHUNK)
            kinematics = (batch.kinetic_energy[b], batch.direction[b], batch.entry[b], batch.pdg[b])
            deposit = self.sample(*kinematics, latent[b])
            energy.append(deposit.sum((1, 2)))
            count.append((deposit > 0).sum((1, 2)).float())
            spread.append((deposit.sum(3) * radius).sum((1, 2)))
        drawn = torch.cat(energy)
        metrics = response_metrics(batch, drawn, torch.cat(count))
        far = (batch.deposit * torch.hypot(batch.x, batch.y)).sum() / batch.deposit.sum()
        metrics["radius"] = (torch.cat(spread).sum() / drawn.sum().clamp_min(1e-9) / far).item()
        return metrics
