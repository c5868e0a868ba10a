# SPDX-License-Identifier: BSD-3-Clause
"""Processor time of a shower by size of batch and backend, in C++ and in Python, beside Geant4's; and of conversions.

    python benchmarks/engines/backends.py [--models NAME ...] [--geant4 N] [--rounds N] [--convert EVENTS]
        [--out FOLDER]

One core and one run: backends take turns in every round, and the least time of the rounds is given, so that the ratios
depend little on what else the machine does. Times are of processor, in ms a shower, with the noise. Showers are
those of `fastcalo fullsim gun`: species of the model, angles up to 56 degrees, energies even in their logarithm. The
native engine is that which `load_model` finds; Geant4 is left out with --geant4 0, conversions with --convert 0.
"""

from __future__ import annotations

import os

# before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

# what benchmarks share
sys.path.insert(0, str(Path(__file__).parents[1]))
import measure
import numpy as np
from cpp_model import CppModel

import fastcalo
from fastcalo.fullsim.gun import Gun
from fastcalo.fullsim.pool import Geant4Pool
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "examples" / "demo" / "events.root"
MODELS = ("em", "hadron", "muon")
BATCHES = {1: 40, 16: 6, 256: 1}
"""Sizes of batches, and how many different ones of each."""
PACKAGES = ("fastcalo", "numpy", "onnxruntime")
NATIVE, ORT, PYTHON_NATIVE, PYTHON_ORT = "C++, native", "C++, ONNX Runtime", "Python, native", "Python, ONNX Runtime"


def calls_of(name: str, gun: Gun) -> dict[str, dict[int, list[Callable[[], Any]]]]:
    """Functions that simulate one batch each, by backend and size of batch."""
    python = {k: fastcalo.load_model(name, 1, b) for k, b in ((PYTHON_NATIVE, "native"), (PYTHON_ORT, "onnxruntime"))}
    path = python[PYTHON_ORT].path
    cpp = {NATIVE: CppModel(path, "native"), ORT: CppModel(path, "onnxruntime")}
    calls: dict[str, dict[int, list[Callable[[], Any]]]] = {kind: {} for kind in (*cpp, *python)}
    for batch, several in BATCHES.items():
        for k in range(several):
            particles = gun.conditions(fastcalo.load_detector(), k * batch, (k + 1) * batch)
            zero = np.zeros(batch, np.int64)
            random = random_streams(1, zero, zero, np.arange(batch))
            for kind, model in cpp.items():
                calls[kind].setdefault(batch, []).append(model.bind(particles, random))
            for kind, loaded in python.items():
                calls[kind].setdefault(batch, []).append(partial(_sample, loaded, particles, random))
    return calls


def _sample(model: ShowerModel, particles: dict[str, Any], random: Any) -> None:
    pdg = particles["pdg"].astype(np.int64)
    model.sample(pdg, particles["kinetic_energy"], particles["direction"], particles["entry"], random)


def measure_model(name: str, pool: Geant4Pool | None, geant4: int, rounds: int) -> dict[str, Any]:
    """Least processor time of all backends, ms a shower, by size of batch."""
    contract = fastcalo.load_model(name, 1, "onnxruntime").contract
    low, high = (float(x) for x in np.clip(measure.ENERGIES, *contract.kinetic_energy))
    gun = Gun(species=contract.species, energy=(low, high), seed=1)
    calls = calls_of(name, gun)
    times: dict[str, dict[int, list[float]]] = {kind: {b: [] for b in BATCHES} for kind in calls}
    for k in range(rounds + 1):
        for batch, several in BATCHES.items():
            for kind in calls:
                start = time.thread_time()
                for call in calls[kind][batch]:
                    call()
                spent = time.thread_time() - start
                # the first round fills memory and caches
                times[kind][batch] += [1e3 * spent / (several * batch)] if k else []
    row: dict[str, Any] = {kind: {b: min(t) for b, t in by_batch.items()} for kind, by_batch in times.items()}
    if pool is not None:
        row["Geant4"] = measure.geant4_ms(pool, gun, geant4)
    return {"model": name, "energy_gev": (low, high), **row}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table: times, and how many times faster the native engine is."""
    kinds = (NATIVE, PYTHON_NATIVE, ORT, PYTHON_ORT)
    lines = [
        f"| model | batch | {' | '.join(kinds)} | Geant4 | C++: ratio | Python: ratio | Geant4: ratio |",
        "|---|---:" + "|---:" * (len(kinds) + 4) + "|",
    ]
    for row in rows:
        for batch in BATCHES:
            numbers = [row[kind][batch] for kind in kinds]
            native, python_native, ort, python_ort = numbers
            full = row.get("Geant4")
            ratios = [ort / native, python_ort / python_native, None if full is None else full / native]
            cells = [f"{x:.3g}" for x in numbers] + ["" if full is None else f"{full:.3g}"]
            cells += ["" if x is None else f"{x:.3g}" for x in ratios]
            lines.append(f"| `{row['model']}` | {batch} | {' | '.join(cells)} |")
    return lines


def measure_conversion(events: int, rounds: int) -> dict[str, Any]:
    """Least processor time of `convert` by backend, s; with the share outside the engine."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "in.root"), Path(scratch, "out.root")
        # what the first conversion of a process imports and compiles does not count
        fastcalo.convert(EVENTS, target, fastcalo.FastSimulation(threads=1))
        measure.repeat_events(EVENTS, source, events)
        for _ in range(rounds):
            for backend in ("native", "onnxruntime"):
                engine = fastcalo.FastSimulation(threads=1, backend=backend)
                start = time.process_time()
                summary = fastcalo.convert(source, target, engine, overwrite=True)
                spent = time.process_time() - start
                if spent < results.get(backend, {"seconds": np.inf})["seconds"]:
                    results[backend] = {"seconds": spent, "share_outside_engine": summary.share_outside_network}
    results["ratio"] = results["onnxruntime"]["seconds"] / results["native"]["seconds"]
    return results


def conversion_lines(results: dict[str, Any], events: int) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["", f"| `convert` of {events} events | s | outside the engine |", "|---|---:|---:|"]
    for backend in ("native", "onnxruntime"):
        share = 100 * results[backend]["share_outside_engine"]
        lines.append(f"| {backend} | {results[backend]['seconds']:.3g} | {share:.0f} % |")
    return [*lines, f"| ratio | {results['ratio']:.2f} | |"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="processor time of a shower by backend")
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--geant4", type=int, default=120, help="showers of Geant4 of each model")
    parser.add_argument("--rounds", type=int, default=5, help="how often each time is taken")
    parser.add_argument("--convert", type=int, default=10_000, help="events to convert")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    options = parser.parse_args()

    machine = measure.hardware(PACKAGES)
    with Geant4Pool(fastcalo.load_detector()) if options.geant4 else nullcontext() as pool:
        rows = [measure_model(name, pool, options.geant4, options.rounds) for name in options.models]
    lines, results = table(rows), {"showers": rows}
    if options.convert:
        conversion = measure_conversion(options.convert, min(options.rounds, 2))
        lines += conversion_lines(conversion, options.convert)
        results["convert"] = [{"events": options.convert, **conversion}]
    title = f"Processor time by backend, one core, {date.today()}: ms a shower"
    measure.publish(options.out / f"backends-{date.today()}", title, machine, lines, results)


if __name__ == "__main__":
    main()
