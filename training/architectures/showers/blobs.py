# SPDX-License-Identifier: BSD-3-Clause
"""Blobs of the layers, and how hits descend from those of layers before: what the profile network gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..hit_lists.hit_networks import RATE_OFFSET
from .conditions import ShowerConditions

NARROW, WIDE = 4, 3
BLOBS = NARROW + WIDE
GATES = 4


@dataclass(frozen=True)
class Profile:
    """Blobs of every layer of every shower, and how its hits descend from those of the layer before.

    Attributes
    ----------
    weight_BLK : float32, sums to one over K
        Of narrow blobs, then of wide ones.
    inverse_BLN : float32
        Inverse widths of narrow blobs, per cell.
    centre_BLK2 : float32
        Centres in cells from the cell that is crossed, along x and y.
    scale_BLW, tail_BLW, stretch_BLW : float32
        Of wide blobs: scale across the azimuth of incidence in cells, exponent of the tail, ratio of the scale along
        the azimuth to that across.
    log_rate_BL : float32
        Log of the expected number of draws.
    kappa_BL2 : float32
        Rate at which a hit far from the line of flight brings about one across each edge, and across each corner.
    chained_BL : float32
        Part of the draws that ask for a parent.
    kernel_BL : float32
        Part of these that take the narrow kernel.
    kernel_inverse_BL2 : float32
        Inverse widths of both kernels, per cell.
    drift_BL : float32
        By which part of their distance from the line of flight children stand farther than parents.
    codes_BLC, gates_BLC : float32
        What the energy-sharing network and the one that accepts parents are given of the layer.
    """

    weight_BLK: Tensor
    inverse_BLN: Tensor
    centre_BLK2: Tensor
    scale_BLW: Tensor
    tail_BLW: Tensor
    stretch_BLW: Tensor
    log_rate_BL: Tensor
    kappa_BL2: Tensor
    chained_BL: Tensor
    kernel_BL: Tensor
    kernel_inverse_BL2: Tensor
    drift_BL: Tensor
    codes_BLC: Tensor
    gates_BLC: Tensor

    def log_probability(self, c: ShowerConditions, row_H: Tensor, layer_H: Tensor, x_H: Tensor, y_H: Tensor) -> Tensor:
        """Log probability that a draw from the blobs falls into a cell, [H]."""
        weight, centre = self.weight_BLK[row_H, layer_H], self.centre_BLK2[row_H, layer_H]
        dx, dy = x_H[:, None] - centre[..., 0], y_H[:, None] - centre[..., 1]
        inverse = self.inverse_BLN[row_H, layer_H]
        narrow = bin_mass(dx[:, :NARROW], inverse) * bin_mass(dy[:, :NARROW], inverse)
        scale, tail, stretch = (t[row_H, layer_H] for t in (self.scale_BLW, self.tail_BLW, self.stretch_BLW))
        u, v = c.along_B2[row_H, :1], c.along_B2[row_H, 1:]
        along = dx[:, NARROW:] * u + dy[:, NARROW:] * v
        across = dy[:, NARROW:] * u - dx[:, NARROW:] * v
        q = ((along / stretch) ** 2 + across**2) / (scale * scale)
        wide = tail / (math.pi * scale * scale * stretch) * torch.exp(-(tail + 1) * torch.log(1 + q))
        mass = (weight[:, :NARROW] * narrow).sum(1) + (weight[:, NARROW:] * wide).sum(1)
        return torch.log(mass.clamp_min(0) + RATE_OFFSET)


def bin_mass(distance: Tensor, inverse: Tensor) -> Tensor:
    """What a normal density of mean 0 has within half a cell of a distance."""
    a, h = distance * inverse * math.sqrt(0.5), inverse * (0.5 * math.sqrt(0.5))
    return 0.5 * (torch.erf(a + h) - torch.erf(a - h))
