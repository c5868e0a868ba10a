"""First network: number of hits and energy of each layer, one layer after the other.

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
from .conditions import Conditions, Geometry, folded_offsets

COUNT_COMPONENTS = 3
ENERGY_COMPONENTS = 6
MAX_COUNT = 250.0
MEV_TENTH = 1e-4
"""Scale of hit energies: 0.1 MeV in GeV."""
FLOOR = 2e-5
"""Offset of the energy scale that the networks see, GeV."""
_PAST = 3
LOG_MEAN_RANGE = (-8.0, 7.0)


class LayerModel(nn.Module):
    """Draws the hit count and the energy of each layer, given those before it.

    Parameters
    ----------
    geometry : Geometry
    width : int
        Hidden units.
    """

    layer_one_hot_LL: Tensor
    depth_L: Tensor

    def __init__(self, geometry: Geometry, width: int = 128) -> None:
        super().__init__()
        self.geometry = geometry
        layers = geometry.layers
        self.n_inputs = geometry.n_globals + 4 + 3 * layers + 2 * _PAST + 6
        self.count = mlp([self.n_inputs, width, width, 3 * COUNT_COMPONENTS])
        self.energy = mlp([self.n_inputs + 3, width, width, 3 * ENERGY_COMPONENTS])
        self.register_buffer("layer_one_hot_LL", torch.eye(layers), persistent=False)
        self.register_buffer("depth_L", torch.arange(layers) / ((layers - 1) / 2) - 1, persistent=False)

    def inputs(self, c: Conditions, folded_BL2: Tensor, energy_BL: Tensor, count_BL: Tensor, layer: int) -> Tensor:
        """Inputs of both networks for one layer, [B, n_inputs].

        `energy_BL` and `count_BL` must be zero from `layer` on.
        """
        root = count_BL.sqrt()
        log_e = log_energy_scale(energy_BL)
        pad = root.new_zeros(len(c), _PAST)
        last = [torch.cat([pad, x], 1)[:, layer : layer + _PAST] for x in (root, log_e)]
        total = energy_BL.sum(1, keepdim=True)
        depth = (energy_BL * self.depth_L).sum(1, keepdim=True) / (total + 1e-7)
        spread = (energy_BL * (self.depth_L - depth) ** 2).sum(1, keepdim=True) / (total + 1e-7)
        energy_B1 = c.log_energy_B.exp()[:, None]
        following = min(layer + 1, self.geometry.layers - 1)
        return torch.cat(
            [
                c.globals_BG,
                folded_BL2[:, layer],
                folded_BL2[:, following],
                self.layer_one_hot_LL[layer].expand(len(c), -1),
                root / 3,
                log_e,
                last[0] / 2,
                last[1],
                total / energy_B1 * 40 - 0.5,
                torch.log(total + 1e-4) - c.log_energy_B[:, None] + 4,
                count_BL.sum(1, keepdim=True).sqrt() / 6,
                depth,
                (spread + 1e-6).sqrt(),
                torch.log(energy_BL.amax(1, keepdim=True) / energy_B1 + 1e-3) + 3,
            ],
            1,
        )

    def count_mixture(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, centres and log widths of the logistic mixture in sqrt(n), each [B, M]."""
        weight, centre, width = self.count(x).chunk(3, 1)
        return torch.log_softmax(weight, 1), 2 * centre + 1, (width - 1).clamp(-5.0, 2.0)

    def energy_mixture(self, x: Tensor, count_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, centres and log widths of the normal mixture in the log mean energy, each [B, M]."""
        extra = torch.stack([count_B.sqrt() / 3, torch.log(count_B + 0.5), (count_B == 1).float()], 1)
        weight, centre, width = self.energy(torch.cat([x, extra], 1)).chunk(3, 1)
        return torch.log_softmax(weight, 1), centre + 1, (width - 0.7).clamp(-5.0, 1.5)

    def nll(self, c: Conditions, energy_BL: Tensor, count_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood per shower, of the counts and of the energies given the counts."""
        layers, folded = self.geometry.layers, folded_offsets(c.offset_BL2)
        known = torch.tril(torch.ones(layers, layers, device=energy_BL.device), -1)
        x = torch.cat([self.inputs(c, folded, energy_BL * known[i], count_BL * known[i], i) for i in range(layers)])
        count, energy = count_BL.T.reshape(-1), energy_BL.T.reshape(-1)
        weight, centre, width = self.count_mixture(x)
        inverse = torch.exp(-width)
        upper = torch.sigmoid(((count + 1).sqrt()[:, None] - centre) * inverse)
        lower = torch.sigmoid((count.sqrt()[:, None] - centre) * inverse)
        mass = upper - torch.where(count[:, None] > 0, lower, torch.zeros_like(lower))
        log_count = torch.logsumexp(weight + torch.log(mass.clamp_min(1e-7)), 1)
        hit = count > 0
        y = self.log_mean(energy[hit], count[hit])
        weight, centre, width = self.energy_mixture(x[hit], count[hit])
        z = (y[:, None] - centre) * torch.exp(-width)
        log_energy = torch.logsumexp(weight - width - 0.5 * z * z - 0.5 * math.log(2 * math.pi), 1)
        return -log_count.sum() / len(c), -log_energy.sum() / len(c)

    def log_mean(self, energy: Tensor, count: Tensor) -> Tensor:
        """Log of the mean hit energy above threshold, in units of 0.1 MeV."""
        above = energy / count - self.geometry.threshold
        return torch.log((above / MEV_TENTH).clamp_min(math.exp(LOG_MEAN_RANGE[0])))

    @torch.no_grad()
    def sample(
        self, c: Conditions, uniform_BL2: Tensor, logistic_BL: Tensor, normal_BL: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw energies [B, L] in GeV and counts [B, L] from the noise of the model contract.

        Parameters
        ----------
        c : Conditions
        uniform_BL2 : float32 [B, L, 2]
            Which component of the count's mixture, and of the energy's.
        logistic_BL, normal_BL : float32 [B, L]
            Where in the component: of the count, of the energy.
        """
        layers, folded = self.geometry.layers, folded_offsets(c.offset_BL2)
        energy = normal_BL.new_zeros(len(c), layers)
        count = torch.zeros_like(energy)
        for i in range(layers):
            x = self.inputs(c, folded, energy, count, i)
            centre, width = _pick(self.count_mixture(x), uniform_BL2[:, i, 0])
            root = centre + width.exp() * logistic_BL[:, i]
            n = torch.floor(root.clamp_min(0) ** 2).clamp_max(MAX_COUNT)
            centre, width = _pick(self.energy_mixture(x, n), uniform_BL2[:, i, 1])
            mean = torch.exp((centre + width.exp() * normal_BL[:, i]).clamp(*LOG_MEAN_RANGE)) * MEV_TENTH
            energy[:, i], count[:, i] = n * (mean + self.geometry.threshold), n
        return energy, count


def log_energy_scale(energy: Tensor) -> Tensor:
    """Energy of a layer on a scale fit for a network: ln(E / 20 keV + 1) / 4."""
    return torch.log(energy / FLOOR + 1) / 4


def _pick(mixture: tuple[Tensor, Tensor, Tensor], uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    weight, centre, width = mixture
    index = (uniform_B[:, None] > torch.cumsum(weight.exp(), 1)[:, :-1]).sum(1, keepdim=True)
    return centre.gather(1, index)[:, 0], width.gather(1, index)[:, 0]
