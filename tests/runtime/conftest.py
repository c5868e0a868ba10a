# SPDX-License-Identifier: BSD-3-Clause
"""Engines that tests of the runtime share."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.models.small_engine import make_engine
from helpers.models.tiny_model import write_tiny_model

from fastcalo import FastSimulation, load_detector
from fastcalo.production.convert import Engine


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(params=["straight", "tiny", "em"])
def engine(request: pytest.FixtureRequest, tiny_model: Path) -> Engine:
    """Each engine there is; what does not depend on the physics must hold for all."""
    if request.param == "straight":
        return make_engine()
    return FastSimulation(load_detector(), "em" if request.param == "em" else tiny_model)
