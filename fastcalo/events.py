# SPDX-License-Identifier: BSD-3-Clause
"""Columnar particles (`Events`, input of an engine) and columnar deposits (`Hits`, its output)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .contributions import Contributions
from .display import html_table
from .errors import InputError
from .event_arrays import ParticleColumns, masses_of, momentum_of, vertex_of
from .event_digests import event_digest
from .lineage import Lineage
from .reasons import NOT_TO_SIMULATE, Reason

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["NOT_TO_SIMULATE", "Events", "Hits", "Identifier", "Reason", "SectionHits"]

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
        lists = {name: _lists(self.offsets, ak.to_layout(np.ascontiguousarray(c))) for name, c in columns.items()}
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


@dataclass(frozen=True, repr=False)
class SectionHits:
    """Hits of one calorimeter section, as flat arrays cut by offsets.

    Attributes
    ----------
    offsets : int64 [n_events + 1]
    cell_id : uint64 [h]
        Bit field of the detector; each at most once in an event, in the order of module, layer, x and y.
    energy : float32 [h]
        GeV, sum over all particles of the event.
    position : float32 [h, 3]
        Centre of the cell in global coordinates, mm.
    layer : int16 [h]
    contributions : Contributions or None
        What single particles made of each hit, where that was asked for.
    """

    offsets: NDArray[np.int64]
    cell_id: NDArray[np.uint64]
    energy: NDArray[np.float32]
    position: NDArray[np.float32]
    layer: NDArray[np.int16]
    contributions: Contributions | None = None

    @classmethod
    def none(cls, n_events: int) -> SectionHits:
        """No hits, and contributions to none."""
        empty = np.zeros(0, np.float32)
        return cls(
            np.zeros(n_events + 1, np.int64), np.zeros(0, np.uint64), empty, np.zeros((0, 3), np.float32),
            np.zeros(0, np.int16), Contributions.none(),
        )  # fmt: skip

    @property
    def n_hits(self) -> int:
        """Number of hits of all events."""
        return len(self.energy)

    @property
    def total_energy(self) -> float:
        """Sum of the hits' energies, GeV."""
        return float(self.energy.sum(dtype=np.float64))

    def to_awkward(self) -> ak.Array:
        """Return one list of records per event: ``cell_id``, ``energy`` (GeV), ``x``, ``y``, ``z`` (mm), ``layer``."""
        import awkward as ak

        return ak.Array(self._layout())

    def _layout(self) -> Any:
        import awkward as ak

        columns = {
            "cell_id": self.cell_id,
            "energy": self.energy,
            **dict(zip("xyz", self.position.T, strict=True)),
            "layer": self.layer,
        }
        contents = [ak.to_layout(np.ascontiguousarray(column)) for column in columns.values()]
        return _lists(self.offsets, ak.contents.RecordArray(contents, list(columns), length=self.n_hits))

    def __repr__(self) -> str:
        return f"<SectionHits: {len(self.offsets) - 1} events, {self.n_hits} hits, {self.total_energy:.4g} GeV>"


@dataclass(frozen=True, repr=False)
class Hits:
    """Hits of events: what an engine makes of `Events`, and what `open_hits` reads.

    Attributes
    ----------
    sections : dict of str to SectionHits
    run, event : int64 or uint64 [n_events]
        Identifiers, as in the events.
    reason : int8 [n_particles]
        `Reason` of every particle of the input, in its order. Files only count them: those of `open_hits` are ordered
        by their reason within each event.
    particle_offsets : int64 [n_events + 1]
        Event ``i`` had the particles ``particle_offsets[i]:particle_offsets[i + 1]``.
    luminosity_block : int64 or uint64 [n_events] or None
        Where the input has it.
    repeat : uint64 [n_events] or None
        As in the events.
    fully : bool [n_particles] or None
        Which particles full simulation has simulated, where fast simulation did the others.
    """

    sections: dict[str, SectionHits]
    run: Identifier
    event: Identifier
    reason: NDArray[np.int8]
    particle_offsets: NDArray[np.int64]
    luminosity_block: Identifier | None = None
    repeat: NDArray[np.uint64] | None = None
    fully: NDArray[np.bool_] | None = None

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.run)

    @property
    def particles(self) -> NDArray[np.int64]:
        """Number of particles of each event by `Reason`, int64 [n_events, number of reasons]."""
        counts = np.diff(self.particle_offsets)
        cell = np.repeat(np.arange(self.n_events), counts) * len(Reason) + self.reason
        return np.bincount(cell, minlength=self.n_events * len(Reason)).reshape(self.n_events, len(Reason))

    def to_awkward(self) -> ak.Array:
        """Return one record per event, for awkward: ``run``, ``event``, and for each section a list of its hits.

        Returns
        -------
        awkward.Array
            The hits are records of ``cell_id``, ``energy`` (GeV), ``x``, ``y``, ``z`` (centre of the cell, mm) and
            ``layer``. Energies are not copied.

        Examples
        --------
        >>> import awkward as ak
        >>> from fastcalo import Events, FastSimulation
        >>> photon = Events.from_arrays(pdg=[[22]], momentum=[[[0.0, 20.0, 0.0]]])
        >>> hits = FastSimulation().run(photon, seed=1).to_awkward()
        >>> float(ak.sum(hits.ECAL.energy)) > 0.2
        True
        """
        import awkward as ak

        columns = {"run": self.run, "event": self.event}
        if self.luminosity_block is not None:
            columns["luminosity_block"] = self.luminosity_block
        if self.repeat is not None:
            columns["repeat"] = self.repeat
        contents = [ak.to_layout(np.ascontiguousarray(column)) for column in columns.values()]
        contents += [section._layout() for section in self.sections.values()]  # noqa: SLF001
        return ak.Array(ak.contents.RecordArray(contents, [*columns, *self.sections], length=self.n_events))

    def __repr__(self) -> str:
        sections = "".join(f"; {name} {s.n_hits} hits, {s.total_energy:.4g} GeV" for name, s in self.sections.items())
        return f"<Hits: {self.n_events} events, {self._simulated()}{sections}>"

    def _repr_html_(self) -> str:
        rows = [(name, f"{s.n_hits}", f"{s.total_energy:.4g}") for name, s in self.sections.items()]
        header = ("section", "hits", "visible energy [GeV]")
        return html_table(f"Hits of {self.n_events} events", header, rows, self._simulated())

    def _simulated(self) -> str:
        simulated = int((self.reason == Reason.SIMULATED).sum())
        return f"{simulated} of {len(self.reason)} particles simulated"


def _lists(offsets: NDArray[np.int64], content: Any) -> Any:
    import awkward as ak

    return ak.contents.ListOffsetArray(ak.index.Index64(np.asarray(offsets, np.int64)), content)
