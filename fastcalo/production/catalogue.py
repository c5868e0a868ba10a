# SPDX-License-Identifier: BSD-3-Clause
"""List of the models and detectors that fastcalo ships, by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..detector.description import DEFAULT_DETECTOR, load_detector
from ..model.contract import read_contract
from ..model.onnx_file import METADATA_KEY, read_onnx
from ..model.shower_model import DEFAULT_MODELS
from ..particles import name_of
from .inspect import shipped

_MODELS = Path(__file__).parents[1] / "model"


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Return what is shipped, as JSON can hold it. Models are read, not opened: ONNX Runtime is not needed.

    Returns
    -------
    dict
        ``models``, each with ``name``, ``species`` (PDG codes), ``kinetic_energy_gev``, ``max_angle_degrees``,
        ``sections``, ``whole`` (whether it gives whole showers, or windows), ``default`` (whether it is taken where
        none is named) and ``bytes``. ``detectors``, each with ``name``, ``sections`` (layers by name) and ``default``.
    """
    return {
        "models": [_model(name) for name in shipped("model", ".onnx")],
        "detectors": [_detector(name) for name in shipped("detector", ".toml")],
    }


def _model(name: str) -> dict[str, Any]:
    path = _MODELS / f"{name}.onnx"
    image = path.read_bytes()
    contract = read_contract(read_onnx(image, str(path)).metadata.get(METADATA_KEY), str(path))
    return {
        "name": name,
        "species": list(contract.species),
        "species_names": [name_of(code) for code in contract.species],
        "kinetic_energy_gev": list(contract.kinetic_energy),
        "max_angle_degrees": round(math.degrees(contract.max_angle), 6),
        "sections": list(contract.sections),
        "whole": contract.whole,
        "default": name in DEFAULT_MODELS,
        "bytes": len(image),
    }


def _detector(name: str) -> dict[str, Any]:
    detector = load_detector(name)
    return {
        "name": name,
        "sections": {section.name: section.layers for section in detector.sections},
        "default": name == DEFAULT_DETECTOR,
    }
