# SPDX-License-Identifier: BSD-3-Clause
"""The native engine in C++ against ONNX Runtime, on all shipped models and on one of windows."""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from helpers.models.windowed_model import WINDOWED_MODEL

from fastcalo import load_detector
from fastcalo.export.onnx_graph import BOOL, FLOAT, INT32, INT64, Graph

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "engines"))
from native_graph import NativeGraph, Pair  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def library(request):
    """The library of plain functions around the engine: named in the environment, or built with the C++ library."""
    if "FASTCALO_GRAPH_LIBRARY" in os.environ:
        return Path(os.environ["FASTCALO_GRAPH_LIBRARY"])
    return request.getfixturevalue("built") / "tests/graph/libfastcalo_graph.so"


@pytest.mark.parametrize("name", ["em", "hadron", "muon", WINDOWED_MODEL])
def test_same_showers_as_onnx_runtime(library, name):
    pair = Pair(library, name)
    for showers in (1, 40):
        feed = pair.feed(showers, seed=7)
        want, got = pair.run_onnxruntime(feed), pair.native.run(feed)
        assert sum(map(len, want[::3])) > 0
        for what, a, b in zip(pair.names, want, got, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), what
            if what.endswith("_deposit"):
                # rounding errors grow from hit to hit of a layer, and may show in a deposit just above threshold
                low = a < 2 * load_detector().section(what.removesuffix("_deposit")).threshold
                np.testing.assert_allclose(b[~low], a[~low], rtol=1e-4)
                np.testing.assert_allclose(b[low], a[low], rtol=1e-3)
                assert np.sum(np.abs(b - a) > 1e-4 * a) <= 1
            else:
                np.testing.assert_array_equal(b, a)


