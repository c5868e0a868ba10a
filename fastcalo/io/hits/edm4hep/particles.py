# SPDX-License-Identifier: BSD-3-Clause
"""Collections ``MCParticles`` and ``EventHeader`` of EDM4hep, of events and of what their input states beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import particles
from ....errors import InputError, OutputError
from ....event.events import Events, Reason
from ...podio.data_types import EVENT_HEADER, MC_PARTICLE
from ...podio.frames import Collection, References
from ...truth.edm4hep_truth import RELATIONS, Truth

PARTICLES, HEADER = "MCParticles", "EventHeader"

BIT_CREATED_IN_SIMULATION, BIT_DECAYED_IN_TRACKER, BIT_FAST = 30, 27, 22
"""Bits of ``simulatorStatus``: edm4hep.yaml of EDM4hep 1.1, ``BITCreatedInSimulation`` and so on."""

_NO_HELICITY = 9


def particle_collection(
    events: Events, reason: NDArray[np.int8], truth: Truth | None, *, fast: bool | NDArray[np.bool_]
) -> Collection:
    """All particles of events: those of the input, unchanged but for ``simulatorStatus``, and daughters of decays.

    Parameters
    ----------
    events : Events
    reason : int8 [n]
        `Reason` of every particle.
    truth : Truth or None
        What the input states of its particles, where it is EDM4hep.
    fast : bool, or bool [n]
        Whether fast simulation made the hits of particles that were simulated.

    Raises
    ------
    InputError
        The input has another number of particles than the events.
    """
    lineage = events.lineage
    made = np.zeros(events.n_particles, np.bool_) if lineage is None else lineage.generation > 0
    columns = _of_events(events, made)
    if truth is not None:
        own = np.bincount(events.event_of_particle[~made], minlength=events.n_events)
        if not np.array_equal(own, truth.counts):
            raise InputError("the input has another number of particles than when it was first read: was it replaced?")
        for name, values in truth.columns.items():
            columns[name][~made] = values
    status = columns["simulatorStatus"]
    status |= np.int32(1 << BIT_CREATED_IN_SIMULATION) * made
    status |= np.int32(1 << BIT_FAST) * ((reason == Reason.SIMULATED) & fast)
    relations = _relations(events, made, truth)
    if lineage is not None:
        _end_decayed(columns, events, lineage.decayed)
    references = {name: References(PARTICLES, index, counts) for name, (counts, index) in relations.items()}
    return Collection(MC_PARTICLE, events.offsets, columns, references)


def _of_events(events: Events, made: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Members of all particles, as far as the events hold them."""
    n = events.n_particles
    return {
        "PDG": events.pdg.astype(np.int32),
        "generatorStatus": (events.final & ~made).astype(np.int32),
        "simulatorStatus": np.zeros(n, np.int32),
        "charge": np.nan_to_num(particles.charge(events.pdg)).astype(np.float32),
        "time": np.zeros(n, np.float32) if events.time is None else events.time.astype(np.float32),
        "mass": events.mass.astype(np.float64),
        "vertex": events.vertex.astype(np.float64),
        "endpoint": np.zeros((n, 3)),
        "momentum": events.momentum.astype(np.float64),
        "momentumAtEndpoint": np.zeros((n, 3)),
        "helicity": np.full(n, _NO_HELICITY, np.int32),
    }


def _end_decayed(columns: Mapping[str, NDArray[Any]], events: Events, decayed: NDArray[np.bool_]) -> None:
    """Let particles that decayed end where their daughters begin, with the sum of their momenta."""
    lineage = events.lineage
    assert lineage is not None
    columns["simulatorStatus"][decayed] |= np.int32(1 << BIT_DECAYED_IN_TRACKER)
    daughter = np.flatnonzero(lineage.parent >= 0)
    parent = events.offsets[events.event_of_particle[daughter]] + lineage.parent[daughter]
    columns["endpoint"][parent] = events.vertex[daughter]
    columns["momentumAtEndpoint"][decayed] = 0
    np.add.at(columns["momentumAtEndpoint"], parent, events.momentum[daughter])


def _relations(
    events: Events, made: NDArray[np.bool_], truth: Truth | None
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int32]]]:
    """Numbers of parents and daughters, and their places: those of the input, then those that decays add."""
    rows = np.flatnonzero(~made)
    found = {}
    for name in RELATIONS:
        counts, index = (np.zeros(len(rows), np.int64), np.zeros(0, np.int32))
        if truth is not None:
            counts, index = truth.relations.get(name, (counts, index))
        owner = np.repeat(rows, counts)
        if events.lineage is not None:
            daughter = np.flatnonzero(made)
            first = events.offsets[events.event_of_particle[daughter]]
            parent = first + events.lineage.parent[daughter]
            new_owner, target = (daughter, parent) if name == "parents" else (parent, daughter)
            owner = np.concatenate([owner, new_owner])
            index = np.concatenate([index, (target - first).astype(np.int32)])
        order = np.argsort(owner, kind="stable")
        found[name] = np.bincount(owner, minlength=events.n_particles), index[order]
    return found


def header_collection(identifiers: Mapping[str, NDArray[Any]], truth: Truth | None) -> Collection:
    """One header for each event.

    Parameters
    ----------
    identifiers : mapping of str to int [n_events]
        ``run`` and ``event``.
    truth : Truth or None

    Raises
    ------
    OutputError
        The number of a run needs more than 32 bits, or is negative.
    """
    run, event = identifiers["run"], identifiers["event"]
    if len(run) and (int(run.min()) < 0 or int(run.max()) >= 1 << 32):
        raise OutputError(f"EDM4hep numbers runs from 0 to {(1 << 32) - 1}, but there are {run.min()} to {run.max()}")
    n = len(run)
    header = {} if truth is None else truth.header
    counts, weights = (np.zeros(n, np.int64), np.zeros(0))
    if truth is not None and truth.weights is not None:
        counts, weights = truth.weights
    columns = {
        "eventNumber": event.astype(np.int64).view(np.uint64) if event.dtype.kind == "i" else event,
        "runNumber": run,
        "timeStamp": header.get("timeStamp", np.zeros(n, np.uint64)),
        "weight": header.get("weight", np.ones(n)),
    }
    return Collection(EVENT_HEADER, np.arange(n + 1), columns, vectors={"weights": (counts, weights)})
