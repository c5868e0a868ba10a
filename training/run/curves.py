# SPDX-License-Identifier: BSD-3-Clause
"""Curves of a run: losses and physics against steps, as a PNG."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

from fastcalo.errors import OutputError
from fastcalo.io.atomic import output_errors, whole_file

from .throughput import TIMINGS

log = logging.getLogger(__name__)


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
    """Write ``curves.png``, if there is anything to draw: one column per stage, losses above, physics below."""
    # not pyplot, which takes longer to load than all else of a short training
    from matplotlib.figure import Figure

    series: dict[str, dict[str, dict[str, tuple[list[int], list[float]]]]] = defaultdict(lambda: defaultdict(dict))
    for line in read_metrics(run):
        for key, value in line.items():
            if key in ("stage", "kind", "step", *TIMINGS) or not isinstance(value, int | float):
                continue
            xs, ys = series[line["stage"]][line["kind"]].setdefault(key, ([], []))
            xs.append(line["step"])
            ys.append(value)
    if not series:
        return
    figure = Figure(figsize=(6 * len(series), 8), layout="constrained")
    axes = figure.subplots(2, len(series), squeeze=False)
    for column, (stage, kinds) in enumerate(series.items()):
        for row, (kind, title) in enumerate((("train", "losses"), ("test", "physics, generated / true"))):
            ax = axes[row, column]
            for key, (xs, ys) in kinds.get(kind, {}).items():
                order = sorted(range(len(xs)), key=xs.__getitem__)
                ax.plot([xs[i] for i in order], [ys[i] for i in order], label=key, lw=1)
            ax.set(title=f"{stage}: {title}", xlabel="step")
            if kind == "train":
                ax.set_yscale("symlog")
            if ax.lines:
                ax.legend(fontsize=7, ncols=2)
    path = run / "curves.png"
    try:
        with whole_file(path, overwrite=True) as temporary, output_errors(path):
            figure.savefig(temporary, dpi=110, format="png")
    except OutputError as e:
        # a training is worth more than its picture
        log.warning("%s", e)
