# SPDX-License-Identifier: BSD-3-Clause
"""Find out which particles make the difference between fast simulation and Geant4 in whole events.

    python benchmarks/physics/whole_event_particles.py FOLDER [SAMPLE ...]

After `whole_events.py FOLDER`: sums, over all events, of what each particle contributed to hits, by species, by kinetic
energy and by polar angle; how much full simulation has of particles that the models refuse; and how much is due to hits
of several particles, to which full simulation applies the threshold after the sum of all, and the models before it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from whole_events import SAMPLES, SECTIONS, Block, blocks_of, seed_of

import fastcalo
from fastcalo.event.events import Reason
from fastcalo.io.hits.any_format.hit_files import open_hit_file
from fastcalo.simulation.decays import decay

FloatArray = NDArray[np.float64]

SPECIES = {
    "γ": (22,),
    "e±": (11, -11),
    "µ±": (13, -13),
    "π±": (211, -211),
    "K±": (321, -321),
    "K0L": (130,),
    "p": (2212,),
    "anti-p": (-2212,),
    "n": (2112,),
    "anti-n": (-2112,),
}
ENERGIES = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 1e6)  # GeV
COSINES = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Sums:
    """What each particle of some events made of hits.

    Attributes
    ----------
    pdg : int [n]
    energy, cosine : float64 [n]
        Kinetic, GeV; and of the polar angle, without sign.
    reason : int [n]
        What the models do with it, see `fastcalo.event.events.Reason`.
    numbers : dict
        By section and side, [n, 2]: contributions above the threshold, and energy, GeV.
    shared : dict
        By section and side, [5]: hits, energy; hits that no particle alone lifts above the threshold, and their energy;
        energy of contributions below the threshold to other hits.
    """

    pdg: NDArray[np.int64]
    energy: FloatArray
    cosine: FloatArray
    reason: NDArray[np.int64]
    numbers: dict[tuple[str, str], FloatArray]
    shared: dict[tuple[str, str], FloatArray]


def sums_of(block: Block, engine: fastcalo.FastSimulation) -> Sums | None:
    """Sums of a block; None where its files do not state what particles contributed."""
    detector = engine.detector
    (events,) = fastcalo.open_events(block.path("events")).iterate(10_000)
    events = decay(events, detector, seed=seed_of(block.path("full")))
    numbers, shared = {}, {}
    for side in ("full", "fast"):
        with open_hit_file(str(block.path(side)), None) as file:
            entries = range(file.entries("Events"))
            for section in SECTIONS:
                made = file.contributions("Events", section, entries)
                if made is None:
                    return None
                counts = file.read("Events", [f"n{section}"], entries)[f"n{section}"].values
                event = np.repeat(np.arange(len(counts)), counts)[made.hit]
                row = events.offsets[event] + made.particle
                n = len(events.pdg)
                # what is below the threshold is in a hit only where others lift it
                alone = row[made.energy >= detector.section(section).threshold]
                hits = np.bincount(alone, minlength=n).astype(np.float64)
                numbers[section, side] = np.stack([hits, np.bincount(row, made.energy, n)], axis=1)
                shared[section, side] = shares(made, detector.section(section).threshold)
    size = np.linalg.norm(events.momentum, axis=1)
    cosine = np.abs(events.momentum[:, 2]) / np.maximum(size, 1e-12)
    reason = np.asarray(engine.reasons(events), np.int64)
    return Sums(events.pdg.astype(np.int64), events.kinetic_energy, cosine, reason, numbers, shared)


def shares(made: Any, threshold: float) -> FloatArray:
    """Numbers of `Sums.shared` for a section."""
    hits = len(made.offsets) - 1
    energy = np.bincount(made.hit, made.energy, hits)
    highest = np.zeros(hits)
    np.maximum.at(highest, made.hit, made.energy)
    together = highest < threshold
    low = (made.energy < threshold) & ~together[made.hit]
    return np.array([hits, energy.sum(), together.sum(), energy[together].sum(), made.energy[low].sum()])


def joined(parts: list[Sums]) -> Sums:
    """All blocks as one."""
    keys = parts[0].numbers
    return Sums(
        np.concatenate([p.pdg for p in parts]),
        np.concatenate([p.energy for p in parts]),
        np.concatenate([p.cosine for p in parts]),
        np.concatenate([p.reason for p in parts]),
        {key: np.concatenate([p.numbers[key] for p in parts]) for key in keys},
        {key: sum((p.shared[key] for p in parts), np.zeros(5)) for key in keys},
    )


def classes(sums: Sums) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Names of classes of particles, and which particles are of them."""
    known = np.zeros(len(sums.pdg), np.bool_)
    for name, codes in SPECIES.items():
        chosen = np.isin(sums.pdg, codes)
        known |= chosen
        yield name, chosen
    yield "others", ~known
    electromagnetic = np.isin(sums.pdg, (11, -11, 22))
    for kind, chosen in (("γ, e±", electromagnetic), ("hadrons", ~electromagnetic & (np.abs(sums.pdg) != 13))):
        for low, high in pairwise(ENERGIES):
            bound = f"above {low:g} GeV" if high == ENERGIES[-1] else f"{low:g}–{high:g} GeV"
            yield f"{kind}, {bound}", chosen & (sums.energy >= low) & (sums.energy < high)
        for low, high in pairwise(COSINES):
            yield f"{kind}, cos θ {low:g}–{high:g}", chosen & (sums.cosine >= low) & (sums.cosine <= high)
    for reason in np.unique(sums.reason).tolist():
        yield Reason(reason).name.lower().replace("_", " "), sums.reason == reason
    yield "all", np.ones(len(sums.pdg), np.bool_)


