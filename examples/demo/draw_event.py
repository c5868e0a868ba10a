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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastcalo.detector.description import Detector

FloatArray = NDArray[np.float64]

BACKGROUND, OUTLINE, TEXT, TRACK = "#0d1321", "#5c6b8a", "#dfe6f2", "#7fc8f8"
# volumes and hits of each section: what is behind is lighter, and its hits, of larger cells, are squares
VOLUMES = {"ECAL": "#1d2a44", "HCAL": "#161f33"}
MARKERS = {"ECAL": ("o", 4.0), "HCAL": ("s", 11.0)}
# the darkest tenth of the scale would drown in the background
COLOURS = ListedColormap(plt.colormaps["inferno"](np.linspace(0.15, 1, 256)))
# in T, GeV/c and mm: p_T = 0.299792458e-3 B R for charge 1
CURVATURE = 0.299792458e-3
# half of what the view from nearby shows along the face
NEAR_MM = 400.0


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
    """What every view draws: ways of the particles, hits by section and their modules, the scale of the colours."""

    detector: Detector
    paths: list[FloatArray]
    charged: NDArray[np.bool_]
    hits: dict[str, CellHits]
    module: dict[str, NDArray[np.int64]]
    norm: Normalize


def draw_event(detector: Detector, particles: Particles, hits: dict[str, CellHits], title: str, path: Path) -> None:
    """Draw the event across and along the beam, and the shower that is hottest in the last section from nearby.

    Parameters
    ----------
    detector : Detector
    particles : Particles
        Those to draw as lines.
    hits : dict of str to CellHits
        By section, front to back.
    title : str
    path : Path
        PNG file to write.
    """
    low = min(detector.section(name).threshold for name in hits)
    high = max(h.energy.max(initial=low) for h in hits.values())
    scene = _Scene(
        detector,
        [_flight(detector, *particle) for particle in zip(*vars(particles).values(), strict=True)],
        particles.charge != 0,
        hits,
        {name: detector.decode(name, h.cell_id)["module"] for name, h in hits.items()},
        LogNorm(low * 1e3, high * 1e3),
    )
    last = list(hits)[-1]
    hottest = int(np.bincount(scene.module[last], hits[last].energy).argmax())
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(
            1, 3, figsize=(17.5, 6.2), width_ratios=(1, 1.05, 0.55), layout="constrained", facecolor=BACKGROUND
        )
        _across(axes[0], scene)
        _along(axes[1], scene, hottest)
        _nearby(axes[2], scene, hottest, last)
        bar = figure.colorbar(plt.cm.ScalarMappable(scene.norm, COLOURS), ax=axes[2], pad=0.04)
        bar.set_label("deposit in a cell [MeV]")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        figure.legend(
            handles=_legend(scene), loc="outside lower center", ncols=6, frameon=False, labelcolor=TEXT, fontsize=11
        )
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


def _legend(scene: _Scene) -> list[Any]:
    """Lines, hits and volumes, and what they stand for."""
    kinds = ((True, "-", "charged particle"), (False, "--", "neutral particle"))
    found: list[Any] = [
        Line2D([], [], color=TRACK, ls=ls, label=text) for kind, ls, text in kinds if (scene.charged == kind).any()
    ]
    for name in scene.hits:
        marker, size = MARKERS[name]
        look = {"marker": marker, "ms": 1.5 * np.sqrt(size), "color": COLOURS(0.7)}
        found.append(Line2D([], [], ls="", label=f"hit in the {name}", **look))
    found += [Patch(fc=VOLUMES[name], ec=OUTLINE, label=name) for name in scene.hits]
    return found


def _across(ax: Axes, scene: _Scene) -> None:
    """Draw x against y, staves as they stand: each a wedge between its neighbours."""
    detector = scene.detector
    barrel = detector.barrel
    slope = np.tan(np.pi / barrel.staves)
    for name in scene.hits:
        section = detector.section(name)
        depth = np.array([section.front_mm, section.front_mm, section.back_mm, section.back_mm])
        wide = np.array([-1, 1, 1, -1]) * slope * (barrel.inner_radius_mm + depth)
        local = np.stack([wide, np.zeros(4), depth], axis=1)
        for stave in range(barrel.staves):
            corners = detector.layout.to_global(np.full(4, stave), local)[:, :2]
            ax.add_patch(Polygon(corners, fc=VOLUMES[name], ec=OUTLINE, lw=0.7))
    _flights(ax, scene, [path[:, :2] for path in scene.paths])
    for name, hits in scene.hits.items():
        inside = scene.module[name] < barrel.staves
        _dots(ax, hits.position[inside, 0], hits.position[inside, 1], hits.energy[inside], scene.norm, name)
    reach = 1.04 * (barrel.inner_radius_mm + _back(scene)) / np.cos(np.pi / barrel.staves)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x [mm]", ylabel="y [mm]")
    ax.set_title("across the beam", fontsize=12)


def _back(scene: _Scene) -> float:
    """Depth of the last section's back behind the face, mm."""
    return max(scene.detector.section(name).back_mm for name in scene.hits)


