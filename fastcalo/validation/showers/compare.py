# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of a candidate with a reference, beside a baseline of full simulation against the same reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..estimates import Estimate, bootstrap
from .classifier import auc_of_cells, auc_of_observables
from .distances import fpd, kpd, precision_recall, separation, wasserstein
from .hit_patterns import hit_patterns
from .network import auc_of_network
from .observables import ObservableBins, Observables, all_species, conditions, layer_groups, observables
from .position import position_difference
from .response import QUANTITIES, ResponseRow, response_table
from .sample import ShowerSample

FloatArray = NDArray[np.float64]

Report = Callable[[str], None]
"""Called with what is being done."""

JUDGES: dict[str, Callable[[ShowerSample, ShowerSample, int], tuple[float, float]]] = {"network": auc_of_network}
"""Classifiers that take longer, by name."""
_PER_OBSERVABLE: dict[str, Callable[..., tuple[float, float]]] = {"separation": separation, "wasserstein": wasserstein}


@dataclass(frozen=True, eq=False)
class ThreeSamples:
    """Three samples of the same size.

    Attributes
    ----------
    reference : ShowerSample
        Full simulation.
    candidate : ShowerSample
        What is judged, for the particles of `baseline` where a model made it.
    baseline : ShowerSample
        Full simulation that has no shower in common with the reference.
    """

    reference: ShowerSample
    candidate: ShowerSample
    baseline: ShowerSample

    def pairs(self) -> tuple[ShowerSample, ShowerSample]:
        """What is compared with the reference: candidate and baseline."""
        return self.candidate, self.baseline


@dataclass(frozen=True)
class ShowerComparison:
    """What came of it.

    Attributes
    ----------
    numbers : dict of str to Estimate
        The summary: what limits may be set on.
    observables : dict of str to dict of str to Estimate
        By observable, those of how hits lie to each other last: ``separation`` and ``wasserstein``.
    response : list of ResponseRow
    correlations : dict of str to tuple of float64 [l, l]
        By section: correlations of the layers' energies in reference and candidate.
    """

    numbers: dict[str, Estimate]
    observables: dict[str, dict[str, Estimate]]
    response: list[ResponseRow]
    correlations: dict[str, tuple[FloatArray, FloatArray]]


def compare_showers(
    samples: ThreeSamples, seed: int = 0, report: Report = lambda _: None, judges: Sequence[str] = ()
) -> ShowerComparison:
    """Compare.

    Parameters
    ----------
    samples : ThreeSamples
    seed : int
        Of bootstraps, batches and classifiers.
    report : callable, optional
        Called with each step.
    judges : sequence of str
        Of `JUDGES`: classifiers that take longer.
    """
    rulers, all_three = ObservableBins.of(samples.reference), (samples.reference, *samples.pairs())
    reference, candidate, baseline = (observables(s, rulers) for s in all_three)
    patterns = tuple(hit_patterns(s, rulers) for s in all_three)
    report(f"distances of {len(reference.names) + len(patterns[0].names)} observables")
    each = _each_observable(reference, candidate, baseline, seed)
    each |= _each_observable(patterns[0], patterns[1], patterns[2], seed)
    report("response by species, energy and angle")
    table = response_table(samples.reference, samples.candidate, samples.baseline, seed)
    numbers = _classifiers(samples, [reference, candidate, baseline], patterns, seed, judges, report)
    numbers |= _of_samples(reference, candidate, baseline, seed, report)
    for kind in _PER_OBSERVABLE:
        numbers |= _summary(kind, [each[name][kind] for name in reference.names])
    correlations = {name: _correlations(samples, name, seed) for name in samples.reference.sections}
    numbers |= {f"correlation.{name}": number for name, (number, _) in correlations.items()}
    numbers |= {
        f"position.{name}": Estimate.of(
            *(position_difference(samples.reference, s, name, seed) for s in samples.pairs())
        )
        for name in samples.reference.sections
    }
    numbers |= {
        f"{quantity}.{row.section}.{row.cell.decade}": row.numbers[quantity]
        for row in table
        for quantity in QUANTITIES
        if row.cell.species is None and row.cell.angle is None
    }
    return ShowerComparison(numbers, each, table, {name: pair for name, (_, pair) in correlations.items()})


def _each_observable(
    reference: Observables, candidate: Observables, baseline: Observables, seed: int
) -> dict[str, dict[str, Estimate]]:
    return {
        name: {
            kind: Estimate.of(
                *(distance(reference.values[:, k], o.values[:, k], seed=seed) for o in (candidate, baseline))
            )
            for kind, distance in _PER_OBSERVABLE.items()
        }
        for k, name in enumerate(reference.names)
    }