def ratio(full: FloatArray, fast: FloatArray) -> str:
    """Ratio of sums [n] and its error, of particles that are independent of each other."""
    total = full.sum()
    if not total:
        return "–"
    found = fast.sum() / total
    error = np.sqrt(((fast - found * full) ** 2).sum()) / total
    return f"{found:.3f} ± {error:.3f}"


def table(sums: Sums) -> list[str]:
    """Lines of Markdown."""
    heads = [f"{section} {what}" for section in SECTIONS for what in ("hits", "energy")]
    lines = [f"| of | particles | share of energy | {' | '.join(heads)} |", "|---|---:|---:|---|---|---|---|"]
    total = sum(sums.numbers[section, "full"][:, 1].sum() for section in SECTIONS)
    for name, chosen in classes(sums):
        own = sum(sums.numbers[section, "full"][chosen, 1].sum() for section in SECTIONS)
        seen = sum(sums.numbers[s, side][chosen, 0] for s in SECTIONS for side in ("full", "fast"))
        if not own:
            continue
        cells = [
            ratio(sums.numbers[section, "full"][chosen, k], sums.numbers[section, "fast"][chosen, k])
            for section in SECTIONS
            for k in range(2)
        ]
        lines.append(f"| {name} | {np.count_nonzero(seen)} | {own / total:.3f} | {' | '.join(cells)} |")
    lines.append("")
    for (section, side), (hits, energy, together, of_these, low) in sums.shared.items():
        lines.append(
            f"- {section}, {side}: {together / hits:.2%} of the hits and {of_these / energy:.3%} of the energy are "
            f"above the threshold only by the sum of several particles; {low / energy:.3%} are below it in other hits"
        )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="particles that fast and full simulation differ in")
    parser.add_argument("folder", type=Path, help="of whole_events.py")
    parser.add_argument("samples", nargs="*", default=list(SAMPLES), help="which samples")
    parser.add_argument("--model", action="append", default=[], help="that the fast hits are of; repeat it")
    options = parser.parse_args()
    engine = fastcalo.FastSimulation(models=options.model) if options.model else fastcalo.FastSimulation()
    for name in options.samples:
        there = [b for b in blocks_of(options.folder, name) if b.path("full").exists() and b.path("fast").exists()]
        parts = [found for block in there if (found := sums_of(block, engine)) is not None]
        if parts:
            print(f"## {SAMPLES[name].title}\n", *table(joined(parts)), "", sep="\n")


if __name__ == "__main__":
    main()
