# SPDX-License-Identifier: BSD-3-Clause
"""Make the events of the demo: electron-positron collisions at the Z pole, by Pythia 8.

    pip install '.[pythia]'    (in a clone)
    python examples/demo/make_events.py [OUT.root]

Most events are what electromagnetic showers are made of, Z -> e+ e- (with photon radiation) and
e+ e- -> gamma gamma. Some are Z -> tau+ tau- and Z -> hadrons, whose muons, neutrinos and hadrons a model of
electrons and photons must refuse, and count. The whole particle record is written, beams and decayed particles
included, under the names of EDM4hep.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from pythia8mc import Pythia

SQRT_S = 91.2  # GeV
SEED = 20260
MM_PER_NS = 299.792458

# keys and C++ types of edm4hep::MCParticle, in the order in which `particle_rows` fills them
COLUMNS = {
    "PDG": np.int32,
    "generatorStatus": np.int32,
    "charge": np.float32,
    "time": np.float32,
    "mass": np.float64,
    "vertex.x": np.float64,
    "vertex.y": np.float64,
    "vertex.z": np.float64,
    "momentum.x": np.float64,
    "momentum.y": np.float64,
    "momentum.z": np.float64,
}


@dataclass(frozen=True)
class Process:
    """One kind of collision: how many, and the settings of Pythia."""

    events: int
    settings: tuple[str, ...]
    sqrt_s: float = SQRT_S  # GeV


def z_to(*pdg: int) -> tuple[str, ...]:
    """Settings for Z/gamma* production with the Z decaying to the given flavours only."""
    return "WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = " + " ".join(map(str, pdg))


PROCESSES = (
    Process(150, z_to(11)),
    Process(90, ("PromptPhoton:ffbar2gammagamma = on", "PhaseSpace:pTHatMin = 6.")),
    Process(30, z_to(15)),
    Process(30, z_to(1, 2, 3, 4, 5)),
)


def generator(process: Process, seed: int) -> Pythia:
    """Pythia, set up for one kind of collision."""
    pythia = Pythia("", False)
    for line in (
        "Print:quiet = on",
        "Beams:idA = 11",
        "Beams:idB = -11",
        f"Beams:eCM = {process.sqrt_s}",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        # what lives longer than 10 mm/c flies into the detector
        "ParticleDecays:limitTau0 = on",
        *process.settings,
    ):
        pythia.readString(line)
    if not pythia.init():
        raise RuntimeError(f"Pythia refused the settings {process.settings}")
    return pythia


def particle_rows(event: object) -> Iterator[tuple[float, ...]]:
    """Rows of `COLUMNS` for one event: GeV, mm, ns and e. Status codes are those of HepMC: 1 is the final state."""
    for p in list(event)[1:]:  # type: ignore[call-overload]  # entry 0 stands for the event as a whole
        yield (
            *(p.id(), p.statusHepMC(), p.charge(), p.tProd() / MM_PER_NS, p.m()),
            *(p.xProd(), p.yProd(), p.zProd(), p.px(), p.py(), p.pz()),
        )


def collide(processes: Sequence[Process] = PROCESSES, seed: int = SEED) -> list[list[tuple[float, ...]]]:
    """Return all events, the kinds mixed as chance would have it."""
    events: list[list[tuple[float, ...]]] = []
    for number, process in enumerate(processes):
        pythia = generator(process, seed + number)
        while len(events) < sum(p.events for p in processes[: number + 1]):
            if pythia.next():
                events.append(list(particle_rows(pythia.event)))
    order = np.random.default_rng(seed).permutation(len(events))
    return [events[i] for i in order]


def write(path: Path, events: list[list[tuple[float, ...]]], sqrt_s: float = SQRT_S, first: int = 0) -> None:
    """Write the events, numbered from `first`, as a TTree with the branches of an EDM4hep file."""
    counts = [len(rows) for rows in events]
    table = np.array([row for rows in events for row in rows]).T
    particles = {
        name: ak.unflatten(column.astype(dtype), counts)
        for (name, dtype), column in zip(COLUMNS.items(), table, strict=True)
    }
    numbers = np.arange(first, first + len(events), dtype=np.int32)
    once = np.ones_like(numbers)  # EDM4hep keeps the header, too, as a collection: of one
    header = {"eventNumber": ak.unflatten(numbers, once), "runNumber": ak.unflatten(once, once)}
    collections = {"EventHeader": ak.zip(header), "MCParticles": ak.zip(particles)}
    with uproot.recreate(path, compression=uproot.ZSTD(9)) as file:
        tree = file.mktree(
            "events",
            {name: ak.type(array).content for name, array in collections.items()},
            title=f"e+ e- collisions at {sqrt_s} GeV",
            field_name=lambda outer, inner: f"{outer}.{inner}" if outer else inner,
        )
        tree.extend(collections)


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description="e+ e- collisions at the Z pole, by Pythia 8")
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_name("events.root"))
    out = parser.parse_args().out
    events = collide()
    write(out, events)
    print(f"{out}: {len(events)} events, {sum(map(len, events))} particles, {out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
