# SPDX-License-Identifier: BSD-3-Clause
"""Compare whole events of the fast simulation with Geant4's: hits and energy per event, for three samples.

    python benchmarks/physics/whole_events.py FOLDER                          # makes what is not there, and the table
    python benchmarks/physics/whole_events.py FOLDER --fast-only --model em.onnx --model hadron.onnx --model muon.onnx
    python benchmarks/physics/whole_events.py FOLDER --both                   # Geant4 simulates what the models refuse
    python benchmarks/physics/whole_events.py FOLDER --report                 # the table of what there is

The samples are the events of the demo, and Z -> hadrons (91.2 GeV) and t tbar (500 GeV) of e+ e- collisions by
Pythia 8, 300 events each, in blocks. Full simulation takes long, for t tbar most; it is made block by
block, of the samples in turn, and goes on where it was ended. The table is of the blocks that both simulations have
made. Pythia (`pip install '.[pythia]'`) is needed only for events that are not there yet; they may be made by another
Python: `--events-only`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo"
SECTIONS = ("ECAL", "HCAL")
KEYS = {"hits": "hits", "energy": "energy"}
# how far a ratio may be from one, and how many standard errors more
BAR, ERRORS = 0.015, 2.0
SEED = 1

if TYPE_CHECKING:
    from fastcalo import FastSimulation
    from fastcalo.validation.hits.physics import Physics


@dataclass(frozen=True)
class Sample:
    """Events of one kind.

    Attributes
    ----------
    title : str
    per_block : int
        Events of a block.
    settings : tuple of str
        Of Pythia; none where the events are those of the demo.
    sqrt_s : float
        GeV.
    seed : int
    """

    title: str
    per_block: int
    settings: tuple[str, ...] = ()
    sqrt_s: float = 91.2
    seed: int = 0


HADRONIC = ("WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", "23:onIfAny = 1 2 3 4 5")
SAMPLES = {
    "demo": Sample("demo (Z → e⁺e⁻, γγ)", 300),
    "z_hadrons": Sample("Z → hadrons, 91.2 GeV", 25, HADRONIC, 91.2, 20360),
    "ttbar": Sample("t t̄, e⁺e⁻ at 500 GeV", 5, ("Top:ffbar2ttbar(s:gmZ) = on",), 500.0, 20460),
}
EVENTS = 300


@dataclass(frozen=True)
class Block:
    """Some events of a sample, and the files of their hits."""

    sample: str
    folder: Path
    number: int

    def path(self, what: str) -> Path:
        """Name of a file: ``events``, ``full``, ``fast`` or ``both``."""
        return self.folder / self.sample / f"{what}_{self.number:03}.root"


def blocks_of(folder: Path, name: str) -> list[Block]:
    """All blocks of a sample."""
    return [Block(name, folder, number) for number in range(EVENTS // SAMPLES[name].per_block)]


def in_turn(folder: Path) -> Iterator[Block]:
    """Blocks of all samples, one of each at a time."""
    every = zip_longest(*(blocks_of(folder, name) for name in SAMPLES))
    return (block for block in chain.from_iterable(every) if block is not None)


def make_events(folder: Path) -> None:
    """Make the events that are not there."""
    missing = {b.sample for b in in_turn(folder) if not b.path("events").exists()}
    for name in missing:
        (folder / name).mkdir(parents=True, exist_ok=True)
    if "demo" in missing:
        (block,) = blocks_of(folder, "demo")
        block.path("events").write_bytes((DEMO / "events.root").read_bytes())
    for name in missing - {"demo"}:
        collide(folder, name)


def collide(folder: Path, name: str) -> None:
    """Make the events of a sample by Pythia."""
    sys.path.insert(0, str(DEMO))
    import make_events as demo

    sample = SAMPLES[name]
    events = demo.collide((demo.Process(EVENTS, sample.settings, sample.sqrt_s),), sample.seed)
    for block in blocks_of(folder, name):
        first = block.number * sample.per_block
        demo.write(block.path("events"), events[first : first + sample.per_block], sample.sqrt_s, first)


def simulate_fully(folder: Path, seconds: float) -> None:
    """Simulate by Geant4 what it has not simulated yet, until the time is over."""
    import fastcalo

    end = time.monotonic() + seconds
    with fastcalo.Geant4Simulation(workers=1, contributions=True) as engine:
        for block in in_turn(folder):
            if time.monotonic() > end:
                break
            if not block.path("full").exists():
                start = time.monotonic()
                fastcalo.convert(
                    block.path("events"), block.path("full"), engine, step_size=5, seed=SEED, contributions=True
                )
                print(f"{block.path('full')}: {time.monotonic() - start:.0f} s", flush=True)


def simulate_fast(folder: Path, models: list[str], anew: bool) -> None:
    """Simulate by models the blocks that Geant4 has simulated."""
    engines = {made: fast_engine(models, contributions=made) for made in (False, True)}
    simulate_again(folder, "fast", engines, anew)


def fast_engine(models: list[str], *, contributions: bool) -> FastSimulation:
    """Some models, or the shipped ones."""
    import fastcalo
    from fastcalo.model.shower_model import DEFAULT_MODELS

    return fastcalo.FastSimulation(models=models or list(DEFAULT_MODELS), contributions=contributions)


def simulate_both(folder: Path, models: list[str]) -> None:
    """Simulate anew by models, and by Geant4 what they refuse, the blocks that Geant4 has simulated."""
    import fastcalo
    from fastcalo.fullsim.combined import CombinedSimulation

    with fastcalo.Geant4Simulation(workers=1, contributions=True) as full:
        engine = CombinedSimulation(fast_engine(models, contributions=True), full)
        simulate_again(folder, "both", dict.fromkeys((False, True), engine), anew=True)


def simulate_again(folder: Path, kind: str, engines: dict[bool, Any], anew: bool) -> None:
    """Simulate the blocks that Geant4 has simulated; engines are those without and with contributions."""
    import fastcalo
    from fastcalo.io.hits.any_format.hit_files import open_hit_file

    for block in in_turn(folder):
        target = block.path(kind)
        if not block.path("full").exists() or (target.exists() and not anew):
            continue
        with open_hit_file(str(block.path("full")), None) as file:
            made = "ECALContribution_hit" in file.branches("Events")
        seed = seed_of(block.path("full"))
        fastcalo.convert(block.path("events"), target, engines[made], seed=seed, contributions=made, overwrite=True)


def seed_of(hits: Path) -> int:
    """Seed by which a file was made: particles decay by it, too."""
    from fastcalo.io.hits.any_format.hit_files import open_hit_file

    with open_hit_file(str(hits), None) as file:
        return int(file.provenance["seed"])


def compare_sample(folder: Path, name: str, kind: str) -> dict[str, Any] | None:
    """Numbers of a sample, of the blocks that Geant4 and files of a kind have; None where there is none."""
    import fastcalo
    from fastcalo.validation.hits.physics import Physics

    physics, differences = Physics(), set()
    accounts: dict[str, dict[str, dict[str, float]]] = {}
    for block in blocks_of(folder, name):
        full, fast = block.path("full"), block.path(kind)
        if not full.exists() or not fast.exists():
            continue
        differences |= set(fastcalo.compare(full, fast).differences)
        for reason, sides in add_block(physics, full, fast).items():
            for side, numbers in sides.items():
                sums = accounts.setdefault(reason, {}).setdefault(side, {"count": 0, "energy": 0.0})
                for key in sums:
                    sums[key] += numbers[key]
    if not physics.events:
        return None
    numbers = physics.to_dict()
    return {
        "events": physics.events,
        "events_alike": physics.events_alike,
        "schema_differences": sorted(differences),
        "accounts": accounts,
        "all": {s: ratios(physics, "all", s) for s in SECTIONS},
        "alike": {s: ratios(physics, "alike", s) for s in SECTIONS},
        "sections": numbers["sections"],
        "sections_alike": numbers["sections_alike"],
    }


def add_block(physics: Physics, full: Path, fast: Path) -> dict[str, Any]:
    """Add two files of the same events to sums; return what became of their particles."""
    from fastcalo.io.hits.any_format.hit_files import open_hit_file
    from fastcalo.io.hits.reader import read_chunk
    from fastcalo.validation.hits.physics import accounts

    with open_hit_file(str(full), None) as one, open_hit_file(str(fast), None) as other:
        entries = range(one.entries("Events"))
        physics.add(read_chunk(one, "Events", entries), read_chunk(other, "Events", entries))
        return accounts(one.provenance, other.provenance)


def ratios(physics: Physics, which: str, section: str) -> dict[str, dict[str, float]]:
    """Means per event of both, their ratio and its error, by key."""
    sums = getattr(physics, which)[section]
    found = {}
    for key in KEYS:
        pair = sums.scalars[key]
        ratio, error = pair.ratio
        kept = abs(ratio - 1) <= max(BAR, ERRORS * error)
        found[key] = {"full": pair.mean[0], "fast": pair.mean[1], "ratio": ratio, "error": error, "kept": bool(kept)}
    return found


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of Markdown: ratios of all events, and particles that the fast one refused."""
    lines = ["| fast / Geant4, per event | events | ECAL hits | ECAL energy | HCAL hits | HCAL energy |"]
    lines.append("|---|---:|---|---|---|---|")
    for name, found in results.items():
        cells = []
        for section in SECTIONS:
            for key in KEYS:
                pair = found["all"][section][key]
                mark = "" if pair["kept"] else " (!)"
                cells.append(f"{pair['ratio']:.3f} ± {pair['error']:.3f}{mark}")
        lines.append(f"| {SAMPLES[name].title} | {found['events']} | {' | '.join(cells)} |")
    lines += ["", f"(!): further from one than {BAR:.1%} and {ERRORS:g} standard errors.", ""]
    lines += ["| particles, by what became of them | of | Geant4 | GeV | fast | GeV |", "|---|---|---:|---:|---:|---:|"]
    for name, found in results.items():
        for reason, sides in found["accounts"].items():
            one, other = sides["full"], sides["fast"]
            if one["count"] or other["count"]:
                numbers = f"{one['count']} | {one['energy']:.1f} | {other['count']} | {other['energy']:.1f}"
                lines.append(f"| {reason.replace('_', ' ')} | {name} | {numbers} |")
    return lines


