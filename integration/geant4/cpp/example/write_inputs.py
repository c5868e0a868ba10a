# SPDX-License-Identifier: BSD-3-Clause
"""Inputs of the Geant4 example in C++: volumes of a module, and the demo's particles at its face.

python write_inputs.py FOLDER [--events 300] [--most-gev 20] writes FOLDER/geometry.txt and FOLDER/events.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fastcalo import load_detector, open_events
from fastcalo.detector.description import Detector
from fastcalo.fullsim.extent import cells_across
from fastcalo.simulation.propagation import propagate

DEMO = Path(__file__).parents[4] / "examples" / "demo" / "events.root"


def geometry(detector: Detector) -> str:
    """Volumes of a module, as Geant4's full simulation places them.

    Returns
    -------
    str
        Lines ``section NAME CELLS CELL_MM``, ``absorber SECTION MATERIAL MIDDLE_MM THICKNESS_MM``, ``gap`` likewise,
        and ``sensor`` with the number of the layer at the end.
    """
    lines = []
    for s in detector.sections:
        lines.append(f"section {s.name} {cells_across(detector, s)} {s.cell_mm!r}")
        for layer, thickness in enumerate(s.absorber_mm):
            middle = float(s.sensor_z[layer])
            front, back = middle - s.sensor_mm / 2, middle + s.sensor_mm / 2
            lines.append(f"absorber {s.name} {s.absorber} {front - thickness / 2!r} {thickness!r}")
            lines.append(f"sensor {s.name} {s.sensor} {middle!r} {s.sensor_mm!r} {layer}")
            if s.gap_mm:
                lines.append(f"gap {s.name} {s.gap} {back + s.gap_mm / 2!r} {s.gap_mm!r}")
    return "\n".join(lines) + "\n"


def demo_events(detector: Detector, n_events: int, most_gev: float) -> str:
    """Particles of the demo's first events that meet a stave of the barrel, all of an event at the same module.

    Returns
    -------
    str
        Lines ``EVENT PDG KINETIC_ENERGY_GEV DX DY DZ X_MM Y_MM``; ``EVENT`` alone for one without particles.
    """
    events = next(open_events(DEMO).iterate(step_size=n_events))
    arrival = propagate(detector, events.pdg, events.momentum, events.vertex)
    energy = events.kinetic_energy
    good = events.final & (arrival.module >= 0) & (arrival.module < detector.barrel.staves) & (energy <= most_gev)
    good &= ~np.isin(np.abs(events.pdg), (12, 14, 16))
    point = arrival.cell * detector.sections[0].cell_mm + arrival.entry
    lines = [f"{event}" for event in range(events.n_events)]
    for k in np.flatnonzero(good).tolist():
        numbers = [energy[k], *arrival.direction[k], *point[k]]
        lines.append(f"{events.event_of_particle[k]} {events.pdg[k]} " + " ".join(f"{float(x)!r}" for x in numbers))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", default="clic-like")
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--most-gev", type=float, default=20.0)
    options = parser.parse_args()
    detector = load_detector(options.detector)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "geometry.txt").write_text(geometry(detector))
    (options.folder / "events.txt").write_text(demo_events(load_detector(), options.events, options.most_gev))


if __name__ == "__main__":
    main()
