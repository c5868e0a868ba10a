# SPDX-License-Identifier: BSD-3-Clause
"""Compare decays before the calorimeter with Geant4 that decays the same particles itself.

    python benchmarks/physics/decays.py FOLDER --seconds 3600     # simulates, and goes on where it was ended
    python benchmarks/physics/decays.py FOLDER --report           # the table of what there is

Particles of a kinetic energy fly from the middle of the detector to a stave of its barrel, without a field. `reference`
is Geant4 that tracks them through 1.5 m of vacuum into the same stack; `engine` is `Geant4Simulation`, and
`fast:MODELS` are `FastSimulation` with those models, after `simulation.decays`. `faces:MODELS` are those models with
the particles that Geant4, which decays and tracks, brings to the face: beside them it is seen what decays do, and not
what the models do. Each is simulated channel by channel, which takes fewer showers than as they come: means of channels
are added by their shares. The barrel has three staves, so that nothing meets another stave up to 60 degrees.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastcalo
from fastcalo import Events
from fastcalo.detector.description import Detector, parse_detector
from fastcalo.fullsim.shots import Shots
from fastcalo.particles import mass
from fastcalo.simulation.decays import decay

FloatArray = NDArray[np.float64]

PARTICLES = {310: "kaon0S", 3122: "lambda"}
ENERGIES = (1.0, 5.0, 20.0)  # GeV, kinetic
SECTIONS = ("ECAL", "HCAL")
# Geant4's share of the channel of charged particles, from its own table of decays (G4DecayTable::DumpInfo)
CHARGED = {310: 0.692 / (0.692 + 0.3069), 3122: 0.639 / (0.639 + 0.358)}
# events of a chunk by energy: each takes about as long
CHUNK = {1.0: 200, 5.0: 40, 20.0: 12}
FAST_CHUNK = 1000
# of the events of a chunk, in channels with charged particles, and in those without
SHARE = 0.65
MODELS = ("em+hadron+muon",)
# for the shares of the channels
DRAWN = 200_000
# a channel with a smaller share may be left out
RARE = 0.01


def flat_detector() -> Detector:
    """The default calorimeter with three wide staves and no field."""
    description = json.loads(json.dumps(fastcalo.load_detector().description))
    description["solenoid"]["field_tesla"] = 0.0
    description["barrel"] |= {"staves": 3, "half_length_mm": 4000.0}
    description["endcap"]["front_mm"] = 4000.0
    return parse_detector(description, "flat")


def shots(pdg: int, energy: float, number: int, first: int = 0) -> Events:
    """Particles from the origin along x, by number of the event."""
    m = float(mass([pdg])[0])
    p = float(np.sqrt(energy * (energy + 2 * m)))
    return Events.from_arrays(
        pdg=np.full(number, pdg),
        momentum=np.tile([p, 0.0, 0.0], (number, 1)),
        counts=np.ones(number, int),
        event=np.arange(first, first + number),
    )


def strata(events: Events) -> NDArray[np.int64]:
    """What became of each event's particle: 1 charged daughters, 0 neutral ones, 2 it reached the calorimeter."""
    found = np.full(events.n_events, 2)
    if events.lineage is None:
        return found
    first = events.lineage.generation == 1
    event = events.event_of_particle[first]
    charged = np.isin(np.abs(events.pdg[first]), (211, 2212))
    found[event] = 0
    found[event[charged]] = 1
    return found


def take(events: Events, chosen: NDArray[np.int64]) -> Events:
    """Some of the events, with their particles."""
    counts = np.diff(events.offsets)
    rows = np.concatenate([np.arange(events.offsets[i], events.offsets[i + 1]) for i in chosen])
    per_particle = {n: getattr(events, n)[rows] for n in ("pdg", "momentum", "mass", "vertex", "final")}
    lineage = events.lineage
    if lineage is not None:
        lineage = replace(lineage, **{n: getattr(lineage, n)[rows] for n in vars(lineage)})
    return Events(
        offsets=np.concatenate([[0], np.cumsum(counts[chosen])]),
        run=events.run[chosen],
        event=events.event[chosen],
        lineage=lineage,
        **per_particle,
    )


