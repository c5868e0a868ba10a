# SPDX-License-Identifier: BSD-3-Clause
"""Measure the time of a shower, of Geant4 and of the models, for the same particles, by decade of energy.

    python benchmarks/engines/showers.py [--models NAME ...] [--geant4 N] [--repeats N] [--out FOLDER]

One core. Needs Geant4 (see docs/detectors/fullsim.md). Particles are those of `fastcalo fullsim gun`: species of the
model, angles up to 56 degrees, energies even in their logarithm. Between parts of Geant4's work each backend draws a
batch of 256, the first of them the same particles. Times are of processor, of noise and network for the model: the sum
of Geant4's parts, the least of the model's batches. The native engine, which `convert` takes where it is there, is left
out where it is not (make native, or FASTCALO_LIBRARY).

Numbers of one machine compare with numbers of the same machine only; nothing here passes or fails.
"""

from __future__ import annotations

import os

# before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

# what benchmarks share
sys.path.insert(0, str(Path(__file__).parents[1]))
import measure
import numpy as np

import fastcalo
from fastcalo.fullsim.gun import Gun
from fastcalo.fullsim.pool import Geant4Pool
from fastcalo.model.native_library import library_path
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

ROOT = Path(__file__).parents[2]
MODELS = ("em", "hadron")
BATCH = 256
PACKAGES = ("fastcalo", "numpy", "onnxruntime", "geant4-pybind")


def measure_decade(
    models: dict[str, ShowerModel], pool: Geant4Pool, energy: tuple[float, float], geant4: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per shower of Geant4 and of each backend, and their ratios."""
    model = next(iter(models.values()))
    gun = Gun(species=model.contract.species, energy=energy, seed=1)
    particles = gun.conditions(pool.detector, 0, BATCH)
    full = 0.0
    fast: dict[str, list[float]] = {backend: [] for backend in models}
    for loaded in models.values():
        draw(loaded, particles)
    for part in np.array_split(np.arange(geant4), min(repeats, geant4)):
        full += len(part) * measure.geant4_ms(pool, gun, len(part), int(part[0]))
        for backend, loaded in models.items():
            start = time.thread_time()
            draw(loaded, particles)
            fast[backend].append(1e3 * (time.thread_time() - start) / BATCH)
    times = {backend: min(ms) for backend, ms in fast.items()}
    ratios = {backend: full / geant4 / ms for backend, ms in times.items()}
    return {
        "model": model.name, "energy_gev": energy, "geant4_ms": full / geant4, "model_ms": times, "ratio": ratios,
    }  # fmt: skip


def load_backends(name: str) -> dict[str, ShowerModel]:
    """The model by each backend that is there."""
    backends = ("native", "onnxruntime") if library_path() else ("onnxruntime",)
    return {backend: fastcalo.load_model(name, 1, backend) for backend in backends}


def draw(model: ShowerModel, particles: dict[str, Any]) -> None:
    """One batch."""
    zero = np.zeros(BATCH, np.int64)
    model.sample(
        particles["pdg"].astype(np.int64),
        particles["kinetic_energy"],
        particles["direction"],
        particles["entry"],
        random_streams(1, zero, zero, np.arange(BATCH)),
    )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table."""
    backends = list(rows[0]["model_ms"])
    heads = [f"{backend}, ms | ratio" for backend in backends]
    lines = [f"| model | GeV | Geant4, ms a shower | {' | '.join(heads)} |"]
    lines.append("|---|---|---:" + "|---:|---:" * len(heads) + "|")
    for row in rows:
        low, high = row["energy_gev"]
        numbers = [f"{row['model_ms'][b]:.3g} | {row['ratio'][b]:.0f}" for b in backends]
        lines.append(f"| `{row['model']}` | {low:g}–{high:g} | {row['geant4_ms']:.3g} | {' | '.join(numbers)} |")
    return lines


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="time of a shower, of Geant4 and of the models")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--geant4", type=int, default=120, help="showers of Geant4 in each decade")
    parser.add_argument("--repeats", type=int, default=12, help="parts that they are shot in")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    options = parser.parse_args()

    machine = measure.hardware(PACKAGES)
    rows = []
    with Geant4Pool(fastcalo.load_detector()) as pool:
        for name in options.models:
            models = load_backends(name)
            rows += [
                measure_decade(models, pool, energy, options.geant4, options.repeats) for energy in measure.DECADES
            ]
    title = f"Time of a shower, one core, {date.today()}"
    measure.publish(options.out / f"showers-{date.today()}", title, machine, table(rows), rows)


if __name__ == "__main__":
    main()
