# SPDX-License-Identifier: BSD-3-Clause
"""Test vectors for implementations in other languages: particles, their noise, layers and hits, as JSON.

``python tests/data/make_vectors.py FOLDER`` writes them. Those in ``integration/cpp/tests/vectors`` are of the shipped
models, and are made again where a model, or what a particle draws, changes on purpose.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastcalo
from fastcalo.event.digests import event_digest
from fastcalo.model.noise import draw_noise
from fastcalo.model.random_numbers import streams_of
from fastcalo.simulation.propagation import propagate

FOLDER = Path(__file__).parents[2] / "integration" / "cpp" / "tests" / "vectors"
MODELS = {"em": "em", "hadron": "hadron", "muon": "muon", "windows": Path(__file__).with_name("windows.onnx")}
"""By the names of the files of vectors; the last one gives windows, as users may have trained them."""
SEED = 0x0123456789ABCDEF
SHOWN = 8
"""Numbers of each tensor that stand in the file; a SHA-256 stands for all."""


def model_vectors(name: str) -> dict[str, Any]:
    """Of one model: three particles of each second species, from particle to hits."""
    model = fastcalo.load_model(MODELS[name], backend="onnxruntime")
    low, high = model.contract.kinetic_energy
    pdg = np.repeat(np.array(model.contract.species[:3], np.int64), 2)
    n = len(pdg)
    energy = np.geomspace(low * 1.5, high / 20, n).astype(np.float32)
    theta, phi = np.linspace(0, 0.8 * model.contract.max_angle, n), np.linspace(0, 5, n)
    sine = np.sin(theta)
    direction = np.stack([sine * np.cos(phi), sine * np.sin(phi), np.cos(theta)], 1).astype(np.float32)
    entry = np.stack([np.linspace(-2.5, 2.5, n), np.linspace(2.0, -1.0, n)], 1).astype(np.float32)
    if model.contract.whole:
        entry *= np.float32(20)
    run, event = np.arange(n) % 2 + 1, np.arange(n) * 1000 - 1
    lumi, repeat = np.arange(n) % 3, np.array([0, 0, 0, 0, 0, 2**63 + 5][:n], np.uint64)
    digest = event_digest(run, event, lumi, repeat)
    number = np.arange(n) * 7
    random = streams_of(SEED, digest, number)
    noise = draw_noise(model.contract.noise, random, energy)
    showers = model.sample(pdg, energy, direction, entry, random)
    return {
        "model": name,
        "file_hash": model.file_hash,
        "seed": str(SEED),
        "particles": [
            {
                "pdg": int(pdg[i]),
                "kinetic_energy": float(energy[i]),
                "direction": direction[i].tolist(),
                "entry": entry[i].tolist(),
                "keys": {
                    "run": int(run[i]),
                    "event": int(event[i]),
                    "luminosity_block": int(lumi[i]),
                    "repeat": str(repeat[i]),
                    "digest": str(digest[i]),
                    "particle": int(number[i]),
                },
                "noise": list(_noise(model.contract.noise, noise, energy[i], i)),
                "sections": {section: _hits(s, i, model.window_shape(section)[2]) for section, s in showers.items()},
            }
            for i in range(n)
        ],
    }


def _noise(specs: Any, noise: dict[str, Any], energy: np.float32, i: int) -> Iterator[dict[str, Any]]:
    for spec in specs:
        rows = 1
        numbers = noise[spec.name][i]
        if spec.capacity is not None:
            a, b, c = spec.capacity
            rows = int(np.floor(a + b * np.float64(energy) ** c)) + 1
            numbers = numbers[:rows]
        flat = np.ascontiguousarray(numbers, dtype="<f4").ravel()
        yield {
            "name": spec.name,
            "rows": rows,
            "first": flat[:SHOWN].tolist(),
            "sha256": hashlib.sha256(flat.tobytes()).hexdigest(),
        }


def _hits(showers: Any, i: int, layers: int) -> dict[str, Any]:
    mine = showers.shower == i
    x, y, layer, deposit = (getattr(showers, c)[mine] for c in ("x", "y", "layer", "deposit"))
    order = np.lexsort((y, x, layer))
    sums = np.bincount(layer, deposit, minlength=layers)
    return {
        "layer_hits": np.bincount(layer, minlength=layers).tolist(),
        "layer_energy": [float(f"{e:.7g}") for e in sums],
        "hits": [[int(layer[k]), int(x[k]), int(y[k]), float(deposit[k])] for k in order],
    }


def event_vectors() -> dict[str, Any]:
    """Of two whole events: particles of all fates, reasons, arrivals and hits."""
    pdg = [22, 11, -11, 211, -211, 130, 2112, 13, 12, 321, 3122, 22, 211, 11, 443, 22, 2212, 22, -2112, 211]
    rng = np.random.default_rng(5)
    n = len(pdg)
    momentum = rng.normal(size=(n, 3)) * np.array([3.0, 3.0, 2.0])
    vertex = rng.normal(size=(n, 3))
    momentum[11] = 0.0
    momentum[12] = [0.0, 0.0, 30.0]  # leaves through the hole
    momentum[15] = [0.001, 0.0, 0.0]
    momentum[5] = [200.0, 0.0, 0.0]
    vertex[17] = [1600.0, 0.0, 0.0]
    final = np.ones(n, bool)
    final[3] = False
    offsets = np.array([0, 12, n])
    events = fastcalo.Events.from_arrays(
        pdg=pdg, momentum=momentum, vertex=vertex, final=final, run=[3, 3], event=[10, 11], counts=np.diff(offsets)
    )
    engine = fastcalo.FastSimulation("clic-like", ["em", "hadron", "muon"], backend="onnxruntime")
    hits = engine.run(events, seed=SEED)
    known = np.array([code != 443 for code in pdg])
    arrival = propagate(engine.detector, events.pdg[known], momentum[known], vertex[known])
    entry = arrival.entry + arrival.cell * engine.detector.sections[0].cell_mm
    return {
        "models": ["em", "hadron", "muon"],
        "seed": str(SEED),
        "offsets": offsets.tolist(),
        "run": [3, 3],
        "event": [10, 11],
        "pdg": pdg,
        "status": final.astype(int).tolist(),
        "momentum": momentum.tolist(),
        "vertex": vertex.tolist(),
        "reason": hits.reason.tolist(),
        "arrivals": [
            {
                "particle": int(np.flatnonzero(known)[k]),
                "reason": int(arrival.reason[k]),
                "module": int(arrival.module[k]),
                "entry": entry[k].tolist(),
                "direction": arrival.direction[k].tolist(),
                "position": arrival.position[k].tolist(),
            }
            for k in np.flatnonzero(arrival.reason == 0)
        ],
        "sections": {
            name: {
                "offsets": s.offsets.tolist(),
                "cell_id": [str(c) for c in s.cell_id],
                "energy": s.energy.tolist(),
                "position": s.position.ravel().tolist(),
                "layer": s.layer.tolist(),
            }
            for name, s in hits.sections.items()
        },
    }


def write(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        _write(folder / f"{name}.json", model_vectors(name))
    _write(folder / "events.json", event_vectors())


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, allow_nan=False, separators=(",", ":")).replace('{"pdg"', '\n{"pdg"') + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
