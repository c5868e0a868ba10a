# SPDX-License-Identifier: BSD-3-Clause
"""Hit files of random cells, for tests that damage them before writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from fastcalo.detector.description import load_detector
from fastcalo.io.hits.root_tree import Lists, open_tree
from fastcalo.io.root_files import PROVENANCE

N = 60
SECTIONS = {"ECAL": 25, "HCAL": 60}


class Content:
    """What goes into a file of hits, to be spoilt by a test before it is written."""

    def __init__(self, n_events: int = N, seed: int = 1, spread: float = 0.0, cell_seed: int = 7) -> None:
        detector, rng = load_detector(), np.random.default_rng(cell_seed)
        self.tree = "Events"
        self.events: dict[str, Any] = {
            "run": np.ones(n_events, np.int64),
            "event": np.arange(n_events, dtype=np.int64),
            "particles_simulated": np.full(n_events, 2, np.int32),
            "particles_unknown_species": np.zeros(n_events, np.int32),
        }
        self.lists: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
        for name, layers in SECTIONS.items():
            counts = rng.integers(20, 60, n_events)
            event, h = np.repeat(np.arange(n_events), counts), int(counts.sum())
            # a column of x for every hit of an event: no cell comes twice
            x = np.arange(h) - np.repeat(np.cumsum(counts) - counts, counts)
            cell = (rng.integers(0, 14, n_events)[event], x, rng.integers(-9, 9, h), rng.integers(0, layers, h))
            position = detector.cell_centre(name, *cell)
            energy = 1e-4 + rng.exponential(1e-3, h)
            energy *= 1 + spread * np.random.default_rng(seed).normal(size=h).clip(-3, 3)
            columns = {
                "cell_id": detector.encode(name, *cell),
                "energy": energy.astype(np.float32),
                **{axis: position[:, i].astype(np.float32) for i, axis in enumerate("xyz")},
                "layer": cell[3].astype(np.int16),
            }
            self.lists[name] = np.concatenate([[0], np.cumsum(counts)]), columns
        self.provenance: dict[str, Any] | None = {
            "units": {"energy": "GeV", "x": "mm", "y": "mm", "z": "mm"},
            "inputs": [{"path": "some/where/events.root"}],
            "detector": {
                "name": detector.name,
                "hash": detector.hash,
                "sections": {
                    s.name: {"encoding": s.encoding.text, "system": s.system, "threshold_gev": s.threshold}
                    for s in detector.sections
                },
            },
            "accounts": {"reasons": {"simulated": {"count": 2 * n_events, "energy": 90.0 * n_events}}},
        }

    def column(self, name: str) -> np.ndarray:
        return self.lists["ECAL"][1][name]

    def set(self, name: str, values: np.ndarray) -> None:
        self.lists["ECAL"][1][name] = values

    def permute(self, order: np.ndarray) -> None:
        self.events = {name: column[order] for name, column in self.events.items()}
        for name, (offsets, columns) in self.lists.items():
            jagged = {key: ak.unflatten(column, np.diff(offsets))[order] for key, column in columns.items()}
            counts = np.diff(offsets)[order]
            flat = {key: ak.to_numpy(ak.flatten(column)) for key, column in jagged.items()}
            self.lists[name] = np.concatenate([[0], np.cumsum(counts)]), flat

    def write(self, path: Path) -> Path:
        if self.provenance is None or self.tree != "Events":
            return self._write_bare(path)
        kinds = {
            name: {key: column.dtype for key, column in columns.items()} for name, (_, columns) in self.lists.items()
        }
        with open_tree(path, {name: column.dtype for name, column in self.events.items()}, kinds) as tree:
            tree.append(self.events, {name: Lists(*lists) for name, lists in self.lists.items()})
            tree.provenance.update(self.provenance)
        return path

    def _write_bare(self, path: Path) -> Path:
        """As some other program would: any name, no word of where it is from."""
        branches: dict[str, Any] = dict(self.events)
        for name, (offsets, columns) in self.lists.items():
            branches |= {f"{name}_{key}": ak.unflatten(column, np.diff(offsets)) for key, column in columns.items()}
        with uproot.recreate(path) as file:
            kinds = {k: v.type.content if isinstance(v, ak.Array) else v.dtype for k, v in branches.items()}
            file.mktree(self.tree, kinds, counter_name=lambda name: f"counter_{name}")
            file[self.tree].extend(branches)
            if self.provenance is not None:
                file[PROVENANCE] = json.dumps(self.provenance)
        return path
