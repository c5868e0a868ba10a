# SPDX-License-Identifier: BSD-3-Clause
"""Columnar particles of many events: `Events`, input of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..display import html_table
from ..errors import InputError
from .arrays import ParticleColumns, event_lists, masses_of, momentum_of, vertex_of
from .digests import event_digest
from .lineage import Lineage
from .reasons import NOT_TO_SIMULATE, Reason

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["NOT_TO_SIMULATE", "Events", "Identifier", "Reason"]

Identifier: TypeAlias = NDArray[np.int64] | NDArray[np.uint64]
"""Numbers that events bear; those of files whose numbers have no sign go up to 2**64 - 1."""

_MOMENTA = ("momentum", "px", "py", "pz", "pt", "eta", "phi")
_ARRAYS = ("pdg", *_MOMENTA, "mass", "vertex", "vx", "vy", "vz", "final", "run", "event")
"""Arguments of `Events.from_arrays` that may be fields of an awkward array."""


@dataclass(frozen=True, repr=False)
class Events:
    """Particles of many events, as flat arrays cut by offsets.

    `open_events` reads them from files, `from_arrays` and `from_awkward` make them of what is in memory.

    Attributes
    ----------
    offsets : int64 [n_events + 1]
        Event ``i`` holds the particles ``offsets[i]:offsets[i + 1]``.
    pdg : int32 [n]
        PDG Monte Carlo numbers.
    momentum : float64 [n, 3]
        GeV.
    mass : float64 [n]
        GeV.
    vertex : float64 [n, 3]
        Production vertex, mm.
    final : bool [n]
        Whether the generator left the particle in the final state.
    run, event : int64 or uint64 [n_events]
        The event's identifiers, carried to the output.
    luminosity_block : int64 or uint64 [n_events] or None
        A third one, where the input has it.
    repeat : uint64 [n_events] or None
        Distinguishes events whose identifiers are the same otherwise; 0 where there is nothing to distinguish.
    stream : uint64 [n_events] or None
        By which the event's particles draw random numbers. Unless given, it is made of the identifiers and `repeat`.
    lineage : Lineage or None
        Where some particles are daughters of others that decayed, see `simulation.decays`.
    time : float64 [n] or None
        When each particle was produced, ns since the event; 0 for all where there is none.

    Examples
    --------
    >>> from fastcalo import Events
    >>> Events.from_arrays(pdg=[[11, -11], [22]], px=0, py=[[40, -40], [9]], pz=0)
    <Events: 2 events, 3 particles; in the final state 3 with 89 GeV>
    """

    offsets: NDArray[np.int64]
    pdg: NDArray[np.int32]
    momentum: NDArray[np.float64]
    mass: NDArray[np.float64]
    vertex: NDArray[np.float64]
    final: NDArray[np.bool_]
    run: Identifier
    event: Identifier
    luminosity_block: Identifier | None = None
    repeat: NDArray[np.uint64] | None = None
    stream: NDArray[np.uint64] | None = None
    lineage: Lineage | None = None
    time: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n, m = self.n_particles, self.n_events
        want = {
            "pdg": (n,),
            "momentum": (n, 3),
            "mass": (n,),
            "vertex": (n, 3),
            "final": (n,),
            "run": (m,),
            "event": (m,),
            "luminosity_block": (m,),
            "repeat": (m,),
            "stream": (m,),
            "time": (n,),
        }
        for name, shape in want.items():
            column = getattr(self, name)
            if column is not None and column.shape != shape:
                raise InputError(f"Events.{name} has shape {column.shape}, but the offsets ask for {shape}")

    @classmethod
    def from_arrays(
        cls,
        *,
        pdg: Any,
        momentum: Any = None,
        px: Any = None,
        py: Any = None,
        pz: Any = None,
        pt: Any = None,
        eta: Any = None,
        phi: Any = None,
        mass: Any = None,
        vertex: Any = None,
        vx: Any = None,
        vy: Any = None,
        vz: Any = None,
        final: Any = None,
        run: ArrayLike | None = None,
        event: ArrayLike | None = None,
        counts: ArrayLike | None = None,
    ) -> Events:
        """Make events of arrays, nested lists or awkward arrays.

        Values per particle are given as one list per event (``[[11, -11], [22]]``), or flat, the particles of all
        events one after the other. A single number, or vector, is repeated.

        Parameters
        ----------
        pdg : int
            PDG codes.
        momentum : float [..., 3], optional
            GeV. Or give the momenta as `px`, `py`, `pz` (GeV), or as `pt` (GeV), `eta`, `phi` (rad).
        px, py, pz, pt, eta, phi : float, optional
        mass : float, optional
            GeV. Those of the Particle Data Group unless given; 0 for codes that it does not list.
        vertex : float [..., 3], optional
            Production vertices, mm; or their components `vx`, `vy`, `vz`. The origin unless given.
        vx, vy, vz : float, optional
        final : bool, optional
            Whether particles are in the final state; all are unless given.
        run, event : int [n_events], optional
            Identifiers, on which the random numbers of a simulation depend: 0, and the events' numbers from 0, unless
            given.
        counts : int [n_events], optional
            For flat arrays: number of particles of each event, as for ``awkward.unflatten``. All particles are of one
            event unless given.

        Raises
        ------
        InputError
            Arrays do not fit each other, or hold something else than numbers; the message names the argument.
        """
        columns = ParticleColumns(pdg, counts)
        n, m = len(columns.pdg), len(columns.counts)
        return cls(
            offsets=columns.offsets,
            pdg=columns.pdg,
            momentum=momentum_of(columns, momentum, {"px": px, "py": py, "pz": pz}, {"pt": pt, "eta": eta, "phi": phi}),
            mass=masses_of(columns, mass),
            vertex=vertex_of(columns, vertex, {"vx": vx, "vy": vy, "vz": vz}),
            final=np.ones(n, np.bool_) if final is None else columns.numbers("final", final).astype(np.bool_),
            run=np.zeros(m, np.int64) if run is None else columns.identifiers("run", run),
            event=np.arange(m, dtype=np.int64) if event is None else columns.identifiers("event", event),
        )

    @classmethod
    def from_awkward(cls, array: ak.Array) -> Events:
        """Make events of an awkward array of records.

        Parameters
        ----------
        array : awkward.Array
            Lists of records of particles, one list per event, or one record of lists per event, as ``uproot`` reads
            them. Its fields are arguments of `from_arrays`, such as ``pdg``, ``px``, ``py`` and ``pz``.

        Raises
        ------
        InputError
            It has no fields, or another one than `from_arrays` takes; or see there.

        Examples
        --------
        >>> import awkward as ak
        >>> from fastcalo import Events
        >>> Events.from_awkward(ak.Array([[{"pdg": 22, "px": 0.0, "py": 5.0, "pz": 1.0}], []])).n_events
        2
        """
        fields = list(getattr(array, "fields", []))
        if not fields or (unknown := [name for name in fields if name not in _ARRAYS]):
            problem = f"has the field {unknown[0]!r}" if fields else "has no fields"
            raise InputError(
                f"the array {problem}, but should have some of {list(_ARRAYS)}; take those with array[[...]]"
            )
        return cls.from_arrays(**{name: array[name] for name in fields})

    def to_awkward(self) -> ak.Array:
        """Return one record per event, for awkward: ``run``, ``event``, and lists of particles.

        The lists are ``pdg``, ``px``, ``py``, ``pz``, ``mass`` (GeV), ``vx``, ``vy``, ``vz`` (mm) and ``final``.
        """
        import awkward as ak

        columns = {
            "pdg": self.pdg,
            **dict(zip(("px", "py", "pz"), self.momentum.T, strict=True)),
            "mass": self.mass,
            **dict(zip(("vx", "vy", "vz"), self.vertex.T, strict=True)),
            "final": self.final,
        }
        lists = {name: event_lists(self.offsets, ak.to_layout(np.ascontiguousarray(c))) for name, c in columns.items()}
        return ak.zip({"run": self.run, "event": self.event, **lists}, depth_limit=1)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.offsets) - 1

    @property
    def n_particles(self) -> int:
        """Number of particles of all events."""
        return int(self.offsets[-1])

    @property
    def kinetic_energy(self) -> NDArray[np.float64]:
        """Kinetic energy [n], GeV; infinite or NaN where momentum or mass are out of bounds."""
        with np.errstate(over="ignore", invalid="ignore"):
            p2 = np.einsum("ij,ij->i", self.momentum, self.momentum)
            # p^2 / (E + m) keeps its precision where E - m would lose it
            total = np.sqrt(p2 + self.mass**2) + self.mass
            energy: NDArray[np.float64] = np.divide(p2, total, out=np.zeros_like(p2), where=total != 0)
        return energy

    @property
    def event_of_particle(self) -> NDArray[np.int64]:
        """Index of the event that each particle belongs to, int64 [n]."""
        return np.repeat(np.arange(self.n_events), np.diff(self.offsets))

    @property
    def random_keys(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """By what each particle draws random numbers: digest of its event, uint64 [n], and index in it, int64 [n]."""
        if self.lineage is not None:
            return self.lineage.digest, self.lineage.number
        stream = self.stream
        if stream is None:
            stream = event_digest(self.run, self.event, self.luminosity_block, self.repeat)
        return stream[self.event_of_particle], self.index_in_event

    @property
    def index_in_event(self) -> NDArray[np.int64]:
        """Position of each particle in its event, int64 [n]."""
        return np.arange(self.n_particles) - np.repeat(self.offsets[:-1], np.diff(self.offsets))

    def __repr__(self) -> str:
        count, energy = self._final_state()
        return (
            f"<{type(self).__name__}: {self.n_events} events, {self.n_particles} particles; "
            f"in the final state {count} with {energy:.4g} GeV>"
        )

    def _repr_html_(self) -> str:
        count, energy = self._final_state()
        rows = [
            ("events", f"{self.n_events}"),
            ("particles", f"{self.n_particles}"),
            ("in the final state", f"{count}"),
            ("their kinetic energy", f"{energy:.4g} GeV"),
        ]
        return html_table(type(self).__name__, (), rows)

    def _final_state(self) -> tuple[int, float]:
        """Number and kinetic energy (GeV) of the particles in the final state, without what is not a number."""
        energy = self.kinetic_energy[self.final]
        return int(self.final.sum()), float(energy[np.isfinite(energy)].sum())
