# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a comparison, as PNG images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..html_report import COLOUR, GREY, INK, Figure, png, subplots
from .compare import ShowerComparison, ThreeSamples
from .distances import histogram_edges
from .observables import layer_groups
from .response import decades
from .sample import ShowerSample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

_BINS = 40
_MOST_BARS = 25


@dataclass(frozen=True)
class _Profile:
    """Means over showers, their errors [b], and the edges [b + 1] of their bins."""

    edges: FloatArray
    mean: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, edges: FloatArray, rows: FloatArray) -> _Profile:
        """Average rows [n, b]."""
        return cls(edges, rows.mean(0), rows.std(0) / np.sqrt(max(len(rows), 1)))


def draw_figures(samples: ThreeSamples, comparison: ShowerComparison, label: str) -> Iterator[Figure]:
    """Draw all figures, one after the other.

    Parameters
    ----------
    samples : ThreeSamples
    comparison : ShowerComparison
        Of the samples.
    label : str
        Name of the candidate.
    """
    yield _bars(comparison, label)
    for name in samples.reference.sections:
        yield _by_decade(samples, label, f"{name}: response", _response(name), "visible / kinetic energy", "showers")
        yield _by_decade(samples, label, f"{name}: occupancy", _occupancy(name), "hits", "showers")
        yield _by_decade(
            samples, label, f"{name}: longitudinal profile", _longitudinal(name), "layer", "mean deposit [MeV/GeV]"
        )
        yield _by_decade(
            samples, label, f"{name}: lateral profile", _lateral(samples, name), "radius [mm]",
            "mean deposit [MeV/GeV/mm]", log=True,
        )  # fmt: skip
        yield _by_decade(
            samples, label, f"{name}: cell energies", _spectrum(samples, name), "log10 of deposit / GeV",
            "hits per shower", log=True,
        )  # fmt: skip
        yield _layer_moments(samples, label, name)
        yield _correlations(comparison, label, name)
        yield _against_energy(comparison, label, name)
    if len(samples.reference.sections) > 1:
        yield _by_decade(samples, label, "Sharing between sections", _sharing, "share of the first section", "showers")


_Maker = Callable[[list[ShowerSample]], list[_Profile]]
"""Makes profiles of reference, candidate and baseline, with common edges."""


def _distribution(values: list[FloatArray]) -> list[_Profile]:
    import hist

    edges = histogram_edges(values[0], values[1], _BINS)
    filled = [hist.Hist.new.Var(edges).Double().fill(np.clip(x, edges[0], edges[-1] - 1e-9)) for x in values]
    return [
        _Profile(edges, h.values() / max(len(x), 1), np.sqrt(h.values()) / max(len(x), 1))
        for h, x in zip(filled, values, strict=True)
    ]


def _response(name: str) -> _Maker:
    return lambda samples: _distribution([s.energy(name) / s.kinetic_energy for s in samples])


def _occupancy(name: str) -> _Maker:
    return lambda samples: _distribution([s.count(name) for s in samples])


def _sharing(samples: list[ShowerSample]) -> list[_Profile]:
    energies = [[s.energy(name) for name in s.sections] for s in samples]
    return _distribution([e[0] / np.maximum(np.sum(e, axis=0), 1e-12) for e in energies])


def _longitudinal(name: str) -> _Maker:
    def make(samples: list[ShowerSample]) -> list[_Profile]:
        edges = np.arange(samples[0].sections[name].voxels.layers + 1, dtype=np.float64) - 0.5
        return [_Profile.of(edges, 1e3 * s.by_layer(name) / s.kinetic_energy[:, None]) for s in samples]

    return make


def _lateral(whole: ThreeSamples, name: str) -> _Maker:
    radii = np.unique(whole.reference.sections[name].voxels.radius)
    # one cell to a layer has no extent that is known
    edges = np.linspace(0, radii[-1] * (1 + 1e-9) or 1.0, min(25, len(radii)) + 1)

    def make(samples: list[ShowerSample]) -> list[_Profile]:
        return [
            _Profile.of(edges, 1e3 * _by_bin(s, name, s.sections[name].voxels.radius, edges) / np.diff(edges))
            for s in samples
        ]

    return make


def _by_bin(sample: ShowerSample, name: str, place: FloatArray, edges: FloatArray) -> FloatArray:
    """Deposits over kinetic energy by shower and bin of the voxels' place [n, b]."""
    hits, bins = sample.sections[name], len(edges) - 1
    at = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, bins - 1)[hits.voxel]
    sums = np.bincount(hits.shower * bins + at, hits.deposit, len(sample) * bins).reshape(-1, bins)
    return np.asarray(sums / sample.kinetic_energy[:, None])


