# SPDX-License-Identifier: BSD-3-Clause
"""Measure speed and memory on one core, print them, and write them with the hardware to benchmarks/results.

    python benchmarks/run.py [--repeats N] [--out FOLDER]

Numbers of one machine compare with numbers of the same machine only; nothing here passes or fails.
"""

from __future__ import annotations

import os

# before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import measure

HERE = Path(__file__).parent
EVENTS = HERE.parent / "examples" / "demo" / "events.root"
REFERENCE = HERE.parent / "examples" / "data" / "em_geant4.h5"
MODEL = "em"
BATCHES = (1, 100, 1000)
PACKAGES = ("fastcalo", "numpy", "onnxruntime", "uproot", "awkward")


def measurements(repeats: int, scratch: Path) -> dict[str, Any]:
    """Everything, in the order of the table."""
    import fastcalo

    results: dict[str, Any] = {"import fastcalo [s]": measure.summary(measure.import_seconds(repeats))}
    model = fastcalo.load_model(MODEL, threads=1)
    cell_mm = fastcalo.load_detector().sections[0].cell_mm
    geant4 = measure.geant4_ms_per_shower(REFERENCE)
    for batch in BATCHES:
        # a batch of one is over so soon that many are needed
        wall, processor = measure.ms_per_shower(model, batch, cell_mm, max(repeats, 200 // batch))
        results[f"generate, batch {batch} [ms per shower]"] = measure.summary(wall)
        results[f"generate, batch {batch}, processor time [ms per shower]"] = measure.summary(processor)
        results[f"generate, batch {batch}: times faster than Geant4"] = geant4 / median(wall)
    results["Geant4 (reduced tables), stored with its showers [ms per shower]"] = geant4
    results["model file [MB]"] = model.path.stat().st_size / 1e6

    source, target = scratch / "in.root", scratch / "out.root"
    for entries in (1_000, 20_000):
        measure.repeat_events(EVENTS, source, entries)
        results[f"convert, {entries} events: peak memory [MiB]"] = measure.convert_peak_mib(source, target)
    measure.repeat_events(EVENTS, source, 10_000)
    runs = [measure.convert_run(source, target) for _ in range(min(repeats, 3))]
    results["convert, 10000 events [s]"] = measure.summary([seconds for seconds, _ in runs])
    results["convert, 10000 events: outside ONNX Runtime [%]"] = measure.summary([100 * share for _, share in runs])
    return results


def table(results: dict[str, Any]) -> list[str]:
    """Rows of a Markdown table; the medians of what was measured more than once, and the extremes beside them."""
    rows = ["| | median | lowest | highest |", "|---|---:|---:|---:|"]
    for name, value in results.items():
        values = value.values() if isinstance(value, dict) else (value,)
        cells = [f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in values]
        rows.append(f"| {name} | " + " | ".join(cells + [""] * (3 - len(cells))) + " |")
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="speed and memory of fastcalo on one core")
    parser.add_argument("--repeats", type=int, default=7, help="how often each time is taken")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()

    machine = measure.hardware(PACKAGES)
    with tempfile.TemporaryDirectory() as scratch:
        results = measurements(options.repeats, Path(scratch))
    title = f"Benchmark of {date.today()}, one core"
    measure.publish(options.out / str(date.today()), title, machine, table(results), results)


if __name__ == "__main__":
    main()
