# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a search, as PNG images; small values are better in all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcalo.validation.html_report import COLOUR, GREY, INK, Figure, png, subplots

from ..space import Choice, Dimension, Floats, Space
from ..study.record import Record, Trial
from .analysis import Convergence, RandomOrder, latency, relative_distance, value_of
from .surface import Dependence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_OTHERS = ("#0f766e", "#4f46e5", "#a16207", "#be185d")
_MAP = "viridis"
_STAR = {"marker": "*", "ms": 13, "color": COLOUR, "mec": "white", "zorder": 5, "ls": ""}
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


def draw_convergence(mine: Convergence, others: dict[str, Convergence], expected: RandomOrder | None) -> Figure:
    """Draw the best so far against trials and against their time."""
    figure, axes = subplots(1, 2, size=(12, 4))
    everyone = {"this search": mine, **others}
    for axis, x in zip(axes[0], ("trials", "group_hours"), strict=True):
        for colour, (name, found) in zip((COLOUR, *_cycle(len(others))), everyone.items(), strict=True):
            axis.step(getattr(found, x), found.best, where="post", color=colour, label=name, lw=1.8)
            axis.plot(getattr(found, x)[-1:], found.best[-1:], "o", color=colour, ms=4)
    axis = axes[0, 0]
    if expected is not None:
        mean, spread = np.array(expected.mean), np.array(expected.spread)
        axis.plot(expected.trials, mean, "--", color=INK, lw=1.2, label=f"random order of {expected.of}")
        axis.fill_between(expected.trials, mean - spread, mean + spread, color=GREY, alpha=0.3, lw=0)
    axis.set(xlabel="trials reported", ylabel="lowest value so far")
    axes[0, 1].set(xlabel="group-hours")
    axis.legend(frameon=False, fontsize=8)
    caption = "Trials that failed or were stopped take time and bring nothing."
    if expected is not None:
        caption += (
            f" Dashed: expectation and standard deviation of the lowest of so many of {expected.of}, in random order; "
            "it ends where they end."
        )
    return Figure("Convergence", caption, png(figure))


def _cycle(count: int) -> list[str]:
    return [_OTHERS[k % len(_OTHERS)] for k in range(count)]


