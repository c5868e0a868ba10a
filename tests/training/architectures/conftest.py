# SPDX-License-Identifier: BSD-3-Clause
"""What tests of ``arch = "showers"`` start from; each file gives the `batch` of showers that it needs."""

from __future__ import annotations

import pytest
import torch
from helpers.models.whole_hadrons import conditions_of, whole_geometry

from fastcalo.training.architectures.showers.cell_model import HitModel
from fastcalo.training.architectures.showers.conditions import Geometry, ShowerConditions
from fastcalo.training.data.batch import Batch


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return whole_geometry()


@pytest.fixture(scope="module")
def c(geometry: Geometry, batch: Batch) -> ShowerConditions:
    return conditions_of(geometry, batch)


@pytest.fixture
def model(geometry: Geometry) -> HitModel:
    torch.manual_seed(4)
    return HitModel(geometry)
