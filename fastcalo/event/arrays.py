# SPDX-License-Identifier: BSD-3-Clause
"""Particles of events from arrays, nested lists and awkward arrays: flat columns, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import particles
from ..errors import InputError

_INT32 = np.iinfo(np.int32)


class ParticleColumns:
    """Values per particle or per event, brought to flat arrays.

    Parameters
    ----------
    pdg : array or nested lists of int
        One list of particles per event; or flat, the particles of all events one after the other.
    counts : int [n_events], optional
        Where `pdg` is flat: particles of each event. All are of one event unless given.

    Attributes
    ----------
    pdg : int32 [n]
    counts : int64 [n_events]

    Raises
    ------
    InputError
        `pdg` does not hold integers, or does not fit `counts`.
    """

    def __init__(self, pdg: Any, counts: Any = None) -> None:
        import awkward as ak

        array = _array("pdg", pdg)
        if isinstance(array, np.ndarray) or array.fields:
            raise InputError("pdg: should be a list or an array of PDG codes, one per particle")
        if array.ndim == 1:
            self._nested = False
            self.counts = _counts(counts, len(array))
        else:
            if counts is not None:
                raise InputError("counts: is for flat arrays, but pdg holds one list per event already")
            self._nested = True
            self.counts = np.asarray(ak.num(array, axis=1), np.int64)
        self.pdg = _codes(self._flat("pdg", array, 0))

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the events begin and end, int64 [n_events + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def numbers(self, name: str, value: Any) -> NDArray[np.float64]:
        """Return one number per particle, float64 [n]; a single number is repeated.

        Raises
        ------
        InputError
            There are not as many as particles, in all or in one event.
        """
        array = _array(name, value)
        if isinstance(array, np.ndarray):
            return np.full(len(self.pdg), float(array))
        return self._flat(name, array, 0).astype(np.float64)

    def vectors(self, name: str, value: Any) -> NDArray[np.float64]:
        """Return one vector per particle, float64 [n, 3]; a single vector is repeated.

        Raises
        ------
        InputError
            There are not as many as particles, in all or in one event, or one has not three components.
        """
        array = _array(name, value)
        if getattr(array, "ndim", 0) == 1 and len(array) == 3:
            return np.tile(_numpy(name, array).astype(np.float64), (len(self.pdg), 1))
        flat = self._flat(name, array, 1).astype(np.float64)
        if flat.size == 0:
            return np.zeros((0, 3))
        if flat.ndim != 2 or flat.shape[1] != 3:
            raise InputError(f"{name}: should hold vectors of three components, but has shape {flat.shape}")
        return flat

    def identifiers(self, name: str, value: Any) -> NDArray[np.int64]:
        """Return one integer per event, int64 [n_events]; a single integer is repeated.

        Raises
        ------
        InputError
            They are not integers, or not as many as events.
        """
        values = np.asarray(value)
        if values.dtype.kind not in "iu":
            raise InputError(f"{name}: should hold integers, one per event, but has type {values.dtype}")
        if values.ndim == 0:
            return np.full(len(self.counts), int(values), np.int64)
        if values.shape != (len(self.counts),):
            raise InputError(f"{name}: has shape {values.shape}, but there are {len(self.counts)} events")
        return values.astype(np.int64)

    def _flat(self, name: str, array: Any, inner: int) -> NDArray[Any]:
        """Values of all particles one after the other, each of `inner` more axes."""
        import awkward as ak

        if getattr(array, "ndim", 0) != 1 + self._nested + inner:
            if len(self.counts) and int(self.counts.sum()):
                raise InputError(
                    f"{name}: has {getattr(array, 'ndim', 0)} axes, but pdg asks for {1 + self._nested + inner}"
                )
            return np.zeros(0)
        if self._nested:
            counts = np.asarray(ak.num(array, axis=1), np.int64)
            if len(counts) != len(self.counts):
                raise InputError(f"{name}: has {len(counts)} events, but pdg has {len(self.counts)}")
            if (differ := counts != self.counts).any():
                event = int(np.argmax(differ))
                raise InputError(
                    f"{name}: has {counts[event]} values in event {event}, but pdg has {self.counts[event]}"
                )
            array = ak.flatten(array, axis=1)
        values = _numpy(name, array)
        if len(values) != (n := int(self.counts.sum())):
            raise InputError(f"{name}: has {len(values)} values, but there are {n} particles")
        return values


def _array(name: str, value: Any) -> Any:
    """Return an awkward array; a numpy array without axes for a single number."""
    import awkward as ak

    if isinstance(value, int | float | np.generic):
        return np.asarray(value)
    try:
        return value if isinstance(value, ak.Array) else ak.Array(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: is no array and no list: {error}") from error


def _numpy(name: str, array: Any) -> NDArray[Any]:
    import awkward as ak

    try:
        values = ak.to_numpy(array, allow_missing=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: does not hold numbers, or vectors of one length: {str(error).split(' (in ', 1)[0]}"
        ) from error
    if values.dtype.kind not in "iufb":
        raise InputError(f"{name}: should hold numbers, but has type {array.type.content}")
    return np.asarray(values)


def _counts(counts: Any, n: int) -> NDArray[np.int64]:
    if counts is None:
        return np.array([n], np.int64)
    values = np.asarray(counts)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu") or (values < 0).any():
        raise InputError("counts: should hold the number of particles of each event, integers of at least 0")
    if (total := int(values.sum())) != n:
        raise InputError(f"counts: add up to {total}, but pdg has {n} particles")
    return values.astype(np.int64)


def _codes(values: NDArray[Any]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        good = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) <= _INT32.max)
    if not good.all():
        k = int(np.argmin(good))
        raise InputError(f"pdg: should hold PDG codes, but that of particle {k} is {values[k]}")
    return values.astype(np.int32)


def momentum_of(
    columns: ParticleColumns, momentum: Any, cartesian: Mapping[str, Any], polar: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Return momenta float64 [n, 3] in GeV, from the one of three ways in which they are given.

    Parameters
    ----------
    columns : ParticleColumns
    momentum : array [n, 3] or None
    cartesian, polar : mapping of str to array or None
        ``px``, ``py``, ``pz``; or ``pt``, ``eta``, ``phi`` (GeV and rad).

    Raises
    ------
    InputError
        They are given in no way, in several, or in part.
    """
    ways = {"momentum": {"momentum": momentum}, "px, py, pz": cartesian, "pt, eta, phi": polar}
    used = [way for way, given in ways.items() if any(v is not None for v in given.values())]
    if len(used) != 1 or any(v is None for v in ways[used[0]].values()):
        raise InputError(f"give momenta in one way, as one of {list(ways)}; but {used or 'none'} is given")
    if momentum is not None:
        return columns.vectors("momentum", momentum)
    values = [columns.numbers(name, value) for name, value in ways[used[0]].items()]
    if used[0] == "px, py, pz":
        return np.stack(values, axis=1)
    pt, eta, phi = values
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def masses_of(columns: ParticleColumns, mass: Any) -> NDArray[np.float64]:
    """Return masses float64 [n] in GeV: those given, or the PDG's; 0 for a code that has none."""
    if mass is not None:
        return columns.numbers("mass", mass)
    return np.nan_to_num(particles.mass(columns.pdg), nan=0.0)


def vertex_of(columns: ParticleColumns, vertex: Any, components: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return vertices float64 [n, 3] in mm: those given, or the origin.

    Raises
    ------
    InputError
        They are given twice, or in part.
    """
    given = [name for name, value in components.items() if value is not None]
    if vertex is not None and given:
        raise InputError(f"give vertex or {', '.join(components)}, not both")
    if vertex is not None:
        return columns.vectors("vertex", vertex)
    if not given:
        return np.zeros((len(columns.pdg), 3))
    if len(given) < len(components):
        raise InputError(f"give all of {', '.join(components)}; only {', '.join(given)} is given")
    return np.stack([columns.numbers(name, value) for name, value in components.items()], axis=1)


def event_lists(offsets: NDArray[np.int64], content: Any) -> Any:
    """Layout of awkward with one list per event: that of event ``i`` is ``content[offsets[i]:offsets[i + 1]]``."""
    import awkward as ak

    return ak.contents.ListOffsetArray(ak.index.Index64(np.asarray(offsets, np.int64)), content)