def _along(ax: Axes, scene: _Scene, upper: int) -> None:
    """Draw z against the distance from the beam, above and below it; module `upper` is above."""
    detector = scene.detector
    up = detector.layout.axes[upper, 2, :2]

    def height(points: FloatArray) -> FloatArray:
        return np.hypot(points[:, 0], points[:, 1]) * np.where(points[:, :2] @ up < 0, -1.0, 1.0)

    barrel, endcap = detector.barrel, detector.endcap
    for name in scene.hits:
        section = detector.section(name)
        for side in (-1, 1):
            for corner, wide, tall in _boxes(barrel, endcap, section.front_mm, section.back_mm, side):
                ax.add_patch(Rectangle(corner, wide, tall, fc=VOLUMES[name], ec=OUTLINE, lw=0.7))
    _flights(ax, scene, [np.stack([path[:, 2], height(path)], axis=1) for path in scene.paths])
    for name, hits in scene.hits.items():
        _dots(ax, hits.position[:, 2], height(hits.position), hits.energy, scene.norm, name)
    back = _back(scene)
    reach, far = 1.08 * (barrel.inner_radius_mm + back), 1.04 * (endcap.front_mm + back)
    ax.set(
        xlim=(-far, far), ylim=(-reach, reach), aspect="equal", xlabel="z [mm]", ylabel="distance from the beam [mm]"
    )
    ax.set_title("along the beam", fontsize=12)


def _boxes(
    barrel: Any, endcap: Any, front: float, back: float, side: int
) -> list[tuple[tuple[float, float], float, float]]:
    """Corner, width and height of the barrel and both endcaps of a section, above (1) or below (-1) the beam."""
    depth = back - front
    low = min(side * (barrel.inner_radius_mm + front), side * (barrel.inner_radius_mm + back))
    boxes = [((-barrel.half_length_mm, low), 2 * barrel.half_length_mm, depth)]
    bottom = min(side * endcap.inner_radius_mm, side * endcap.outer_radius_mm)
    for end in (-1, 1):
        left = min(end * (endcap.front_mm + front), end * (endcap.front_mm + back))
        boxes.append(((left, bottom), depth, endcap.outer_radius_mm - endcap.inner_radius_mm))
    return boxes


def _nearby(ax: Axes, scene: _Scene, stave: int, last: str) -> None:
    """Draw depth against the position along the face, cell by cell, around the hottest cell of the stave."""
    detector = scene.detector
    cells = {name: detector.decode(name, hits.cell_id) for name, hits in scene.hits.items()}
    place = {
        name: np.stack([cell["x"], cell["y"]], axis=1) * detector.section(name).cell_mm for name, cell in cells.items()
    }
    energy = {name: np.where(scene.module[name] == stave, hits.energy, 0.0) for name, hits in scene.hits.items()}
    # several showers may share a stave: one is what lies around its core
    core = place[last][energy[last].argmax()]
    near = {name: (energy[name] > 0) & (abs(place[name] - core) < NEAR_MM).all(axis=1) for name in scene.hits}
    for name, hits in scene.hits.items():
        section = detector.section(name)
        chosen = near[name]
        columns, inverse = np.unique(
            np.stack([cells[name]["x"][chosen], hits.layer[chosen]]), axis=1, return_inverse=True
        )
        summed = np.bincount(inverse.ravel(), energy[name][chosen])
        # every cell as deep as its layer, absorber included: the sensors alone would be hair-thin
        deep = np.array(section.absorber_mm) + section.sensor_mm + section.gap_mm
        front = section.front_mm + np.cumsum(deep) - deep
        ax.axhspan(section.front_mm, section.back_mm, color=VOLUMES[name], zorder=0)
        boxes = [Rectangle(((i - 0.5) * section.cell_mm, front[k]), section.cell_mm, deep[k]) for i, k in columns.T]
        drawn = PatchCollection(boxes, cmap=COLOURS, norm=scene.norm, ec=BACKGROUND, lw=0.2, zorder=2)
        drawn.set_array(summed * 1e3)
        ax.add_collection(drawn)
    through = [line for path in scene.paths for line in _through(detector, stave, path, _back(scene))]
    ax.add_collection(LineCollection(through, colors=TRACK, lw=1.2, ls=":", zorder=3))
    ax.set(xlim=(core[0] - NEAR_MM, core[0] + NEAR_MM), ylim=(-30, _back(scene) + 30), aspect="equal")
    ax.set(xlabel="position along the face [mm]", ylabel="depth behind the face [mm]")
    numbers = ", ".join(f"{chosen.sum()} in the {name}" for name, chosen in near.items())
    ax.set_title(f"the hottest shower in the {last}\nhits: {numbers}", fontsize=11)


def _through(detector: Detector, stave: int, path: FloatArray, back: float) -> list[FloatArray]:
    """Line of flight through the stave, [2, 2] of position along the face and depth, if the path ends at its face."""
    local = (path[-2:] - detector.layout.origin[stave]) @ detector.layout.axes[stave].T
    before, step = local[0], local[1] - local[0]
    if step[2] <= 0 or abs(local[1, 2]) > 2 * step[2]:
        return []
    depth = np.array([0.0, back])
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
    for charged, style in ((True, "-"), (False, "--")):
        chosen = [line for line, is_charged in zip(lines, scene.charged, strict=True) if is_charged == charged]
        ax.add_collection(LineCollection(chosen, colors=TRACK, lw=1.2, ls=style, alpha=0.9, zorder=3))


def _dots(ax: Axes, x: FloatArray, y: FloatArray, energy: FloatArray, norm: Normalize, section: str) -> None:
    order, (marker, size) = energy.argsort(), MARKERS[section]
    ax.scatter(
        x[order], y[order], c=energy[order] * 1e3, cmap=COLOURS, norm=norm, s=size, marker=marker, lw=0, zorder=4
    )
