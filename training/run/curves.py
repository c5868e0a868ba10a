"""Curves of a run: losses and physics against steps, as a PNG."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from .throughput import TIMINGS


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``; where steps were done twice (resumed), the later line counts."""
    lines: dict[tuple[str, str, int], dict[str, Any]] = {}
    with (run / "metrics.jsonl").open() as f:
        for text in f:
            line = json.loads(text)
            lines[line["stage"], line["kind"], line["step"]] = line
    return list(lines.values())


def draw_curves(run: Path) -> None:
    """Write ``curves.png``: one column per stage, losses above, physics below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    series: dict[str, dict[str, dict[str, tuple[list[int], list[float]]]]] = defaultdict(lambda: defaultdict(dict))
    for line in read_metrics(run):
        for key, value in line.items():
            if key in ("stage", "kind", "step", *TIMINGS):
                continue
            xs, ys = series[line["stage"]][line["kind"]].setdefault(key, ([], []))
            xs.append(line["step"])
            ys.append(value)
    figure, axes = plt.subplots(2, len(series), figsize=(6 * len(series), 8), squeeze=False, constrained_layout=True)
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
    figure.savefig(run / "curves.png", dpi=110)
    plt.close(figure)
