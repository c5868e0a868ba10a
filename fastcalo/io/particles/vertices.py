# SPDX-License-Identifier: BSD-3-Clause
"""Where particles start, for conventions that keep vertices in a collection of their own: HepMC3 and xAOD."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# enough to follow a chain of 2**40 vertices, by doubling
_DOUBLINGS = 40


def of_indices(index: NDArray[Any], key: NDArray[Any], event: IntArray, counts: IntArray, at: FloatArray) -> FloatArray:
    """Vertices of particles that name theirs by its number, as the links of xAOD do.

    Parameters
    ----------
    index, key : int [n]
        Number of the vertex in its event; a particle without one has the key 0.
    event : int64 [n]
        Index of the particle's event.
    counts : int64 [n_events]
        Vertices of each event.
    at : float64 [n_vertices, 3]

    Returns
    -------
    float64 [n, 3]
        The origin where a particle has no vertex, or one of another collection.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)])
    good = (key != 0) & (index >= 0) & (index < counts[event])
    # links into other collections bear another key
    keys, often = np.unique(key[good], return_counts=True)
    if len(keys):
        good &= key == keys[often.argmax()]
    found = np.zeros((len(index), 3))
    found[good] = at[offsets[event[good]] + index[good].astype(np.int64)]
    return found


def of_hepmc3(
    links: tuple[NDArray[Any], NDArray[Any], IntArray],
    particle_counts: IntArray,
    vertex_counts: IntArray,
    at: FloatArray,
    origin: FloatArray,
    where: str,
) -> FloatArray:
    """Production vertices of the particles of HepMC3 events, as `HepMC3::GenVertex::position` gives them.

    Parameters
    ----------
    links : tuple
        ``links1`` and ``links2`` [l] and their numbers in each event [n_events]. From a vertex -v to a particle p that
        leaves it, or from a particle that enters a vertex to it; both counted from 1.
    particle_counts, vertex_counts : int64 [n_events]
    at : float64 [n_vertices, 3]
        Positions; zero where they are not set.
    origin : float64 [n_events, 3]
        Position of the event.
    where : str
        For messages.

    Returns
    -------
    float64 [n, 3]
        A vertex without a position has that of the first particle that enters it; without one, the event's.

    Raises
    ------
    InputError
        A link leads to no particle or vertex.
    """
    first, second, link_counts = links[0].astype(np.int64), links[1].astype(np.int64), links[2]
    event = np.repeat(np.arange(len(link_counts)), link_counts)
    before_p, before_v = (np.cumsum(counts) - counts for counts in (particle_counts, vertex_counts))
    particle, vertex = np.maximum(first, second), -np.minimum(first, second)
    # the root vertex has the number 0 and no place in the list
    real = (particle > 0) & (vertex > 0)
    if (wrong := real & ((particle > particle_counts[event]) | (vertex > vertex_counts[event]))).any():
        i = int(wrong.argmax())
        raise InputError(f"{where}: event {event[i]} has a link {first[i]} to {second[i]}, but not so many of them")
    leaves = real & (second > 0)
    enters = real & (first > 0)
    p, v = before_p[event] + particle - 1, before_v[event] + vertex - 1
    produced = np.full(int(particle_counts.sum()), -1, np.int64)
    produced[p[leaves]] = v[leaves]
    parent = np.full(len(at), -1, np.int64)
    # the first that enters decides: written last
    order = np.flatnonzero(enters)[::-1]
    order = order[produced[p[order]] >= 0]
    parent[v[order]] = produced[p[order]]
    unset = (at == 0).all(axis=1)
    follow = np.where(unset & (parent >= 0), parent, np.arange(len(at)))
    for _ in range(_DOUBLINGS):
        further = follow[follow]
        if (further == follow).all():
            break
        follow = further
    owner = np.repeat(np.arange(len(particle_counts)), particle_counts)
    found = origin[owner]
    has = produced >= 0
    start = follow[produced[has]]
    found[has] = np.where(unset[start][:, None], origin[owner[has]], at[start])
    return found
