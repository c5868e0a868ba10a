# SPDX-License-Identifier: BSD-3-Clause
"""Report of a search: one HTML page, the same numbers as JSON, and the best configuration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastcalo._version import __version__
from fastcalo.errors import InputError, MissingDependencyError
from fastcalo.system.install import install_line
from fastcalo.validation.html_report import NUMBERS, PAGE, Figure, numbers_text, write_texts

from ...config import TrainConfig, value_at, with_values
from ..config_toml import config_text
from ..study.record import JOURNAL, Record, Trial, read_record
from .analysis import (
    Convergence,
    RandomOrder,
    SearchTime,
    TrialComparison,
    check_comparable,
    compare_trials,
    default_trial,
    ended_trials,
    error_of,
    fit,
    latency,
    least_trials,
    objective_parts,
    pareto,
    relative_distance,
    seconds_of,
    trials_with_latency,
    usable,
    value_of,
    within_budget,
)
from .surface import Dependence, ResponseSurface

FORMAT = 1
BEST = "best.toml"


@dataclass(frozen=True)
class TuneReport:
    """A search, with all results about it.

    Attributes
    ----------
    title : str
    content : dict
        All numbers, as JSON can hold them, but for those that are not finite.
    figures : list of Figure
    best : TrainConfig
        The best trial's.
    """

    title: str
    content: dict[str, Any]
    figures: list[Figure]
    best: TrainConfig

    def write(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write ``index.html``, ``report.json`` and ``best.toml`` into a folder.

        Raises
        ------
        OutputError
            A file cannot be written, or is there already.
        MissingDependencyError
            What makes pages or TOML is not there.
        """
        best = self.content["best"]
        comments = (
            f"{self.title}, trial {best['trial']}: value {best['value']:.4g}, the lowest of {best['chosen_of']}.",
            f"Written by fastcalo {__version__}; for fastcalo train.",
        )
        texts = {
            BEST: config_text(self.best, *comments),
            NUMBERS: numbers_text(self.content),
            PAGE: self._page(),
        }
        write_texts(folder, texts, overwrite=overwrite)

    def _page(self) -> str:
        try:
            from fastcalo.validation.html_report import render

            return render(Path(__file__).parent / "report.html.j2", report=self, c=self.content, pair=pair, span=span)
        except ModuleNotFoundError as e:
            raise MissingDependencyError(f"{e.name} is missing: {install_line('tune')}") from e

    def summary(self) -> list[tuple[str, str]]:
        """The most important numbers, as pairs of a label and a text."""
        c, best = self.content, self.content["best"]
        busy = f", busy {c['busy']:.1%}" if math.isfinite(c["busy"]) else ""
        rows = [
            ("trials", f"{sum(c['counts'].values())} of {c['wanted']}: {c['shown_counts']}"),
            ("time", f"{span(c['wall_seconds'])}, {span(c['group_seconds'])} of groups{busy}"),
            ("best", f"trial {best['trial']}: {pair(best['value'], best['error'])}"),
        ]
        rows += [
            (f"  {key}", f"{value:.4g}" if isinstance(value, float) else str(value))
            for key, value in best["point"].items()
        ]
        against = [c["default"], *(b["against"] for b in c["baselines"])]
        rows += [(f"below {a['what']}", by_how_much(a)) for a in against if a]
        return rows


