# SPDX-License-Identifier: BSD-3-Clause
"""Curves of a run: losses and physics against steps, as a PNG."""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from fastcalo.errors import OutputError
from fastcalo.io.atomic import output_errors, whole_file

from .throughput import TIMINGS

log = logging.getLogger(__name__)

_ROWS = {
    "losses": "loss, size of gradients",
    "ratios": "generated / true",
    "deviations": "deviation from the truth",
}
"""Rows of the figure, and what stands along their y axes."""
_HELD_OUT, _GRADIENT = "held_out_", "gradient"
_RATIOS = ("response_", "width_", "hits_")
_LINES, _MARKERS = (":", "--", "-", "-."), ("o", "s", "^", "v")
# so many points are distinguished by markers
_FEW = 40


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``; where steps were done twice (resumed), the later line counts.

    Lines that are damaged are passed over, with a warning.
    """
    lines: dict[tuple[str, str, int], dict[str, Any]] = {}
    file, damaged = run / "metrics.jsonl", 0
    if not file.exists():
        return []
    with file.open("rb") as f:
        for text in f:
            try:
                line = json.loads(text)
                lines[str(line["stage"]), str(line["kind"]), int(line["step"])] = line
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
                damaged += 1
    if damaged:
        log.warning("%s: %d lines are damaged and are passed over", file, damaged)
    return list(lines.values())


def draw_curves(run: Path) -> None:
    """Write ``curves.png``, if there is anything to draw.

    One column per stage. Rows: losses; what should be 1 (generated over true: response, width, hits); what should be 0
    (deviations). A row that no stage has anything for is left out. Numbers of one evaluation only stand side by side.
    """
    # not pyplot, which takes longer to load than all else of a short training
    from matplotlib.figure import Figure

    series = _series(read_metrics(run))
    stages = list(dict.fromkeys(stage for stage, _ in series))
    rows = [row for row in _ROWS if any((stage, row) in series for stage in stages)]
    if not rows:
        return
    figure = Figure(figsize=(6.5 * len(stages), 3.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(stages), squeeze=False)
    for column, stage in enumerate(stages):
        for ax, row in zip(axes[:, column], rows, strict=True):
            _draw_panel(ax, row, series.get((stage, row), {}))
        axes[0, column].set_title(f"stage {stage}")
    path = run / "curves.png"
    try:
        with whole_file(path, overwrite=True) as temporary, output_errors(path):
            figure.savefig(temporary, dpi=110, format="png")
    except OutputError as e:
        # a training is worth more than its picture
        log.warning("%s", e)


def _row_of(kind: str, key: str) -> str:
    if kind == "train" or key.startswith(_HELD_OUT):
        return "losses"
    return "ratios" if key.startswith(_RATIOS) or key.endswith("_ratio") else "deviations"


def _series(lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, list[tuple[int, float]]]]:
    """Points (step, value) in the order of steps, by stage and row, and by the name of the number."""
    found: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for line in sorted(lines, key=lambda line: int(line["step"])):
        for key, value in line.items():
            if key in ("stage", "kind", "step", *TIMINGS) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                found[line["stage"], _row_of(line["kind"], key)][key].append((line["step"], value))
    return found


def _draw_panel(ax: Any, row: str, curves: dict[str, list[tuple[int, float]]]) -> None:
    ax.set_ylabel(_ROWS[row])
    ax.grid(alpha=0.25)
    if not curves:
        ax.text(0.5, 0.5, "no evaluation yet", transform=ax.transAxes, ha="center", va="center", color="0.5")
        ax.set(xticks=[], yticks=[])
        return
    if row == "ratios":
        ax.axhspan(0.95, 1.05, color="0.92", zorder=0)
        ax.axhline(1, color="0.4", lw=0.8, zorder=1)
    curves = dict(sorted(curves.items(), key=lambda item: (item[0].removeprefix(_HELD_OUT), item[0])))
    looks = _loss_looks(list(curves)) if row == "losses" else _looks(list(curves))
    if row != "losses" and all(len(points) == 1 for points in curves.values()):
        _draw_evaluation(ax, curves, looks)
        return
    for key, points in curves.items():
        steps, values = zip(*points, strict=True)
        look = looks[key] if len(points) < _FEW else {**looks[key], "marker": ""}
        ax.plot(steps, values, **{"lw": 1.2, "ms": 4, **look}, label=key)
    if row == "losses":
        positive = all(value > 0 for points in curves.values() for _, value in points)
        ax.set_yscale("log" if positive else "symlog")
    elif row == "deviations":
        ax.set_ylim(bottom=0)
    ax.set_xlim(left=0)
    ax.set_xlabel("step")
    # beside the panel: there is no corner that curves leave free in every training
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_evaluation(ax: Any, curves: dict[str, list[tuple[int, float]]], looks: dict[str, dict[str, Any]]) -> None:
    for place, (key, points) in enumerate(curves.items()):
        ax.plot([place], [points[0][1]], **{"ms": 6, **looks[key], "ls": ""})
    ax.set_xticks(range(len(curves)), list(curves), rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    ax.set_xlim(-0.5, len(curves) - 0.5)
    ax.margins(y=0.1)
    ax.set_title(f"one evaluation, at step {next(iter(curves.values()))[0][0]}", fontsize=9)


def _loss_looks(keys: list[str]) -> dict[str, dict[str, Any]]:
    """A colour for each loss; that of held-out showers is dashed, and the size of the gradients, no loss, is grey."""
    names = list(dict.fromkeys(key.removeprefix(_HELD_OUT) for key in keys if key != _GRADIENT))
    looks: dict[str, dict[str, Any]] = {}
    for key in keys:
        name = key.removeprefix(_HELD_OUT)
        looks[key] = {"color": _colour(names.index(name), len(names)) if name in names else "0.65", "marker": "o"}
        if key.startswith(_HELD_OUT):
            looks[key] |= {"ls": "--", "marker": "s"}
        elif key == _GRADIENT:
            looks[key] |= {"lw": 0.8, "zorder": 1}
    return looks


def _looks(keys: list[str]) -> dict[str, dict[str, Any]]:
    """A colour for each quantity, and a line and marker for each range of energies, of names like ``hits_1-10GeV``."""
    quantities = list(dict.fromkeys(key.rpartition("_")[0] if key.endswith("GeV") else key for key in keys))
    ranges = sorted(
        {key.rpartition("_")[2] for key in keys if key.endswith("GeV")}, key=lambda text: float(text.split("-")[0])
    )
    looks = {}
    for key in keys:
        quantity, _, tail = key.rpartition("_")
        k = ranges.index(tail) % len(_LINES) if tail in ranges else -1
        name = quantity if tail in ranges else key
        colour = _colour(quantities.index(name), len(quantities))
        looks[key] = {"color": colour, "ls": _LINES[k], "marker": _MARKERS[k] if tail in ranges else "x"}
    return looks


def _colour(number: int, of: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab10"](number) if of <= 10 else colormaps["turbo"]((number + 0.5) / of)
