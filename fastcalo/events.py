"""Columnar particles (`Events`, input of an engine) and columnar deposits (`Hits`, its output)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


class Reason(IntEnum):
    """Why a particle was, or was not, simulated. `SIMULATED` is the only one that is not a refusal."""

    SIMULATED = 0
    NOT_FINAL_STATE = 1
    BAD_NUMBERS = 2
    INVISIBLE = 3
    UNKNOWN_SPECIES = 4
    BORN_OUTSIDE = 5
    MISSES_CALORIMETER = 6
    ENERGY_TOO_LOW = 7
    ENERGY_TOO_HIGH = 8
    ANGLE_TOO_LARGE = 9

    @property
    def text(self) -> str:
        """The reason in words, as summaries print it."""
        return _TEXT[self]


_TEXT = {
    Reason.SIMULATED: "simulated",
    Reason.NOT_FINAL_STATE: "not final state",
    Reason.BAD_NUMBERS: "bad numbers (NaN, infinite or negative)",
    Reason.INVISIBLE: "invisible (neutrino)",
    Reason.UNKNOWN_SPECIES: "species not known to the engine",
    Reason.BORN_OUTSIDE: "born behind the calorimeter face",
    Reason.MISSES_CALORIMETER: "misses the calorimeter",
    Reason.ENERGY_TOO_LOW: "energy below the engine's range",
    Reason.ENERGY_TOO_HIGH: "energy above the engine's range",
    Reason.ANGLE_TOO_LARGE: "angle outside the engine's range",
}


NOT_TO_SIMULATE = (Reason.NOT_FINAL_STATE, Reason.BAD_NUMBERS, Reason.INVISIBLE)
"""Reasons of particles that no calorimeter is asked for."""


@dataclass(frozen=True)
class Events:
    """Particles of many events, as flat arrays cut by offsets.

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
    run, event : int64 [n_events]
        The event's identifiers, carried to the output.
    """

    offsets: NDArray[np.int64]
    pdg: NDArray[np.int32]
    momentum: NDArray[np.float64]
    mass: NDArray[np.float64]
    vertex: NDArray[np.float64]
    final: NDArray[np.bool_]
    run: NDArray[np.int64]
    event: NDArray[np.int64]

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
        }
        for name, shape in want.items():
            got = getattr(self, name).shape
            if got != shape:
                raise InputError(f"Events.{name} has shape {got}, but the offsets ask for {shape}")

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
    def index_in_event(self) -> NDArray[np.int64]:
        """Position of each particle in its event, int64 [n]."""
        return np.arange(self.n_particles) - np.repeat(self.offsets[:-1], np.diff(self.offsets))


@dataclass(frozen=True)
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
    """

    offsets: NDArray[np.int64]
    cell_id: NDArray[np.uint64]
    energy: NDArray[np.float32]
    position: NDArray[np.float32]
    layer: NDArray[np.int16]


@dataclass(frozen=True)
class Hits:
    """What an engine makes of `Events`.

    Attributes
    ----------
    sections : dict of str to SectionHits
    run, event : int64 [n_events]
        Identifiers, as in the events.
    reason : int8 [n_particles]
        `Reason` of every particle of the input, in its order.
    """

    sections: dict[str, SectionHits]
    run: NDArray[np.int64]
    event: NDArray[np.int64]
    reason: NDArray[np.int8] = field(repr=False)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.run)
