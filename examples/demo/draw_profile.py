# SPDX-License-Identifier: BSD-3-Clause
"""Draw the mean longitudinal profile of a model's showers against full simulation, by energy and species."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastcalo.detector.description import Detector
    from fastcalo.model.shower_model import ShowerModel

FloatArray = NDArray[np.float64]

SECTION = "ECAL"
# codes, name and colour of what the table of the reference calls a species
SPECIES = {"photon": ((22,), "photons", "#d1495b"), "electron": ((11, -11), "electrons, positrons", "#00798c")}
# as the reference's showers
CONE_DEGREES = 56.0
SHOWERS = 2000  # of the model, for every species and decade of energy
SEED = 1
# layers that hold less of the shower than this are left out of the ratio: their mean is all fluctuation
WORTH_COMPARING = 0.005


def read_reference(path: Path) -> dict[tuple[str, float, float], tuple[FloatArray, FloatArray]]:
    """Read mean and error [layers] (MeV per GeV) by species and range of energy (GeV) from a table."""
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    profiles: dict[tuple[str, float, float], list[tuple[float, float]]] = {}
    for row in rows:
        key = row["species"], float(row["low"]), float(row["high"])
        profiles.setdefault(key, []).append((float(row["mean"]), float(row["error"])))
    return {key: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for key, pairs in profiles.items()}


def model_profile(
    model: ShowerModel, codes: tuple[int, ...], low: float, high: float, cell_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and its error [layers] (MeV per GeV) of showers like those of the reference."""
    rng = np.random.default_rng(SEED)
    cos = rng.uniform(np.cos(np.radians(CONE_DEGREES)), 1, SHOWERS)
    phi, sin = rng.uniform(0, 2 * np.pi, SHOWERS), np.sqrt(1 - cos**2)
    energy = np.exp(rng.uniform(np.log(low), np.log(high), SHOWERS))
    deposits = model.generate(
        pdg=rng.choice(codes, SHOWERS),
        kinetic_energy=energy,
        direction=np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], axis=1),
        entry=rng.uniform(-cell_mm / 2, cell_mm / 2, (SHOWERS, 2)),
        seed=SEED,
    )[SECTION]
    layers = 1e3 * deposits.sum(axis=(1, 2), dtype=np.float64) / energy[:, None]
    return layers.mean(axis=0), layers.std(axis=0, ddof=1) / np.sqrt(SHOWERS)


def draw_profile(model: ShowerModel, detector: Detector, reference: Path, path: Path) -> None:
    """Draw the profiles range by range, and below them the ratio of the model to full simulation.

    Parameters
    ----------
    model : ShowerModel
    detector : Detector
    reference : Path
        Table of full simulation's profiles, CSV.
    path : Path
        PNG file to write.
    """
    profiles = read_reference(reference)
    ranges = sorted({(low, high) for _, low, high in profiles})
    figure, axes = plt.subplots(
        2, len(ranges), figsize=(14, 6.2), sharex=True, sharey="row", height_ratios=(2.4, 1), layout="constrained"
    )
    for (low, high), (top, bottom) in zip(ranges, axes.T, strict=True):
        for species, (codes, name, colour) in SPECIES.items():
            fast = model_profile(model, codes, low, high, detector.section(SECTION).cell_mm)
            _compare(top, bottom, profiles[species, low, high], fast, name, colour)
        top.set_title(f"{low:g}–{high:g} GeV")
        top.grid(alpha=0.25)
        bottom.axhspan(0.95, 1.05, color="0.92", zorder=0)
        bottom.axhline(1, color="0.4", lw=0.8, zorder=1)
        bottom.set(xlabel="layer", ylim=(0.8, 1.2))
    axes[0, 0].set(ylabel="mean deposit per layer\n[MeV per GeV of the particle]", ylim=(0, None))
    axes[1, 0].set_ylabel("model / Geant4")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"Mean longitudinal profile in the {SECTION} (grey band: ±5 %)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _compare(
    top: Axes,
    bottom: Axes,
    full: tuple[FloatArray, FloatArray],
    fast: tuple[FloatArray, FloatArray],
    name: str,
    colour: str,
) -> None:
    """Draw one species in one range: means and errors [layers], MeV per GeV."""
    (mean, error), (got, got_error) = full, fast
    layer = np.arange(len(mean))
    top.errorbar(layer, mean, error, fmt="o", ms=3.5, lw=1, color=colour, label=f"{name}: Geant4")
    top.stairs(got, np.arange(len(layer) + 1) - 0.5, color=colour, lw=1.4, label=f"{name}: model")
    shown = mean > WORTH_COMPARING * mean.sum()
    ratio = got[shown] / mean[shown]
    ratio_error = ratio * np.hypot(error[shown] / mean[shown], got_error[shown] / got[shown])
    bottom.errorbar(layer[shown], ratio, ratio_error, fmt="o", ms=3, lw=1, color=colour)
