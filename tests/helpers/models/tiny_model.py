# SPDX-License-Identifier: BSD-3-Clause
"""A real, tiny shower model for tests: an ONNX file with its contract, quick and known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fastcalo.detector.description import Detector, load_detector
from fastcalo.model.contract import Contract, NoiseSpec
from fastcalo.model.onnx_file import METADATA_KEY, seal

FRACTION = 0.025
"""Part of the kinetic energy that is deposited, on average."""


def write_tiny_model(path: Path, detector: Detector | None = None, **clauses: object) -> Path:
    """Write a model of e+, e- and gamma, 0.1 to 100 GeV, up to 56 degrees, in the detector's first section.

    It deposits FRACTION (0.5 + u) of the kinetic energy, with one uniform u per shower, in 5 x 5 cells of every layer.

    Parameters
    ----------
    path : Path
    detector : Detector, optional
    **clauses
        To be replaced in the contract.
    """
    detector = detector or load_detector()
    section = detector.sections[0]
    contract = Contract(
        name="tiny",
        arch="test",
        species=(11, -11, 22),
        kinetic_energy=(0.1, 100.0),
        max_angle=math.radians(56),
        sections=(section.name,),
        stack=detector.stack,
        stack_hash=detector.stack_hash,
        noise=(NoiseSpec("u", (1,), "uniform"),),
        thresholds={section.name: section.threshold},
        sparse=False,
        data_hash="none",
        code_version="none",
    )
    model = helper.make_model(
        _graph(section.name, section.shape), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(model)
    path.write_bytes(seal(model.SerializeToString(), replace(contract, **clauses).to_json()))
    return path


def write_wrong_shape(path: Path) -> Path:
    """Write a model whose graph is well-formed, but no two showers can be brought to a shape that it asks for."""
    model = onnx.load(write_tiny_model(path))
    column = next(t for t in model.graph.initializer if t.name == "column")
    column.CopyFrom(numpy_helper.from_array(np.array([7, 1, 1, 1], np.int64), "column"))
    contract = next(p.value for p in model.metadata_props if p.key == METADATA_KEY)
    path.write_bytes(seal(model.SerializeToString(), contract))
    return path


def _graph(section: str, shape: tuple[int, int, int]) -> onnx.GraphProto:
    template = np.zeros((1, *shape), np.float32)
    x, y = shape[0] // 2, shape[1] // 2
    template[:, x - 2 : x + 3, y - 2 : y + 3] = 1.0
    template *= FRACTION / template.sum()
    constants = {"template": template, "half": np.float32(0.5), "column": np.array([-1, 1, 1, 1], np.int64)}
    nodes = [
        helper.make_node("Reshape", ["kinetic_energy", "column"], ["energy"]),
        helper.make_node("Reshape", ["u", "column"], ["draw"]),
        helper.make_node("Add", ["draw", "half"], ["factor"]),
        helper.make_node("Mul", ["energy", "factor"], ["visible"]),
        helper.make_node("Mul", ["visible", "template"], [section]),
    ]
    inputs = {
        "kinetic_energy": (TensorProto.FLOAT, ["N"]),
        "direction": (TensorProto.FLOAT, ["N", 3]),
        "entry": (TensorProto.FLOAT, ["N", 2]),
        "species": (TensorProto.INT64, ["N"]),
        "u": (TensorProto.FLOAT, ["N", 1]),
    }
    return helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(section, TensorProto.FLOAT, ["N", *shape])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
