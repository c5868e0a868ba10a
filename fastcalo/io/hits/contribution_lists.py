# SPDX-License-Identifier: BSD-3-Clause
"""Lists of contributions to hits, as a tree of ours has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import InputError
from ...event.hits import SectionHits
from .root_tree import Lists

CONTRIBUTION: dict[str, DTypeLike] = {
    "hit": np.int32,
    "particle": np.int32,
    "energy": np.float32,
    "time": np.float32,
    "mean_time": np.float32,
    "step_length": np.float32,
}
"""Branches of the lists of contributions, and their types."""

CONTRIBUTIONS = "Contribution"
"""What the name of a section's lists of contributions ends in."""

CONTRIBUTION_UNITS = {"time": "ns", "mean_time": "ns", "step_length": "mm"}
"""Units of those that hits do not have, too."""

RowsOf: TypeAlias = Callable[[Any], NDArray[np.int32]]
"""Gives the places, int32 [n_particles], by which the particles of events are known in what was simulated first."""


def contribution_lists(hits: SectionHits | None, n_events: int) -> Lists:
    """Contributions to the hits of a section, as lists of events.

    Raises
    ------
    InputError
        The hits have none.
    """
    if hits is None:
        none = {name: np.empty(0, kind) for name, kind in CONTRIBUTION.items()}
        return Lists(np.zeros(n_events + 1, np.int64), none)
    made = hits.contributions
    if made is None:
        raise InputError("the file is to hold contributions, but the hits have none: make the engine with them")
    in_event = np.arange(hits.n_hits) - np.repeat(hits.offsets[:-1], np.diff(hits.offsets))
    return Lists(
        made.offsets[hits.offsets],
        {
            "hit": in_event[made.hit].astype(np.int32),
            "particle": made.particle,
            "energy": made.energy,
            "time": made.time,
            "mean_time": made.mean_time,
            "step_length": made.step_length,
        },
    )


def with_rows(hits: SectionHits, offsets: NDArray[np.int64], rows: NDArray[np.int32]) -> SectionHits:
    """Hits whose contributions know their particles by other places than those in the events."""
    made = hits.contributions
    if made is None:
        return hits
    counts = np.diff(made.offsets[hits.offsets])
    particle = rows[np.repeat(offsets[:-1], counts) + made.particle]
    return replace(hits, contributions=replace(made, particle=particle.astype(np.int32)))
