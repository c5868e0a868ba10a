# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "hits"``."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fastcalo.model.contract import FORMAT, Contract
from fastcalo.training.architectures.hit_lists.conditions import HitConditions
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.hits.cell_model import HitModel
from fastcalo.training.architectures.hits.gan import HitGan
from fastcalo.training.architectures.hits.sampler import HitsNoise

from ..hit_lists import ExportableHitLists, capacities
from .graph import build_graph


class ExportableHitGan(ExportableHitLists[HitConditions, HitModel, HitsNoise]):
    """The sampler of hits; see `fastcalo.export.exportable.Exportable`."""

    format = FORMAT
    parity_showers = 3_000

    def __init__(self, model: HitGan) -> None:
        super().__init__(model)
        self.measured_showers = 20_000

    @property
    def entry_period(self) -> float:
        """Width of the cells of the first layer, mm."""
        return self.model.geometry.cell[0]

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""
        return build_graph(self.model.layers, self.model.hits, *capacities(contract))

    def outputs(self, c: HitConditions, hits: DrawnHits, /) -> dict[str, NDArray[np.float32]]:
        """Windows of the hits."""
        g = self.model.geometry
        dense = torch.zeros(len(c), g.window, g.window, g.layers)
        dense[hits.row, (hits.x + g.half).long(), (hits.y + g.half).long(), hits.layer] = hits.deposit
        parts = torch.split(dense, [layers for _, layers in g.sections], 3)
        return {name: np.asarray(part.numpy()) for (name, _), part in zip(g.sections, parts, strict=True)}
