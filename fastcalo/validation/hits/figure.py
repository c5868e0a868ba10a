# SPDX-License-Identifier: BSD-3-Clause
"""Figure of a comparison of hit files: overlaid spectra and profiles, and their ratio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...io.atomic import output_errors, whole_file
from .paired import FloatArray, PairedSpectrum
from .physics import CELL_ENERGY, EVENT_ENERGY, EVENT_HITS, SPECTRA, Physics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FULL, _FAST = "#1f4e79", "#d1495b"
_EDGES = {"cells": CELL_ENERGY, "event_energy": EVENT_ENERGY, "event_hits": EVENT_HITS}
_LABELS = {
    "profile": ("layer", "energy per event [GeV]"),
    "cells": ("energy of the cell [GeV]", "cells per event"),
    "event_energy": ("visible energy [GeV]", "share of the events"),
    "event_hits": ("hits", "share of the events"),
}


def draw(physics: Physics, labels: tuple[str, str], path: Path, *, overwrite: bool = False) -> None:
    """Draw every section that has hits: events in which both simulated the same particles, if they are distinguished.

    Parameters
    ----------
    physics : Physics
        With a section that has hits, at least.
    labels : (str, str)
        What to call the full and the fast file.
    path : Path
        PNG file to write.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sections = physics.alike if physics.set_apart else physics.all
    events = physics.events_alike if physics.set_apart else physics.events
    drawn = {name: sums for name, sums in sections.items() if not sums.empty}
    figure = Figure(figsize=(15, 4.6 * len(drawn)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2 * len(drawn), len(SPECTRA), squeeze=False, height_ratios=[2.4, 1] * len(drawn))
    for row, (name, sums) in enumerate(drawn.items()):
        for (top, bottom), (key, (title, _)) in zip(grid[2 * row : 2 * row + 2].T, SPECTRA.items(), strict=True):
            spectrum = sums.spectra[key]
            _panel(top, bottom, key, spectrum, labels)
            top.set_title(f"{name}: {title}{_probability(spectrum)}", fontsize=10)
        # the first panel is empty where the layers are not known
        first = next((ax for ax in grid[2 * row] if ax.get_legend_handles_labels()[0]), None)
        if first is not None:
            first.legend(frameon=False, fontsize=9)
        grid[2 * row + 1, 0].set_ylabel("ratio")
    which = "events in which both simulated the same particles but soft ones" if physics.set_apart else "events"
    figure.suptitle(f"{events} {which}", fontsize=11)
    with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
        figure.savefig(temporary, dpi=80, format="png")


def _probability(spectrum: PairedSpectrum) -> str:
    p_value = spectrum.test[2]
    return f"\np = {p_value:.2g}" if np.isfinite(p_value) else "\n"


def _panel(top: Axes, bottom: Axes, key: str, spectrum: PairedSpectrum, labels: tuple[str, str]) -> None:
    filled = np.flatnonzero(spectrum.mean.any(axis=0))
    if not len(filled):
        return
    shown = slice(int(filled[0]), int(filled[-1]) + 1)
    edges = _EDGES.get(key, np.arange(spectrum.bins + 1) - 0.5)[shown.start : shown.stop + 1]
    middle = (edges[1:] + edges[:-1]) / 2
    for mean, error, label, colour in zip(spectrum.mean, spectrum.error, labels, (_FULL, _FAST), strict=True):
        top.stairs(mean[shown], edges, color=colour, lw=1.4, label=label)
        top.errorbar(middle, mean[shown], error[shown], fmt="none", lw=1, color=colour)
    ratio, error = (values[shown] for values in spectrum.ratio)
    _ratio(bottom, middle, ratio, error)
    across, up = _LABELS[key]
    top.set_ylabel(up, fontsize=9)
    bottom.set_xlabel(across, fontsize=9)
    for ax in (top, bottom):
        ax.grid(alpha=0.25)
        ax.set_xlim(edges[0], edges[-1])
        if key == "cells":
            ax.set_xscale("log")
    if key == "cells":
        top.set_yscale("log")
    top.tick_params(labelbottom=False)


def _ratio(ax: Axes, middle: FloatArray, ratio: FloatArray, error: FloatArray) -> None:
    """Draw the points that say something, and let them fill the panel."""
    known: NDArray[np.bool_] = np.isfinite(ratio) & (error < 0.5)
    ax.axhspan(0.95, 1.05, color="0.92", zorder=0)
    ax.axhline(1, color="0.4", lw=0.8, zorder=1)
    ax.errorbar(middle[known], ratio[known], error[known], fmt="o", ms=3, lw=1, color=_FAST)
    far = float(np.abs(ratio[known] - 1).max(initial=0.1))
    ax.set_ylim(1 - min(1.15 * far, 1), 1 + min(1.15 * far, 1.5))
