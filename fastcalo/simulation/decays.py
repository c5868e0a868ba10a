# SPDX-License-Identifier: BSD-3-Clause
"""Decays before the calorimeter: particles that do not live to its face are replaced by their daughters.

Generators leave K0_S, hyperons and charged pions undecayed, and full simulation decays them in flight. Here it is done
once, before any engine: every unstable particle flies along its straight line or helix for an exponentially distributed
length, of mean c tau p / m. If that ends before the particle leaves the volume in front of the calorimeter, it decays
there, by phase space, and so do its daughters. Spins are not followed.

The random numbers are the particle's own. With D and i by what it draws them (`Events.random_keys`), and M of
`event.digests.mix`: D' = M(M(D xor 0x6465636179) xor i). The decay draws from the stream of D' and particle
number 2**32 - 1: block 0 gives the length, the channel, and the direction of the last daughter; block 1, for three
daughters, the direction of the first in the rest frame of the first two, and their mass. Daughter k draws by D' and k.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import particles
from ..detector.description import Detector
from ..event.digests import mix
from ..event.events import Events
from ..event.lineage import Lineage
from ..model.random_numbers import streams_of
from .acceptance import good_numbers
from .decay_table import decay_table
from .phase_space import FloatArray, daughters
from .propagation import flight_time, free_paths

_DECAY = np.uint64(0x6465636179)
_OWN_NUMBER = 0xFFFFFFFF
_E = TypeVar("_E", bound=Events)


@dataclass(frozen=True, eq=False)
class _Particles:
    """Particles of one generation, in columns."""

    row: NDArray[np.int64]
    """Row of the first ancestor in the events."""
    pdg: NDArray[np.int64]
    momentum: FloatArray
    mass: FloatArray
    vertex: FloatArray
    digest: NDArray[np.uint64]
    number: NDArray[np.int64]
    time: FloatArray
    parent: NDArray[np.int64]
    """Row of the parent in its generation."""

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> _Particles:
        return _Particles(*(getattr(self, column.name)[rows] for column in fields(self)))


def decay(events: _E, detector: Detector, seed: int = 0) -> _E:
    """Let particles of events decay that do not live to the calorimeter.

    Parameters
    ----------
    events : Events
    detector : Detector
        Its faces, and its field.
    seed : int
        The same seed gives the same decays, whatever else is in the events.

    Returns
    -------
    Events
        The same, with the daughters behind the particles of their event, and `Events.lineage`. What decayed is not in
        the final state any more. Events in which nothing decays are as they were; if that is so in all, they are
        returned as they are.

    Raises
    ------
    InputError
        The seed does not fit 64 bits.

    Examples
    --------
    >>> from fastcalo import Events, load_detector
    >>> kaons = Events.from_arrays(pdg=[[310]] * 100, momentum=[2.0, 0.0, 0.0])
    >>> after = decay(kaons, load_detector(), seed=1)
    >>> int(after.lineage.decayed[after.pdg == 310].sum())
    100
    """
    digest, number = events.random_keys
    moving = good_numbers(events) & (events.kinetic_energy > 0)
    unstable = events.final & moving & (decay_table().row(events.pdg) >= 0)
    rows = np.flatnonzero(unstable)
    current = _Particles(
        rows,
        events.pdg[rows].astype(np.int64),
        events.momentum[rows],
        events.mass[rows],
        events.vertex[rows],
        digest[rows],
        number[rows],
        np.zeros(len(rows)) if events.time is None else events.time[rows],
        rows,
    )
    generations: list[_Particles] = []
    ended: list[NDArray[np.int64]] = []
    while len(current.row):
        which, made = _one_generation(current, detector, seed)
        ended.append(which)
        generations.append(made)
        current = made
    if not ended or not len(ended[0]):
        return events
    return _joined(events, digest, number, rows, generations, ended)


def _one_generation(current: _Particles, detector: Detector, seed: int) -> tuple[NDArray[np.int64], _Particles]:
    """Rows of particles that decay, and their daughters."""
    table = decay_table()
    unstable = np.flatnonzero(table.row(current.pdg) >= 0)
    mortal = current.take(unstable)
    kind = table.row(mortal.pdg)
    digest = mix(mix(mortal.digest ^ _DECAY) ^ mortal.number.astype(np.uint64))
    own = streams_of(seed, digest, np.full(len(digest), _OWN_NUMBER, np.int64))
    u = _uniform(own.words(0, 4))
    alive, tracks, path = free_paths(detector, mortal.pdg, mortal.momentum, mortal.vertex)
    p = np.linalg.norm(mortal.momentum, axis=1)
    length = -np.log(u[:, 0]) * table.ctau[kind] * p / particles.mass(mortal.pdg)
    ends = length[alive] < path
    rows, at = alive[ends], length[alive][ends]
    vertex, direction = tracks[ends].at(at)
    made = table.daughters[table.channel(kind[rows], u[rows, 1])]
    more = _uniform(own.take(rows).words(1, 4))
    parents = mortal.take(rows)
    masses = np.where(made == 0, np.nan, particles.mass(made.ravel()).reshape(made.shape))
    momentum = daughters(
        p[rows, None] * direction,
        particles.mass(parents.pdg),
        masses,
        np.column_stack([u[rows, 2:4], more[:, :3]]),
    )
    parent, k = np.nonzero(made)
    produced = _Particles(
        row=parents.row[parent],
        pdg=made[parent, k],
        momentum=momentum[parent, k],
        mass=masses[parent, k],
        vertex=vertex[parent],
        digest=digest[rows][parent],
        number=k.astype(np.int64),
        time=(mortal.time[rows] + flight_time(at, p[rows], mortal.mass[rows]))[parent],
        parent=unstable[rows][parent],
    )
    return unstable[rows], produced


def _uniform(words: NDArray[np.uint32]) -> FloatArray:
    """Numbers strictly between 0 and 1: the middles of 2**32 equal bins."""
    return (words.astype(np.float64) + 0.5) * 2.0**-32


def _joined(
    events: _E,
    digest: NDArray[np.uint64],
    number: NDArray[np.int64],
    rows: NDArray[np.int64],
    generations: list[_Particles],
    ended: list[NDArray[np.int64]],
) -> _E:
    """Put daughters behind the particles of their events."""
    n = events.n_particles
    before = [n, *(len(g.row) for g in generations)]
    starts = np.cumsum([0, *before])
    decayed = np.zeros(starts[-1], np.bool_)
    decayed[rows[ended[0]]] = True
    for k, which in enumerate(ended[1:]):
        decayed[starts[k + 1] + which] = True
    # rows among all, generation after generation; the first are daughters of particles of the input
    parents = [rows[generations[0].parent], *(starts[k] + g.parent for k, g in enumerate(generations) if k)]
    born = _Particles(
        *(np.concatenate([getattr(g, column.name) for g in generations]) for column in fields(_Particles))
    )
    event_of, index = events.event_of_particle, events.index_in_event
    event = np.concatenate([event_of, event_of[born.row]])
    # stable: particles of the input first, then generation by generation, in the order of their parents
    order = np.argsort(event, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = _places(event[order])
    parent = np.concatenate([np.full(n, -1), place[np.concatenate(parents)]])
    lineage = Lineage(
        origin=np.concatenate([index, index[born.row]])[order],
        generation=np.repeat(np.arange(len(before), dtype=np.int8), before)[order],
        decayed=decayed[order],
        digest=np.concatenate([digest, born.digest])[order],
        number=np.concatenate([number, born.number])[order],
        parent=parent[order],
    )
    time = np.zeros(n) if events.time is None else events.time
    final = np.concatenate([events.final, np.ones(len(born.row), np.bool_)])
    return replace(
        events,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(event, minlength=events.n_events))]),
        pdg=np.concatenate([events.pdg, born.pdg.astype(events.pdg.dtype)])[order],
        momentum=np.concatenate([events.momentum, born.momentum])[order],
        mass=np.concatenate([events.mass, born.mass])[order],
        vertex=np.concatenate([events.vertex, born.vertex])[order],
        final=(final & ~decayed)[order],
        lineage=lineage,
        time=np.concatenate([time, born.time])[order],
    )


def _places(event: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each particle in its event, of events in their order."""
    return np.arange(len(event)) - np.searchsorted(event, event)
