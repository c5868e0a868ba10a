# SPDX-License-Identifier: BSD-3-Clause
"""A real, small engine for tests: no network, but true geometry, propagation and energies."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastcalo import particles
from fastcalo.detector.description import Detector, load_detector
from fastcalo.event.events import Events, Reason
from fastcalo.event.hits import Hits, SectionHits
from fastcalo.simulation.propagation import propagate

FRACTION = 0.03
"""Part of the kinetic energy that a particle leaves in the cells on its way."""


@dataclass
class StraightEngine:
    """Every particle that arrives leaves FRACTION of its kinetic energy in the cells that its line of flight crosses.

    Shared out evenly over all layers of all sections, times a factor in [0.5, 1.5) drawn from (seed, run, event).
    """

    detector: Detector
    network_seconds: float = 0.0

    def run(self, events: Events, seed: int = 0) -> Hits:
        reason, arrival = self._reasons(events)
        chosen = np.flatnonzero(reason == Reason.SIMULATED)
        deposit = events.kinetic_energy[chosen] * FRACTION * self._factors(events, seed)[chosen]
        layers = sum(section.layers for section in self.detector.sections)
        event = events.event_of_particle[chosen]
        sections = {
            section.name: self._section(section, arrival, chosen, deposit / layers, event, events.n_events)
            for section in self.detector.sections
        }
        self.network_seconds += 0.001
        return Hits(sections, events.run, events.event, reason, events.offsets, events.luminosity_block)

    def provenance(self) -> dict:
        return {"fraction": FRACTION}

    def _reasons(self, events: Events):
        arrival = propagate(self.detector, events.pdg, events.momentum, events.vertex)
        reason = arrival.reason.copy()
        reason[np.isnan(particles.charge(events.pdg))] = Reason.UNKNOWN_SPECIES
        reason[particles.is_invisible(events.pdg)] = Reason.INVISIBLE
        with np.errstate(all="ignore"):
            reason[~np.isfinite(events.kinetic_energy)] = Reason.BAD_NUMBERS
        reason[~events.final] = Reason.NOT_FINAL_STATE
        if events.lineage is not None:
            reason[events.lineage.decayed] = Reason.DECAYED
        return reason, arrival

    def _factors(self, events: Events, seed: int) -> np.ndarray:
        keys = zip(events.run.tolist(), events.event.tolist(), strict=True)
        draws = [np.random.default_rng([seed, abs(run), abs(event)]).uniform(0.5, 1.5) for run, event in keys]
        return np.repeat(draws, np.diff(events.offsets)) if draws else np.empty(0)

    def _section(self, section, arrival, chosen, deposit, event, n_events) -> SectionHits:
        n, layers = len(chosen), section.layers
        direction, cell = arrival.direction[chosen], arrival.cell[chosen]
        first = self.detector.sections[0].cell_mm
        start = arrival.entry[chosen] + cell * first
        slope = direction[:, :2] / direction[:, 2:]
        point = start[:, None] + section.sensor_z[:, None] * slope[:, None]
        index = np.floor(point / section.cell_mm + 0.5).astype(np.int64)
        module = np.repeat(arrival.module[chosen].astype(np.int64), layers)
        layer = np.tile(np.arange(layers), n)
        ix, iy = index.reshape(-1, 2).T
        ids = self.detector.encode(section.name, module, ix, iy, layer)
        keys = np.stack([np.repeat(event, layers).astype(np.uint64), ids], axis=1)
        unique, at, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        energy = np.bincount(back.ravel(), np.repeat(deposit, layers), minlength=len(unique))
        position = self.detector.cell_centre(section.name, module[at], ix[at], iy[at], layer[at])
        counts = np.bincount(unique[:, 0].astype(np.int64), minlength=n_events)
        return SectionHits(
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            cell_id=unique[:, 1].astype(np.uint64),
            energy=energy.astype(np.float32),
            position=position.astype(np.float32).reshape(-1, 3),
            layer=layer[at].astype(np.int16),
        )


@dataclass
class KilledEngine(StraightEngine):
    """An engine whose process is killed by steps of few events, while a file is there."""

    fewer_than: int = 0
    flag: Path = Path()

    def run(self, events: Events, seed: int = 0) -> Hits:
        if events.n_events < self.fewer_than and self.flag.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(events, seed)


def make_engine() -> StraightEngine:
    return StraightEngine(load_detector())
