# SPDX-License-Identifier: BSD-3-Clause
"""Objective of a search: one number to minimise, from unseen showers of full simulation."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastcalo.detector.description import load_detector
from fastcalo.errors import ConfigError, InputError, TrainingError
from fastcalo.io.showers.reader import open_showers
from fastcalo.model.shower_model import ShowerModel
from fastcalo.validation.showers.distances import fpd, frechet, histogram_edges, separation
from fastcalo.validation.showers.observables import ObservableBins, Observables, observables
from fastcalo.validation.showers.sample import SampleHits, ShowerSample, generate_sample, read_sample
from fastcalo.validation.showers.selection import FEWEST, halves

from ..architectures.base import Architecture
from ..config import TrainConfig, data_paths
from ..data.folds import Fold, in_fold
from .config import ObjectiveConfig

FloatArray = NDArray[np.float64]
Exporter = Callable[[TrainConfig, Architecture, Path], None]
"""Writes networks as they stand to a model file, as `fastcalo.export.exporter.export_unchecked` does."""

_REPLICAS = 20
_TIMED, _TIMINGS = 512, 3


@dataclass(frozen=True)
class Evaluation:
    """What a model came to.

    Attributes
    ----------
    value : float
        ln(distance / baseline), and where latency counts, its weight times ln(latency_ms).
    variance : float
        Of the value, from a bootstrap of the model's showers.
    distance, floor : float
        Of the model's showers and of other full simulation, from the same reference.
    latency_ms : float or None
        Wall time per shower, if it counts.
    """

    value: float
    variance: float
    distance: float
    floor: float
    latency_ms: float | None


class Evaluator:
    """Judges models of one search by the same showers.

    Half of the showers of full simulation are the reference. Models are asked for the particles of the other half,
    whose true showers give the baseline, as in `fastcalo.validation.showers.validate.validate`.

    The logarithm of the distance over its baseline is taken since distances of good and bad models lie decades apart,
    and since their errors are about in proportion to them: a model of the objective then has one scale and one noise.
    Milliseconds count in their logarithm likewise: with a weight of 0.1, a model that is 10 % nearer to full simulation
    may take 2.9 times as long.

    Parameters
    ----------
    base : TrainConfig
        Its species, validity, sections and files; the same for all trials, whatever they vary.
    objective : ObjectiveConfig
    seed : int
        Which showers; and those that models draw, the same random numbers for all.
    where : str
        The configuration's file, for messages.
    exporter : Exporter
        Writes the model that is evaluated.
    fold : Fold, optional
        Held-out showers of ``data.train``; those of ``data.test`` unless given.

    Raises
    ------
    ConfigError
        There are no files.
    InputError
        There are too few showers.
    """

    def __init__(
        self,
        base: TrainConfig,
        objective: ObjectiveConfig,
        seed: int,
        where: str,
        exporter: Exporter,
        fold: Fold | None = None,
    ) -> None:
        self._objective, self._seed, self._threads, self._exporter = objective, seed, base.threads or None, exporter
        first, second = read_halves(base, objective, seed, where, fold)
        self._particles = second
        self._rulers = ObservableBins.of(first)
        self._reference = observables(first, self._rulers)
        floor, error = self._distance(observables(second, self._rulers))
        self.floor = max(floor, error)
        if not self.floor > 0:
            raise InputError(f"{where}: {len(first)} showers against as many others have no distance; use more of them")

    def evaluate(self, config: TrainConfig, networks: Architecture) -> Evaluation:
        """Evaluator networks, finished or not.

        Raises
        ------
        TrainingError
            Their showers are not finite, or have no distance.
        """
        with tempfile.TemporaryDirectory() as folder:
            model = _exported(config, networks, Path(folder), self._threads, self._exporter)
            drawn, _ = generate_sample(model, self._particles, self._seed)
            latency = self._latency(model) if self._objective.latency_weight else None
        mine = observables(drawn, self._rulers)
        if not np.isfinite(mine.values).all():
            raise TrainingError("the model's showers are not finite")
        distance, error = self._distance(mine)
        # a distance that comes out as nothing is as small as its error
        distance = max(distance, error)
        if not 0 < distance < math.inf:
            raise TrainingError(f"the model's showers have no distance from full simulation ({distance})")
        value = math.log(distance / self.floor)
        if latency is not None:
            value += self._objective.latency_weight * math.log(latency)
        return Evaluation(value, self._variance(mine), distance, self.floor, latency)

    def _distance(self, other: Observables) -> tuple[float, float]:
        return _DISTANCES[self._objective.distance](self._reference.values, other.values)

    def _variance(self, mine: Observables) -> float:
        """Variance of the distance's logarithm by chance of the model's showers; all else is the same for all."""
        rng = np.random.default_rng(self._seed)
        rows_RN = rng.integers(len(mine.values), size=(_REPLICAS, len(mine.values)))
        found = _REPLICATED[self._objective.distance](self._reference.values, mine.values, rows_RN)
        # a replica that has no distance at all is as near as the nearest
        found = np.maximum(found, found[found > 0].min(initial=1.0))
        return float(np.var(np.log(found), ddof=1))

    def _latency(self, model: ShowerModel) -> float:
        """Milliseconds a shower; the shortest of a few times, as others may use the machine."""
        few = self._particles.take(np.arange(min(_TIMED, len(self._particles))))
        return 1e3 * min(generate_sample(model, few, 0)[1] for _ in range(_TIMINGS)) / len(few)


def _mean_separation(reference: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Mean of the observables, and of their errors: an upper bound, as they are of the same showers."""
    found = [separation(a, b) for a, b in zip(reference.T, other.T, strict=True)]
    return float(np.mean([v for v, _ in found])), float(np.mean([e for _, e in found]))


