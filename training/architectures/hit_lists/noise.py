# SPDX-License-Identifier: BSD-3-Clause
"""Noise from which showers are drawn as lists of hits: the same tensors are inputs of the ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor

from ...random_numbers import ShowerRandom
from .hit_networks import LATENT
from .points import needed_rows

PointNoise: TypeAlias = tuple[str, int, Literal["uniform", "logistic", "normal"]]
"""Name of a tensor of noise of points, numbers per point, and their distribution."""

HIT_STREAMS = (6, 7)
"""Random numbers of each hit: which component of its share's mixture, and where in it."""


def layer_numbers(*, chooses: bool) -> int:
    """Uniform numbers of a layer: which components of count and energy, and which of several candidates is kept."""
    return 3 if chooses else 2


@dataclass(frozen=True)
class Noise:
    """Noise of a batch. Architectures add the tensor that places points in their blobs.

    Attributes
    ----------
    POINTS : tuple of PointNoise
        Both tensors of points, ``point_uniform`` first.
    layer_uniform : float32 [B, L, 2 or 3]
        The third column is there where layers have several candidates: which one is kept.
    layer_logistic, layer_normal : float32 [B, L]
        See `LayerModel.sample`.
    latent_normal : float32 [B, Z]
    point_uniform : float32 [B, P, 2 or 3]
        A row per point: what it is drawn from, and whether it brings about another hit (see `neighbours.successors`).
    hit_uniform, hit_logistic : float32 [B, Q, 1]
        A row per hit: which component of its share's mixture, and where in it.
    capacity, hit_capacity : int64 [B]
        Rows of points and of hits that each shower may use, at most P and Q. A shower that needs more uses rows
        twice.
    """

    POINTS: ClassVar[tuple[PointNoise, PointNoise]]

    layer_uniform: Tensor
    layer_logistic: Tensor
    layer_normal: Tensor
    latent_normal: Tensor
    point_uniform: Tensor
    hit_uniform: Tensor
    hit_logistic: Tensor
    capacity: Tensor
    hit_capacity: Tensor

    @classmethod
    def draw(cls, count_BL: Tensor, draws: ShowerRandom | None = None, times_BL: Tensor | None = None) -> Self:
        """As much noise as showers of known hit counts need, for training.

        Parameters
        ----------
        count_BL : Tensor [B, L]
        draws : ShowerRandom, optional
            Random numbers of the showers; fresh ones unless given.
        times_BL : Tensor, optional
            How many times each layer's hits are drawn, one of the sets of which is kept; int64 [B, L].
        """
        (batch, layers), device = count_BL.shape, count_BL.device
        points, hits = needed_rows(count_BL, times_BL)
        d = draws or ShowerRandom.fresh(batch, device)
        # a subclass has a field for each of its tensors of points
        of_points = {
            name: getattr(d, distribution)(stream, points, width)
            for stream, (name, width, distribution) in enumerate(cls.POINTS, 4)
        }
        return cls(
            layer_uniform=d.uniform(0, layers, layer_numbers(chooses=times_BL is not None)),
            layer_logistic=d.logistic(1, layers),
            layer_normal=d.normal(2, layers),
            latent_normal=d.normal(3, LATENT),
            hit_uniform=d.uniform(HIT_STREAMS[0], hits, 1),
            hit_logistic=d.logistic(HIT_STREAMS[1], hits, 1),
            capacity=torch.full((batch,), points, device=device),
            hit_capacity=torch.full((batch,), hits, device=device),
            **of_points,
        )
