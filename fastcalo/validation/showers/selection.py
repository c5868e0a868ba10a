# SPDX-License-Identifier: BSD-3-Clause
"""Selection of the compared showers: sections, thresholds, and three disjoint samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detector.description import DEFAULT_DETECTOR, Detector, load_detector, parse_detector
from ...errors import InputError
from ...io.showers.reader import open_showers
from ...io.showers.slices import ShowerSource
from ...model.shower_model import ShowerModel
from ...system.memory import check_memory
from .compare import ThreeSamples
from .sample import generate_sample, read_sample

FEWEST = 100
"""Showers in a sample below which nothing can be measured."""

# showers that show how many hits there are: so many at so many places of a file
_LOOK, _LOOKS = 50, 5
# what a comparison takes at its peak: libraries, and arrays of hits, observables and classifiers
_BYTES, _BYTES_PER_HIT = 4e8, 200

PathLike = str | Path


@dataclass(frozen=True)
class DataOptions:
    """How files of showers are read.

    Attributes
    ----------
    detector : str or Path, optional
        Gives the thresholds. Unless given, the default one or one that the showers' files describe, whichever the model
        and the showers are from; if there is none, every deposit counts, which only files among themselves allow.
    threshold : float, optional
        For all sections instead, GeV.
    sections : tuple of str
        Those to compare; all that both sides have unless given.
    foreign : dict
        Options of `open_showers` for files of others.
    """

    detector: PathLike | None = None
    threshold: float | None = None
    sections: tuple[str, ...] = ()
    foreign: Mapping[str, Any] = field(default_factory=dict)

    def open(self, path: PathLike) -> ShowerSource:
        """Open a file of showers."""
        return open_showers(path, **self.foreign)


def common_sections(
    model: ShowerModel | None, sources: list[ShowerSource], options: DataOptions
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Sections that all have, and their thresholds in GeV.

    Raises
    ------
    InputError
        There is none, or files differ in their voxels, or are not from the detector.
    ContractError
        The model was made for another detector.
    """
    offered = [s.sections for s in sources] + ([model.contract.sections] if model is not None else [])
    common = tuple(name for name in sources[0].sections if all(name in names for names in offered))
    sections = options.sections or common
    if lacking := [name for name in sections if name not in common]:
        raise InputError(f"section {lacking[0]!r} is not in all of {[list(names) for names in offered]}")
    if not sections:
        raise InputError(f"there is no section that all have: {[list(names) for names in offered]}")
    for source in sources[1:]:
        _check_same_voxels(sources[0], source, sections)
    detector = _detector(model, sources, options, sections)
    if options.threshold is not None:
        return sections, dict.fromkeys(sections, options.threshold)
    return sections, {name: detector.section(name).threshold if detector else 0.0 for name in sections}


def _detector(
    model: ShowerModel | None,
    sources: Sequence[ShowerSource],
    options: DataOptions,
    sections: tuple[str, ...],
) -> Detector | None:
    """The calorimeter that all are from; None if it is not known, which only files among themselves may be."""
    if options.detector is not None:
        candidates = [load_detector(options.detector)]
    else:
        candidates = [load_detector(DEFAULT_DETECTOR), *_described(sources)]
    if model is not None:
        fitting = [d for d in candidates if d.stack_hash == model.contract.stack_hash]
        if not fitting:
            model.contract.check_detector(candidates[0], str(model.path))
        for source in sources:
            source.check_detector(fitting[0], sections)
        return fitting[0]
    for detector in candidates:
        try:
            for source in sources:
                source.check_detector(detector, sections)
        except InputError:
            if options.detector is not None:
                raise
        else:
            return detector
    return None


def _described(sources: Sequence[ShowerSource]) -> list[Detector]:
    """Detectors that files of showers describe."""
    found = []
    for source in sources:
        text = source.attributes.get("detector")
        if isinstance(text, str):
            # a description that is damaged, or of a later version, is no reason to refuse the showers
            with suppress(ValueError, TypeError, AttributeError, KeyError, RecursionError):
                found.append(parse_detector(json.loads(text), str(source.path)))
    return found


def _check_same_voxels(a: ShowerSource, b: ShowerSource, sections: Sequence[str]) -> None:
    for name in sections:
        mine, theirs = a.voxels(name), b.voxels(name)
        alike = len(mine) == len(theirs) and all(
            np.allclose(getattr(mine, key), getattr(theirs, key)) for key in ("layer", "x", "y", "radius")
        )
        if not alike:
            raise InputError(
                f"{b.path}: the voxels of {name} are not those of {a.path}: {len(theirs)} in {theirs.layers} layers "
                f"here, {len(mine)} in {mine.layers} layers there; showers can only be compared voxel by voxel"
            )