def report_study(study: str | Path, baselines: Sequence[str | Path] = ()) -> TuneReport:
    """Report what a search found; it may still run, or have been cut short.

    Parameters
    ----------
    study : str or Path
        Its folder.
    baselines : sequence of str or Path
        Folders of other searches of the same space, such as a random one.

    Raises
    ------
    InputError
        No trial is done yet; a journal is missing or damaged; a baseline looked for something else.
    """
    record = _with_trials(study)
    others = {str(path): _with_trials(path) for path in baselines}
    for path, other in others.items():
        check_comparable(record, other, path)
    labels = _labels(list(others))
    surface = fit([record])
    best = record.best
    assert best is not None
    dependences = [surface.dependence(key) for key in record.config.space.keys] if surface else []
    convergence, expected = Convergence.of(record), None if others else _random_order(record)
    convergences = {labels[path]: Convergence.of(other) for path, other in others.items()}
    front = pareto(ended_trials(record, "done"))
    content = {
        "format": FORMAT,
        **_head(record, Path(study)),
        "best": _best(record, best, surface),
        **_default(record, best, surface),
        "baselines": [_baseline(record, other, labels[path], path) for path, other in others.items()],
        "convergence": asdict(convergence)
        | {"random_order": asdict(expected) if expected else None}
        | {"baselines": {name: asdict(c) for name, c in convergences.items()}},
        "surface": {
            "trials": len(usable([record])),
            "least": least_trials(record.config.space),
            "noise": math.sqrt(surface.noise) if surface else None,
        },
        "dependence": {d.key: _dependence(d) for d in dependences},
        "importance": {d.key: {"share": d.share, "error": d.share_error} for d in dependences},
        "pareto": [
            {"trial": t.number, "latency_ms": latency(t), "distance_over_floor": relative_distance(t)} for t in front
        ],
        "trials": [_row(t, surface) for t in record.trials],
    }
    return TuneReport(
        f"Search {record.config.name}",
        content,
        _figures(record, best, surface, dependences, (convergence, convergences, expected), front),
        with_values(record.base, best.point, str(study)),
    )


def _with_trials(path: str | Path) -> Record:
    record = read_record(path)
    if record.best is None:
        counts = Counter(t.status for t in record.trials)
        so_far = ", ".join(f"{n} {status}" for status, n in counts.items()) or "none was begun"
        reasons = {
            str(t.reported.get("reason")) for t in record.trials if t.status == "failed" and t.reported.get("reason")
        }
        text = f"{Path(path) / JOURNAL}: no trial is done yet ({so_far}), so there is nothing to report"
        raise InputError(text + (f"; failed: {'; '.join(sorted(reasons))}" if reasons else "; wait for the first one"))
    return record


def _labels(paths: list[str]) -> dict[str, str]:
    names = Counter(Path(p).name for p in paths)
    return {p: Path(p).name if names[Path(p).name] == 1 else p for p in paths}


def _random_order(record: Record) -> RandomOrder | None:
    """What random search would have come to, by the trials whose points do not depend on what was reported."""
    values = [value_of(t) for t in ended_trials(record, "done") if t.source in ("design", "random")]
    sources = {t.source for t in ended_trials(record, "done")} & {"design", "random"}
    kind = {"design": f"initial design ({record.config.design})", "random": "random search"}
    of = f"the {len(values)} points of this search's own {' and '.join(kind[s] for s in sorted(sources))}"
    return RandomOrder.expected(values, of) if len(values) >= 2 else None


def _head(record: Record, study: Path) -> dict[str, Any]:
    config, course = record.config, SearchTime.of(record)
    statuses = ("done", "failed", "stopped", "running", "asked")
    counts = {s: sum(t.status == s for t in record.trials) for s in statuses}
    versions = list(dict.fromkeys(str(line["fastcalo"]) for line in record.lines if line["kind"] == "study"))
    return {
        "title": f"Search {config.name}",
        "journal": str(study / JOURNAL),
        "fastcalo": versions,
        "reported_with": __version__,
        "started": datetime.fromtimestamp(record.lines[0]["time"], UTC).isoformat(timespec="seconds"),
        "ended": course.ended,
        "wanted": config.trials,
        "counts": counts,
        "shown_counts": ", ".join(f"{n} {s}" for s, n in counts.items() if n),
        **{key: getattr(course, key) for key in ("wall_seconds", "group_seconds", "groups", "busy")},
        "config": config.as_dict(),
        "base": record.base.as_dict(),
        "default_point": {key: value_at(record.base, key, config.base) for key in config.space.keys},
    }


def _best(record: Record, best: Trial, surface: ResponseSurface | None) -> dict[str, Any]:
    done = ended_trials(record, "done")
    out = {
        "trial": best.number,
        "source": best.source,
        "value": value_of(best),
        "error": error_of(best, surface),
        "error_from": _error_from(record, best, surface),
        "chosen_of": len(done),
        "point": best.point,
        **objective_parts(best),
        "smooth": None,
        "smooth_error": None,
        "smooth_best": None,
    }
    if surface is not None:
        mean, cov = surface.posterior(surface.space.units([t.point for t in done]))
        at, lowest = done.index(best), int(mean.argmin())
        out |= {"smooth": float(mean[at]), "smooth_error": math.sqrt(max(float(cov[at, at]), 0.0))}
        out["smooth_best"] = {
            "trial": done[lowest].number,
            "smooth": float(mean[lowest]),
            "smooth_error": math.sqrt(max(float(cov[lowest, lowest]), 0.0)),
        }
    return out


