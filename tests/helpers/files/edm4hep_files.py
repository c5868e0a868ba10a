# SPDX-License-Identifier: BSD-3-Clause
"""EDM4hep files of generated particles with parents, daughters and weights, as a generator would leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import uproot

from fastcalo.io.podio.data_types import EVENT_HEADER, MC_PARTICLE
from fastcalo.io.podio.frames import Collection, PodioFile, References

WEIGHTS = ["nominal", "scale up"]


def generated(n_events: int, seed: int = 0) -> dict[str, Collection]:
    """Events of a Z that decays to photons, a K0_S and a pion; each member has a value of its own."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 7, n_events)
    n = int(counts.sum())
    offsets = np.concatenate([[0], np.cumsum(counts)])
    first = offsets[:-1]
    place = np.arange(n) - np.repeat(first, counts)
    pdg = rng.choice([22, 310, 211, 22], n)
    pdg[first] = 23
    columns = {
        "PDG": pdg,
        "generatorStatus": np.where(place == 0, 62, 1),
        "simulatorStatus": np.where(place == 1, 1 << 23, 0),
        "charge": np.where(pdg == 211, 1.0, 0.0),
        "time": rng.uniform(0, 0.1, n),
        "mass": np.select([pdg == 23, pdg == 310, pdg == 211], [91.2, 0.497611, 0.13957039], 0.0),
        "vertex": rng.normal(0, 0.1, (n, 3)),
        "endpoint": rng.normal(size=(n, 3)),
        "momentum": rng.normal(0, 2, (n, 3)),
        "momentumAtEndpoint": rng.normal(size=(n, 3)),
        "helicity": rng.integers(-1, 2, n),
    }
    parents = np.where(place == 0, 0, 1)
    daughters = np.where(place == 0, np.repeat(counts - 1, counts), 0)
    references = {
        "parents": References("MCParticles", np.zeros(parents.sum(), np.int32), parents),
        "daughters": References("MCParticles", place[place > 0].astype(np.int32), daughters),
    }
    header = {
        "eventNumber": np.arange(n_events) + 7,
        "runNumber": np.full(n_events, 3),
        "timeStamp": rng.integers(0, 2**62, n_events),
        "weight": rng.uniform(0.5, 1.5, n_events),
    }
    weights = np.full(n_events, len(WEIGHTS)), rng.uniform(0.5, 1.5, n_events * len(WEIGHTS))
    return {
        "MCParticles": Collection(MC_PARTICLE, offsets, columns, references),
        "EventHeader": Collection(EVENT_HEADER, np.arange(n_events + 1), header, vectors={"weights": weights}),
    }


def write_generated(path: Path, n_events: int, seed: int = 0) -> dict[str, Collection]:
    """Write such a file, and return what is in it."""
    made = generated(n_events, seed)
    with path.open("x+b") as file:
        podio = PodioFile(file, uproot.ZLIB(1))
        podio.add("events", {name: collection.kind for name, collection in made.items()})
        podio.write("events", n_events, made, {})
        podio.add("metadata", {})
        podio.write("metadata", 1, {}, {"String": {"EventWeightNames": [WEIGHTS]}})
        podio.finish()
    return made
