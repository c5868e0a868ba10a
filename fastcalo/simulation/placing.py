# SPDX-License-Identifier: BSD-3-Clause
"""Placing of shower deposits in detector cells, and their sum over the particles of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..detector.description import Detector
from ..detector.section import Section
from ..errors import InputError
from ..event.contributions import Contributions
from ..event.hits import SectionHits

_CELL = ("event", "module", "layer", "ix", "iy")


@dataclass(frozen=True, eq=False)
class DepositSource:
    """What made deposits, and when.

    Attributes
    ----------
    particle : int [h]
        Place of the particle in its event.
    time, mean_time : float [h]
        Of the first deposit, and the mean weighted with energies, ns since the event.
    step_length : float32 [h]
        mm; see `Contributions`.
    """

    particle: NDArray[np.integer]
    time: NDArray[np.floating]
    mean_time: NDArray[np.floating]
    step_length: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Deposits:
    """Deposits in cells of one section.

    Attributes
    ----------
    event, module, layer, ix, iy : int [h]
    deposit : float [h]
        GeV.
    source : DepositSource or None
        What made them, where contributions of particles are asked for.
    """

    event: NDArray[np.integer]
    module: NDArray[np.integer]
    layer: NDArray[np.integer]
    ix: NDArray[np.integer]
    iy: NDArray[np.integer]
    deposit: NDArray[np.floating]
    source: DepositSource | None = None


def deposits_of_hits(
    detector: Detector, section: str, event: NDArray[np.int64], cell_id: NDArray[np.uint64], energy: NDArray[np.float32]
) -> Deposits:
    """Hits as deposits, to be summed with others.

    Parameters
    ----------
    detector : Detector
    section : str
    event : int64 [h]
        Event of each hit, counted from 0.
    cell_id : uint64 [h]
    energy : float32 [h], GeV
    """
    at = detector.decode(section, cell_id)
    return Deposits(event, at["module"], at["layer"], at["x"], at["y"], energy)


def with_source(hits: Deposits, made: Contributions) -> Deposits:
    """Contributions to hits as deposits of their own, which know what made them.

    Parameters
    ----------
    hits : Deposits
    made : Contributions
        To these hits.
    """
    hit = made.hit
    source = DepositSource(made.particle, made.time, made.mean_time, made.step_length)
    return Deposits(hits.event[hit], hits.module[hit], hits.layer[hit], hits.ix[hit], hits.iy[hit], made.energy, source)


def crossed_cells(section: Section, entry: NDArray[np.float32], direction: NDArray[np.float32]) -> NDArray[np.int64]:
    """Cells that lines of flight cross in every layer, counted from the one that the origin of `entry` is centred in.

    Parameters
    ----------
    section : Section
    entry : float32 [n, 2]
        mm. In single precision, as the models find these cells.
    direction : float32 [n, 3]

    Returns
    -------
    int64 [n, layers, 2]
    """
    slope = (direction[:, :2] / direction[:, 2:])[:, None]
    z = section.sensor_z.astype(np.float32)[None, :, None]
    crossing = (entry[:, None] + z * slope) / np.float32(section.cell_mm)
    cell: NDArray[np.int64] = np.floor(crossing + np.float32(0.5)).astype(np.int64)
    return cell


def sum_deposits(
    detector: Detector,
    name: str,
    parts: Sequence[Deposits],
    n_events: int,
    threshold: float | None = None,
    *,
    contributions: Sequence[Deposits] | None = None,
) -> SectionHits:
    """Deposits per event and cell, in the order of module, layer, x and y.

    Parameters
    ----------
    detector : Detector
    name : str
        The section.
    parts : sequence of Deposits
    n_events : int
    threshold : float, optional
        Sums that are not greater are left out, GeV.
    contributions : sequence of Deposits, optional
        Deposits in the same cells with what made them, where the hits are to state what each particle made of them;
        they may be the parts themselves.

    Returns
    -------
    SectionHits

    Raises
    ------
    InputError
        There are more events and cells than 64 bits can number.
    """
    event, module, layer, ix, iy = (_column(parts, c) for c in _CELL)
    key = _key([event, module, layer, ix, iy])
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    deposit = np.concatenate([np.zeros(0), *(p.deposit for p in parts)])[order]
    energy = np.add.reduceat(deposit, first) if len(first) else np.zeros(0)
    at = order[first]
    made = None if contributions is None else _contributions(contributions)
    if threshold is not None:
        hit = energy.astype(np.float32) > threshold
        energy, at = energy[hit], at[hit]
        made = None if made is None else made.take(hit)
    event, module, layer, ix, iy = (column[at] for column in (event, module, layer, ix, iy))
    return SectionHits(
        offsets=np.searchsorted(event, np.arange(n_events + 1)).astype(np.int64),
        cell_id=detector.encode(name, module, ix, iy, layer),
        energy=energy.astype(np.float32),
        position=detector.cell_centre(name, module, ix, iy, layer).astype(np.float32),
        layer=layer.astype(np.int16),
        contributions=made,
    )


def _contributions(parts: Sequence[Deposits]) -> Contributions:
    """Sums of the deposits of each particle in each cell, cells in the order of `sum_deposits`."""
    key = _key([_column(parts, column) for column in _CELL])
    if not len(key):
        return Contributions.none()
    sources = [part.source for part in parts if part.source is not None]
    if len(sources) < len(parts):
        raise InputError("contributions are asked for, but some deposits do not state which particle made them")
    particle, time, mean_time, step_length = (
        np.concatenate([getattr(source, column) for source in sources])
        for column in ("particle", "time", "mean_time", "step_length")
    )
    deposit = np.concatenate([part.deposit for part in parts]).astype(np.float64)
    order = np.lexsort((particle, key))
    key, particle, deposit = key[order], particle[order], deposit[order]
    new_cell = np.concatenate([[True], key[1:] != key[:-1]])
    first = np.flatnonzero(new_cell | np.concatenate([[True], particle[1:] != particle[:-1]]))
    energy = np.add.reduceat(deposit, first)
    weighted = np.add.reduceat(deposit * mean_time[order], first)
    counts = np.diff(np.flatnonzero(np.concatenate([new_cell[first], [True]])))
    return Contributions(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        particle=particle[first].astype(np.int32),
        energy=energy.astype(np.float32),
        time=np.minimum.reduceat(time[order], first).astype(np.float32),
        mean_time=np.divide(weighted, energy, out=np.zeros_like(energy), where=energy > 0).astype(np.float32),
        step_length=step_length[order][first].astype(np.float32),
    )


def _column(parts: Sequence[Deposits], name: str) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *(getattr(p, name) for p in parts)])


def _key(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One number per row of the columns, in their order."""
    key, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low, high = int(column.min(initial=0)), int(column.max(initial=0))
        size *= high - low + 1
        key = key * (high - low + 1) + (column - low)
    if size >= 1 << 63:
        raise InputError("more events and cells than 64 bits can number: run fewer events at a time")
    return key
