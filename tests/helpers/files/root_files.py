# SPDX-License-Identifier: BSD-3-Clause
"""ROOT files for tests, written by uproot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import numpy as np
import uproot


def write_tree(path: Path, branches: Mapping[str, object], tree: str = "events") -> Path:
    """Write a TTree. Lists of lists, or awkward arrays, become jagged branches; all else one value per entry."""
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: _type(values) for name, values in branches.items()})
        file[tree].extend({name: _array(values) for name, values in branches.items()})
    return path


def write_rntuple(path: Path, branches: Mapping[str, object], name: str = "Events") -> Path:
    """Write an RNTuple of the same kinds of branches."""
    with uproot.recreate(path) as file:
        file.mkrntuple(name, {name: _array(values) for name, values in branches.items()})
    return path


def plain(n_events: int = 5, per_event: int = 3, seed: int = 0) -> dict[str, ak.Array]:
    """Plain jagged branches of photons, electrons and pions, 0 to `per_event` in an event."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, per_event + 1, n_events)
    n = int(counts.sum())
    columns = {"pdg": rng.choice([22, 11, -11, 211], n).astype(np.int32)}
    columns |= {name: rng.normal(0, 10, n) for name in ("px", "py", "pz")}
    columns |= {name: rng.normal(0, 1, n) for name in ("vx", "vy", "vz")}
    return {name: ak.unflatten(column, counts) for name, column in columns.items()}


def _array(values: object) -> object:
    jagged = isinstance(values, list) and values and isinstance(values[0], list)
    return ak.Array(values) if jagged else values if isinstance(values, ak.Array) else np.asarray(values)


def _type(values: object) -> object:
    array = _array(values)
    return array.type.content if isinstance(array, ak.Array) else array.dtype