def draw_dependence(found: Sequence[Dependence], space: Space, trials: Sequence[Trial], best: Trial) -> Figure:
    """Draw what each dimension does in the mean of all others, and the trials."""
    columns = min(_COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure, axes = subplots(rows, columns, size=(max(4.1 * columns, 5), 3.1 * rows), sharey=True)
    for axis, one, dimension in zip(axes.flat, found, space.dimensions, strict=False):
        place_G = _places(dimension, one.values)
        mean_G, error_G = one.mean, one.error
        if isinstance(dimension, Choice):
            axis.errorbar(place_G, mean_G, error_G, fmt="s", color=COLOUR, ms=6, capsize=4)
        else:
            axis.plot(place_G, mean_G, color=COLOUR)
            axis.fill_between(place_G, mean_G - error_G, mean_G + error_G, color=COLOUR, alpha=0.2, lw=0)
        _scatter(axis, dimension, trials, best)
        _label(axis, dimension)
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    _zoom(axes.flat[0], [value_of(t) for t in trials if t.status != "failed"], found)
    for axis in axes[:, 0]:
        axis.set_ylabel("value")
    failed = any(t.status == "failed" for t in trials)
    caption = (
        "Line and band, or squares: mean of the Gaussian process over all other dimensions, and its standard deviation."
        " Points: trials that are done; open ones were stopped, their value is a guess; the star is the best."
        + (" Crosses at the top: trials that failed; the process does not know them." if failed else "")
    )
    return Figure("Partial dependence", caption, png(figure))


def _scatter(axis: Axes, dimension: Dimension, trials: Sequence[Trial], best: Trial) -> None:
    for status, face in (("done", INK), ("stopped", "none")):
        some = [t for t in trials if t.status == status]
        place = _places(dimension, [t.point[dimension.key] for t in some])
        errors = [math.sqrt(t.variance) for t in some]
        axis.errorbar(place, [value_of(t) for t in some], errors, fmt="o", ms=3.5, lw=0.6, color=INK, mfc=face,
                      alpha=0.7)  # fmt: skip
    axis.plot(
        _places(dimension, [best.point[dimension.key]]),
        [value_of(best)],
        "*",
        ms=13,
        color=COLOUR,
        mec="white",
        zorder=5,
    )
    failed = _places(dimension, [t.point[dimension.key] for t in trials if t.status == "failed"])
    axis.plot(failed, np.full(len(failed), 0.97), "x", color=INK, ms=5, transform=axis.get_xaxis_transform())


def _zoom(axis: Axes, values: Sequence[float], found: Sequence[Dependence]) -> None:
    """Let a few very bad trials not flatten all else."""
    value_N = np.array(values)
    low, middle, high = np.quantile(value_N, [0, 0.5, 0.9])
    curves = np.concatenate([np.concatenate([d.mean - d.error, d.mean + d.error]) for d in found])
    top = max(min(value_N.max(), high + 2 * (high - middle)), curves.max())
    bottom = min(low, curves.min())
    axis.set_ylim(bottom - 0.06 * (top - bottom), top + 0.12 * (top - bottom))


def draw_importance(found: Sequence[Dependence]) -> Figure:
    """Draw the share of the variance that each dimension has by itself."""
    ordered = sorted(found, key=lambda d: d.share)
    figure, axes = subplots(1, 1, size=(8, 0.36 * len(ordered) + 1.1))
    axis = axes[0, 0]
    axis.barh([d.key for d in ordered], [d.share for d in ordered], xerr=[d.share_error for d in ordered],
              color=COLOUR, height=0.6, ecolor=INK)  # fmt: skip
    axis.set(xlabel="first-order Sobol index", xlim=(0, 1))
    caption = (
        "Share of the variance over the whole space that a dimension has by itself, in functions that the Gaussian "
        "process holds possible: mean and standard deviation. What is left to 1 is in the interplay of dimensions."
    )
    return Figure("Importance", caption, png(figure))


def draw_coordinates(record: Record, trials: Sequence[Trial]) -> Figure:
    """Draw every trial as a line through its values, coloured by what it came to."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    space = record.config.space
    unit_ND = space.units([t.point for t in trials])
    valued = np.array([value_of(t) for t in trials if t.status != "failed"])
    low, high = float(valued.min()), float(np.quantile(valued, 0.9))
    norm = Normalize(low, high if high > low else low + 1)
    figure, axes = subplots(1, 1, size=(max(1.9 * (len(space) + 1), 7), 4.6))
    axis = axes[0, 0]
    x = np.arange(len(space) + 1)
    # the best on top
    for k in sorted(range(len(trials)), key=lambda k: -_rank(trials[k])):
        if trials[k].status == "failed":
            axis.plot(x[:-1], unit_ND[k], ":", color=GREY, lw=1)
            continue
        value = float(norm(value_of(trials[k])))
        colour = colormaps[_MAP](min(value, 1.0))
        axis.plot(x, [*unit_ND[k], min(value, 1.1)], color=colour, lw=1.2, alpha=0.9,
                  ls="-" if trials[k].status == "done" else "--")  # fmt: skip
    for at, dimension in enumerate(space.dimensions):
        _axis_of(axis, at, dimension)
    axis.vlines(x, 0, 1, color=INK, lw=0.8)
    axis.set_xticks(x, [*map(_short, space.keys), "value"], fontsize=8)
    axis.set(yticks=[], xlim=(-0.4, len(space) + 0.3), ylim=(-0.04, 1.14))
    axis.spines[["left", "right", "top"]].set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=axis, extend="max", pad=0.01)
    bar.set_label("value")
    caption = (
        "One line a trial: its place on each axis, and its value. Dashed: stopped; dotted: failed. The worst tenth is "
        "beyond the scale."
    )
    return Figure("Parallel coordinates", caption, png(figure))


def _rank(trial: Trial) -> float:
    return math.inf if trial.status == "failed" else value_of(trial)


def _axis_of(axis: Axes, at: int, dimension: Dimension) -> None:
    values = list(dimension.every()) if isinstance(dimension, Choice) else dimension.values(np.linspace(0, 1, 5))
    for unit, value in zip(dimension.units(values), values, strict=True):
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        axis.text(at - 0.04, unit, text, fontsize=7, ha="right", va="center", color=INK, bbox=_PAPER)
        axis.plot([at - 0.02, at + 0.02], [unit, unit], color=INK, lw=0.8)


def draw_pareto(trials: Sequence[Trial], front: Sequence[Trial], best: Trial) -> Figure:
    """Draw distance against latency."""
    figure, axes = subplots(1, 1, size=(7.5, 4.6))
    axis = axes[0, 0]
    x, y = (np.array([f(t) for t in trials]) for f in (latency, relative_distance))
    axis.plot(x, y, "o", color=GREY, ms=5, label="trials")
    axis.step([latency(t) for t in front], [relative_distance(t) for t in front], where="post", color=COLOUR, lw=1.2)
    axis.plot([latency(t) for t in front], [relative_distance(t) for t in front], "o", color=COLOUR, label="front")
    if best in trials:
        axis.plot(
            latency(best),
            relative_distance(best),
            "*",
            ms=14,
            color=COLOUR,
            mec="white",
            zorder=5,
            label="best by value",
        )
    for scale, data in ((axis.set_xscale, x), (axis.set_yscale, y)):
        if data.min() > 0 and data.max() > 4 * data.min():
            scale("log")
    axis.set(xlabel="latency [ms per shower]", ylabel="distance / baseline")
    axis.legend(frameon=False, fontsize=8)
    caption = "The front: trials of which no other is both nearer to full simulation and faster."
    return Figure("Physics against latency", caption, png(figure))


def _places(dimension: Dimension, values: Sequence[Any]) -> Floats:
    """Where values stand on the axis of a figure."""
    if isinstance(dimension, Choice):
        return dimension.units(values) * len(dimension.choices) - 0.5 if len(values) else np.empty(0)
    return np.asarray(values, float)


def _label(axis: Axes, dimension: Dimension) -> None:
    axis.set_title(dimension.key, fontsize=9)
    if isinstance(dimension, Choice):
        axis.set_xticks(range(len(dimension.choices)), [str(c) for c in dimension.choices])
        axis.set_xlim(-0.5, len(dimension.choices) - 0.5)
    else:
        axis.set_xscale("log" if dimension.log else "linear")


def _short(key: str) -> str:
    """A key on two lines."""
    head, _, last = key.rpartition(".")
    return f"{head}\n{last}" if head else last
