# SPDX-License-Identifier: BSD-3-Clause
"""Second network: which cells of a layer are hit, and how the layer's energy is shared among them.

The hits of a layer are a point process without a window. Most are draws from a mixture of blobs around the line of
flight: narrow ones are normal densities, integrated over the cell; wide ones are densities with a power law for a tail
(a Student density in two dimensions), stretched along the azimuth of incidence. The others descend from the hits of the
last layer before that has any: a parent is taken at random, accepted with a probability that depends on where it
stands, and its child lies close to its projection along the line of flight. A hit may bring about another in a
neighbouring cell (see `neighbours`). A latent vector, whose encoder serves training only, carries what is common to the
layers of one shower (Kingma & Welling, arXiv:1312.6114, with a conditional prior: Sohn, Lee & Yan, NeurIPS 2015). Hits
share the energy of their layer by stick-breaking from the axis outwards: each takes a part of what is left above
threshold, the last one takes the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..hit_lists.hit_networks import CODES, LATENT, SHARE_COMPONENTS, HitNetworks, log_mean_energy
from ..nets import mlp
from .blobs import BLOBS, GATES, NARROW, WIDE, Profile
from .conditions import Geometry, ShowerConditions, along_across
from .neighbours import Near, Neighbours

INITIAL_WIDTHS = (0.12, 0.35, 0.8, 1.7)
INITIAL_SCALES = (2.0, 6.0, 25.0)
INITIAL_WEIGHTS = (1.0, 1.0, 0.5, -0.5, -1.0, -2.0, -3.0)
INITIAL_KERNELS = (0.3, 0.9)
WIDTH_RANGE = (-3.5, 1.4)
SCALE_RANGE = (0.2, 4.6)
"""Of the log scale of wide blobs, in cells: at the lower end a density at the middle of a cell is that of its mean."""
TAIL_RANGE = (-0.7, 1.8)
STRETCH_RANGE = (-0.7, 2.3)
KERNEL_RANGE = (-2.5, 1.6)
OUTPUTS = 4 * NARROW + 6 * WIDE + 1 + 2 + 5 + CODES + GATES
OF_PARENT = 7
"""What decides about a parent besides the layer's gates."""
SHARE_INPUTS = 1 + CODES + 2 + 2 + 1 + 2 + 5 + 4
LARGEST_NEIGHBOUR_RATES = (0.25, 0.05)
"""Across an edge, of which most hits have two that are farther, and across a corner."""


