# SPDX-License-Identifier: BSD-3-Clause
"""Summary of a conversion: numbers and energies of particles by outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..display import html_table
from ..event.events import Events, Reason
from ..event.hits import Hits, SectionHits
from .acceptance_map import AcceptanceMap


@dataclass
class ParticleCounts:
    """A number of particles, or of hits, and their energy in GeV."""

    count: int = 0
    energy: float = 0.0

    def add(self, count: int, energy: float) -> None:
        """Count more."""
        self.count += count
        self.energy += energy


@dataclass(repr=False)
class Summary:
    """What a conversion did. Grows chunk by chunk.

    Attributes
    ----------
    sections : dict of str to ParticleCounts
        Hits, and visible energy, by section.
    events : int
    particles : ParticleCounts
        All of the input, with their kinetic energy; one that is not a number counts as none.
    daughters : ParticleCounts
        Of particles that decayed before the calorimeter. Their kinetic energy is that of what decayed and what its mass
        set free.
    decays : dict of int to ParticleCounts
        By PDG code: particles that decayed, also daughters.
    reasons : dict of Reason to ParticleCounts
        By what became of them. The parts add up to `particles` and `daughters`.
    unknown : dict of int to ParticleCounts
        By PDG code: particles of species that the engine does not know.
    substituted : dict of int to ParticleCounts
        By PDG code: particles that were simulated as another species.
    substitutes : dict of int to int
        What they are simulated as.
    fully : ParticleCounts or None
        Particles that full simulation has simulated, where fast simulation did the others.
    repeats : dict of str to int or bool
        Events whose identifiers came before: see `io.event_streams.repeats.Repeats.facts`.
    wall_seconds : float
        From the first look at the input to the finished output.
    network_seconds : float or None
        Time that the engine spent in its networks, summed over workers; None where it does not measure it.
    workers : int
    notes : list of str
        What the user should know of how the input was read.
    acceptance : AcceptanceMap or None
        Where particles of each species were refused, if that was asked for.
    """

    sections: dict[str, ParticleCounts]
    events: int = 0
    particles: ParticleCounts = field(default_factory=ParticleCounts)
    daughters: ParticleCounts = field(default_factory=ParticleCounts)
    decays: dict[int, ParticleCounts] = field(default_factory=dict)
    reasons: dict[Reason, ParticleCounts] = field(
        default_factory=lambda: {reason: ParticleCounts() for reason in Reason}
    )
    unknown: dict[int, ParticleCounts] = field(default_factory=dict)
    substituted: dict[int, ParticleCounts] = field(default_factory=dict)
    substitutes: dict[int, int] = field(default_factory=dict)
    fully: ParticleCounts | None = None
    repeats: dict[str, int | bool] = field(default_factory=dict)
    wall_seconds: float = 0.0
    network_seconds: float | None = None
    workers: int = 1
    notes: list[str] = field(default_factory=list)
    acceptance: AcceptanceMap | None = None

    @classmethod
    def of(cls, sections: Sequence[str], workers: int = 1) -> Summary:
        """Return one that has counted nothing yet."""
        return cls({name: ParticleCounts() for name in sections}, workers=workers)

    @classmethod
    def of_accounts(cls, accounts: Mapping[str, Any]) -> Summary:
        """Return one of what `accounts` gave; what an older version did not count is none.

        Parameters
        ----------
        accounts : mapping
        """
        found = cls({name: ParticleCounts(**counts) for name, counts in accounts.get("sections", {}).items()})
        found.events, found.repeats = accounts["events"], accounts.get("repeats", {})
        for name in ("particles", "daughters"):
            setattr(found, name, ParticleCounts(**accounts.get(name, {})))
        for reason, counts in found.reasons.items():
            counts.add(**accounts["reasons"].get(reason.name.lower(), {"count": 0, "energy": 0.0}))
        if "fully" in accounts:
            found.fully = ParticleCounts(**accounts["fully"])
        for name in ("decays", "unknown"):
            setattr(found, name, {int(k): ParticleCounts(**counts) for k, counts in accounts.get(name, {}).items()})
        for code, counts in accounts.get("substituted", {}).items():
            found.substitutes[int(code)] = counts["as"]
            found.substituted[int(code)] = ParticleCounts(counts["count"], counts["energy"])
        return found

    def include(self, other: Summary) -> None:
        """Add what another counted in other events of the same input; times are added, too."""
        self.events += other.events
        for name in ("particles", "daughters"):
            include_counts({0: getattr(self, name)}, {0: getattr(other, name)})
        for name in ("decays", "unknown", "substituted", "reasons", "sections"):
            include_counts(getattr(self, name), getattr(other, name))
        if other.fully is not None:
            self.fully = self.fully or ParticleCounts()
            self.fully.add(other.fully.count, other.fully.energy)
        self.substitutes |= other.substitutes
        self.repeats = self.repeats or other.repeats
        self.notes = self.notes or other.notes
        self.wall_seconds += other.wall_seconds
        if other.network_seconds is not None:
            self.network_seconds = (self.network_seconds or 0.0) + other.network_seconds

    def add(self, events: Events, hits: Hits) -> None:
        """Count a chunk."""
        energy = finite_energy(events)
        counts = np.bincount(hits.reason, minlength=len(Reason))
        sums = np.bincount(hits.reason, energy, minlength=len(Reason))
        self.events += events.n_events
        made = np.zeros(events.n_particles, np.bool_) if events.lineage is None else events.lineage.generation > 0
        self.particles.add(int((~made).sum()), float(energy[~made].sum()))
        self.daughters.add(int(made.sum()), float(energy[made].sum()))
        _add_by_species(self.decays, events, energy, hits.reason == Reason.DECAYED)
        for reason, part in self.reasons.items():
            part.add(int(counts[reason]), float(sums[reason]))
        _add_by_species(self.unknown, events, energy, hits.reason == Reason.UNKNOWN_SPECIES)
        stood_for = (hits.reason == Reason.SIMULATED) & np.isin(events.pdg, list(self.substitutes))
        if hits.fully is not None:
            # these are simulated as what they are
            stood_for &= ~hits.fully
            self.fully = self.fully or ParticleCounts()
            self.fully.add(int(hits.fully.sum()), float(energy[hits.fully].sum()))
        _add_by_species(self.substituted, events, energy, stood_for)
        self.add_hits(hits.sections)
        if self.acceptance is not None:
            self.acceptance.add(events, hits.reason)

    def add_hits(self, sections: Mapping[str, SectionHits]) -> None:
        """Count hits."""
        for name, found in sections.items():
            self.sections.setdefault(name, ParticleCounts()).add(
                len(found.energy), float(found.energy.sum(dtype=np.float64))
            )

    def __repr__(self) -> str:
        simulated = self.reasons[Reason.SIMULATED].count
        hits = "".join(f"; {name} {found.count} hits" for name, found in self.sections.items())
        return f"<Summary: {self.events} events, {simulated} of {self.particles.count} particles simulated{hits}>"

    def _repr_html_(self) -> str:
        reasons = [(r.text, f"{c.count}", f"{c.energy:.4g}") for r, c in self.reasons.items() if c.count]
        whole = ("all", f"{self.particles.count}", f"{self.particles.energy:.4g}")
        sections = [(name, f"{found.count}", f"{found.energy:.4g}") for name, found in self.sections.items()]
        title = f"{self.events} events in {self.wall_seconds:.2f} s"
        return html_table(title, ("particles", "number", "kinetic energy [GeV]"), [*reasons, whole]) + html_table(
            "", ("hits", "number", "visible energy [GeV]"), sections
        )

    @property
    def share_outside_network(self) -> float | None:
        """Part of the workers' wall time that was not spent in networks; None where the engine does not measure it."""
        if self.network_seconds is None or self.wall_seconds == 0:
            return None
        return 1 - self.network_seconds / (self.wall_seconds * self.workers)

    def accounts(self) -> dict[str, Any]:
        """Everything but the times, as JSON can hold it: the same for the same input, whatever the machine."""
        return {
            "events": self.events,
            "repeats": self.repeats,
            "particles": asdict(self.particles),
            "daughters": asdict(self.daughters),
            "decays": {str(code): asdict(part) for code, part in sorted(self.decays.items())},
            "reasons": {reason.name.lower(): asdict(part) for reason, part in self.reasons.items()},
            "unknown": {str(code): asdict(part) for code, part in sorted(self.unknown.items())},
            "substituted": {
                str(code): {"as": self.substitutes[code], **asdict(part)}
                for code, part in sorted(self.substituted.items())
            },
            **({} if self.fully is None else {"fully": asdict(self.fully)}),
            "sections": {name: asdict(part) for name, part in self.sections.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it. Energies in GeV, times in seconds."""
        return self.accounts() | {
            "wall_seconds": self.wall_seconds,
            "network_seconds": self.network_seconds,
            "share_outside_network": self.share_outside_network,
            "workers": self.workers,
            "notes": list(self.notes),
            **({} if self.acceptance is None else {"acceptance": self.acceptance.to_dict()}),
        }


def include_counts(counts: dict[Any, ParticleCounts], more: dict[Any, ParticleCounts]) -> None:
    """Add counts to those of the same key."""
    for key, found in more.items():
        counts.setdefault(key, ParticleCounts()).add(found.count, found.energy)


def _add_by_species(
    tallies: dict[int, ParticleCounts], events: Events, energy: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> None:
    codes, inverse, counts = np.unique(events.pdg[chosen], return_inverse=True, return_counts=True)
    sums = np.bincount(inverse, energy[chosen], minlength=len(codes))
    for code, count, total in zip(codes.tolist(), counts.tolist(), sums.tolist(), strict=True):
        tallies.setdefault(code, ParticleCounts()).add(count, total)


def finite_energy(events: Events) -> NDArray[np.float64]:
    """Kinetic energies [n], GeV; 0 for what is not a number."""
    with np.errstate(all="ignore"):
        energy = events.kinetic_energy
    return np.where(np.isfinite(energy), energy, 0.0)
