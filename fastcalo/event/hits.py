# SPDX-License-Identifier: BSD-3-Clause
"""Columnar deposits of many events: `Hits`, output of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..display import html_table
from .arrays import event_lists
from .contributions import Contributions
from .events import Identifier
from .reasons import Reason

if TYPE_CHECKING:
    import awkward as ak


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
        return event_lists(self.offsets, ak.contents.RecordArray(contents, list(columns), length=self.n_hits))

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