def sums(detector: Detector, sections: dict[str, Any], n: int) -> dict[str, list[float]]:
    """Energy of the hits of each event in the first stave, MeV."""
    found = {}
    for name in SECTIONS:
        s = sections[name]
        here = detector.decode(name, s.cell_id)["module"] == 0
        event = np.repeat(np.arange(n), np.diff(s.offsets))
        found[name] = (1e3 * np.bincount(event[here], s.energy[here], n)).round(5).tolist()
    return found


class EngineArm:
    """`decay`, then an engine."""

    def __init__(self, engine: Any, detector: Detector) -> None:
        self.engine, self.detector = engine, detector

    def run(self, pdg: int, energy: float, chunk: int, size: int) -> list[dict[str, Any]]:
        """Rows of a chunk."""
        events = decay(shots(pdg, energy, 8 * size, first=8 * size * chunk), self.detector, seed=1)
        which, rows = strata(events), []
        for stratum, part in ((1, SHARE), (0, 1 - SHARE), (2, 0.5)):
            chosen = np.flatnonzero(which == stratum)[: max(1, round(part * size))]
            if len(chosen):
                hits = self.engine.run(take(events, chosen), seed=1)
                rows.append({"stratum": stratum, **sums(self.detector, hits.sections, len(chosen))})
        return rows


def straight(pdg: int, energy: float, n: int, first_seed: int, second_seed: int) -> Shots:
    """Particles along the normal of the face, through the origin of its frame."""
    seeds = np.column_stack([first_seed + np.arange(n), np.full(n, second_seed)])
    direction = np.tile([0.0, 0.0, 1.0], (n, 1))
    return Shots(np.arange(n), np.full(n, pdg), np.full(n, energy), direction, np.zeros((n, 2)), seeds)


class ReferenceArm:
    """Geant4 decays."""

    def __init__(self, detector: Detector) -> None:
        from fastcalo.fullsim import geometry

        # before the stack is built: vacuum in front of it; the gaps are of air as before
        geometry.WORLD_MATERIAL = "G4_Galactic"
        import geant4_pybind as g4

        from fastcalo.fullsim.worker import Simulator

        self.g4, self.detector = g4, detector
        self.simulator = Simulator(detector.description, start_mm=detector.barrel.inner_radius_mm)

    def run(self, pdg: int, energy: float, chunk: int, size: int) -> list[dict[str, Any]]:
        """Rows of a chunk."""
        from fastcalo.simulation.placing import Deposits, sum_deposits

        rows = []
        for stratum, part in ((1, SHARE), (0, 1 - SHARE)):
            n = max(1, round(part * size))
            self.only(pdg, stratum)
            particles = straight(pdg, energy, n, 1 + 7919 * chunk, 1000 * stratum + int(energy) + abs(pdg))
            sections = {}
            for name, c in self.simulator.run(particles, lambda _row: None).sections.items():
                deposits = Deposits(c.shot, np.zeros(len(c.shot), int), c.layer, c.ix, c.iy, c.deposit)
                threshold = self.detector.section(name).threshold
                sections[name] = sum_deposits(self.detector, name, [deposits], n, threshold)
            rows.append({"stratum": stratum, **sums(self.detector, sections, n)})
        return rows

    def only(self, pdg: int, stratum: int) -> None:
        """Leave a particle the channel of charged daughters, or the other one."""
        for command in (
            f"select {PARTICLES[pdg]}",
            "property/decay/select 0",
            f"property/decay/br {float(stratum)}",
            "property/decay/select 1",
            f"property/decay/br {1.0 - stratum}",
        ):
            self.g4.G4UImanager.GetUIpointer().ApplyCommand(f"/particle/{command}")


