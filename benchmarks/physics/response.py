# SPDX-License-Identifier: BSD-3-Clause
"""Measure response, its width and the number of hits of a model, against every shower of files of full simulation.

    python benchmarks/physics/response.py MODEL SHOWERS.h5 [...] [--draws N] [--out FOLDER]

For each shower the model draws N with the very same particle, so that spectra of energy and angle have no part in the
errors, which are those of a bootstrap over the particles: of full simulation, and of the model. `fastcalo validate`,
with two samples of particles, judges better how showers look, but less precisely how much energy they leave.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

# what benchmarks share
sys.path.insert(0, str(Path(__file__).parents[1]))
import measure
import numpy as np
from numpy.typing import NDArray

import fastcalo
from fastcalo.io.showers.native import ShowerFile
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel

ROOT = Path(__file__).parents[2]
PACKAGES = ("fastcalo", "numpy", "onnxruntime")
BOOTSTRAPS = 200

FloatArray = NDArray[np.float64]


def measure_file(model: ShowerModel, path: Path, draws: int) -> Iterator[dict[str, Any]]:
    """Rows of the table, for each section and decade."""
    detector = fastcalo.load_detector()
    with ShowerFile(path) as f:
        f.check_detector(detector, model.contract.sections)
        pdg, energy = f.pdg().astype(np.int64), f.kinetic_energy().astype(np.float64)
        kept = np.flatnonzero(np.isin(pdg, model.contract.species) & model.energy_ok(energy))
        who = np.repeat(kept, draws)
        zero = np.zeros(len(who), np.int64)
        particles = pdg[who], energy[who].astype(np.float32), f.direction()[who], f.entry()[who]
        drawn = model.sample(*particles, random_streams(1, zero, zero, np.arange(len(who))))
        for section, showers in drawn.items():
            offsets, _, deposit = f.hits(section, 0, len(f))
            above = deposit > detector.section(section).threshold
            row = np.repeat(np.arange(len(f)), np.diff(offsets))
            true = sums(row[above], deposit[above], len(f))[:, kept, None]
            ours = sums(showers.shower, showers.deposit, len(who)).reshape(2, len(kept), draws)
            for low, high in measure.DECADES:
                here = (energy[kept] >= low) & (energy[kept] < high)
                if not here.any():
                    continue
                of = energy[kept][here][:, None]
                values = compare(true[:, here], ours[:, here], of)
                start = {"file": path.name, "section": section, "energy_gev": (low, high), "showers": int(here.sum())}
                yield start | values


def sums(shower: NDArray[np.int64], deposit: NDArray[np.float32], number: int) -> FloatArray:
    """Deposit and hits of each shower, [2, number]."""
    return np.stack([np.bincount(shower, deposit, number), np.bincount(shower, minlength=number)])


def compare(true: FloatArray, ours: FloatArray, energy: FloatArray) -> dict[str, tuple[float, float]]:
    """Each number's excess of the model over full simulation, in per cent, with its error.

    Parameters
    ----------
    true : float64 [2, n, 1]
        Deposit, and hits.
    ours : float64 [2, n, draws]
        The same.
    energy : float64 [n, 1]
    """
    rng, n = np.random.default_rng(1), len(energy)
    picks = [(slice(None), slice(None))] + [tuple(rng.integers(0, n, (2, n))) for _ in range(BOOTSTRAPS)]
    found = np.array([100 * (numbers(ours[:, b], energy[b]) / numbers(true[:, a], energy[a]) - 1) for a, b in picks])
    errors = found[1:].std(0)
    return dict(zip(("response", "width", "hits"), zip(found[0].tolist(), errors.tolist(), strict=True), strict=True))


def numbers(showers: FloatArray, energy: FloatArray) -> FloatArray:
    """Mean part of the energy that is visible, its relative width, and mean number of hits."""
    part = showers[0] / energy
    return np.array([part.mean(), part.std() / part.mean(), showers[1].mean()])


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| file | section | GeV | showers | response [%] | width [%] | hits [%] |",
        "|---|---|---|---:|---|---|---|",
    ]
    for row in rows:
        low, high = row["energy_gev"]
        cells = [f"{value:+.1f} ± {error:.1f}" for value, error in (row[k] for k in ("response", "width", "hits"))]
        lines.append(
            f"| {row['file']} | {row['section']} | {low:g}–{high:g} | {row['showers']} | {' | '.join(cells)} |"
        )
    return lines


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="response of a model against every shower of full simulation")
    parser.add_argument("model", help="a shipped model's name, or a file")
    parser.add_argument("showers", type=Path, nargs="+", help="HDF5 of full simulation")
    parser.add_argument("--draws", type=int, default=2, help="showers that the model draws for each")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    options = parser.parse_args()

    model = fastcalo.load_model(options.model)
    rows: list[dict[str, Any]] = []
    for path in options.showers:
        print(f"{path} ...", file=sys.stderr, flush=True)
        rows += measure_file(model, path, options.draws)
    title = f"Response of {model.name}, {date.today()}"
    machine = {**measure.hardware(PACKAGES), "draws": str(options.draws)}
    measure.publish(options.out / f"response-{model.name}-{date.today()}", title, machine, table(rows), rows)


if __name__ == "__main__":
    main()
