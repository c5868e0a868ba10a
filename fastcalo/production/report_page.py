# SPDX-License-Identifier: BSD-3-Clause
"""Report of a conversion as a self-contained HTML page: summary, hits, and the acceptance map of every species."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..event.events import NOT_TO_SIMULATE, Reason
from ..io.atomic import output_errors, whole_file
from ..particles import name_of
from .acceptance_map import ENERGY_GEV, MAPPED, PHI_DEG, THETA_DEG, AcceptanceMap
from .summary import Summary

_STYLE = """
:root { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; }
body { max-width: 1080px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 24px; } h2 { font-size: 19px; margin-top: 32px; }
table { border-collapse: collapse; margin: 10px 0; } td, th { padding: 3px 12px; border-bottom: 1px solid #dde3ea; }
th { text-align: left; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: 10px 0; border: 1px solid #dde3ea; border-radius: 6px; padding: 6px 12px; }
summary { cursor: pointer; } .maps { display: flex; flex-wrap: wrap; gap: 18px; }
figure { margin: 6px 0; } figcaption { color: #5b6876; font-size: 13px; }
.bar { display: flex; height: 12px; width: 260px; border-radius: 3px; overflow: hidden; }
.legend span { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 5px 0 14px; }
p.note { color: #5b6876; }
"""
_COLOURS = {
    Reason.SIMULATED: "#4c9f70",
    Reason.BAD_NUMBERS: "#1d2733",
    Reason.INVISIBLE: "#b8c2cc",
    Reason.UNKNOWN_SPECIES: "#8e5bbf",
    Reason.BORN_OUTSIDE: "#7a5c3e",
    Reason.MISSES_CALORIMETER: "#3f78c2",
    Reason.ENERGY_TOO_LOW: "#e9b44c",
    Reason.ENERGY_TOO_HIGH: "#c2410c",
    Reason.ANGLE_TOO_LARGE: "#d16ba5",
    Reason.AT_REST: "#888888",
}
_CELL = 17
_LEFT, _BOTTOM = 54, 34


def write_report(
    path: str | Path,
    summary: Summary,
    facts: Sequence[tuple[str, str]],
    *,
    overwrite: bool = False,
) -> None:
    """Write the report of a conversion.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    summary : Summary
        Its acceptance is drawn, if it has one.
    facts : sequence of (str, str)
        What else to report: labels and texts.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    OutputError
        It exists already, or cannot be written.
    """
    numbers = json.dumps(summary.to_dict()).replace("<", "\\u003c")
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>fastcalo: report of a conversion</title>",
        f"<style>{_STYLE}</style></head><body><h1>Report of a conversion</h1>",
        _table(("", ""), [[escape(label), escape(text)] for label, text in facts]),
        *_summary(summary),
        *([] if summary.acceptance is None else _acceptance(summary.acceptance)),
        f"<script type='application/json' id='numbers'>{numbers}</script></body></html>",
    ]
    with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _summary(summary: Summary) -> Iterable[str]:
    whole = sum(t.energy for reason, t in summary.reasons.items() if reason not in NOT_TO_SIMULATE)
    rows = [
        [
            escape(reason.text),
            f"{tally.count}",
            f"{tally.energy:.3f}",
            "" if reason in NOT_TO_SIMULATE else f"{100 * tally.energy / max(whole, 1e-300):.2f}",
        ]
        for reason, tally in summary.reasons.items()
        if tally.count
    ]
    yield "<h2>Particles</h2>"
    yield _table(("what became of them", "number", "kinetic energy [GeV]", "share [%]"), rows)
    unknown = sorted(summary.unknown.items(), key=lambda item: -item[1].energy)
    if unknown:
        yield "<p>Species not known to the engine:</p>"
        yield _table(
            ("species", "number", "kinetic energy [GeV]"),
            [[escape(name_of(code)), f"{t.count}", f"{t.energy:.3f}"] for code, t in unknown],
        )
    yield "<h2>Hits</h2>"
    rows = [[escape(name), f"{t.count}", f"{t.energy:.4f}"] for name, t in summary.sections.items()]
    yield _table(("section", "number", "visible energy [GeV]"), rows)
    yield "".join(f"<p class='note'>{escape(note)}</p>" for note in summary.notes)
    yield f"<p class='note'>{summary.events} events in {summary.wall_seconds:.2f} s.</p>"


def _acceptance(acceptance: AcceptanceMap) -> Iterable[str]:
    yield "<h2>Acceptance</h2>"
    yield (
        "<p>Final particles of each species by polar angle, azimuth and kinetic energy. The height of a colour in a "
        "bin is the share of that reason; empty bins had no particle. Point at a bin for its numbers.</p>"
    )
    legend = "".join(f"<span style='background:{_COLOURS[r]}'></span>{escape(r.text)}" for r in MAPPED)
    yield f"<p class='legend'>{legend}</p>"
    ordered = sorted(acceptance.counts.items(), key=lambda item: -int(item[1].sum()))
    for k, (code, counts) in enumerate(ordered):
        total = counts.sum(axis=(0, 1, 2))
        refused = int(total.sum() - total[Reason.SIMULATED])
        shares = "".join(f"<i style='flex:{int(total[r])};background:{_COLOURS[r]}'></i>" for r in MAPPED if total[r])
        yield f"<details{' open' if k < 3 else ''}><summary><b>{escape(name_of(code))}</b> ({code}): "
        yield f"{int(total.sum())} particles, {refused} refused<div class='bar'>{shares}</div></summary>"
        yield "<div class='maps'>"
        energies = [f"{e:.3g}" if np.isfinite(e) else "∞" for e in ENERGY_GEV]
        yield _map(counts.sum(axis=1), energies, "kinetic energy [GeV]")
        yield _map(counts.sum(axis=2), [f"{p:g}" for p in PHI_DEG], "azimuth [degrees]")
        yield "</div></details>"


def _map(counts: NDArray[np.int64], edges: Sequence[str], label: str) -> str:
    """One map: polar angle to the right, the other quantity up, and in each bin the shares of reasons."""
    nx, ny, _ = counts.shape
    width, height = _LEFT + nx * _CELL + 12, ny * _CELL + _BOTTOM + 8
    shapes = []
    for i, j in np.argwhere(counts.sum(axis=2)).tolist():
        shapes.append(_bin(counts[i, j], i, ny - 1 - j, f"θ {THETA_DEG[i]:g}–{THETA_DEG[i + 1]:g}°, "
                           f"{label.split(' [', maxsplit=1)[0]} {edges[j]}–{edges[j + 1]}"))  # fmt: skip
    for j in range(0, ny + 1, 2):
        y = (ny - j) * _CELL + 4
        shapes.append(f"<text x='{_LEFT - 5}' y='{y + 4}' text-anchor='end'>{escape(edges[j])}</text>")
    for i in range(0, nx + 1, 3):
        x = _LEFT + i * _CELL
        shapes.append(f"<text x='{x}' y='{ny * _CELL + 18}' text-anchor='middle'>{THETA_DEG[i]:g}</text>")
    frame = f"<rect x='{_LEFT}' y='4' width='{nx * _CELL}' height='{ny * _CELL}' fill='#f4f6f8' stroke='#b8c2cc'/>"
    return (
        f"<figure><svg width='{width}' height='{height}' font-size='11' fill='#5b6876'>{frame}{''.join(shapes)}</svg>"
        f"<figcaption>{escape(label)} over polar angle [degrees]</figcaption></figure>"
    )


def _bin(counts: NDArray[np.int64], i: int, row: int, where: str) -> str:
    total, bottom, shapes = int(counts.sum()), float(row * _CELL + 4 + _CELL), []
    for reason in MAPPED:
        if n := int(counts[reason]):
            tall = n / total * (_CELL - 1)
            bottom -= tall
            shapes.append(
                f"<rect x='{_LEFT + i * _CELL}' y='{bottom:.1f}' width='{_CELL - 1}' height='{tall:.1f}' "
                f"fill='{_COLOURS[reason]}'/>"
            )
    counted = "; ".join(f"{int(counts[r])} {r.text}" for r in MAPPED if counts[r])
    return f"<g>{''.join(shapes)}<title>{escape(where)}: {escape(counted)}</title></g>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header) if any(header) else ""
    body = "".join(f"<tr>{_cells(row, bool(head))}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _cells(row: Sequence[str], numbers: bool) -> str:
    return "".join(f"<td{' class=number' if k and numbers else ''}>{cell}</td>" for k, cell in enumerate(row))


def facts_of(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a report states of how hits were made."""
    inputs = ", ".join(str(item["path"]) for item in provenance.get("inputs", []))
    models = ", ".join(f"{m['name']} ({m['sha256'][:12]})" for m in provenance["simulation"].get("models", []))
    return [
        ("inputs", inputs),
        ("detector", f"{provenance['detector']['name']} ({provenance['detector']['hash'][:12]})"),
        ("engine", str(provenance["engine"])),
        *([("models", models)] if models else []),
        ("seed", str(provenance["seed"])),
        ("fastcalo", str(provenance["fastcalo"])),
        ("made", str(provenance["created"])),
    ]
