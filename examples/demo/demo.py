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
from draw_event import SECTION, CellHits, Particles, draw_event
from draw_profile import draw_profile
from numpy.typing import NDArray

import fastcalo

HERE = Path(__file__).parent
if HERE.is_relative_to(Path.cwd()):
    HERE = HERE.relative_to(Path.cwd())
EVENTS = HERE / "events.root"
REFERENCE = HERE.parent / "data" / "em_profiles.csv"
MODEL = "em"

# for the picture: both electrons and a photon hard and well inside the barrel
HARD = 3.0  # GeV
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
    """Return the number of the Z -> e+ e- gamma event whose photon stands out most from both electrons."""
    energy = np.sqrt(sum(particles[f"momentum.{c}"] ** 2 for c in "xyz"))
    inside = (energy > HARD) & (abs(particles["momentum.z"]) < BARREL_COS_THETA * energy)
    electron, photon = inside & (abs(particles["PDG"]) == 11), inside & (particles["PDG"] == 22)
    found = ak.to_numpy((ak.sum(electron, axis=1) == 2) & (ak.sum(photon, axis=1) == 1))
    e, gamma = (vectors(particles[found][chosen[found]], "momentum") for chosen in (electron, photon))
    cos = np.sum(e * gamma, axis=2) / np.linalg.norm(e, axis=2) / np.linalg.norm(gamma, axis=2)
    return int(np.flatnonzero(found)[cos.max(axis=1).argmin()])


def drawn_particles(particles: ak.Array) -> Particles:
    """Particles of one event that are worth a line."""
    momentum, vertex = vectors(particles, "momentum"), vectors(particles, "vertex")
    hard = np.linalg.norm(momentum, axis=1) > DRAWN
    return Particles(particles["charge"].to_numpy()[hard], momentum[hard], vertex[hard])


def hits_of(target: Path, event: int) -> CellHits:
    """Hits of one entry of the converted file."""
    names = ("cell_id", "energy", "x", "y", "z", "layer")
    branches = uproot.open(target)["Events"].arrays(
        [f"{SECTION}_{name}" for name in names], entry_start=event, entry_stop=event + 1
    )[0]
    cell_id, energy, x, y, z, layer = (branches[f"{SECTION}_{name}"].to_numpy() for name in names)
    position = np.stack([x, y, z], axis=1).astype(np.float64)
    return CellHits(cell_id, energy.astype(np.float64), position, layer.astype(np.int64))


def main() -> None:
    """Convert, draw, and say where everything is."""
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
    hits = hits_of(hits_file, event)
    title = rf"Z $\to$ e$^+$e$^-\gamma$, event {event}: {len(hits.energy)} hits in the {SECTION}, made by the model"
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
