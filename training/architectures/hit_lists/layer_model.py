# SPDX-License-Identifier: BSD-3-Clause
"""Layer model: number of hits and energy of each layer, autoregressive in depth.

The networks are shared by all layers and see everything drawn before, so that the correlation of layers
is learned by maximum likelihood. Counts follow a mixture of logistic densities in sqrt(n), discretised at
sqrt(n) and sqrt(n + 1) (in the spirit of Salimans et al., PixelCNN++, arXiv:1701.05517, eq. 2); the mean
energy of a layer's hits above threshold follows a mixture of normal densities in its logarithm, whose tails
are light: a logistic mixture there would give the energy a power-law tail.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..nets import mlp
from .conditions import Geometry, HitConditions, folded_offsets

COUNT_COMPONENTS = 3
ENERGY_COMPONENTS = 6
MAX_COUNT = 250.0
MEV_TENTH = 1e-4
"""Scale of hit energies: 0.1 MeV in GeV."""
ENERGY_OFFSET = 2e-5
"""Offset of the energy scale that the networks see, GeV."""
_PAST = 3
LOG_MEAN_RANGE = (-8.0, 5.7)
"""Of the log mean energy of hits, in 0.1 MeV: up to 30 MeV a hit, which 1 in 8 000 layers of hadrons exceeds."""
SHOWERING = 3
"""Hits of a layer from which on it is no longer the track of a single particle."""
RECENT = 8
"""Layers that the recent past has."""


class LayerModel(nn.Module):
    """Draws the hit count and the energy of each layer, given those before it.

    Parameters
    ----------
    geometry : Geometry
    width : int
        Hidden units.
    """

    largest_count = MAX_COUNT
    threshold_L: Tensor
    layer_one_hot_LL: Tensor
    depth_L: Tensor
    index_L: Tensor
    section_LS: Tensor

    def __init__(self, geometry: Geometry, width: int = 128) -> None:
        super().__init__()
        self.geometry = geometry
        layers = geometry.layers
        self.n_inputs = geometry.n_globals + 4 + 3 * layers + 2 * _PAST + 6 + self.n_history
        self.count = mlp([self.n_inputs, width, width, 3 * COUNT_COMPONENTS])
        self.energy = mlp([self.n_inputs + 3, width, width, 3 * ENERGY_COMPONENTS])
        self.register_buffer("threshold_L", torch.tensor(geometry.threshold), persistent=False)
        self.register_buffer("layer_one_hot_LL", torch.eye(layers), persistent=False)
        self.register_buffer("depth_L", torch.arange(layers) / ((layers - 1) / 2) - 1, persistent=False)
        self.register_buffer("index_L", torch.arange(layers), persistent=False)
        sections = torch.tensor(geometry.section_of_layer)
        one_hot = sections[:, None] == torch.arange(len(geometry.sections))
        self.register_buffer("section_LS", one_hot.float(), persistent=False)

    @property
    def n_history(self) -> int:
        """Number of inputs that only models of several sections have; see `inputs`."""
        sections = len(self.geometry.sections)
        return 6 + sections if sections > 1 else 0

    def inputs(
        self, c: HitConditions, folded_BL2: Tensor, energy_BL: Tensor, count_BL: Tensor, layer_N: Tensor
    ) -> Tensor:
        """Inputs of both networks for some layers, one after the other, [N B, n_inputs].

        Of `energy_BL` and `count_BL` only what is before the layer is looked at.
        """
        layers, last = self.geometry.layers, layer_N[:, None] + torch.arange(_PAST, device=layer_N.device)
        known_N1L = (self.index_L < layer_N[:, None]).float()[:, None]
        energy, root = energy_BL * known_N1L, count_BL.sqrt() * known_N1L
        log_e = log_energy_scale(energy_BL) * known_N1L
        pad, last = root.new_zeros(*root.shape[:2], _PAST), last[:, None].expand(-1, len(c), -1)
        total = energy.sum(2, keepdim=True)
        depth = (energy * self.depth_L).sum(2, keepdim=True) / (total + 1e-7)
        spread = (energy * (self.depth_L - depth) ** 2).sum(2, keepdim=True) / (total + 1e-7)
        log_energy_B1 = c.log_energy_B[:, None]
        following = (layer_N + 1).clamp_max(layers - 1)
        parts = [
            c.globals_BG.expand(len(layer_N), -1, -1),
            folded_BL2[:, layer_N].transpose(0, 1),
            folded_BL2[:, following].transpose(0, 1),
            self.layer_one_hot_LL[layer_N][:, None].expand(-1, len(c), -1),
            root / 3,
            log_e,
            torch.cat([pad, root], 2).gather(2, last) / 2,
            torch.cat([pad, log_e], 2).gather(2, last),
            total / log_energy_B1.exp() * 40 - 0.5,
            torch.log(total + 1e-4) - log_energy_B1 + 4,
            (count_BL * known_N1L).sum(2, keepdim=True).sqrt() / 6,
            depth,
            (spread + 1e-6).sqrt(),
            torch.log(energy.amax(2, keepdim=True) / log_energy_B1.exp() + 1e-3) + 3,
        ]
        if self.n_history:
            parts += [self.history(count_BL, layer_N), self.recent(root, layer_N), self.recent(log_e, layer_N)]
            parts.append(torch.log(energy @ self.section_LS + 1e-4) - log_energy_B1 + 4)
        return torch.cat(parts, 2).flatten(0, 1)

    def history(self, count_BL: Tensor, layer_N: Tensor) -> Tensor:
        """How far the particle has come before some layers, [N, B, 4].

        A hadron is a track of one hit a layer until it interacts, and a shower afterwards. Layers since the first of
        more hits than a track has, since the last of them, since the last that has not exactly one, and since the last
        hit.
        """
        index, layer = self.index_L, layer_N[:, None, None]
        before, nowhere = index < layer, index.new_tensor(-1)
        many = (count_BL >= SHOWERING) & before
        first = torch.where(many, index, layer).amin(2)
        last = [torch.where(x & before, index, nowhere).amax(2) + 1 for x in (many, count_BL != 1, count_BL > 0)]
        return torch.log((layer - torch.stack([first, *last], 2)).float() + 1) / 2

    def recent(self, values_NBL: Tensor, layer_N: Tensor) -> Tensor:
        """Mean of something over the layers shortly before some layers, [N, B, 1]."""
        away = layer_N[:, None] - self.index_L
        weight_NL1 = ((away > 0) & (away <= RECENT)).float()[..., None] / RECENT
        return values_NBL @ weight_NL1

    def count_mixture(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, centres and log widths of the logistic mixture in sqrt(n), each [B, M]."""
        weight, centre, width = self.count(x).chunk(3, 1)
        return torch.log_softmax(weight, 1), 2 * centre + 1, (width - 1).clamp(-5.0, 2.0)

    def energy_mixture(self, x: Tensor, count_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, centres and log widths of the normal mixture in the log mean energy, each [B, M]."""
        extra = torch.stack([count_B.sqrt() / 3, torch.log(count_B + 0.5), (count_B == 1).float()], 1)
        weight, centre, width = self.energy(torch.cat([x, extra], 1)).chunk(3, 1)
        return torch.log_softmax(weight, 1), centre + 1, (width - 0.7).clamp(-5.0, 1.5)

    def nll(self, c: HitConditions, energy_BL: Tensor, count_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood per shower, of the counts and of the energies given the counts."""
        folded = folded_offsets(c.offset_BL2)
        x = self.inputs(c, folded, energy_BL, count_BL, self.index_L)
        count, energy = count_BL.T.reshape(-1), energy_BL.T.reshape(-1)
        weight, centre, width = self.count_mixture(x)
        inverse = torch.exp(-width)
        upper = torch.sigmoid(((count + 1).sqrt()[:, None] - centre) * inverse)
        lower = torch.sigmoid((count.sqrt()[:, None] - centre) * inverse)
        mass = upper - torch.where(count[:, None] > 0, lower, torch.zeros_like(lower))
        log_count = torch.logsumexp(weight + torch.log(mass.clamp_min(1e-7)), 1)
        hit = count > 0
        threshold = self.threshold_L.repeat_interleave(len(c))
        y = self.log_mean(energy[hit], count[hit], threshold[hit])
        weight, centre, width = self.energy_mixture(x[hit], count[hit])
        z = (y[:, None] - centre) * torch.exp(-width)
        log_energy = torch.logsumexp(weight - width - 0.5 * z * z - 0.5 * math.log(2 * math.pi), 1)
        return -log_count.sum() / len(c), -log_energy.sum() / len(c)

    def log_mean(self, energy: Tensor, count: Tensor, threshold: Tensor) -> Tensor:
        """Log of the mean hit energy above threshold, in units of 0.1 MeV."""
        above = energy / count - threshold
        return torch.log((above / MEV_TENTH).clamp_min(math.exp(LOG_MEAN_RANGE[0])))

    @torch.no_grad()
    def sample(
        self, c: HitConditions, uniform_BL2: Tensor, logistic_BL: Tensor, normal_BL: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw energies [B, L] in GeV and counts [B, L] from the noise of the model contract.

        Parameters
        ----------
        c : HitConditions
        uniform_BL2 : float32 [B, L, 2]
            Which component of the count's mixture, and of the energy's.
        logistic_BL, normal_BL : float32 [B, L]
            Where in the component: of the count, of the energy.
        """
        layers, folded = self.geometry.layers, folded_offsets(c.offset_BL2)
        energy = normal_BL.new_zeros(len(c), layers)
        count, largest = torch.zeros_like(energy), c.largest_deposit_B
        for i in range(layers):
            x = self.inputs(c, folded, energy, count, self.index_L[i : i + 1])
            centre, width = _pick(self.count_mixture(x), uniform_BL2[:, i, 0])
            root = centre + width.exp() * logistic_BL[:, i]
            n = torch.floor(root.clamp_min(0) ** 2).clamp_max(self.largest_count)
            centre, width = _pick(self.energy_mixture(x, n), uniform_BL2[:, i, 1])
            mean = torch.exp((centre + width.exp() * normal_BL[:, i]).clamp(*LOG_MEAN_RANGE)) * MEV_TENTH
            # in the tails of the densities a draw may be beyond what there is to deposit
            energy[:, i] = torch.minimum(n * (mean + self.threshold_L[i]), largest)
            count[:, i] = n
        return energy, count


def log_energy_scale(energy: Tensor) -> Tensor:
    """Energy of a layer on a scale fit for a network: ln(E / 20 keV + 1) / 4."""
    return torch.log(energy / ENERGY_OFFSET + 1) / 4


def _pick(mixture: tuple[Tensor, Tensor, Tensor], uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    weight, centre, width = mixture
    index = (uniform_B[:, None] > torch.cumsum(weight.exp(), 1)[:, :-1]).sum(1, keepdim=True)
    return centre.gather(1, index)[:, 0], width.gather(1, index)[:, 0]
