# SPDX-License-Identifier: BSD-3-Clause
"""Builder of ONNX graphs: nodes, constants and bodies of Scan and Loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL
UINT8, INT16, INT32, INT64 = TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64


class Graph:
    """A graph, or the body of a Scan or Loop inside another; names of the outer graph may be used in it."""

    def __init__(self, outer: Graph | None = None) -> None:
        self.outer = outer
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: dict[tuple[object, ...], onnx.TensorProto] = {}
        self._count = 0

    def new_name(self, stem: str) -> str:
        """A name that is used nowhere else, in this graph or those around it."""
        if self.outer:
            return self.outer.new_name(stem)
        self._count += 1
        return f"{stem}_{self._count}"

    def input(self, name: str, kind: int, shape: Sequence[int | str] | None) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def option(self, name: str) -> str:
        """Declare an input that is true unless it is given, bool []."""
        self.initializers[("option", name)] = numpy_helper.from_array(np.array(True), name)
        return self.input(name, BOOL, [])

    def output(self, value: str, name: str, kind: int, shape: Sequence[int | str] | None) -> None:
        """Declare `value` as the output `name`."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def const(self, value: ArrayLike, dtype: type = np.float32) -> str:
        """A constant; equal ones are kept once, in the outermost graph."""
        if self.outer:
            return self.outer.const(value, dtype)
        array: NDArray[Any] = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.initializers:
            self.initializers[key] = numpy_helper.from_array(array, self.new_name("const"))
        return self.initializers[key].name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        names = [self.new_name(kind) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def cast(self, x: str, kind: int) -> str:
        """Convert to another element type."""
        return self.op("Cast", x, to=kind)

    def slice(self, x: str, axis: int, start: str | int, end: str | int) -> str:
        """``x[start:end]`` along `axis`; bounds are numbers or names of int64 [1]."""
        bounds = [b if isinstance(b, str) else self.const([b], np.int64) for b in (start, end)]
        return self.op("Slice", x, *bounds, self.const([axis], np.int64))

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a dimension, -1 is inferred."""
        return self.op("Reshape", x, self.const(shape, np.int64))

    def column(self, x: str) -> str:
        """[n] -> [n, 1]."""
        return self.op("Unsqueeze", x, self.const([1], np.int64))

    def row(self, x: str) -> str:
        """[n] -> [1, n]."""
        return self.op("Unsqueeze", x, self.const([0], np.int64))

    def flat(self, x: str) -> str:
        """Any shape -> one dimension."""
        return self.reshape(x, -1)

    def at(self, x: str, index: str) -> str:
        """``x[index]`` of two vectors."""
        # ONNX Runtime gathers single numbers a dozen times as fast by GatherElements as by Gather
        return self.op("GatherElements", x, index, axis=0)

    def sum(self, x: str, axis: int, keep: bool = True) -> str:
        """Sum along one axis."""
        return self.op("ReduceSum", x, self.const([axis], np.int64), keepdims=int(keep))

    def size(self, x: str) -> str:
        """Length of the first axis, int64 [1]."""
        return self.op("Shape", x, start=0, end=1)

    def arange(self, count: str, dtype: type = np.int64) -> str:
        """0, 1, 2, ... as a vector of length `count`, which is int64 [1]."""
        zero, one = self.const(0, dtype), self.const(1, dtype)
        end = self.op("Squeeze", count)
        return self.op("Range", zero, end if dtype is np.int64 else self.cast(end, INT32), one)

    def full(self, count: str, value: int | float, dtype: type = np.int64) -> str:
        """A vector of one value; `count` is int64 [1]."""
        tensor = numpy_helper.from_array(np.array([value], dtype))
        return self.op("ConstantOfShape", count, value=tensor)

    def clip(self, x: str, low: float | None, high: float | None) -> str:
        """Limit to a range."""
        return self.op("Clip", x, "" if low is None else self.const(low), "" if high is None else self.const(high))

    def silu(self, x: str) -> str:
        """X sigmoid(x)."""
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gemm(self, x: str, weight: ArrayLike, bias: ArrayLike | None = None) -> str:
        """X @ weight + bias."""
        tail = [] if bias is None else [self.const(bias)]
        return self.op("Gemm", x, self.const(weight), *tail)

    def body(self, name: str, build: Callable[[Graph], None]) -> onnx.GraphProto:
        """A sub-graph for Scan or Loop."""
        inner = Graph(self)
        build(inner)
        return inner.finish(name)

    def finish(self, name: str) -> onnx.GraphProto:
        """The graph as ONNX."""
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self.initializers.values()))

    def model(self, name: str, producer_version: str) -> onnx.ModelProto:
        """The graph as a model, checked."""
        model = helper.make_model(
            self.finish(name),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="fastcalo",
            producer_version=producer_version,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
