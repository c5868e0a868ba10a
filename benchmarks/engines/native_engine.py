# SPDX-License-Identifier: BSD-3-Clause
"""The native engine against ONNX Runtime: CPU time a shower, and whether the showers are the same.

    python benchmarks/engines/native_engine.py LIBRARY [--models NAME ...] [--batches N ...] [--rounds N]
        [--compare SHOWERS]

LIBRARY is libfastcalo_graph.so from a build of integration/cpp with its tests (build/.../tests/graph). Both run with
one thread and the same inputs, in turns; times are those of the thread, so that only their ratio depends little on what
else the machine does. With --compare, showers are drawn with both and compared hit by hit.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from native_graph import KINDS, Pair
from numpy.typing import NDArray

MODELS = ("em", "hadron", "muon")
RUNS = {1: 24, 16: 6}
"""Different batches for a size of batch."""
TOLERANCE = 1e-4
"""Relative, of deposits."""


def sgemm_rate() -> float:
    """Multiply-adds a second of a product of matrices that fit the cache, by NumPy."""
    a = np.ones((256, 128), np.float32)
    b = np.ones((128, 128), np.float32)
    best = 0.0
    for _ in range(20):
        begin = time.thread_time()
        for _ in range(20):
            a @ b
        best = max(best, 20 * 256 * 128 * 128 / (time.thread_time() - begin))
    return best


def measure(pair: Pair, batch: int, rounds: int, rate: float) -> None:
    """Print times of one size of batch."""
    graph = pair.native
    feeds = [pair.feed(batch, 100 + k) for k in range(RUNS.get(batch, 2))]
    bound = [graph.bind(f) for f in feeds]
    took = {"onnxruntime": 0, "native": 0}
    for k in range(rounds + 1):
        for engine in took:
            begin = time.thread_time_ns()
            for feed, b in zip(feeds, bound, strict=True):
                if engine == "native":
                    graph.release(graph.call(b))
                else:
                    pair.run_onnxruntime(feed)
            # the first round fills memory and caches
            took[engine] += time.thread_time_ns() - begin if k else 0
    ms = {engine: 1e-6 * ns / (rounds * len(feeds) * batch) for engine, ns in took.items()}
    parts = [graph.profile(b) for b in bound]
    showers = len(feeds) * batch
    work = sum(p[1] for p in parts) / showers
    limit = 1e3 * work / rate
    print(
        f"{pair.model.name:13} batch {batch:3}: ONNX Runtime {ms['onnxruntime']:8.4f} ms a shower, "
        f"native {ms['native']:8.4f} ms, ratio {ms['onnxruntime'] / ms['native']:5.1f}; {work / 1e6:.2f} M "
        f"multiply-adds, {ms['native'] / limit:.1f} times their time at the rate of sgemm"
    )
    total = sum(p[0][k][0] for p in parts for k in KINDS[:-1])
    shares = []
    for kind in KINDS[:-1]:
        seconds, calls = (sum(p[0][kind][j] for p in parts) for j in range(2))
        shares.append(f"{kind} {100 * seconds / total:.0f} % ({calls / len(parts):.0f} calls)")
    print("    " + ", ".join(shares), flush=True)


def compare(pair: Pair, showers: int, batch: int = 250) -> None:
    """Print how many showers differ."""
    other, off, hits, largest = 0, 0, 0, 0.0
    for first in range(0, showers, batch):
        feed = pair.feed(min(batch, showers - first), 1000 + first)
        want, got = pair.run_onnxruntime(feed), pair.native.run(feed)
        n = len(feed["kinetic_energy"])
        for k in range(0, len(pair.names), 3):
            bad, far, most = _differences(want[k : k + 3], got[k : k + 3], n)
            other, off, largest = other + bad, off + far, max(largest, most)
            hits += len(want[k])
    print(
        f"{pair.model.name:13}: {showers} showers, {hits} hits: {other} lists of hits (one a shower and section) with "
        f"other cells, in the others {off} deposits beyond {TOLERANCE:g}, the largest difference {largest:.1e}",
        flush=True,
    )


def _differences(want: list[NDArray[Any]], got: list[NDArray[Any]], n: int) -> tuple[int, int, float]:
    """Showers with other cells; of the others, deposits beyond the tolerance, and the largest difference."""
    bounds = [np.searchsorted(np.sort(shower), np.arange(n + 1)) for shower, _, _ in (want, got)]
    orders = [np.argsort(shower, kind="stable") for shower, _, _ in (want, got)]
    other = far = 0
    largest = 0.0
    for i in range(n):
        a, b = (o[s[i] : s[i + 1]] for o, s in zip(orders, bounds, strict=True))
        if len(a) != len(b) or not np.array_equal(want[1][a], got[1][b]):
            other += 1
            continue
        difference = np.abs(want[2][a] - got[2][b]) / np.abs(want[2][a])
        far += int(np.sum(difference > TOLERANCE))
        largest = max(largest, float(difference.max(initial=0)))
    return other, far, largest


def main() -> None:
    """Measure, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 16, 256))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", type=int, default=0, metavar="SHOWERS")
    args = parser.parse_args()
    rate = sgemm_rate()
    print(f"sgemm: {2e-9 * rate:.1f} GFLOP/s")
    for name in args.models:
        pair = Pair(args.library, name)
        for batch in args.batches:
            measure(pair, batch, args.rounds, rate)
        if args.compare:
            compare(pair, args.compare)


if __name__ == "__main__":
    main()
