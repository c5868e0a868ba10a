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
_OF_EVENTS = ("event_energy", "event_hits")
# of a spectrum of events
_MOST_BINS = 20
# a spectrum of which the last edge is so many times the first one has a logarithmic axis
_WIDE = 8
# share of the events with hits that may lie beyond each end of what is drawn, and one that is rounding
_TAIL, _NOTHING = 0.025, 1e-9
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
    return f"\np = {p_value:.2g}" if np.isfinite(p_value) else "\ntoo few events for a test"


def _panel(top: Axes, bottom: Axes, key: str, spectrum: PairedSpectrum, labels: tuple[str, str]) -> None:
    edges: FloatArray = np.asarray(_EDGES.get(key, np.arange(spectrum.bins + 1) - 0.5), np.float64)
    logarithmic = key == "cells"
    if key in _OF_EVENTS:
        spectrum, edges, logarithmic = _drawn_bins(top, spectrum, edges, labels)
    filled = np.flatnonzero(spectrum.mean.any(axis=0))
    if not len(filled):
        return
    shown = slice(int(filled[0]), int(filled[-1]) + 1)
    edges = edges[shown.start : shown.stop + 1]
    middle = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    for mean, error, label, colour in zip(spectrum.mean, spectrum.error, labels, (_FULL, _FAST), strict=True):
        top.stairs(mean[shown], edges, color=colour, lw=1.4, label=label)
        top.errorbar(middle, mean[shown], error[shown], fmt="none", lw=1, color=colour)
    ratio, error = (values[shown] for values in spectrum.ratio)
    _ratio(bottom, middle, ratio, error)
    across, up = _LABELS[key]
    top.set_ylabel(up, fontsize=9)
    bottom.set_xlabel(across, fontsize=9)
    if top.texts:
        # space for what is written above the histogram
        top.set_ylim(top=1.3 * top.get_ylim()[1])
    for ax in (top, bottom):
        ax.grid(alpha=0.25)
        ax.set_xlim(edges[0], edges[-1])
        if logarithmic:
            ax.set_xscale("log")
            if key in _OF_EVENTS:
                _label_decades(ax)
    if key == "cells":
        top.set_yscale("log")
    top.tick_params(labelbottom=False)


def _drawn_bins(
    ax: Axes, spectrum: PairedSpectrum, edges: FloatArray, labels: tuple[str, str]
) -> tuple[PairedSpectrum, FloatArray, bool]:
    """A spectrum of events in bins wide enough to see something, their edges, and whether its axis is logarithmic.

    The first bin, of events without hits, would be one spike that hides all others: it is written in words.
    """
    counted = np.cumsum(spectrum.mean[:, 1:], axis=1)
    total = counted[:, -1:]
    if not total.any():
        return spectrum.part(1, 2), edges[1:3], False
    # where nearly all events with hits are, of both
    inside = ((counted > _TAIL * total) & (counted - spectrum.mean[:, 1:] < (1 - _TAIL) * total)).any(axis=0)
    filled = np.flatnonzero(inside) + 1
    first, last = max(int(filled[0]) - 2, 1), min(int(filled[-1]) + 3, spectrum.bins)
    size = -(-(last - first) // _MOST_BINS)
    # whole groups of bins, as far as there are any
    last = min(first + -(-(last - first) // size) * size, spectrum.bins)
    outside = total[:, 0] - spectrum.mean[:, first:last].sum(axis=1)
    for line, (text, shares) in enumerate({"no hits": spectrum.mean[:, 0], "outside": outside}.items()):
        if (shares > _NOTHING).any():
            shown = f"{text}: {', '.join(f'{s:.0%} {label}' for label, s in zip(labels, shares, strict=True))}"
            ax.text(0.03, 0.95 - 0.09 * line, shown, transform=ax.transAxes, va="top", fontsize=8, color="0.35")
    chosen = np.append(np.arange(first, last, size), last)
    wide = edges[chosen]
    return spectrum.part(first, last).merged(size), wide, bool(wide[-1] > _WIDE * wide[0])


def _label_decades(ax: Axes) -> None:
    """Write numbers at 1, 2 and 5 of each decade, for an axis of hardly more than one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _ratio(ax: Axes, middle: FloatArray, ratio: FloatArray, error: FloatArray) -> None:
    """Draw the points that are measured, and let them fill the panel."""
    known: NDArray[np.bool_] = np.isfinite(ratio) & (error < 0.5)
    if not known.any():
        ax.text(0.5, 0.5, "too few events", transform=ax.transAxes, ha="center", va="center", fontsize=8, color="0.35")
    ax.axhspan(0.95, 1.05, color="0.92", zorder=0)
    ax.axhline(1, color="0.4", lw=0.8, zorder=1)
    ax.errorbar(middle[known], ratio[known], error[known], fmt="o", ms=3, lw=1, color=_FAST)
    far = float(np.abs(ratio[known] - 1).max(initial=0.1))
    ax.set_ylim(1 - min(1.15 * far, 1), 1 + min(1.15 * far, 1.5))
