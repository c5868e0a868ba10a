# SPDX-License-Identifier: BSD-3-Clause
"""Measure the time of a shower, of Geant4 and of the models, for the same particles, by decade of energy.

    python benchmarks/showers.py [--geant4 N] [--repeats N] [--out FOLDER]

One core. Needs Geant4 (see docs/fullsim.md). Particles are those of `fastcalo fullsim gun`: species of the model,
angles up to 56 degrees, energies even in their logarithm. Between parts of Geant4's work the model draws a batch of
256, the first of them the same particles; times are wall times, of noise and network for the model.

Numbers of one machine compare with numbers of the same machine only; nothing here passes or fails.
"""

from __future__ import annotations

import os

# before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import argparse
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import measure
import numpy as np

import fastcalo
from fastcalo.fullsim.gun import Gun, shots_of
from fastcalo.fullsim.pool import Geant4Pool
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

HERE = Path(__file__).parent
MODELS = ("em", "hadron")
BATCH = 256
PACKAGES = ("fastcalo", "numpy", "onnxruntime", "geant4-pybind")


def measure_decade(
    model: ShowerModel, pool: Geant4Pool, energy: tuple[float, float], geant4: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds per shower of both, and their ratio."""
    gun = Gun(species=model.contract.species, energy=energy, seed=1)
    detector = fastcalo.load_detector()
    particles = gun.conditions(detector, 0, BATCH)
    parts = np.array_split(np.arange(geant4), repeats)
    # the first shots of a process take longer
    list(pool.run([shots_of(gun.conditions(detector, geant4, geant4 + 3))]))
    draw(model, particles)
    full, fast = [], []
    for part in parts:
        shots = shots_of(gun.conditions(detector, int(part[0]), int(part[-1]) + 1))
        start = time.perf_counter()
        list(pool.run([shots]))
        full.append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        draw(model, particles)
        fast.append(1e3 * (time.perf_counter() - start) / BATCH)
    times = {"geant4_ms": sum(full) / geant4, "model_ms": median(fast)}
    return {"model": model.name, "energy_gev": energy, **times, "ratio": times["geant4_ms"] / times["model_ms"]}


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
    lines = ["| model | GeV | Geant4, ms a shower | model, ms a shower | ratio |", "|---|---|---:|---:|---:|"]
    for row in rows:
        low, high = row["energy_gev"]
        numbers = f"{row['geant4_ms']:.3g} | {row['model_ms']:.3g} | {row['ratio']:.0f}"
        lines.append(f"| `{row['model']}` | {low:g}–{high:g} | {numbers} |")
    return lines


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="time of a shower, of Geant4 and of the models")
    parser.add_argument("--geant4", type=int, default=120, help="showers of Geant4 in each decade")
    parser.add_argument("--repeats", type=int, default=12, help="parts that they are shot in")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    options = parser.parse_args()

    machine = measure.hardware(PACKAGES)
    rows = []
    with Geant4Pool(fastcalo.load_detector()) as pool:
        for name in MODELS:
            model = fastcalo.load_model(name, threads=1)
            rows += [measure_decade(model, pool, energy, options.geant4, options.repeats) for energy in measure.DECADES]
    title = f"Time of a shower, one core, {date.today()}"
    measure.publish(options.out / f"showers-{date.today()}", title, machine, table(rows), rows)


if __name__ == "__main__":
    main()