def _spectrum(whole: ThreeSamples, name: str) -> _Maker:
    deposits = [whole.reference.sections[name].deposit, whole.candidate.sections[name].deposit]
    first, second = (np.log10(d[d > 0]) if (d > 0).any() else np.zeros(1) for d in deposits)
    edges = histogram_edges(first, second, _BINS)

    def make(samples: list[ShowerSample]) -> list[_Profile]:
        rows = []
        for s in samples:
            hits, bins = s.sections[name], len(edges) - 1
            with np.errstate(divide="ignore"):
                at = np.clip(np.searchsorted(edges, np.log10(hits.deposit), side="right") - 1, 0, bins - 1)
            rows.append(np.bincount(hits.shower * bins + at, minlength=len(s) * bins).reshape(-1, bins).astype(float))
        return [_Profile.of(edges, r) for r in rows]

    return make


def _by_decade(
    samples: ThreeSamples, label: str, title: str, make: _Maker, x: str, y: str, *, log: bool = False
) -> Figure:
    """Reference, candidate and baseline, decade by decade, and below them their ratios to the reference."""
    ranges = decades(samples.reference)
    figure, axes = subplots(2, len(ranges), height_ratios=(2.4, 1), sharex="col")
    for k, (low, high) in enumerate(ranges):
        inside = [
            s.take(np.flatnonzero((s.kinetic_energy >= low) & (s.kinetic_energy < high)))
            for s in (samples.reference, samples.candidate, samples.baseline)
        ]
        if min(map(len, inside)):
            _overlay(axes[0, k], axes[1, k], make(inside), label)
        shown = log and any(line.get_ydata().any() for line in axes[0, k].lines)
        axes[0, k].set(title=f"{low:g}–{high:g} GeV", yscale="log" if shown else "linear")
        axes[1, k].set(xlabel=x, ylim=(0.5, 1.5))
    axes[0, 0].set_ylabel(y)
    axes[1, 0].set_ylabel("ratio")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return Figure(title, "By kinetic energy; below, the ratios to full simulation.", png(figure))


def _overlay(top: Axes, bottom: Axes, profiles: list[_Profile], label: str) -> None:
    import mplhep

    reference, candidate, baseline = profiles
    edges = reference.edges
    mplhep.histplot(
        reference.mean, edges, yerr=reference.error, histtype="errorbar", color=INK, ms=3, ax=top, flow="none",
        label="full simulation",
    )  # fmt: skip
    for profile, colour, name in ((baseline, GREY, "full simulation again"), (candidate, COLOUR, label)):
        mplhep.histplot(profile.mean, edges, histtype="step", color=colour, ax=top, label=name, yerr=False, flow="none")
        shown = (reference.mean > 0) & (profile.mean > 0)
        ratio = np.divide(profile.mean, reference.mean, out=np.full(len(shown), np.nan), where=shown)
        error = ratio * np.hypot(
            *(np.divide(p.error, p.mean, out=np.zeros(len(shown)), where=shown) for p in (profile, reference))
        )
        middle = (edges[1:] + edges[:-1]) / 2
        bottom.errorbar(middle, ratio, error, fmt="o", ms=2.5, lw=1, color=colour)
    bottom.axhline(1, color=INK, lw=0.8)


def _layer_moments(samples: ThreeSamples, label: str, name: str) -> Figure:
    """Mean over showers of the centre of gravity and of the width in each layer that has energy."""
    first, _ = layer_groups(samples.reference.sections[name].voxels.layers)
    figure, axes = subplots(1, 3)
    three = ((samples.reference, INK, "full simulation"), (samples.baseline, GREY, "full simulation again"),
             (samples.candidate, COLOUR, label))  # fmt: skip
    for k, (sample, colour, text) in enumerate(three):
        moments = _centres_and_widths(sample, name, first)
        for axis, rows in zip(axes[0], moments, strict=True):
            n = np.maximum(np.isfinite(rows).sum(0), 1)
            mean = np.nansum(rows, axis=0) / n
            error = np.sqrt(np.nansum((rows - mean) ** 2, axis=0)) / n
            axis.errorbar(first + 0.15 * k, mean, error, fmt="o", ms=3, lw=1, color=colour, label=text)
    for axis, text in zip(axes[0], ("centre in x [mm]", "centre in y [mm]", "width [mm]"), strict=True):
        axis.set(xlabel="layer", ylabel=text)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return Figure(f"{name}: centres and widths", "Mean over the showers that leave energy in a layer.", png(figure))