def both(library, graph, feed):
    """Outputs of a graph by either engine, ONNX Runtime's first."""
    image = graph.model("small", "0").SerializeToString()
    session = onnxruntime.InferenceSession(image, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    with NativeGraph(library, image, [i.name for i in session.get_inputs()], names) as native:
        return zip(session.run(None, feed), native.run(feed), native.run(feed), strict=True)


def filled(g, value=9.0):
    """A vector of one value, as long as an input of its own: of a length that is no constant."""
    return g.full(g.size(g.input("long", FLOAT, ["M"])), value, np.float32)


def test_scatters_into_one_fill(library):
    """Two are read back where they wrote, a third as a whole: none sees what another left."""
    g = Graph()
    at, other = (g.input(name, INT64, ["N"]) for name in ("at", "other"))
    value = g.input("value", FLOAT, ["N"])
    fill = filled(g)
    for k, index in enumerate((at, other)):
        least = g.op("ScatterElements", fill, index, value, axis=0, reduction="min")
        g.output(g.at(least, index), f"read_{k}", FLOAT, ["N"])
    g.output(g.op("ScatterElements", fill, at, value, axis=0, reduction="add"), "whole", FLOAT, ["M"])
    feed = {"long": np.zeros(50, np.float32), "at": np.array([3, 3, 0, 49]), "other": np.array([1, 2, 1, 2])}
    feed["value"] = np.array([4, 2, 8, 5], np.float32)
    for want, *got in both(library, g, feed):
        for array in got:
            np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize("kind", [INT32, INT64])
@pytest.mark.parametrize("places", [(2, 3998, 0), (-1, 7, -4001), ()])
def test_scatters_of_few_into_a_large_fill(library, places, kind):
    """Its memory is kept between uses: of what others wrote there, nobody sees anything."""
    g = Graph()
    at, other = (g.cast(g.op("Add", g.input(x, INT64, ["N"]), g.const(1, np.int64)), kind) for x in ("at", "other"))
    value, fill = g.input("value", FLOAT, ["N"]), filled(g)
    sums = [g.op("ScatterElements", fill, index, value, axis=0, reduction="add") for index in (at, other, at)]
    g.output(g.op("ScatterElements", sums[0], other, value, axis=0), "twice", FLOAT, ["M"])
    g.output(g.op("Concat", sums[1], g.slice(sums[2], 0, 1, 4000), axis=0), "longer", FLOAT, ["L"])
    for k, x in enumerate((*sums, fill)):
        g.output(x, f"whole_{k}", FLOAT, ["M"])
    feed = {"long": np.zeros(4001, np.float32), "at": np.array(places, np.int64) - 1}
    feed["other"] = np.array([5, 2, 5][: len(places)], np.int64) - 1
    feed["value"] = np.array([4, 2, 8][: len(places)], np.float32)
    for want, *got in both(library, g, feed):
        for array in got:
            np.testing.assert_array_equal(array, want)


def test_scatters_by_what_was_scattered(library):
    """Indices out of a vector that was scattered into, in each iteration of a loop those out of the one before."""

    def body(b):
        b.input("i", INT64, [])
        b.input("go", BOOL, [])
        at = b.input("at", INT64, [1])
        whole = b.op("ScatterElements", fill, at, b.const([0], np.int64), axis=0)
        b.output(b.op("Identity", "go"), "go_on", BOOL, [])
        b.output(b.op("Slice", whole, *(b.const([k], np.int64) for k in (0, 1, 0))), "next", INT64, [1])

    g = Graph()
    fill = g.full(g.size(g.input("long", FLOAT, ["M"])), 9, np.int64)
    start = g.input("at", INT64, [1])
    count = g.input("count", INT64, [])
    g.output(g.op("Loop", count, "", start, body=g.body("body", body)), "last", INT64, [1])
    feed = {"long": np.zeros(5000, np.float32), "at": np.array([3]), "count": np.array(30_000)}
    for want, *got in both(library, g, feed):
        for array in got:
            np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize(
    ("names", "axis", "lines", "places"),
    [
        ("LP", 0, 3, 5),
        ("LP", 0, 5, 5),
        ("LP", 1, 5, 5),
        ("LP", 0, 1, 0),
        ("LP", 0, 19, 5),
        ("NN", 0, 5, 5),
        ("NN", 1, 5, 5),
    ],
)
def test_one_vector_of_places_for_all_lines(library, names, axis, lines, places):
    """Repeated for each line, or for each column, which has the same shape where there are as many of either."""
    g = Graph()
    matrix, at = g.input("matrix", FLOAT, [names[0], "K"]), g.input("places", INT64, [names[1]])
    shape = g.op("Concat", g.size(matrix), g.size(at), axis=0)
    index = g.op("Expand", g.op("Unsqueeze", at, g.const([axis], np.int64)), shape)
    taken = g.op("GatherElements", matrix, index, axis=1)
    g.output(taken, "y", FLOAT, list(names))
    for how in ("add", "max", "none"):
        put = g.op("ScatterElements", matrix, index, g.op("Mul", taken, g.const(3.0)), axis=1, reduction=how)
        g.output(put, how, FLOAT, [names[0], "K"])
    feed = {"matrix": np.arange(6 * lines, dtype=np.float32).reshape(lines, 6)}
    feed["places"] = np.array([0, 2, -1, 4, 5])[:places]
    for want, *got in both(library, g, feed):
        for array in got:
            np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("keys", ["narrow", "wide", "few", "nearly sorted", "floats"])
def test_sorting(library, keys, largest):
    """Of equal ones, the first comes first."""
    rng = np.random.default_rng(1)
    x = {
        "narrow": rng.integers(-1000, 1000, 5000),
        "wide": rng.integers(-(2**45), 2**45, 5000) // 64 * 64,
        "few": np.repeat(rng.integers(0, 2**40, 50), 100) + rng.integers(0, 4, 5000),
        "nearly sorted": np.arange(5000) // 3 + (np.arange(5000) % 7 == 0),
        "floats": np.round(rng.normal(size=5000), 2).astype(np.float32),
    }[keys]
    g = Graph()
    kind = FLOAT if keys == "floats" else INT64
    values, places = g.ops("TopK", 2, g.input("x", kind, ["N"]), g.input("k", INT64, [1]), axis=0, largest=largest)
    g.output(values, "values", kind, ["K"])
    g.output(places, "places", INT64, ["K"])
    for k in (len(x), 1200):
        for want, *got in both(library, g, {"x": x, "k": np.array([k])}):
            for array in got:
                np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize(("kind", "dtype"), [(FLOAT, np.float32), (INT32, np.int32), (INT64, np.int64)])
def test_columns_side_by_side(library, kind, dtype):
    """Narrow matrices and a wide one, of several numbers of columns."""
    g, widths = Graph(), (1, 3, 12, 1)
    columns = [g.input(f"x{k}", kind, ["N", n]) for k, n in enumerate(widths)]
    g.output(g.op("Concat", *columns, axis=1), "y", kind, ["N", sum(widths)])
    for rows in (1, 5):
        feed = {f"x{k}": (100 * k + np.arange(rows * n)).astype(dtype).reshape(rows, n) for k, n in enumerate(widths)}
        for want, *got in both(library, g, feed):
            for array in got:
                np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize("length", [0, 1, 7, 16, 700])
def test_axes_of_length_one(library, length):
    """What a Reshape, Squeeze or Unsqueeze leaves as it is may be read from before it."""
    g = Graph()
    x, y = (g.input(name, FLOAT, ["N"]) for name in "xy")
    lines, index = g.input("lines", FLOAT, [2, "N"]), g.input("index", INT64, ["N"])
    first, second = g.ops("Split", 2, lines, axis=0, num_outputs=2)
    deep = g.op("Unsqueeze", lines, g.const([0], np.int64))
    steps = g.const([[-1], [0], [2]])
    results = {
        "rows": g.op("Concat", g.row(x), lines, g.row(y), axis=0),
        "only_rows": g.op("Concat", g.row(x), g.row(y), axis=0),
        "planes": g.op("Concat", deep, deep, axis=0),
        "columns": g.op("Concat", g.column(x), g.column(y), axis=1),
        "flat": g.op("Add", g.flat(first), x),
        "both_flat": g.op("Mul", g.flat(first), g.flat(second)),
        "both_rows": g.op("Sub", g.row(x), g.row(y)),
        "row_and_steps": g.op("Mul", g.op("Add", g.row(x), steps), g.row(y)),
        "column_and_row": g.op("Add", g.column(x), g.row(g.flat(g.row(y)))),
        "flat_column": g.op("Max", g.flat(g.column(x)), g.op("Neg", y)),
        "taken": g.at(g.flat(lines), index),
        "taken_by_row": g.op("Add", g.at(y, g.flat(g.row(index))), g.flat(second)),
        "one": g.op("Mul", x, g.flat(g.const([[3.0]]))),
    }
    axes = {
        "rows": 2,
        "only_rows": 2,
        "planes": 3,
        "columns": 2,
        "both_rows": 2,
        "row_and_steps": 2,
        "column_and_row": 2,
    }
    for name, value in results.items():
        g.output(value, name, FLOAT, [f"{name}_{k}" for k in range(axes.get(name, 1))])
    rng = np.random.default_rng(length)
    feed = {name: rng.normal(size=length).astype(np.float32) for name in "xy"}
    feed["lines"] = rng.normal(size=(2, length)).astype(np.float32)
    feed["index"] = rng.integers(0, max(length, 1), length)
    for name, (want, *got) in zip(results, both(library, g, feed), strict=True):
        for array in got:
            assert array.shape == want.shape, name
            np.testing.assert_array_equal(array, want, err_msg=name)


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 13, 45])
@pytest.mark.parametrize("columns", [1, 9, 16, 18, 48, 150])
def test_products_with_a_constant(library, rows, columns):
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(33, columns)).astype(np.float32)
    g = Graph()
    x = g.input("x", FLOAT, ["N", 33])
    turned = g.op("Transpose", x, perm=[1, 0])
    bias = rng.normal(size=columns).astype(np.float32)
    g.output(g.op("Gemm", x, g.const(weight), g.const(bias)), "right", FLOAT, ["N", columns])
    g.output(g.op("Gemm", g.const(weight), turned, g.const(bias[:, None]), transA=1), "left", FLOAT, [columns, "N"])
    g.output(g.op("MatMul", g.const(np.ascontiguousarray(weight.T)), turned), "plain", FLOAT, [columns, "N"])
    for want, *got in both(library, g, {"x": rng.normal(size=(rows, 33)).astype(np.float32)}):
        for array in got:
            np.testing.assert_allclose(array, want, rtol=1e-5, atol=1e-5)
