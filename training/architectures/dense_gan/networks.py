# SPDX-License-Identifier: BSD-3-Clause
"""Dense generator and critic: three halvings of the window between its cells and a coarse grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcalo.detector.section import Section

from ..nets import mlp
from .frame import UNIT, DenseConditions, expand, flight_maps, halved

LEVELS = 3
SLOPE = 0.3
"""Slope of the leaky rectifiers at negative values: that of 3DGAN."""
GROUPS = 4
SOFT = 0.1
"""Compressed deposit that the critic counts as half a hit."""
STYLE = 128
FEATURES = 128


def grids(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Shapes of the grids, from the window's own to the coarsest."""
    out = [shape]
    for _ in range(LEVELS):
        x, y, z = out[-1]
        out.append((halved(x), halved(y), halved(z)))
    return out


def leaky() -> nn.Module:
    """The activation of all layers."""
    return nn.LeakyReLU(SLOPE)


class Modulation(nn.Module):
    """Normalises groups of channels of each shower, then scales and shifts them as the style states.

    Nothing is averaged over showers: results depend neither on the batch nor on how it is shared among ranks.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(GROUPS, channels), channels, affine=False)
        self.change = nn.Linear(STYLE, 2 * channels)

    def forward(self, x: Tensor, style_BS: Tensor) -> Tensor:
        """Activations of the same shape."""
        scale, shift = self.change(style_BS)[:, :, None, None, None].chunk(2, 1)
        return F.leaky_relu(self.norm(x) * (1 + scale) + shift, SLOPE)


class Up(nn.Module):
    """Doubles a grid."""

    def __init__(self, inputs: int, outputs: int, fine: tuple[int, int, int]) -> None:
        super().__init__()
        # 2 n - 1 cells come of n; an even number asks for one more
        more = [1 - n % 2 for n in fine]
        self.conv = nn.ConvTranspose3d(inputs, outputs, 3, 2, 1, (more[0], more[1], more[2]), bias=False)
        self.modulation = Modulation(outputs)

    def forward(self, x: Tensor, style_BS: Tensor) -> Tensor:
        """Activations on the finer grid."""
        out: Tensor = self.modulation(self.conv(x), style_BS)
        return out


class DenseGenerator(nn.Module):
    """Draws compressed deposits in the folded frame.

    Parameters
    ----------
    section : Section
    conditions : int
        Length of a vector of conditions.
    latent : int
        Number of latent numbers.
    channels : int
        Channels of the grid halved once; the coarser ones have more, the window itself half as many.
    """

    def __init__(self, section: Section, conditions: int, latent: int, channels: int) -> None:
        super().__init__()
        sizes = grids(section.shape)
        self.window, self.coarse = section.window, (4 * channels, *sizes[-1])
        self.style = mlp([conditions + latent, STYLE, STYLE], leaky)
        self.start = nn.Linear(STYLE, math.prod(self.coarse))
        widths = (4 * channels, 2 * channels, channels, channels // 2)
        self.ups = nn.ModuleList(Up(widths[i], widths[i + 1], sizes[LEVELS - 1 - i]) for i in range(LEVELS))
        self.place = nn.Conv3d(3, widths[-1], 1)
        self.near = nn.Conv3d(widths[-1], widths[-1], 3, padding=1, bias=False)
        self.modulation = Modulation(widths[-1])
        self.last = nn.Conv3d(widths[-1], 1, 1)
        # most cells are no hits: begin near that, not with half of them hit
        nn.init.constant_(self.last.get_parameter("bias"), -0.5)

    def forward(self, c: DenseConditions, latent_BZ: Tensor) -> Tensor:
        """Compressed deposits, float32 [B, X, Y, L], zero where there is no hit."""
        style = F.leaky_relu(self.style(torch.cat([c.vector_BC, latent_BZ], 1)), SLOPE)
        x = F.leaky_relu(self.start(style), SLOPE).view(len(style), *self.coarse)
        # channels last: on CPUs a step then takes little more than half the time
        x = x.contiguous(memory_format=torch.channels_last_3d)
        for up in self.ups:
            x = up(x, style)
        x = self.near(x + self.place(flight_maps(c.offset_BL2, self.window)))
        return F.relu(self.last(self.modulation(x, style)))[:, 0]


class DenseCritic(nn.Module):
    """Distinguishes drawn showers from full simulation, and measures primary energy and angle.

    Only its judgement knows the particle: its measurements must come from the shower itself.

    Parameters
    ----------
    section : Section
    conditions : int
        Length of a vector of conditions.
    channels : int
        Channels of the grid halved once; the coarser ones have more.
    """

    def __init__(self, section: Section, conditions: int, channels: int) -> None:
        super().__init__()
        self.threshold = section.threshold
        coarse = grids(section.shape)[-1]
        widths = (1, channels, 2 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for i in range(LEVELS):
            kernel = 5 if i == 0 else 3
            layers += [nn.Conv3d(widths[i], widths[i + 1], kernel, 2, kernel // 2), leaky()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * math.prod(coarse), FEATURES), leaky())
        known = FEATURES + 2 * section.layers + 1
        self.judgement = mlp([known + conditions, FEATURES, 1], leaky)
        self.measurement = mlp([known, FEATURES, 2], leaky)

    def features(self, image_BXYL: Tensor) -> Tensor:
        """What is seen in compressed deposits, float32 [B, F]; among it sums of energies and, softly, of hits."""
        energy = expand(image_BXYL, self.threshold).sum((1, 2)) / UNIT
        hits = (image_BXYL / (image_BXYL + SOFT)).sum((1, 2))
        sums = torch.log1p(torch.cat([energy, energy.sum(1, keepdim=True), hits], 1)) / 4
        return torch.cat([self.trunk(image_BXYL[:, None]), sums], 1)

    def judge(self, features_BF: Tensor, c: DenseConditions) -> Tensor:
        """Log odds of full simulation, float32 [B]."""
        score: Tensor = self.judgement(torch.cat([features_BF, c.vector_BC], 1))
        return score[:, 0]

    def measure(self, features_BF: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of primary energy in GeV, and cosine of the angle less COSINE_CENTRE, each float32 [B]."""
        found: Tensor = self.measurement(features_BF)
        return found[:, 0] * 2, found[:, 1] / 4