class FaceArm(ReferenceArm):
    """Geant4 decays and tracks to the face; a fast engine does the rest."""

    def __init__(self, engine: Any, detector: Detector) -> None:
        super().__init__(detector)
        found: list[list[tuple[Any, ...]]] = []
        g4, self.engine, self.found = self.g4, engine, found

        class Stepping(g4.G4UserSteppingAction):  # type: ignore[misc, name-defined]
            def UserSteppingAction(self, step: Any) -> None:
                point = step.GetPostStepPoint()
                x = point.GetPosition()
                if x.z >= -1e-6:
                    track, p = step.GetTrack(), point.GetMomentum()
                    code = track.GetDefinition().GetPDGEncoding()
                    found[-1].append((code, *(v / g4.GeV for v in (p.x, p.y, p.z)), x.x, x.y))
                    track.SetTrackStatus(g4.G4TrackStatus.fStopAndKill)

        self.stepping = Stepping()
        g4.G4RunManager.GetRunManager().SetUserAction(self.stepping)

    def run(self, pdg: int, energy: float, chunk: int, size: int) -> list[dict[str, Any]]:
        """Rows of a chunk."""
        rows = []
        for stratum, part in ((1, SHARE), (0, 1 - SHARE)):
            n = max(1, round(part * size))
            self.only(pdg, stratum)
            particles = straight(pdg, energy, n, 1 + 7919 * chunk, 2000 * stratum + int(energy) + abs(pdg))
            self.found.clear()
            self.simulator.run(particles, lambda _row: self.found.append([]))
            # of its own for each sample: else all would have the same random numbers
            run = abs(pdg) * 1000 + int(energy) * 10 + stratum
            rows.append({"stratum": stratum, **self.shower(self.found, run, chunk * size)})
        return rows

    def shower(self, events: list[list[tuple[Any, ...]]], run: int, first: int) -> dict[str, list[float]]:
        """Energies of the fast engine for particles on the face of the first stave."""
        flat = np.array([row for event in events for row in event], np.float64).reshape(-1, 6)
        axes = self.detector.layout.axes[0]
        local = np.column_stack([flat[:, 4:], np.full(len(flat), self.detector.barrel.inner_radius_mm)])
        particles = Events.from_arrays(
            pdg=flat[:, 0].astype(int),
            momentum=flat[:, 1:4] @ axes,
            vertex=local @ axes,
            counts=[len(event) for event in events],
            run=np.full(len(events), run),
            event=np.arange(first, first + len(events)),
        )
        return sums(self.detector, self.engine.run(particles, seed=1).sections, len(events))


def path_of(folder: Path, arm: str, pdg: int, energy: float) -> Path:
    """File of an arm's chunks."""
    return folder / f"{arm.replace(':', '-')}_{PARTICLES[pdg]}_{energy:g}.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def next_chunk(path: Path) -> int:
    """Number of the first chunk that a file does not have."""
    return max((int(row["chunk"]) + 1 for row in rows_of(path)), default=0)


def points() -> Iterator[tuple[int, float]]:
    """Species and energies."""
    for energy in ENERGIES:
        for pdg in PARTICLES:
            yield pdg, energy