def _centres_and_widths(sample: ShowerSample, name: str, first: NDArray[np.int64]) -> list[FloatArray]:
    hits = sample.sections[name]
    e, x, y, radius = hits.deposit, *(v[hits.voxel] for v in (hits.voxels.x, hits.voxels.y, hits.voxels.radius))
    sums = [np.add.reduceat(sample.by_layer(name, w), first, axis=1) for w in (e, e * x, e * y, e * radius**2)]
    there = sums[0] > 0
    cx, cy, square = (np.divide(s, sums[0], out=np.full_like(s, np.nan), where=there) for s in sums[1:])
    return [cx, cy, np.sqrt(np.maximum(square - cx**2 - cy**2, 0))]


def _correlations(comparison: ShowerComparison, label: str, name: str) -> Figure:
    reference, candidate = comparison.correlations[name]
    figure, axes = subplots(1, 3)
    panels = (("full simulation", reference, 1.0), (label, candidate, 1.0), ("difference", candidate - reference, 0.25))
    for axis, (text, matrix, most) in zip(axes[0], panels, strict=True):
        image = axis.imshow(matrix, vmin=-most, vmax=most, cmap="RdBu_r", origin="lower")
        axis.set(title=text, xlabel="layer", ylabel="layer")
        figure.colorbar(image, ax=axis, shrink=0.8)
    caption = "Correlations of the energies of layers, or groups of neighbouring ones."
    return Figure(f"{name}: correlations", caption, png(figure))


def _against_energy(comparison: ShowerComparison, label: str, name: str) -> Figure:
    """Response, resolution and hits over those of full simulation, by species."""
    rows = [r for r in comparison.response if r.section == name and r.cell.angle is None]
    species: list[int | None] = [*sorted({r.cell.species for r in rows if r.cell.species is not None})] or [None]
    figure, axes = subplots(1, 3)
    for axis, (quantity, text) in zip(
        axes[0], {"response": "response", "width": "relative width", "hits": "hits"}.items(), strict=True
    ):
        for k, code in enumerate(species):
            mine = [r for r in rows if r.cell.species == code]
            energy = np.array([np.sqrt(np.prod(r.cell.energy)) for r in mine]) * 1.08 ** (k - len(species) / 2)
            for baseline, marker in ((True, "none"), (False, f"C{k}")):
                numbers = [r.numbers[quantity] for r in mine]
                value = [n.baseline if baseline else n.value for n in numbers]
                error = [n.baseline_error if baseline else n.error for n in numbers]
                name_of = label if code is None else f"PDG {code}"
                axis.errorbar(energy * (0.97 if baseline else 1), value, error, fmt="o", ms=4, lw=1, color=f"C{k}",
                              mfc=marker, label=None if baseline else name_of)  # fmt: skip
        axis.axhline(0, color=INK, lw=0.8)
        axis.set(xscale="log", xlabel="kinetic energy [GeV]", title=f"{text}: over full simulation's, less 1")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return Figure(
        f"{name}: response against energy", "Full points: the candidate; open ones: the baseline.", png(figure)
    )


def _bars(comparison: ShowerComparison, label: str) -> Figure:
    worst = sorted(comparison.observables.items(), key=lambda item: -item[1]["separation"].value)[:_MOST_BARS]
    figure, axes = subplots(1, 1, size=(9, 0.26 * len(worst) + 1.2))
    place = np.arange(len(worst))[::-1]
    numbers = [row["separation"] for _, row in worst]
    axes[0, 0].barh(place + 0.2, [n.value for n in numbers], 0.4, xerr=[n.error for n in numbers], color=COLOUR,
                    label=label)  # fmt: skip
    axes[0, 0].barh(place - 0.2, [n.baseline for n in numbers], 0.4, xerr=[n.baseline_error for n in numbers],
                    color=GREY, label="full simulation again")  # fmt: skip
    axes[0, 0].set_yticks(place, [name for name, _ in worst], fontsize=8)
    axes[0, 0].set_xlabel("separation power")
    axes[0, 0].legend(frameon=False, fontsize=8)
    caption = f"The {len(worst)} observables of {len(comparison.observables)} with the largest separation power."
    return Figure("Worst observables", caption, png(figure))
