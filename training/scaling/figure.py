# SPDX-License-Identifier: BSD-3-Clause
"""Scaling figure: measurements above, projection below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_COLOURS = {"strong": "tab:blue", "weak": "tab:orange"}
_TITLES = {"strong": "strong scaling (global batch fixed)", "weak": "weak scaling (batch grows with ranks)"}


def draw_scaling(found: dict[str, Any], path: Path) -> None:
    """Write a PNG.

    Parameters
    ----------
    found : dict
        As `measure_scaling` returns it.
    path : Path
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = 1 + bool(found["target"]) + bool(found["projection"])
    figure, axes = plt.subplots(rows, 2, figsize=(12, 4.5 * rows), squeeze=False, constrained_layout=True)
    _draw_measured(found, axes[0])
    if found["target"]:
        _draw_target(found, axes[1])
    if found["projection"]:
        _draw_network(found, axes[-1, 0])
        _draw_projection(found["projection"], axes[-1, 1])
    figure.suptitle(f"{found['arch']}, stage {found['stage']}, {found['nodes']} node(s), fastcalo {found['fastcalo']}")
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def _draw_measured(found: dict[str, Any], axes: Any) -> None:
    rate, efficiency = axes
    for k, (strategy, kind) in enumerate(dict.fromkeys((p["strategy"], p["kind"]) for p in found["measured"])):
        points = [p for p in found["measured"] if (p["strategy"], p["kind"]) == (strategy, kind)]
        x = np.array([p["ranks"] for p in points])
        y = np.array([p["showers_per_second"] for p in points])
        colour = _COLOURS.get(kind, f"C{k + 2}")
        label = f"{strategy}: {_TITLES[kind]}" if kind in _TITLES else f"{strategy}: one rank or more serve the others"
        style = {"fmt": "o-", "color": colour, "capsize": 3, "label": label}
        rate.errorbar(x, y, [p["spread"] for p in points], **style)
        rate.plot(x, y[0] * x / x[0], ":", color=colour, lw=1)
        e = [p["efficiency"] for p in points]
        efficiency.errorbar(x, e, [p["efficiency_spread"] for p in points], **style)
        waiting = [p["communication_share"] for p in points]
        efficiency.plot(x, waiting, "s--", color=colour, lw=1, label=f"{strategy}, {kind}: share of waiting")
    _ticks(found, axes)
    rate.set(title="measured", ylabel="showers per second", yscale="log")
    rate.legend(fontsize=8)
    efficiency.set(title="measured", ylabel="efficiency, share of waiting", ylim=(0, None))
    efficiency.axhline(1, color="grey", lw=0.5)
    efficiency.legend(fontsize=8)


def _ticks(found: dict[str, Any], axes: Any) -> None:
    ticks = sorted({p["ranks"] for p in found["measured"]})
    for ax in axes:
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.set_xlabel("ranks")


def _draw_target(found: dict[str, Any], axes: Any) -> None:
    """Time to the target, and how near the best evaluation came; hollow where not all trainings have reached it."""
    seconds, nearest = axes
    target, repeats = found["target"], len(found["measured"][0]["repeats"])
    for k, (strategy, kind) in enumerate(dict.fromkeys((p["strategy"], p["kind"]) for p in found["measured"])):
        points = [p for p in found["measured"] if (p["strategy"], p["kind"]) == (strategy, kind)]
        colour, label = _COLOURS.get(kind, f"C{k + 2}"), f"{strategy}, {kind}"
        whole = [p for p in points if p["reached"] == repeats]
        if missing := [str(p["ranks"]) for p in points if p["reached"] < repeats]:
            label += f" (not reached on {', '.join(missing)})"
        seconds.plot(
            [p["ranks"] for p in whole], [p["seconds_to_target"] for p in whole], "o-", color=colour, label=label
        )
        for p in points:
            face = colour if p["reached"] == repeats else "none"
            nearest.plot([p["ranks"]] * repeats, p["closest"], "o", color=colour, markerfacecolor=face)
    _ticks(found, axes)
    seconds.set(title=f"time to {target['name']} within {target['value']:g}", ylabel="seconds", ylim=(0, None))
    seconds.legend(fontsize=8)
    nearest.axhline(target["value"], color="grey", lw=0.5)
    nearest.set(title="best evaluations (hollow: target not reached by all)", ylabel="distance")


def _draw_network(found: dict[str, Any], ax: Any) -> None:
    from .projection import ring_cost

    sizes = np.array(found["allreduce"]["bytes"], np.float64)
    line = np.array([found["projection"]["alpha_s"], found["projection"]["beta_s_per_byte"]])
    for k, (ranks, seconds) in enumerate(found["allreduce"]["seconds"].items()):
        ax.errorbar(sizes, seconds, found["allreduce"]["spread"][ranks], fmt="o", color=f"C{k}", label=f"{ranks} ranks")
        ax.plot(sizes, ring_cost(np.full(len(sizes), float(ranks)), 1, sizes) @ line, "--", color=f"C{k}", lw=1)
    ax.set(title="sums over all ranks: measured, and the model (dashed)", xlabel="bytes", ylabel="seconds")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(fontsize=8)


def _draw_projection(projection: dict[str, Any], ax: Any) -> None:
    for kind, colour in _COLOURS.items():
        curve = projection["curves"][kind]
        if not curve["ranks"]:
            continue
        ax.plot(curve["ranks"], curve["rate"], "--", color=colour, label=f"{kind}, ring")
        ax.fill_between(curve["ranks"], curve["low"], curve["high"], color=colour, alpha=0.2)
        ax.plot(curve["ranks"], curve["rate_halving"], ":", color=colour, label=f"{kind}, halving and doubling")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_title(projection["label"].replace(": ", ":\n"), fontsize=10, color="tab:red")
    ax.set(xlabel="ranks", ylabel="showers per second")
    ax.legend(fontsize=8, title="bands: one standard deviation of the fits", title_fontsize=7)