def _error_from(record: Record, best: Trial, surface: ResponseSurface | None) -> list[str]:
    """What the error of a trial is made of."""
    own = "folds" if record.config.objective.folds > 1 else "showers"
    return [own] * (best.variance > 0) + ["surface"] * (surface is not None)


def _default(record: Record, best: Trial, surface: ResponseSurface | None) -> dict[str, Any]:
    other, which = default_trial(record)
    if other is None or other is best:
        state = "not tried, or not done" if other is None else f"{which}, itself the best"
        return {"default_state": state, "default": None}
    chosen_of = len(ended_trials(record, "done")) - 1
    return {"default_state": which, "default": asdict(compare_trials(which, best, other, chosen_of, surface))}


def _baseline(record: Record, other: Record, label: str, path: str) -> dict[str, Any]:
    """The best of both after as many trials of each."""
    count = min(len(ended_trials(record)), len(ended_trials(other)))
    mine, theirs = within_budget(record, count), within_budget(other, count)
    against: TrialComparison | None = None
    if mine is not None and theirs is not None:
        against = compare_trials(f"the best of {label}", mine, theirs, 1, fit([record, other]))
    return {
        "study": path,
        "label": label,
        "optimiser": other.config.optimiser,
        "seed": other.config.seed,
        "trials": count,
        "trial_here": mine.number if mine else None,
        "against": asdict(against) if against else None,
    }


def _dependence(found: Dependence) -> dict[str, Any]:
    return {"values": found.values, "mean": found.mean.tolist(), "error": found.error.tolist()}


def _row(trial: Trial, surface: ResponseSurface | None) -> dict[str, Any]:
    smooth = None
    if surface is not None:
        smooth = float(surface.posterior(surface.space.units([trial.point]))[0][0])
    return {
        "trial": trial.number,
        "status": trial.status,
        "source": trial.source,
        "value": trial.value,
        "error": math.sqrt(trial.variance) if trial.variance > 0 else None,
        "smooth": smooth,
        "reason": str(trial.reported.get("reason") or ""),
        "seconds": seconds_of(trial) if trial.ended else None,
        "group": trial.begins[-1].get("group") if trial.begins else None,
        "begun": len(trial.begins),
        "point": trial.point,
        **objective_parts(trial),
    }


def _figures(
    record: Record,
    best: Trial,
    surface: ResponseSurface | None,
    dependences: list[Dependence],
    courses: tuple[Convergence, dict[str, Convergence], RandomOrder | None],
    front: list[Trial],
) -> list[Figure]:
    try:
        from . import figures as draw

        figures = [draw.draw_convergence(*courses)]
        if surface is not None:
            figures.append(draw.draw_importance(dependences))
            figures.append(draw.draw_dependence(dependences, record.config.space, ended_trials(record), best))
        figures.append(draw.draw_coordinates(record, ended_trials(record)))
        if front:
            figures.append(draw.draw_pareto(trials_with_latency(ended_trials(record, "done")), front, best))
    except ModuleNotFoundError as e:
        raise MissingDependencyError(f"{e.name} is missing: {install_line('tune')}") from e
    return figures


def pair(value: float | None, error: float | None) -> str:
    """A number with its error, if it has one."""
    if value is None or not math.isfinite(value):
        return "–"
    known = error is not None and math.isfinite(error)
    return f"{value:.4g} ± {error:.2g}" if known else f"{value:.4g}"


def by_how_much(against: dict[str, Any]) -> str:
    """The difference to another trial in words."""
    text = pair(against["difference"], against["difference_error"])
    if math.isfinite(against["sigmas"]):
        text += f" ({against['sigmas']:.1f} σ, p = {against['p']:.2g}"
        text += f"; for the lowest of all {against['p_chosen']:.2g})" if against["p_chosen"] != against["p"] else ")"
    if math.isfinite(against["smooth"]):
        text += f"; on the surface {pair(against['smooth'], against['smooth_error'])}"
    return text


def span(seconds: float) -> str:
    """A time in words."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