def _of_samples(
    reference: Observables, candidate: Observables, baseline: Observables, seed: int, report: Report
) -> dict[str, Estimate]:
    numbers = {}
    distances: dict[str, Callable[..., tuple[float, float]]] = {"fpd": fpd, "kpd": kpd}
    for name, distance in distances.items():
        report(f"{name.upper()}")
        numbers[name] = Estimate.of(*(distance(reference.values, o.values, seed=seed) for o in (candidate, baseline)))
    report("precision, recall, density and coverage")
    mine, best = (precision_recall(reference.values, o.values, seed=seed) for o in (candidate, baseline))
    return numbers | {name: Estimate.of(mine[name], best[name]) for name in mine}


def _classifiers(
    samples: ThreeSamples,
    layerwise: Sequence[Observables],
    patterns: Sequence[Observables],
    seed: int,
    judges: Sequence[str],
    report: Report,
) -> dict[str, Estimate]:
    """Areas under the curves, the strictest judge first; each sequence is of reference, candidate and baseline."""
    all_three = (samples.reference, *samples.pairs())
    species = all_species(*all_three)
    known = [conditions(s, species) for s in all_three]
    shown = {
        "all": [np.hstack([a.values, b.values, c]) for a, b, c in zip(layerwise, patterns, known, strict=True)],
        "patterns": [np.hstack([o.values, c]) for o, c in zip(patterns, known, strict=True)],
        "observables": [np.hstack([o.values, c]) for o, c in zip(layerwise, known, strict=True)],
    }
    numbers = {}
    for judge in judges:
        report(f"classifier: {judge}")
        numbers[f"auc.{judge}"] = Estimate.of(*(JUDGES[judge](samples.reference, s, seed) for s in samples.pairs()))
    for name, (first, *others) in shown.items():
        report(f"classifier on {name}")
        numbers[f"auc.{name}"] = Estimate.of(*(auc_of_observables(first, other, seed) for other in others))
    report("classifier on cells")
    numbers["auc.cells"] = Estimate.of(*(auc_of_cells(samples.reference, s, seed) for s in samples.pairs()))
    return numbers


def _summary(kind: str, rows: list[Estimate]) -> dict[str, Estimate]:
    """Mean and worst of the observables. Their errors are added as if they were of one observable: an upper bound."""
    worst = max(rows, key=lambda row: row.value)
    highest_baseline = max(rows, key=lambda row: row.baseline)
    return {
        f"{kind}.mean": Estimate(
            *(float(np.mean([getattr(r, f) for r in rows])) for f in Estimate.__dataclass_fields__)
        ),
        f"{kind}.worst": Estimate(worst.value, worst.error, highest_baseline.baseline, highest_baseline.baseline_error),
    }


def _correlations(samples: ThreeSamples, section: str, seed: int) -> tuple[Estimate, tuple[FloatArray, FloatArray]]:
    """Root mean square of the differences between correlations of layers' energies, and the matrices [l, l]."""
    reference, candidate, baseline = (
        _replicated_correlation(s, section, seed + k)
        for k, s in enumerate((samples.reference, samples.candidate, samples.baseline))
    )

    def distance(other: FloatArray) -> tuple[float, float]:
        pairs = np.triu_indices(reference.shape[1], 1)
        found = np.sqrt(np.mean((other - reference)[:, *pairs] ** 2, axis=1)) if len(pairs[0]) else np.zeros(1)
        return float(found[0]), float(found[1:].std()) if len(found) > 1 else 0.0

    return Estimate.of(distance(candidate), distance(baseline)), (reference[0], candidate[0])


def _replicated_correlation(sample: ShowerSample, section: str, seed: int) -> FloatArray:
    """Correlations of the energies of layers (or groups), and those of bootstrap replicas [1 + replicas, l, l]."""
    first, _ = layer_groups(sample.sections[section].voxels.layers)
    energy = np.add.reduceat(sample.by_layer(section), first, axis=1) / sample.kinetic_energy[:, None]
    weights = np.concatenate([np.ones((1, len(sample))), bootstrap(len(sample), seed)]) / len(sample)
    mean = weights @ energy
    products = np.stack([(energy * w[:, None]).T @ energy for w in weights])
    covariance = products - mean[:, :, None] * mean[:, None, :]
    spread = np.sqrt(np.maximum(np.einsum("bii->bi", covariance), 0))
    scale = spread[:, :, None] * spread[:, None, :]
    correlation: FloatArray = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    return correlation
