# SPDX-License-Identifier: BSD-3-Clause
"""Propagation of particles from their vertex to the calorimeter's front face, along straight lines and helices.

The solenoid's field is uniform along z inside the volume that the faces of barrel and endcaps enclose, so a track is

    x(l) = x0 + d l sinc(w l) + d' l sin(w l / 2) sinc(w l / 2),     z(l) = z0 + dz l

with the length l along it, the unit direction (d, dz) at the vertex, d' = d turned by +90 degrees about z,
sinc(a) = sin(a) / a, and the turn per length w = -0.299792458 q B / p (rad/m for e, T and GeV: Particle Data Group,
"Particle detectors for accelerators", momentum in a solenoid field). A straight line is the case w = 0.

The barrel's faces bound a convex prism. A track that begins inside leaves it where it first crosses any of the faces'
planes, and each plane's crossing is the root of a quadratic: nothing is stepped or iterated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import particles
from ..detector.description import Detector
from ..detector.modules import FloatArray
from ..errors import InputError
from ..event.events import Reason

LIGHT_MM_PER_NS = 299.792458
"""Speed of light."""

# rad/mm for one elementary charge, one tesla and one GeV
_TURN = 0.299792458e-3

# a vertex that was put on a face may lie behind it by rounding
_ON_FACE_MM = 1e-6

# less than this is no momentum; its square would leave the range of a double
_SMALLEST_GEV = 1e-100

# a particle that curls for longer, 3 ms at the speed of light, has not arrived within any event
_LONGEST_MM = 1e9


@dataclass(frozen=True, eq=False)
class Arrival:
    """Where particles meet the face of the calorimeter. Those that don't have module -1, cell 0 and NaN elsewhere.

    Attributes
    ----------
    reason : int8 [n]
        `Reason.SIMULATED` where the particle arrives, else why it does not.
    module : int16 [n]
        The module whose face is met.
    cell : int64 [n, 2]
        Cell (ix, iy) of the first section's grid that is met.
    entry : float64 [n, 2]
        The point met, from the centre of that cell, mm.
    direction : float64 [n, 3]
        Unit vector in the module's frame; z > 0.
    position : float64 [n, 3]
        The point met in global coordinates, mm.
    length : float64 [n]
        Of the track from the vertex to there, mm.
    """

    reason: NDArray[np.int8]
    module: NDArray[np.int16]
    cell: NDArray[np.int64]
    entry: FloatArray
    direction: FloatArray
    position: FloatArray
    length: FloatArray


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks that begin inside the faces: vertex [n, 3] mm, unit direction [n, 3], turn [n] rad/mm."""

    vertex: FloatArray
    direction: FloatArray
    turn: FloatArray

    def __getitem__(self, rows: NDArray[np.bool_]) -> Tracks:
        """Return some of the tracks."""
        return Tracks(self.vertex[rows], self.direction[rows], self.turn[rows])

    def at(self, length: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position [n, 3] and unit direction [n, 3] after a length [n] of track."""
        angle = self.turn * length
        sin, cos = np.sin(angle), np.cos(angle)
        # numpy's sinc is sin(pi x) / (pi x)
        ahead = length * np.sinc(angle / np.pi)
        aside = length * np.sin(angle / 2) * np.sinc(angle / (2 * np.pi))
        dx, dy, dz = self.direction.T
        path = np.stack([dx * ahead - dy * aside, dy * ahead + dx * aside, dz * length], axis=1)
        direction = np.stack([dx * cos - dy * sin, dy * cos + dx * sin, dz], axis=1)
        return self.vertex + path, direction


def propagate(detector: Detector, pdg: ArrayLike, momentum: ArrayLike, vertex: ArrayLike) -> Arrival:
    """Take particles from where they are born to the first face of the calorimeter that they meet.

    Parameters
    ----------
    detector : Detector
    pdg : int [n]
        PDG codes, which give the charges.
    momentum : float [n, 3]
        GeV.
    vertex : float [n, 3]
        mm.

    Returns
    -------
    Arrival
        The reason is ``BAD_NUMBERS`` where momentum or vertex are not finite or the momentum is zero,
        ``UNKNOWN_SPECIES`` where the charge is not known, ``BORN_OUTSIDE`` where the vertex is not within the faces,
        and ``MISSES_CALORIMETER`` where the particle leaves through an endcap's hole, curls without ever arriving,
        or only touches a face.

    Raises
    ------
    InputError
        Arrays whose shapes don't fit each other.
    """
    reason, rows, tracks, gaps = _begin(detector, pdg, momentum, vertex)
    module, length = _first_face(detector, tracks, gaps)
    met = module >= 0
    reason[rows[~met]] = Reason.MISSES_CALORIMETER
    return _arrive(detector, rows[met], tracks[met], module[met], length[met], reason)


def free_paths(
    detector: Detector, pdg: ArrayLike, momentum: ArrayLike, vertex: ArrayLike
) -> tuple[NDArray[np.intp], Tracks, FloatArray]:
    """Follow particles to where they leave the volume in front of the calorimeter, whether they meet a face or not.

    Parameters are those of `propagate`.

    Returns
    -------
    rows : int [m]
        Particles that begin inside that volume, and whose numbers are sound; the others have no track.
    tracks : Tracks [m]
    length : float64 [m]
        Of the track up to there, mm; infinite for a particle that curls without end.

    Raises
    ------
    InputError
        Arrays whose shapes don't fit each other.
    """
    _, rows, tracks, gaps = _begin(detector, pdg, momentum, vertex)
    _, length = _first_face(detector, tracks, gaps)
    return rows, tracks, length


def flight_time(length: FloatArray, momentum: FloatArray, mass: FloatArray) -> FloatArray:
    """Time that particles take for a length of track: l E / (p c).

    Parameters
    ----------
    length : float64 [n]
        mm.
    momentum, mass : float64 [n]
        GeV.

    Returns
    -------
    float64 [n]
        ns.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(length * np.hypot(1.0, mass / momentum) / LIGHT_MM_PER_NS, np.float64)


def _begin(
    detector: Detector, pdg: ArrayLike, momentum: ArrayLike, vertex: ArrayLike
) -> tuple[NDArray[np.int8], NDArray[np.intp], Tracks, FloatArray]:
    """Decisions before the tracks are followed: reasons of all; rows, tracks and gaps of those inside."""
    charge = particles.charge(pdg)
    p, x = _vectors("momentum", momentum, len(charge)), _vectors("vertex", vertex, len(charge))
    with np.errstate(over="ignore"):
        size = np.hypot(np.hypot(p[:, 0], p[:, 1]), p[:, 2])
    sound = np.isfinite(size) & (size >= _SMALLEST_GEV) & np.isfinite(x).all(axis=1)
    reason = np.where(np.isnan(charge), Reason.UNKNOWN_SPECIES, Reason.SIMULATED).astype(np.int8)
    reason[~sound] = Reason.BAD_NUMBERS

    rows = np.flatnonzero(reason == Reason.SIMULATED)
    turn = -_TURN * detector.field_tesla * charge[rows] / size[rows]
    tracks = Tracks(x[rows], p[rows] / size[rows, None], turn)
    gaps = _gaps(detector, tracks.vertex)
    inside = (gaps >= 0).all(axis=0) & (np.abs(tracks.vertex[:, 2]) <= detector.endcap.front_mm + _ON_FACE_MM)
    reason[rows[~inside]] = Reason.BORN_OUTSIDE

    return reason, rows[inside], tracks[inside], gaps[:, inside]


def _vectors(name: str, values: ArrayLike, n: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n, 3):
        raise InputError(f"{name} has shape {array.shape}, but {n} PDG codes ask for {(n, 3)}")
    return array


def _normals(detector: Detector) -> FloatArray:
    """Transverse normals of the staves, [staves, 2]."""
    return detector.layout.axes[: detector.barrel.staves, 2, :2]


def _along(normals: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Components of transverse vectors along the normals, [staves, n]."""
    # a matrix product would round differently for chunks of different length
    return np.multiply.outer(normals[:, 0], x) + np.multiply.outer(normals[:, 1], y)


def _gaps(detector: Detector, vertex: FloatArray) -> FloatArray:
    """Distances of points from the planes of the staves' faces, positive inside, [staves, n]."""
    with np.errstate(over="ignore"):
        gaps = detector.barrel.inner_radius_mm - _along(_normals(detector), vertex[:, 0], vertex[:, 1])
    return np.where(np.abs(gaps) < _ON_FACE_MM, 0.0, gaps)


def _first_face(detector: Detector, tracks: Tracks, gaps: FloatArray) -> tuple[NDArray[np.int16], FloatArray]:
    """Module that each track meets first (-1 for none), and the length of track up to there."""
    barrel, endcap = detector.barrel, detector.endcap
    stave, to_side = _first_stave(_normals(detector), tracks, gaps)
    z, dz = tracks.vertex[:, 2], tracks.direction[:, 2]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        to_end = np.where(dz == 0, np.inf, (np.copysign(endcap.front_mm, dz) - z) / dz)
        z_side = z + dz * to_side
        on_stave = (to_side <= to_end) & np.isfinite(to_side) & (np.abs(z_side) <= barrel.half_length_mm)
        # there may be a slit between barrel and endcap: a track that leaves through it may yet meet the endcap
        to_endcap = ~on_stave & (to_end <= _LONGEST_MM) & ((to_side > to_end) | (z_side * dz > 0))

    radius = np.full(len(z), np.nan)
    position, _ = tracks[to_endcap].at(to_end[to_endcap])
    radius[to_endcap] = np.hypot(position[:, 0], position[:, 1])
    on_endcap = (radius >= endcap.inner_radius_mm) & (radius <= endcap.outer_radius_mm)
    module = np.select([on_stave, on_endcap], [stave, np.where(dz > 0, barrel.staves, barrel.staves + 1)], -1)
    return module.astype(np.int16), np.where(on_stave, to_side, to_end)


def _first_stave(normals: FloatArray, tracks: Tracks, gaps: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Stave whose face's plane each track crosses first, and the length of track up to there, inf for never.

    With v = w / tan(w l / 2) the equation n x(l) = R becomes gap v^2 - 2 (n d) v - w (2 n d' - w gap) = 0. The greater
    v is, the shorter is l; so the greatest root of all planes is where a track that begins inside leaves.
    """
    dx, dy, _ = tracks.direction.T
    ahead = _along(normals, dx, dy)
    bend = tracks.turn * (2 * _along(normals, -dy, dx) - tracks.turn * gaps)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        root = np.sqrt(ahead**2 + bend * gaps)
        v = np.where(ahead >= 0, (ahead + root) / gaps, bend / (root - ahead))
        # no root: the plane is never reached. 0 / 0: the track begins on it and along it, and may bend outwards at once
        v = np.where(np.isnan(v), np.where(bend > 0, np.inf, -np.inf), v)
        stave = v.argmax(axis=0)
        v, turn = v[stave, np.arange(len(stave))], np.abs(tracks.turn)
        length = np.where(turn > 0, 2 * np.arctan2(turn, v) / turn, np.where(v > 0, 2 / v, np.inf))
    return stave, np.where(np.isneginf(v), np.inf, length)


def _arrive(
    detector: Detector,
    rows: NDArray[np.intp],
    tracks: Tracks,
    module: NDArray[np.int16],
    length: FloatArray,
    reason: NDArray[np.int8],
) -> Arrival:
    """Put what arrives, in the frame of the module met, into the rows of all particles."""
    position, direction = tracks.at(length)
    local = detector.layout.to_local(module, position)
    direction = detector.layout.rotate_to_local(module, direction)
    enters = direction[:, 2] > 0
    reason[rows[~enters]] = Reason.MISSES_CALORIMETER
    rows, local, length = rows[enters], local[enters], length[enters]

    n, cell_mm = len(reason), detector.sections[0].cell_mm
    arrival = Arrival(
        reason=reason,
        module=np.full(n, -1, dtype=np.int16),
        cell=np.zeros((n, 2), dtype=np.int64),
        entry=np.full((n, 2), np.nan),
        direction=np.full((n, 3), np.nan),
        position=np.full((n, 3), np.nan),
        length=np.full(n, np.nan),
    )
    cell = np.floor(local[:, :2] / cell_mm + 0.5)
    arrival.module[rows] = module[enters]
    arrival.cell[rows] = cell
    arrival.entry[rows] = local[:, :2] - cell * cell_mm
    arrival.direction[rows] = direction[enters]
    arrival.position[rows] = position[enters]
    arrival.length[rows] = length
    return arrival