def report(folder: Path, kind: str) -> None:
    """Write and print the table of files of a kind."""
    found = {name: compare_sample(folder, name, kind) for name in SAMPLES}
    results = {name: numbers for name, numbers in found.items() if numbers is not None}
    lines = table(results)
    stem = "whole_events" if kind == "fast" else f"whole_events_{kind}"
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{stem}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    for name, numbers in results.items():
        print(f"{name}: schema: {'; '.join(numbers['schema_differences']) or 'no difference'}")


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description="whole events of fast simulation against Geant4's")
    parser.add_argument("folder", type=Path, help="for events, hits and the table")
    parser.add_argument("--model", action="append", default=[], help="a model instead of the shipped ones; repeat it")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no block of full simulation after so many")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--events-only", action="store_true", help="make the events")
    what.add_argument("--full-only", action="store_true", help="simulate fully what is not there")
    what.add_argument("--fast-only", action="store_true", help="simulate anew by models, then the table")
    what.add_argument("--both", action="store_true", help="simulate anew by models, by Geant4 what they refuse")
    what.add_argument("--report", action="store_true", help="the table of what there is")
    options = parser.parse_args()
    if not (options.report or options.fast_only or options.both):
        make_events(options.folder)
        if options.events_only:
            return
        simulate_fully(options.folder, options.seconds)
    if options.full_only:
        # Geant4's processes have ended; what it left in this one need not be taken down
        sys.stdout.flush()
        os._exit(0)
    if options.both:
        simulate_both(options.folder, options.model)
    elif not options.report:
        simulate_fast(options.folder, options.model, anew=options.fast_only or bool(options.model))
    report(options.folder, "both" if options.both else "fast")


if __name__ == "__main__":
    main()