class HitModel(HitNetworks):
    """Spreads the hits of each layer over cells and shares the layer's energy among them."""

    cell_L: Tensor

    def __init__(self, geometry: Geometry, width: int = 192, share_width: int = 48, parent_width: int = 16) -> None:
        super().__init__(geometry)
        layers = geometry.layers
        self.prior = mlp([self.n_inputs, 128, 128, 2 * LATENT])
        self.profile = mlp([self.n_inputs + LATENT, width, width, layers * OUTPUTS])
        self.parent = mlp([OF_PARENT + GATES, parent_width, 2])
        self.share = mlp([SHARE_INPUTS, share_width, share_width, 3 * SHARE_COMPONENTS])
        self.encoder = mlp([self.n_inputs + 8 * layers, 256, 256, 2 * LATENT])
        self.register_buffer("threshold_L", torch.tensor(geometry.threshold), persistent=False)
        self.register_buffer("cell_L", torch.tensor(geometry.cell), persistent=False)
        self.weight_bias = nn.Parameter(torch.tensor(INITIAL_WEIGHTS))
        self.width_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_WIDTHS)))
        self.scale_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_SCALES)))
        self.kernel_bias = nn.Parameter(torch.log(torch.tensor(INITIAL_KERNELS)))
        self.scale_initial_weights()

    def prior_profile(self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor, normal_BZ: Tensor) -> Profile:
        """Blobs of all layers, with the latent vector that standard normal numbers give."""
        x = self.inputs(c, energy_BL, count_BL)
        return self.profile_of(c, x, count_BL, self.drawn_latent(x, normal_BZ))

    def profile_of(self, c: ShowerConditions, x: Tensor, count_BL: Tensor, latent_BZ: Tensor) -> Profile:
        """Blobs of all layers."""
        raw = self.profile(torch.cat([x, latent_BZ], 1)).view(len(c), self.geometry.layers, OUTPUTS)
        (
            logits,
            width,
            scale,
            tail,
            stretch,
            along,
            across,
            rate,
            kappa,
            chained,
            kernel,
            kernels,
            drift,
            codes,
            gates,
        ) = raw.split([BLOBS, NARROW, WIDE, WIDE, WIDE, BLOBS, BLOBS, 1, 2, 1, 1, 2, 1, CODES, GATES], -1)
        weight = torch.softmax(logits + self.weight_bias, -1)
        inverse = torch.exp(-(width * 0.5 + self.width_bias).clamp(*WIDTH_RANGE))
        scale = torch.exp((scale * 0.5 + self.scale_bias).clamp(*SCALE_RANGE))
        tail = torch.exp((tail * 0.5 + 0.5).clamp(*TAIL_RANGE))
        stretch = torch.exp((stretch * 0.5).clamp(*STRETCH_RANGE))
        # wide blobs are shifted in units of their scale
        unit = torch.cat([torch.ones_like(inverse), 0.3 * scale], -1)
        a, b = along * unit, across * unit
        ux, uy = c.along_B2[:, None, :1], c.along_B2[:, None, 1:]
        centre = c.offset_BL2[:, :, None] + torch.stack([a * ux - b * uy, a * uy + b * ux], -1)
        before = F.pad(torch.cumsum(count_BL[:, :-1], 1), (1, 0))
        return Profile(
            weight, inverse, centre, scale, tail, stretch,
            torch.log(count_BL + 0.8) + 0.3 * rate[..., 0],
            torch.tensor(LARGEST_NEIGHBOUR_RATES, device=x.device) * torch.sigmoid(kappa - 2),
            torch.sigmoid(chained[..., 0]) * (before > 0),
            torch.sigmoid(kernel[..., 0]),
            torch.exp(-(kernels * 0.5 + self.kernel_bias).clamp(*KERNEL_RANGE)),
            1 + 0.1 * drift[..., 0], codes, gates,
        )  # fmt: skip

    def parents(
        self, c: ShowerConditions, profile: Profile, row_H: Tensor, layer_H: Tensor, d_H2: Tensor,
        near: Near | Neighbours,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Probability that a hit is accepted as a parent in the layer behind [H], and where its children stand [H, 2].

        Parameters
        ----------
        c : ShowerConditions
        profile : Profile
        row_H, layer_H : int64 [H]
        d_H2 : float32 [H, 2]
            From the line of flight, in cells of the hit's own layer.
        near : Near or Neighbours
            What stands beside each hit and before it.

        Returns
        -------
        float32 [H], [H, 2]
            The second in cells of the hit's own layer from the line of flight.
        """
        behind = (layer_H + 1).clamp_max(self.geometry.layers - 1)
        u = c.along_B2[row_H]
        a, b = d_H2[:, 0] * u[:, 0] + d_H2[:, 1] * u[:, 1], (d_H2[:, 1] * u[:, 0] - d_H2[:, 0] * u[:, 1]).abs()
        log_r = torch.log((d_H2 * d_H2).sum(1) + 0.1) / 2
        length = near.length_H
        columns = [
            log_r,
            a / (5 + a.abs()),
            b / (5 + b),
            near.beside_H / 3,
            near.before_H / 3,
            length / 8,
            length / (length + 1),
        ]
        raw = self.parent(torch.cat([torch.stack(columns, 1), profile.gates_BLC[row_H, behind]], 1))
        accepted, goes_on = torch.sigmoid(raw).unbind(1)
        centre = d_H2 * profile.drift_BL[row_H, behind, None] + goes_on[:, None] * near.step_H2
        return accepted, centre

    def share_static(
        self, c: ShowerConditions, profile: Profile, log_p_H: Tensor, row_H: Tensor, layer_H: Tensor,
        x_H: Tensor, y_H: Tensor, near: Neighbours, energy_BL: Tensor, count_BL: Tensor,
    ) -> Tensor:  # fmt: skip
        """Inputs of the sharing network that do not depend on the hits before, [H, SHARE_INPUTS - 4]."""
        a, b = along_across(c.along_B2[row_H], c.offset_BL2[row_H, layer_H], x_H, y_H)
        log_rate = log_p_H + profile.log_rate_BL[row_H, layer_H]
        depth = layer_H.float() / ((self.geometry.layers - 1) / 2) - 1
        columns = [
            (log_rate.clamp(-9.0, 4.0) + 1) / 2,
            a / (1 + a.abs() / 10) / 3,
            b.abs() / (1 + b.abs() / 10) / 3,
            log_mean_energy(energy_BL, count_BL)[row_H, layer_H] / 2 - 0.5,
            (count_BL[row_H, layer_H] + 0.5).sqrt() / 3 - 1,
            depth,
            c.globals_BG[row_H, 0],
            c.globals_BG[row_H, 2],
            near.nearer_H / 2,
            near.farther_H / 2,
            near.before_H / 3,
            near.behind_H / 3,
            near.length_H / 8,
        ]
        return torch.cat([torch.stack(columns, 1), profile.codes_BLC[row_H, layer_H]], 1)