def simulate(arm: str, folder: Path, seconds: float, chunks: int) -> None:
    """Simulate chunk after chunk of all points in turn; the one with the fewest first."""
    detector = flat_detector()
    if arm == "reference":
        runner: Any = ReferenceArm(detector)
    elif arm == "engine":
        runner = EngineArm(fastcalo.Geant4Simulation(detector), detector)
    else:
        kind, _, models = arm.partition(":")
        fast = fastcalo.FastSimulation(detector, models.split("+"))
        runner = EngineArm(fast, detector) if kind == "fast" else FaceArm(fast, detector)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = {
            point: 1 + max([-1, *(r["chunk"] for r in rows_of(path_of(folder, arm, *point)))]) for point in points()
        }
        (pdg, energy), chunk = min(done.items(), key=lambda item: item[1])
        if chunk >= chunks:
            break
        start = time.process_time()
        size = FAST_CHUNK if ":" in arm else CHUNK[energy]
        rows = runner.run(pdg, energy, chunk, size)
        took = round(time.process_time() - start, 2)
        with path_of(folder, arm, pdg, energy).open("a") as file:
            file.writelines(json.dumps({"chunk": chunk, "seconds": took, **row}) + "\n" for row in rows)
    os._exit(0)  # Geant4 may crash when it is taken down


def shares(arm: str, pdg: int, energy: float) -> dict[int, float]:
    """Share of each stratum."""
    if arm == "reference" or arm.startswith("faces"):
        return {1: CHARGED[pdg], 0: 1 - CHARGED[pdg]}
    which = strata(decay(shots(pdg, energy, DRAWN), flat_detector(), seed=2))
    return {k: float(np.mean(which == k)) for k in np.unique(which).tolist()}


def mean(arm: str, folder: Path, pdg: int, energy: float, section: str) -> tuple[float, float, int]:
    """Mean energy, its standard error, MeV, and the number of events."""
    rows = rows_of(path_of(folder, arm, pdg, energy))
    value = variance = total = 0.0
    number = 0
    for stratum, part in shares(arm, pdg, energy).items():
        found = np.array([e for r in rows if r["stratum"] == stratum for e in r[section]])
        if len(found) < 2:
            if part > RARE:
                return float("nan"), float("nan"), number
            continue
        total += part
        value += part * found.mean()
        variance += part**2 * found.var(ddof=1) / len(found)
        number += len(found)
    return value / total, float(np.sqrt(variance)) / total, number


def report(folder: Path) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| particle | GeV | section | of | mean [MeV] | arm | mean [MeV] | ratio | errors |",
        "|---|---:|---|---|---|---|---|---|---:|",
    ]
    pairs = [("reference", "engine")]
    pairs += [(f"{of}", f"fast:{m}") for m in MODELS for of in (f"faces:{m}", "reference")]
    for pdg, energy in points():
        for section in SECTIONS:
            for reference, arm in pairs:
                true, true_error, n = mean(reference, folder, pdg, energy, section)
                ours, error, m = mean(arm, folder, pdg, energy, section)
                ratio = ours / true
                wrong = ratio * np.hypot(error / ours, true_error / true)
                lines.append(
                    f"| {PARTICLES[pdg]} | {energy:g} | {section} "
                    f"| {reference} | {true:.2f} ± {true_error:.2f} ({n}) "
                    f"| {arm} | {ours:.2f} ± {error:.2f} ({m}) "
                    f"| {ratio:.3f} ± {wrong:.3f} | {(ratio - 1) / wrong:+.1f} |"
                )
    return lines


def main() -> None:
    """Simulate, or print the table."""
    parser = argparse.ArgumentParser(description="decays before the calorimeter against Geant4's own")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3600, help="to go on for")
    parser.add_argument("--turn", type=float, default=120, help="seconds after which the other arm has its turn")
    parser.add_argument("--fast-chunks", type=int, default=5, help=f"of {FAST_CHUNK} events")
    parser.add_argument("--report", action="store_true", help="print the table of what there is")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.report:
        print("\n".join(report(options.folder)))
        return
    limits = {
        "reference": 1 << 30,
        "engine": 1 << 30,
        **{f"{kind}:{m}": options.fast_chunks for m in MODELS for kind in ("fast", "faces")},
    }
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for arm, chunks in limits.items():
            arguments = (arm, options.folder, options.turn, chunks)
            process = get_context("spawn").Process(target=simulate, args=arguments)
            process.start()
            process.join()


if __name__ == "__main__":
    main()