def _replicated_separation(reference: FloatArray, other: FloatArray, rows_RN: NDArray[np.int64]) -> FloatArray:
    """Mean separations of samples drawn from the other one, float64 [R]."""
    total = np.zeros(len(rows_RN))
    for a, b in zip(reference.T, other.T, strict=True):
        edges = histogram_edges(a, b)
        at_a, at_b = (np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2) for x in (a, b))
        true = np.bincount(at_a, minlength=len(edges) - 1) / len(a)
        for k, rows in enumerate(rows_RN):
            drawn = np.bincount(at_b[rows], minlength=len(edges) - 1) / len(rows)
            both = true + drawn
            total[k] += 0.5 * ((true - drawn)[both > 0] ** 2 / both[both > 0]).sum()
    return np.asarray(total / reference.shape[1])


def _replicated_frechet(reference: FloatArray, other: FloatArray, rows_RN: NDArray[np.int64]) -> FloatArray:
    """The same of Frechet distances: the error of the fit that extrapolates lacks the chance of the sample itself."""
    scale = np.abs(reference).max(0)
    scale[scale == 0] = 1
    a, b = reference / scale, other / scale
    return np.array([frechet(a, b[rows]) for rows in rows_RN])


_DISTANCES: dict[str, Callable[[FloatArray, FloatArray], tuple[float, float]]] = {
    "fpd": lambda a, b: fpd(a, b, batches=10),
    "separation": _mean_separation,
}
_REPLICATED = {"fpd": _replicated_frechet, "separation": _replicated_separation}


def _exported(
    config: TrainConfig, networks: Architecture, folder: Path, threads: int | None, exporter: Exporter
) -> ShowerModel:
    """The model as it would be used; so distance and latency are those of what a user gets."""
    if next(networks.networks.parameters()).device.type != "cpu":
        networks = copy.deepcopy(networks)
        networks.networks.cpu()
    exporter(config, networks, folder / "model.onnx")
    return ShowerModel(folder / "model.onnx", threads)


def read_halves(
    base: TrainConfig, objective: ObjectiveConfig, seed: int, where: str, fold: Fold | None = None
) -> tuple[ShowerSample, ShowerSample]:
    """Two samples of full simulation, alike in species and energy; parameters and errors as of `Evaluator`."""
    rows = evaluation_rows(base, objective, seed, where, fold)
    detector = load_detector(base.detector)
    thresholds = {name: detector.section(name).threshold for name in base.sections}
    parts: list[list[ShowerSample]] = [[], []]
    before = 0
    for path in _files(base, where, fold):
        with open_showers(path) as source:
            for part, chosen in zip(parts, rows, strict=True):
                mine = chosen[(chosen >= before) & (chosen < before + len(source))] - before
                if len(mine):
                    part.append(read_sample(source, base.sections, thresholds, mine))
            before += len(source)
    first, second = (_joined(part) for part in parts)
    return first, second


def evaluation_rows(
    base: TrainConfig, objective: ObjectiveConfig, seed: int, where: str, fold: Fold | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both samples, counted over all files."""
    files = _files(base, where, fold)
    columns: list[list[NDArray[np.generic]]] = [[], [], []]
    for path in files:
        with open_showers(path) as source:
            source.check_detector(load_detector(base.detector), base.sections)
            for column, values in zip(
                columns, (source.pdg(), source.kinetic_energy(), source.direction()[:, 2]), strict=True
            ):
                column.append(values)
    pdg, energy, cosine = (np.concatenate(c) for c in columns)
    low, high = base.validity.kinetic_energy
    usable = np.isin(pdg, base.species) & (energy >= low) & (energy <= high)
    usable &= cosine >= math.cos(math.radians(base.validity.angle_degrees))
    if fold:
        usable &= in_fold(files, replace(fold, held_out=True))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(np.flatnonzero(usable))[: 2 * objective.showers])
    if len(rows) < 2 * FEWEST:
        part = f"fold {fold.number} of {fold.of} of " if fold else ""
        raise InputError(
            f"{where}: {part}{[str(f) for f in files]} has {len(rows)} showers to evaluate models by (species and "
            f"validity as in the configuration, objective.showers = {objective.showers}); {2 * FEWEST} are needed"
        )
    return halves(pdg, energy, rows, rng)


def _files(base: TrainConfig, where: str, fold: Fold | None) -> list[Path]:
    if fold:
        return data_paths(base.data.train, where)
    if not base.data.test:
        raise ConfigError(
            f"{where}: data.test names no showers to evaluate models by; name some, or set objective.folds to 2 or more"
        )
    return data_paths(base.data.test, where)


def _joined(parts: list[ShowerSample]) -> ShowerSample:
    """One sample of several with the same sections."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(p) for p in parts)])[:-1]
    sections = {}
    for name, hits in parts[0].sections.items():
        each = [p.sections[name] for p in parts]
        sections[name] = SampleHits(
            hits.voxels,
            np.concatenate([h.shower + start for h, start in zip(each, starts, strict=True)]),
            np.concatenate([h.voxel for h in each]),
            np.concatenate([h.deposit for h in each]),
        )
    columns = ("pdg", "kinetic_energy", "direction", "entry")
    return ShowerSample(**{c: np.concatenate([getattr(p, c) for p in parts]) for c in columns}, sections=sections)
