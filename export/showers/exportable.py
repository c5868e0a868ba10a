# SPDX-License-Identifier: BSD-3-Clause
"""Export of ``arch = "showers"``."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastcalo.model.contract import WHOLE, Contract
from fastcalo.training.architectures.hit_lists.drawn_hits import DrawnHits
from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.conditions import ShowerConditions
from fastcalo.training.architectures.showers.gan import ShowerGan
from fastcalo.training.architectures.showers.placing import ShowersNoise

from ..hit_lists import ExportableHitLists, capacities
from .graph import build_graph


class ExportableShowerGan(ExportableHitLists[ShowerConditions, HitModel, ShowersNoise]):
    """The sampler of whole showers; see `fastcalo.export.exportable.Exportable`."""

    format = WHOLE
    parity_showers = 1_000
    measured_showers = 10_000
    entry_period = 510.0
    """Of the cells of all sections of the default calorimeter, mm."""

    def __init__(self, model: ShowerGan) -> None:
        super().__init__(model)
        self.choice, self.chooses = model.choice, model.choice is not None

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""
        return build_graph(self.model.layers, self.model.hits, self.choice, contract, *capacities(contract))

    def times(self, count_BL: Tensor) -> Tensor:
        """How many times the hits of each layer are drawn, [B, L]."""
        return self.choice.drawn(count_BL) if self.choice else super().times(count_BL)

    def outputs(self, _c: ShowerConditions, hits: DrawnHits, /) -> dict[str, NDArray[Any]]:
        """Lists of the hits of each section."""
        g = self.model.geometry
        out: dict[str, NDArray[Any]] = {}
        for (name, layers), first in zip(g.sections, g.first_layers, strict=True):
            mine = (hits.layer >= first) & (hits.layer < first + layers)
            cell = torch.stack([hits.x[mine].long(), hits.y[mine].long(), hits.layer[mine] - first], 1)
            parts = {"shower": hits.row[mine], "cell": cell, "deposit": hits.deposit[mine]}
            out |= {f"{name}_{k}": np.asarray(v.numpy()) for k, v in parts.items()}
        return out
