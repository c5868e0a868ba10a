# SPDX-License-Identifier: BSD-3-Clause
"""Physics of two simulations of the same events by section: hits, energies, profiles, spectra, moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...event.events import Reason
from ...io.hits.reader import PARTICLES, Chunk, SectionChunk
from .paired import FloatArray, PairedMean, PairedSpectrum

CELL_ENERGY = np.logspace(-6, 2, 65)
"""Edges of the bins of the spectrum of cells, GeV."""
EVENT_ENERGY = np.logspace(-4, 3, 337)
"""Edges of the bins of the visible energy of events, GeV."""
EVENT_HITS = np.concatenate([[0], np.unique(np.logspace(0, 5, 201).round())]) - 0.5
"""Edges of the bins of the number of hits of events."""
LAYERS = 128
"""Layers that a profile can distinguish; what lies behind counts as the last."""

SCALARS = {
    "hits": ("hits", ""),
    "energy": ("visible energy", "GeV"),
    "hottest": ("hottest cell", "GeV"),
    "depth": ("depth, mean", "layers"),
    "depth_rms": ("depth, rms", "layers"),
    "radius": ("radius, mean", "mm"),
    "radius_rms": ("radius, rms", "mm"),
}
"""Numbers of every event, by key: what they are, and their unit. `radius` is that of a shower: see `event_numbers`."""
SPECTRA = {
    "profile": ("energy by layer", "GeV"),
    "cells": ("spectrum of cell energies", "cells"),
    "event_energy": ("spectrum of visible energies", "events"),
    "event_hits": ("spectrum of numbers of hits", "events"),
}
"""What is compared bin by bin, by key: what it is, and what is summed."""

# hits that belong to the shower of the hottest cell
_SHOWER_MM = 100.0
# particles that a model refuses for its own reasons, and full simulation need not; softer ones don't change an event
_OF_THE_MODEL = (Reason.UNKNOWN_SPECIES, Reason.ENERGY_TOO_HIGH, Reason.ANGLE_TOO_LARGE)


@dataclass
class SectionSums:
    """One section in both simulations.

    Attributes
    ----------
    scalars : dict of str to PairedMean
        By the keys of `SCALARS`.
    spectra : dict of str to PairedSpectrum
        By the keys of `SPECTRA`.
    """

    scalars: dict[str, PairedMean] = field(default_factory=lambda: {key: PairedMean() for key in SCALARS})
    spectra: dict[str, PairedSpectrum] = field(
        default_factory=lambda: {
            "profile": PairedSpectrum(LAYERS),
            "cells": PairedSpectrum(len(CELL_ENERGY) - 1),
            "event_energy": PairedSpectrum(len(EVENT_ENERGY) - 1),
            "event_hits": PairedSpectrum(len(EVENT_HITS) - 1),
        }
    )

    def add(
        self, full: Mapping[str, FloatArray], fast: Mapping[str, FloatArray], chosen: slice | NDArray[np.bool_]
    ) -> None:
        """Add those of the events that are chosen; arrays begin with [n_events], and are not all there."""
        for kind in (self.scalars, self.spectra):
            for key, sums in kind.items():
                if key in full and key in fast:
                    sums.add(full[key][chosen], fast[key][chosen])

    @property
    def empty(self) -> bool:
        """Whether no hit was seen."""
        return not self.scalars["hits"].mean.any() or not self.scalars["hits"].n

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {key: sums.to_dict() for kind in (self.scalars, self.spectra) for key, sums in kind.items() if sums.n}


@dataclass
class Physics:
    """All sections in both simulations; grows chunk by chunk.

    Attributes
    ----------
    all : dict of str to SectionSums
        In all events.
    alike : dict of str to SectionSums
        In those where the two simulations refused the same particles, apart from soft ones. What differs there is the
        simulation, not what was simulated.
    events, events_alike : int
    """

    all: dict[str, SectionSums] = field(default_factory=dict)
    alike: dict[str, SectionSums] = field(default_factory=dict)
    events: int = 0
    events_alike: int = 0

    def add(self, full: Chunk, fast: Chunk) -> None:
        """Add the same events of both."""
        alike = same_particles(full, fast)
        self.events += len(alike)
        self.events_alike += int(alike.sum())
        for name in full.sections:
            if name in fast.sections:
                numbers = [event_numbers(chunk.sections[name]) for chunk in (full, fast)]
                self.all.setdefault(name, SectionSums()).add(numbers[0], numbers[1], slice(None))
                self.alike.setdefault(name, SectionSums()).add(numbers[0], numbers[1], alike)

    @property
    def set_apart(self) -> bool:
        """Whether the events that are alike are some, but not all."""
        return 0 < self.events_alike < self.events

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        bins = {"cells": CELL_ENERGY, "event_energy": EVENT_ENERGY, "event_hits": EVENT_HITS}
        return {
            "events": self.events,
            "events_alike": self.events_alike,
            "units": {key: unit for key, (_, unit) in (SCALARS | SPECTRA).items() if unit},
            "bin_edges": {key: edges.tolist() for key, edges in bins.items()},
            "sections": {name: sums.to_dict() for name, sums in self.all.items()},
            "sections_alike": {name: sums.to_dict() for name, sums in self.alike.items()},
        }


def same_particles(full: Chunk, fast: Chunk) -> NDArray[np.bool_]:
    """Whether both refused as many particles for reasons that are those of a model, bool [n_events]."""
    same = np.ones(len(full.entries), np.bool_)
    for reason in _OF_THE_MODEL:
        name = f"{PARTICLES}{reason.name.lower()}"
        if name in full.events and name in fast.events:
            same &= full.events[name] == fast.events[name]
    return same


def event_numbers(hits: SectionChunk) -> dict[str, FloatArray]:
    """Numbers and histograms of each event.

    Parameters
    ----------
    hits : SectionChunk

    Returns
    -------
    dict of str to float64 [n_events] or [n_events, bins]
        By the keys of `SCALARS` and `SPECTRA`, as far as the columns go. Means and spreads are weighted with energy;
        ``radius`` is the distance from the straight line through the origin and the event's hottest cell, of hits that
        are nearer than 100 mm to it. NaN in events without hits.
    """
    n, event, columns = len(hits.counts), hits.event, hits.columns
    counts: FloatArray = hits.counts.astype(np.float64)
    found = {"hits": counts, "event_hits": _indicator(counts, EVENT_HITS)}
    if "energy" not in columns:
        return found
    energy = np.where(np.isfinite(columns["energy"]), columns["energy"], 0).astype(np.float64)
    total = _sums(event, energy, n)
    hottest = _hottest(hits.counts, event, energy)
    found |= {
        "energy": total,
        "hottest": np.where(hits.counts > 0, energy[hottest] if len(energy) else 0, np.nan),
        "event_energy": _indicator(total, EVENT_ENERGY),
        "cells": _histogram(event, _bin(energy, CELL_ENERGY), np.ones(len(energy)), n, len(CELL_ENERGY) - 1),
    }
    if (layer := columns.get("layer")) is not None:
        found["profile"] = _histogram(event, np.clip(layer, 0, LAYERS - 1).astype(np.int64), energy, n, LAYERS)
        found["depth"], found["depth_rms"] = _moments(event, layer.astype(np.float64), energy, n)
    if all(axis in columns for axis in "xyz") and len(energy):
        position = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
        radius = _from_line(position, position[hottest][event])
        near = radius < _SHOWER_MM
        found["radius"], found["radius_rms"] = _moments(event[near], radius[near], energy[near], n)
    return found


def _sums(place: NDArray[np.int64], weight: FloatArray, places: int) -> FloatArray:
    summed: FloatArray = np.bincount(place, weight, minlength=places).astype(np.float64, copy=False)
    return summed


def _bin(values: FloatArray, edges: FloatArray) -> NDArray[np.int64]:
    """Bin of each value; what lies outside counts in the first or the last."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _histogram(
    event: NDArray[np.int64], place: NDArray[Any], weight: FloatArray, n_events: int, bins: int
) -> FloatArray:
    flat = event * bins + place
    return _sums(flat, weight, n_events * bins).reshape(n_events, bins)


