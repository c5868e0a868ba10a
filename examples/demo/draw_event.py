# SPDX-License-Identifier: BSD-3-Clause
"""Draw one event: its particles, and the hits they left in the calorimeter's barrel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastcalo.detector.description import Detector

FloatArray = NDArray[np.float64]

SECTION = "ECAL"
BACKGROUND, OUTLINE, STAVE, TEXT, TRACK = "#0d1321", "#5c6b8a", "#1d2a44", "#dfe6f2", "#7fc8f8"
# the darkest tenth of the scale would drown in the background
COLOURS = ListedColormap(plt.colormaps["inferno"](np.linspace(0.15, 1, 256)))
# in T, GeV/c and mm: p_T = 0.299792458e-3 B R for charge 1
CURVATURE = 0.299792458e-3


@dataclass(frozen=True)
class Particles:
    """Final particles of one event: charge [n] (e), momentum [n, 3] (GeV), vertex [n, 3] (mm)."""

    charge: FloatArray
    momentum: FloatArray
    vertex: FloatArray


@dataclass(frozen=True)
class CellHits:
    """Hits of one section of one event: cell_id uint64 [h], energy [h] (GeV), position [h, 3] (mm), layer [h]."""

    cell_id: NDArray[np.uint64]
    energy: FloatArray
    position: FloatArray
    layer: NDArray[np.int64]


@dataclass(frozen=True)
class _Scene:
    """What every view draws: ways of the particles, hits with their modules, and the scale of the colours."""

    detector: Detector
    paths: list[FloatArray]
    charged: NDArray[np.bool_]
    hits: CellHits
    module: NDArray[np.int64]
    norm: Normalize


def draw_event(detector: Detector, particles: Particles, hits: CellHits, title: str, path: Path) -> None:
    """Draw the event across and along the beam, and the hottest shower from nearby.

    Parameters
    ----------
    detector : Detector
    particles : Particles
        Those to draw as lines.
    hits : CellHits
    title : str
    path : Path
        PNG file to write.
    """
    scene = _Scene(
        detector,
        [_flight(detector, *particle) for particle in zip(*vars(particles).values(), strict=True)],
        particles.charge != 0,
        hits,
        detector.decode(SECTION, hits.cell_id)["module"],
        LogNorm(detector.section(SECTION).threshold * 1e3, hits.energy.max() * 1e3),
    )
    hottest = int(np.bincount(scene.module, hits.energy).argmax())
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(
            1, 3, figsize=(17.5, 5.5), width_ratios=(1, 1.32, 1.08), layout="constrained", facecolor=BACKGROUND
        )
        _across(axes[0], scene)
        _along(axes[1], scene, hottest)
        _nearby(axes[2], scene, hottest)
        bar = figure.colorbar(plt.cm.ScalarMappable(scene.norm, COLOURS), ax=axes[2], pad=0.02)
        bar.set_label("deposit [MeV]")
        figure.suptitle(title, fontsize=15)
        figure.savefig(path, dpi=110)
        plt.close(figure)


_STYLE: Any = {
    "axes.facecolor": BACKGROUND,
    "axes.edgecolor": OUTLINE,
    "axes.labelcolor": TEXT,
    "axes.titlecolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "font.size": 11,
}


def _across(ax: Axes, scene: _Scene) -> None:
    """Draw x against y, staves as they stand."""
    detector, hits = scene.detector, scene.hits
    barrel, depth = detector.barrel, detector.section(SECTION).back_mm
    corners = np.array([[-1.0, 0.0], [1.0, 0.0], [1.0, depth], [-1.0, depth]]) * [barrel.half_width_mm, 1.0]
    local = np.stack([corners[:, 0], np.zeros(4), corners[:, 1]], axis=1)
    for stave in range(barrel.staves):
        ax.add_patch(Polygon(detector.layout.to_global(np.full(4, stave), local)[:, :2], fc=STAVE, ec=OUTLINE))
    _flights(ax, scene, [path[:, :2] for path in scene.paths])
    ax.legend(loc="center right", bbox_to_anchor=(0.92, 0.4), frameon=False, labelcolor=TEXT, fontsize=10)
    inside = scene.module < barrel.staves
    _dots(ax, hits.position[inside, 0], hits.position[inside, 1], hits.energy[inside], scene.norm)
    reach = 1.12 * barrel.corner_radius_mm
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x [mm]", ylabel="y [mm]")
    ax.set_title("across the beam", fontsize=12)


def _along(ax: Axes, scene: _Scene, upper: int) -> None:
    """Draw z against the distance from the beam, above and below it; module `upper` is above."""
    detector, hits = scene.detector, scene.hits
    there = scene.module == upper
    up = np.average(hits.position[there, :2], axis=0, weights=hits.energy[there])

    def height(points: FloatArray) -> FloatArray:
        return np.hypot(points[:, 0], points[:, 1]) * np.where(points[:, :2] @ up < 0, -1.0, 1.0)

    barrel, endcap, depth = detector.barrel, detector.endcap, detector.section(SECTION).back_mm
    for side in (-1, 1):
        low = min(side * barrel.inner_radius_mm, side * (barrel.inner_radius_mm + depth))
        boxes = [((-barrel.half_length_mm, low), 2 * barrel.half_length_mm, depth)]
        for end in (-1, 1):
            left = min(end * endcap.front_mm, end * (endcap.front_mm + depth))
            bottom = min(side * endcap.inner_radius_mm, side * endcap.outer_radius_mm)
            boxes.append(((left, bottom), depth, endcap.outer_radius_mm - endcap.inner_radius_mm))
        for corner, width, tall in boxes:
            ax.add_patch(Rectangle(corner, width, tall, fc=STAVE, ec=OUTLINE))
    _flights(ax, scene, [np.stack([path[:, 2], height(path)], axis=1) for path in scene.paths])
    _dots(ax, hits.position[:, 2], height(hits.position), hits.energy, scene.norm)
    reach, far = 1.12 * barrel.corner_radius_mm, 1.06 * (endcap.front_mm + depth)
    ax.set(
        xlim=(-far, far), ylim=(-reach, reach), aspect="equal", xlabel="z [mm]", ylabel="distance from the beam [mm]"
    )
    ax.set_title("along the beam", fontsize=12)


def _nearby(ax: Axes, scene: _Scene, stave: int) -> None:
    """Draw depth against the position along the face, cell by cell, around the hottest cell of the stave."""
    section, hits = scene.detector.section(SECTION), scene.hits
    cell = scene.detector.decode(SECTION, hits.cell_id)
    energy = np.where(scene.module == stave, hits.energy, 0.0)
    core = int(energy.argmax())
    # several showers may share a stave: one is what lies within a window
    near = (energy > 0) & (abs(cell["x"] - cell["x"][core]) <= 12) & (abs(cell["y"] - cell["y"][core]) <= 12)
    columns, inverse = np.unique(np.stack([cell["x"][near], hits.layer[near]]), axis=1, return_inverse=True)
    summed = np.bincount(inverse.ravel(), energy[near])

    # every cell as deep as its layer, absorber included: the sensors alone would be hair-thin
    deep = np.array(section.absorber_mm) + section.sensor_mm + section.gap_mm
    front = section.front_mm + np.cumsum(deep) - deep
    cells = [Rectangle(((i - 0.5) * section.cell_mm, front[k]), section.cell_mm, deep[k]) for i, k in columns.T]
    drawn = PatchCollection(cells, cmap=COLOURS, norm=scene.norm, ec=BACKGROUND, lw=0.4, zorder=2)
    drawn.set_array(summed * 1e3)
    ax.add_collection(drawn)
    for z, thick in zip(front, section.absorber_mm, strict=True):
        ax.axhspan(z, z + thick, color=STAVE, zorder=0)
    through = [line for path in scene.paths for line in _through(scene.detector, stave, path)]
    ax.add_collection(LineCollection(through, colors=TRACK, lw=1.2, ls=":", zorder=3))

    middle = np.average(cell["x"][near], weights=energy[near]) * section.cell_mm
    wide = 11.5 * section.cell_mm
    ax.set(xlim=(middle - wide, middle + wide), ylim=(-6, section.back_mm + 6), aspect="equal")
    ax.set(xlabel="position along the face [mm]", ylabel="depth behind the face [mm]")
    ax.set_title(f"the hottest shower: {near.sum()} hits, seen along the beam", fontsize=12)


def _through(detector: Detector, stave: int, path: FloatArray) -> list[FloatArray]:
    """Line of flight through the stave, [2, 2] of position along the face and depth, if the path ends at its face."""
    local = (path[-2:] - detector.layout.origin[stave]) @ detector.layout.axes[stave].T
    before, step = local[0], local[1] - local[0]
    if step[2] <= 0 or abs(local[1, 2]) > 2 * step[2]:
        return []
    depth = np.array([0.0, detector.section(SECTION).back_mm])
    return [np.stack([before[0] + step[0] / step[2] * (depth - before[2]), depth], axis=1)]


def _flight(detector: Detector, charge: float, momentum: FloatArray, vertex: FloatArray) -> FloatArray:
    """Points [n, 3] of a particle's way to the calorimeter's face, mm: a straight line, or a helix around z."""
    p, pt = np.linalg.norm(momentum), np.hypot(momentum[0], momentum[1])
    s = np.linspace(0, 6000, 3001)
    half = -charge * CURVATURE * detector.field_tesla / p * s / 2
    heading = np.arctan2(momentum[1], momentum[0]) + half
    chord = s * pt / p * np.sinc(half / np.pi)
    points: FloatArray = vertex + np.stack(
        [chord * np.cos(heading), chord * np.sin(heading), s * momentum[2] / p], axis=1
    )
    barrel = detector.barrel
    faces = points @ detector.layout.axes[: barrel.staves, 2].T
    inside = (faces.max(axis=1) < barrel.inner_radius_mm) & (abs(points[:, 2]) < detector.endcap.front_mm)
    last = len(s) if inside.all() else int(inside.argmin())
    return points[: max(last, 2)]


def _flights(ax: Axes, scene: _Scene, lines: list[FloatArray]) -> None:
    for charged, style, name in ((True, "-", "e$^+$, e$^-$"), (False, "--", "photon")):
        chosen = [line for line, is_charged in zip(lines, scene.charged, strict=True) if is_charged == charged]
        ax.add_collection(LineCollection(chosen, colors=TRACK, lw=1.2, ls=style, alpha=0.9, zorder=3, label=name))


def _dots(ax: Axes, x: FloatArray, y: FloatArray, energy: FloatArray, norm: Normalize) -> None:
    order = energy.argsort()
    ax.scatter(x[order], y[order], c=energy[order] * 1e3, cmap=COLOURS, norm=norm, s=5, lw=0, zorder=4)
