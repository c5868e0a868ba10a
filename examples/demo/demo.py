# SPDX-License-Identifier: BSD-3-Clause
"""Collision events in, calorimeter hits out, and two pictures of what came of it.

make demo        or        python examples/demo/demo.py [FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from draw_event import CellHits, Particles, draw_event
from draw_profile import draw_profile
from numpy.typing import NDArray

import fastcalo

HERE = Path(__file__).parent
if HERE.is_relative_to(Path.cwd()):
    HERE = HERE.relative_to(Path.cwd())
EVENTS = HERE / "events.root"
REFERENCE = HERE.parent / "data" / "em_profiles.csv"
MODEL = "em"

# for the picture: an electron and a pion hard and well inside the barrel, and nothing else
SECTIONS = ("ECAL", "HCAL")
HARD = 10.0  # GeV
BARREL_COS_THETA = 0.75
DRAWN = 0.05  # GeV; the paths of softer particles would only clutter it


def convert(source: Path, target: Path, rejected: Path) -> None:
    """Run the command that a user would type."""
    arguments = ["convert", str(source), "-o", str(target), "--rejected", str(rejected), "--overwrite"]
    print("$ fastcalo " + " ".join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "fastcalo", *arguments], check=True)


def final_particles(source: Path) -> ak.Array:
    """Particles of the final state: jagged, with fields pdg, charge, momentum and vertex (x, y, z each)."""
    names = ("PDG", "generatorStatus", "charge", *(f"{v}.{c}" for v in ("momentum", "vertex") for c in "xyz"))
    branches = uproot.open(source)["events"].arrays([f"MCParticles.{name}" for name in names])
    particles = ak.zip({name: branches[f"MCParticles.{name}"] for name in names})
    return particles[particles["generatorStatus"] == 1]


def vectors(particles: ak.Array, name: str) -> NDArray[np.float64]:
    """Return the momenta or vertices as an array [..., 3], of particles of which every event has as many."""
    return np.stack([ak.to_numpy(particles[f"{name}.{c}"]) for c in "xyz"], axis=-1)


def prettiest(particles: ak.Array) -> int:
    """Return the number of the tau pair that decays to an electron and a pion, and leaves them most of the energy."""
    energy = np.sqrt(sum(particles[f"momentum.{c}"] ** 2 for c in "xyz"))
    code = abs(particles["PDG"])
    visible = (energy > DRAWN) & (code != 12) & (code != 14) & (code != 16)
    inside = visible & (abs(particles["momentum.z"]) < BARREL_COS_THETA * energy) & (energy > HARD)
    electron, pion = (ak.sum(inside & (code == kind), axis=1) == 1 for kind in (11, 211))
    found = ak.to_numpy(electron & pion & (ak.sum(visible, axis=1) == 2))
    return int(np.argmax(np.where(found, ak.to_numpy(ak.sum(energy[visible], axis=1)), 0)))


def drawn_particles(particles: ak.Array) -> Particles:
    """Particles of one event that are worth a line: neutrinos leave nothing to see."""
    particles = particles[[code not in (12, 14, 16) for code in abs(particles["PDG"])]]
    momentum, vertex = vectors(particles, "momentum"), vectors(particles, "vertex")
    hard = np.linalg.norm(momentum, axis=1) > DRAWN
    return Particles(particles["charge"].to_numpy()[hard], momentum[hard], vertex[hard])


def hits_of(target: Path, event: int, section: str) -> CellHits:
    """Hits of a section in one entry of the converted file."""
    names = ("cell_id", "energy", "x", "y", "z", "layer")
    branches = uproot.open(target)["Events"].arrays(
        [f"{section}_{name}" for name in names], entry_start=event, entry_stop=event + 1
    )[0]
    cell_id, energy, x, y, z, layer = (branches[f"{section}_{name}"].to_numpy() for name in names)
    position = np.stack([x, y, z], axis=1).astype(np.float64)
    return CellHits(cell_id, energy.astype(np.float64), position, layer.astype(np.int64))


def main() -> None:
    """Convert, draw, and print where everything is."""
    parser = argparse.ArgumentParser(description="the demonstration of fastcalo")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "output", help="where the results go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    hits_file = folder / "hits.root"
    convert(EVENTS, hits_file, folder / "rejected.root")

    detector = fastcalo.load_detector()
    particles = final_particles(EVENTS)
    event = prettiest(particles)
    hits = {section: hits_of(hits_file, event, section) for section in SECTIONS}
    numbers = " and ".join(f"{len(found.energy)} hits in the {section}" for section, found in hits.items())
    title = rf"Z $\to \tau^+\tau^- \to$ e$^+\pi^-$ and neutrinos, event {event}: {numbers}, made by the models"
    draw_event(detector, drawn_particles(particles[event]), hits, title, folder / "event.png")

    draw_profile(fastcalo.load_model(MODEL), detector, REFERENCE, folder / "profile.png")

    print(f"\nDone in {time.perf_counter() - start:.0f} s. Look at")
    for name, what in {
        "hits.root": "the hits, for ROOT or uproot",
        "rejected.root": "the particles that full simulation should run",
        "event.png": "one event in the barrel",
        "profile.png": "mean longitudinal profiles against Geant4",
    }.items():
        print(f"  {folder / name}: {what}")


if __name__ == "__main__":
    main()