def _indicator(values: FloatArray, edges: FloatArray) -> FloatArray:
    return _histogram(np.arange(len(values)), _bin(values, edges), np.ones(len(values)), len(values), len(edges) - 1)


def _hottest(counts: NDArray[np.int64], event: NDArray[np.int64], energy: FloatArray) -> NDArray[np.int64]:
    """Place of the hit with the most energy of each event, int64 [n_events]; any place for an event without hits."""
    order = np.lexsort((energy, event))
    last = np.cumsum(counts) - 1
    return order[np.maximum(last, 0)] if len(order) else np.zeros(len(counts), np.int64)


def _from_line(position: FloatArray, through: FloatArray) -> FloatArray:
    """Distance of points [h, 3] from the lines through the origin and other points [h, 3]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        axis = through / np.linalg.norm(through, axis=1, keepdims=True)
    along = np.einsum("ij,ij->i", position, axis)
    distance: FloatArray = np.linalg.norm(position - along[:, None] * axis, axis=1)
    return np.nan_to_num(distance)


def _moments(
    event: NDArray[np.int64], values: FloatArray, weight: FloatArray, n_events: int
) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and rms of values [h] in each event, float64 [n_events] each."""
    total = _sums(event, weight, n_events)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _sums(event, weight * values, n_events) / total
        spread = _sums(event, weight * (values - mean[event]) ** 2, n_events) / total
    return mean, np.sqrt(spread)


def accounts(full: Mapping[str, Any], fast: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Particles by what became of them, from what the files state of themselves.

    Parameters
    ----------
    full, fast : mapping
        Their provenance.

    Returns
    -------
    dict
        By reason, then ``full`` and ``fast``: ``count`` and ``energy`` (kinetic, GeV). Empty unless both state it.
    """
    reasons = [dict((stated.get("accounts") or {}).get("reasons") or {}) for stated in (full, fast)]
    if not all(reasons):
        return {}
    names: Sequence[str] = list(dict.fromkeys([*reasons[0], *reasons[1]]))
    none = {"count": 0, "energy": 0.0}
    return {name: {"full": reasons[0].get(name, none), "fast": reasons[1].get(name, none)} for name in names}