def choose_samples(
    model: ShowerModel | None,
    full: ShowerSource,
    others: Mapping[str, ShowerSource],
    sections: tuple[str, ...],
    thresholds: Mapping[str, float],
    most: int,
    seed: int,
) -> tuple[ThreeSamples, int]:
    """Reference, candidate and baseline, of the same size.

    Parameters
    ----------
    model : ShowerModel or None
    full : ShowerSource
        Full simulation.
    others : mapping
        Perhaps a ``reference``, and a ``candidate`` where there is no model.
    sections : tuple of str
    thresholds : mapping of str to float
        GeV.
    most : int
        Showers of `full` to use.
    seed : int

    Returns
    -------
    samples : ThreeSamples
    outside : int
        Showers of `full` that are outside the model's validity.

    Raises
    ------
    InputError
        There are too few showers, none of the reference has a hit above threshold, or the reference is the same file as
        the data or the candidate.
    """
    _check_apart(full, others)
    rng = np.random.default_rng(seed)
    usable = _usable(model, full)
    outside = len(full) - len(usable)
    usable = np.sort(rng.permutation(usable)[:most])
    source = others.get("reference", full)
    if source is full:
        first, mine = halves(full.pdg(), full.kinetic_energy(), usable, rng)
    else:
        first, mine = _usable(model, source), usable
    rows = {"reference": first, "baseline": mine}
    if "candidate" in others:
        rows["candidate"] = _same_particles(others["candidate"], full, mine)
    n = min(len(r) for r in rows.values())
    if n < FEWEST:
        counts = ", ".join(f"{len(r)} for the {name}" for name, r in rows.items())
        lost = f" ({outside} of {len(full)} are outside the model's validity)" if model is not None else ""
        raise InputError(f"{full.path}: too few showers to compare: {counts}; {FEWEST} of each are needed{lost}")
    rows = {name: r if len(r) == n else np.sort(rng.permutation(r)[:n]) for name, r in rows.items()}
    sources = {"reference": source, "baseline": full, "candidate": others.get("candidate", full)}
    check_sample_memory([(sources[name], len(r)) for name, r in (rows | {"candidate": mine[:n]}).items()], sections)
    reference = read_sample(source, sections, thresholds, rows["reference"])
    if not any(len(hits.deposit) for hits in reference.sections.values()):
        raise InputError(f"{source.path}: has no deposit above the threshold in {', '.join(sections)}")
    baseline = read_sample(full, sections, thresholds, rows["baseline"])
    if model is None:
        return ThreeSamples(
            reference, read_sample(others["candidate"], sections, thresholds, rows["candidate"]), baseline
        ), outside
    generated, _ = generate_sample(model, baseline, seed, thresholds)
    return ThreeSamples(reference, generated, baseline), outside


def check_sample_memory(samples: Sequence[tuple[ShowerSource, int]], sections: Sequence[str]) -> float:
    """Refuse samples whose comparison takes more memory than there is, before hours of work go into it.

    Parameters
    ----------
    samples : sequence of (ShowerSource, int)
        Files, and how many of their showers are to be compared.
    sections : sequence of str

    Returns
    -------
    float
        Bytes that are needed, by the hits of some showers of each file.

    Raises
    ------
    InputError
    """
    hits = sum(n * sum(_hits_per_shower(source, name) for name in sections) for source, n in samples)
    needed = _BYTES + _BYTES_PER_HIT * hits
    number = sum(n for _, n in samples)
    check_memory(needed, f"comparing {number} showers of {hits:.3g} hits", "compare fewer (--showers)")
    return needed


def _hits_per_shower(source: ShowerSource, section: str) -> float:
    """Mean number of deposits of some showers from all over a file."""
    starts = np.unique(np.linspace(0, max(len(source) - _LOOK, 0), _LOOKS).astype(int))
    counts = [source.hits(section, int(k), min(int(k) + _LOOK, len(source)))[0] for k in starts]
    return float(sum(c[-1] for c in counts)) / max(1, sum(len(c) - 1 for c in counts))


def _check_apart(full: ShowerSource, others: Mapping[str, ShowerSource]) -> None:
    """Refuse to hold showers against themselves."""
    if (reference := others.get("reference")) is None:
        return
    for what, source in (("data", full), ("candidate", others.get("candidate"))):
        if source is not None and reference.path.samefile(source.path):
            raise InputError(f"{reference.path}: is the {what}, so that it cannot be the reference as well")


def _usable(model: ShowerModel | None, source: ShowerSource) -> NDArray[np.int64]:
    """Showers of particles that the model is made for; all where there is none."""
    if model is None:
        return np.arange(len(source))
    valid = np.isin(source.pdg(), model.contract.species) & model.energy_ok(source.kinetic_energy())
    return np.flatnonzero(valid & model.angle_ok(source.direction()[:, 2]))


def halves(
    pdg: NDArray[np.integer], kinetic_energy: NDArray[np.floating], rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two halves, alike in species and energy: of each two neighbours, one goes either way.

    Parameters
    ----------
    pdg, kinetic_energy : [n]
        Of all showers.
    rows : int64 [m]
        Those to share out.
    rng : Generator

    Returns
    -------
    int64 [m // 2], int64 [m // 2]
        Both ascending.
    """
    order = rows[np.lexsort((kinetic_energy[rows], pdg[rows]))]
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    way = rng.integers(2, size=len(pairs))
    number = np.arange(len(pairs))
    return np.sort(pairs[number, way]), np.sort(pairs[number, 1 - way])


def _same_particles(candidate: ShowerSource, full: ShowerSource, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Showers of a file that are of the same particles as those rows of the data, if it is made so; else all."""
    same = len(candidate) == len(full) and all(
        np.array_equal(getattr(candidate, key)(), getattr(full, key)()) for key in ("pdg", "kinetic_energy")
    )
    return rows if same else np.arange(len(candidate))
