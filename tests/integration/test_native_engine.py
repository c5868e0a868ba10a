# SPDX-License-Identifier: BSD-3-Clause
"""The native engine in C++ against ONNX Runtime, on all shipped models and on one of windows."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.models.windowed_model import WINDOWED_MODEL

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from native_graph import Pair  # noqa: E402

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
                np.testing.assert_allclose(b, a, rtol=1e-4)
            else:
                np.testing.assert_array_equal(b, a)
