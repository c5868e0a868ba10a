# SPDX-License-Identifier: BSD-3-Clause
"""Display of one event: a self-contained HTML page with the detector, hits and particles, to be turned and zoomed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import particles
from ..detector.description import Detector, DetectorLike
from ..errors import FastCaloError, InputError
from ..event.events import Events
from ..event.hits import Hits
from ..io.atomic import output_errors, whole_file
from ..io.hits.any_format.stream import HitsReader, open_hits
from ..io.particles.reader import open_events
from ..simulation.propagation import free_paths

_TEMPLATE = Path(__file__).with_suffix(".html")
_POINTS = 48
# softer particles would only clutter it
_SOFTEST_GEV = 0.05
_LONGEST_MM = 20_000.0
_KINDS = (
    ("photons", (22,), "#f2d24b", True),
    ("electrons", (11,), "#5aa9ff", False),
    ("muons", (13,), "#c98bff", False),
    ("neutrinos", (12, 14, 16), "#6b7785", True),
)
_CHARGED, _NEUTRAL = ("charged hadrons", "#ff7b6b", False), ("neutral hadrons", "#7ddc8c", True)


def display(
    hits: str | Path,
    output: str | Path,
    event: int = 0,
    *,
    inputs: str | Path | None = None,
    detector: DetectorLike | None = None,
    overwrite: bool = False,
) -> None:
    """Draw one event of a file of hits as a page that needs nothing else, and no network.

    Parameters
    ----------
    hits : str or Path
        A file of `convert`, `merge` or `write_hits`, or EDM4hep.
    output : str or Path
        The HTML file to write.
    event : int
        Number of the entry.
    inputs : str or Path, optional
        File of the particles. Unless given it is the file itself, if that is EDM4hep, or what the hits were made of,
        if that is still there; without it hits are drawn alone.
    detector : Detector, name or path, optional
        In which the hits were made; found by what the file states unless given.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        The file cannot be read, has no such event, or its detector is not at hand.
    OutputError
        The page exists already, or cannot be written.

    Examples
    --------
    >>> import fastcalo
    >>> summary = fastcalo.convert("examples/demo/events.root", "hits.root")
    >>> display("hits.root", "event.html", event=3)
    """
    with open_hits(hits, detector) as file:
        if not 0 <= event < file.n_events:
            raise InputError(f"{hits}: has no event {event}; it has {file.n_events}")
        calorimeter = file.detector
        if calorimeter is None:
            raise InputError(f"{hits}: the detector it was made in is not at hand; name it (--detector)")
        found = file.read_event(event)
        generated, note = _particles(file, event, inputs)
    content = _content(calorimeter, found, generated)
    content |= {"title": f"{Path(hits).name}: run {found.run[0]}, event {found.event[0]}", "note": note}
    # what would end the script early is written another way
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    title = str(content["title"]).replace("&", "&amp;").replace("<", "&lt;")
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(title=title, event=text)
    with whole_file(output, overwrite=overwrite) as temporary, output_errors(output):
        temporary.write_text(page, encoding="utf-8")


def _particles(file: HitsReader, event: int, inputs: str | Path | None) -> tuple[Events | None, str]:
    """Particles of the event, and their labels."""
    paths = [str(inputs)] if inputs is not None else file.particle_files
    try:
        reader = open_events(paths)
        before = 0
        for part in reader.iterate(step_size=1000):
            if event < before + part.n_events:
                k = event - before
                return _one(part, k), f"particles above {_SOFTEST_GEV * 1e3:g} MeV, of {Path(paths[0]).name}"
            before += part.n_events
    except FastCaloError as error:
        if inputs is not None:
            raise
        return None, f"without particles: {error}"
    return None, "without particles: their file has fewer events"


def _one(events: Events, k: int) -> Events:
    first, last = events.offsets[k], events.offsets[k + 1]
    rows = slice(first, last)
    return Events(
        np.array([0, last - first]), events.pdg[rows], events.momentum[rows], events.mass[rows], events.vertex[rows],
        events.final[rows], events.run[k : k + 1], events.event[k : k + 1],
    )  # fmt: skip


def _content(detector: Detector, hits: Hits, generated: Events | None) -> dict[str, Any]:
    """What the page draws; lengths in mm, energies in GeV."""
    depth = detector.sections[-1].back_mm
    radius = max(detector.barrel.corner_radius_mm, detector.endcap.front_mm) + depth / 2
    sections = []
    for section in detector.sections:
        found = hits.sections.get(section.name)
        if found is None:
            continue
        module = detector.decode(section.name, found.cell_id)["module"]
        columns = zip(
            found.position.round(1).tolist(), found.energy.tolist(), module.tolist(), found.layer.tolist(), strict=True
        )
        rows = [[*at, float(f"{energy:.4g}"), m, layer] for at, energy, m, layer in columns]
        sections.append({"name": section.name, "cell": section.cell_mm, "hits": rows})
    return {
        "radius": radius,
        "axes": detector.layout.axes[:, :2].round(5).tolist(),
        "lines": _outline(detector),
        "sections": sections,
        "particles": [] if generated is None else _paths(detector, generated),
    }


def _outline(detector: Detector) -> list[list[list[float]]]:
    """Edges of the faces of staves and endcaps, and of their backs."""
    barrel, endcap, depth = detector.barrel, detector.endcap, detector.sections[-1].back_mm
    lines = []
    for module in range(barrel.staves):
        for back in (0.0, depth):
            half = barrel.half_width_mm if not back else (barrel.inner_radius_mm + back) * math.tan(
                math.pi / barrel.staves
            )  # fmt: skip
            corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
            local = np.array([[a * half, b * barrel.half_length_mm, back] for a, b in corners])
            lines.append(detector.layout.to_global(np.full(len(local), module), local).round(1).tolist())
    angle = np.linspace(0, 2 * np.pi, 73)
    for z in (endcap.front_mm, -endcap.front_mm):
        for r in (endcap.inner_radius_mm, endcap.outer_radius_mm):
            circle = np.stack([r * np.cos(angle), r * np.sin(angle), np.full(len(angle), z)], axis=1)
            lines.append(circle.round(1).tolist())
    return lines


def _paths(detector: Detector, events: Events) -> list[dict[str, Any]]:
    """Tracks of final particles to where they leave the volume in front of the calorimeter."""
    rows = np.flatnonzero(events.final & (events.kinetic_energy > _SOFTEST_GEV))
    inside, tracks, length = free_paths(detector, events.pdg[rows], events.momentum[rows], events.vertex[rows])
    steps = np.linspace(0, 1, _POINTS)[:, None] * np.minimum(length, _LONGEST_MM)
    points = np.stack([tracks.at(step)[0] for step in steps], axis=1)
    found = []
    charge = particles.charge(events.pdg[rows])
    for i, row in enumerate(rows[inside].tolist()):
        kind, colour, dashed = _kind(int(events.pdg[row]), float(charge[inside[i]]))
        straight = charge[inside[i]] == 0 or detector.field_tesla == 0
        path: NDArray[np.float64] = points[i][:: _POINTS - 1] if straight else points[i]
        found.append(
            {
                "kind": kind,
                "colour": colour,
                "dashed": dashed,
                "energy": float(f"{events.kinetic_energy[row]:.4g}"),
                "path": path.round(1).tolist(),
            }
        )
    return found


def _kind(pdg: int, charge: float) -> tuple[str, str, bool]:
    for name, codes, colour, dashed in _KINDS:
        if abs(pdg) in codes:
            return name, colour, dashed
    return _NEUTRAL if charge == 0 else _CHARGED
