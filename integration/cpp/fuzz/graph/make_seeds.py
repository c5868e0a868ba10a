# SPDX-License-Identifier: BSD-3-Clause
"""Seeds for the fuzz targets of the native engine: small graphs of the operators that our models use.

Usage: ``python make_seeds.py FOLDER`` (needs the package onnx).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
ONE = ("Abs", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Softmax", "Sqrt", "Tanh")
TWO = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum")


Info = tuple[str, int, list[Any] | None]
"""Name, type and shape of an input or output."""


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[Info],
    outputs: Sequence[Info],
    constants: Sequence[tuple[str, Any]] = (),
) -> bytes:
    """The bytes of a model."""
    taken, given = ([helper.make_tensor_value_info(*v) for v in values] for values in (inputs, outputs))
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    graph = helper.make_graph(nodes, "seed", taken, given, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(made.SerializeToString())


def seeds() -> Iterator[tuple[str, bytes]]:
    """Names and bytes."""
    node = helper.make_node
    x, y, k = ("x", FLOAT, ["N", 2]), ("y", FLOAT, None), ("k", INT, ["N"])
    for op in ONE:
        yield op, model([node(op, ["x"], ["y"])], [x], [y])
    for op in TWO:
        yield op, model([node(op, ["x", "c"], ["y"])], [x], [y], [("c", np.array([1, 2], np.float32))])
    yield (
        "gemm",
        model(
            [node("Gemm", ["x", "w", "b"], ["h"]), node("Sigmoid", ["h"], ["s"]), node("Mul", ["h", "s"], ["y"])],
            [x],
            [y],
            [("w", np.ones((2, 3), np.float32)), ("b", np.ones(3, np.float32))],
        ),
    )
    yield (
        "shapes",
        model(
            [
                node("Shape", ["x"], ["s"], start=0, end=1),
                node("Concat", ["s", "two"], ["t"], axis=0),
                node("Reshape", ["x", "minus"], ["f"]),
                node("Unsqueeze", ["f", "zero"], ["u"]),
                node("Squeeze", ["u", "zero"], ["v"]),
                node("Slice", ["v", "zero", "two", "zero"], ["w"]),
                node("ConstantOfShape", ["t"], ["z"]),
                node("Transpose", ["z"], ["p"], perm=[1, 0]),
                node("Split", ["p"], ["a", "b"], axis=0, num_outputs=2),
                node("Expand", ["a", "t"], ["y"]),
            ],
            [x],
            [y, ("w", FLOAT, None), ("b", FLOAT, None)],
            [("two", np.array([2], np.int64)), ("minus", np.array([-1], np.int64)), ("zero", np.array([0], np.int64))],
        ),
    )
    yield (
        "indices",
        model(
            [
                node("CumSum", ["k", "axis"], ["c"], exclusive=1),
                node("Mod", ["c", "three"], ["m"]),
                node("GatherElements", ["k", "m"], ["g"], axis=0),
                node("ScatterElements", ["k", "m", "g"], ["e"], axis=0, reduction="add"),
                node("Shape", ["e"], ["n"]),
                node("TopK", ["e", "n"], ["v", "i"], axis=0, largest=0),
                node("Greater", ["v", "three"], ["q"]),
                node("Not", ["q"], ["r"]),
                node("NonZero", ["r"], ["z"]),
                node("Where", ["q", "v", "k"], ["y"]),
                node("ReduceSum", ["y", "axes"], ["sum"]),
                node("ReduceMax", ["y"], ["most"]),
                node("Gather", ["k", "axes"], ["first"]),
            ],
            [k],
            [("y", INT, None), ("z", INT, None), ("sum", INT, None), ("most", INT, None), ("first", INT, None)],
            [("axis", np.int64(0)), ("three", np.int64(3)), ("axes", np.array([0], np.int64))],
        ),
    )
    yield "scan", model([_scan()], [x, ("w", FLOAT, [4, "N", 2])], [y, ("all", FLOAT, None)])
    yield (
        "loop",
        model([_loop()], [x], [("y", FLOAT, None)], [("count", np.int64(3)), ("empty", np.zeros((0, 2), np.float32))]),
    )


def _scan() -> NodeProto:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "p"], ["so"]), helper.make_node("Tanh", ["so"], ["po"])],
        "body",
        [info("s", FLOAT, ["N", 2]), info("p", FLOAT, ["N", 2])],
        [info("so", FLOAT, ["N", 2]), info("po", FLOAT, ["N", 2])],
    )
    return helper.make_node("Scan", ["x", "w"], ["y", "all"], body=body, num_scan_inputs=1)


def _loop() -> NodeProto:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Cast", ["i"], ["f"], to=FLOAT),
            helper.make_node("Mul", ["x", "f"], ["m"]),
            helper.make_node("Concat", ["s", "m"], ["so"], axis=0),
        ],
        "body",
        [info("i", INT, []), info("go", BOOL, []), info("s", FLOAT, ["H", 2])],
        [info("on", BOOL, []), info("so", FLOAT, ["H", 2])],
    )
    return helper.make_node("Loop", ["count", "", "empty"], ["y"], body=body)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in seeds():
        (folder / f"{name}.onnx").write_bytes(image)
