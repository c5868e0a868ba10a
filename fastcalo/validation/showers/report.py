# SPDX-License-Identifier: BSD-3-Clause
"""Report of a validation: one HTML page, and the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...display import html_table
from ..estimates import Estimate
from ..html_report import NUMBERS, PAGE, Figure, numbers_text, render, write_texts
from ..limits import LimitResult
from .compare import ShowerComparison

FORMAT = 1

_MEANINGS = {
    "auc.network": "area under the curve of a graph network on hits",
    "auc.all": "area under the curve of a classifier on all observables and on how hits lie to each other",
    "auc.patterns": "area under the curve of a classifier on how hits lie to each other",
    "auc.observables": "area under the curve of a classifier on observables, layer by layer",
    "auc.cells": "area under the curve of a classifier on cells",
    "separation.mean": "separation power, mean of all observables",
    "separation.worst": "separation power, worst observable",
    "wasserstein.mean": "Wasserstein distance / σ, mean of all observables",
    "wasserstein.worst": "Wasserstein distance / σ, worst observable",
    "fpd": "Fréchet physics distance",
    "kpd": "kernel physics distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "nearest": "mean distance to the nearest shower of the reference",
}


@dataclass(frozen=True, repr=False)
class ValidationReport:
    """A comparison with all that belongs to it.

    Attributes
    ----------
    title : str
    showers : int
        Of the candidate; as many as of the reference and of the baseline.
    sections : tuple of str
    comparison : ShowerComparison
    timing : dict
        ``decades``, a list of ``energy`` and ``seconds_per_shower``, and ``text``; as JSON can hold it.
    provenance : dict
        Where it comes from, as JSON can hold it.
    verdicts : list of LimitResult
    draw : callable
        Draws the figures; see `figures`.
    """

    title: str
    showers: int
    sections: tuple[str, ...]
    comparison: ShowerComparison
    timing: dict[str, Any]
    provenance: dict[str, Any]
    verdicts: list[LimitResult] = field(default_factory=list)
    draw: Callable[[], Iterable[Figure]] = tuple

    def __repr__(self) -> str:
        limits = f"{sum(v.kept for v in self.verdicts)} of {len(self.verdicts)} limits kept"
        return f"<ValidationReport {self.title!r}: {self.showers} showers, {limits}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{n.value:.4g} ± {n.error:.2g}", f"{n.baseline:.4g} ± {n.baseline_error:.2g}")
            for name, n in self.comparison.numbers.items()
        ]
        broken = ", ".join(verdict.limit.name for verdict in self.verdicts if not verdict.kept)
        note = f"Limits that are not kept: {broken}" if broken else ""
        return html_table(f"{self.title}: {self.showers} showers", ("number", "candidate", "baseline"), rows, note)

    @cached_property
    def figures(self) -> list[Figure]:
        """All figures; drawn when they are first asked for, which takes some seconds."""
        return list(self.draw())

    @property
    def passed(self) -> bool:
        """Whether all limits were kept; so they are if there are none."""
        return all(verdict.kept for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON can hold them, but for those that are not finite."""
        return {
            "format": FORMAT,
            "title": self.title,
            "showers": self.showers,
            "passed": self.passed,
            "limits": [
                {**asdict(v.limit), "held_against": v.bound, "value": v.number.value, "kept": v.kept}
                for v in self.verdicts
            ],
            "numbers": _numbers(self.comparison.numbers),
            "observables": {name: _numbers(row) for name, row in self.comparison.observables.items()},
            "response": [
                {
                    "species": r.cell.species,
                    "kinetic_energy_gev": [float(f"{x:g}") for x in r.cell.energy],
                    "angle_degrees": r.cell.angle,
                    "section": r.section,
                    "showers": r.showers,
                    "reference": {"response": r.mean, "width": r.resolution, "hits": r.count},
                    "excess": _numbers(r.numbers),
                }
                for r in self.comparison.response
            ],
            "correlations": {
                name: {"reference": pair[0].tolist(), "candidate": pair[1].tolist()}
                for name, pair in self.comparison.correlations.items()
            },
            "timing": self.timing,
            "provenance": self.provenance,
        }

    def write(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write ``index.html`` and ``report.json`` into a folder.

        Raises
        ------
        OutputError
            A file cannot be written, or is there already.
        """
        write_texts(folder, {NUMBERS: numbers_text(self.to_dict()), PAGE: self._page()}, overwrite=overwrite)

    def _page(self) -> str:
        meanings = _MEANINGS | {
            f"correlation.{name}": f"correlations of layers in {name}, rms difference" for name in self.sections
        }
        return render(Path(__file__).parent / "report.html.j2", report=self, meanings=meanings)


def _numbers(numbers: dict[str, Estimate]) -> dict[str, Any]:
    """Values, errors and baselines, under the names that the format of ``report.json`` gives them."""
    return {
        name: {"value": n.value, "error": n.error, "floor": n.baseline, "floor_error": n.baseline_error}
        for name, n in numbers.items()
    }
