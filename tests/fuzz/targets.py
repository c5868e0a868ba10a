# SPDX-License-Identifier: BSD-3-Clause
"""What is damaged, and what reading it must come to."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.mutations import damage, edit_table, edit_toml

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """A format.

    Attributes
    ----------
    name : str
    make : callable
        Writes whole files to a folder, and returns the path of the one that is damaged.
    read : callable
        Reads it, and returns a digest of what came out.
    mutate : callable
        Damages the image of the file.
    knows : bool
        Whether the format detects damage, so that nothing else may come out than of the whole file.
    trained : bool
        Whether the file is one of a training.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], str]
    mutate: Callable[[bytes, random.Random], bytes] = damage
    knows: bool = False
    trained: bool = False


def digest(*values: Any) -> str:
    found = hashlib.sha256()
    for value in values:
        found.update(np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()


# --- models


def _model(folder: Path) -> Path:
    from helpers.models.tiny_model import write_tiny_model

    return write_tiny_model(folder / "tiny.onnx")


def _draw(path: Path) -> str:
    import fastcalo

    model = fastcalo.load_model(path, threads=1)
    c = model.contract
    energy = np.geomspace(*c.kinetic_energy, 5)
    showers = model.generate(pdg=c.species[0], kinetic_energy=energy, direction=[0, 0, 1], entry=[0, 0], seed=1)
    return digest(c.name, *(v for pair in sorted(showers.items()) for v in pair))


def _edit_contract(image: bytes, rng: random.Random) -> bytes:
    from fastcalo.model.onnx_file import METADATA_KEY, read_onnx, seal

    table = edit_table(json.loads(read_onnx(image, "here").metadata[METADATA_KEY]), rng)
    # a contract that somebody has edited by hand, and sealed
    text = json.dumps(table)
    return seal(image, text if rng.random() < 0.9 else damage(text.encode(), rng).decode("utf-8", "replace"))


# --- particles, hits and showers


def _copy(source: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / Path(source).name
        path.write_bytes((ROOT / source).read_bytes())
        return path

    return make


def _particles(path: Path) -> str:
    from fastcalo import open_events

    parts = list(open_events(str(path)).chunks(1000))
    return digest(*(getattr(p, k) for p in parts for k in ("offsets", "pdg", "momentum", "mass", "vertex", "final")))


def _hits(folder: Path) -> Path:
    from helpers.files.hit_files import Content

    content = Content(20)
    assert content.provenance is not None
    # as a file of `convert` has it
    content.provenance["accounts"]["events"] = 20
    return Path(content.write(folder / "hits.root"))


def _read_hits(path: Path) -> str:
    from fastcalo.io.hits.any_format.hit_files import open_hit_file
    from fastcalo.io.hits.reader import hits_tree, read_chunk
    from fastcalo.production.inspect import inspect

    inspect(path)
    with open_hit_file(str(path)) as file:
        tree = hits_tree(list(file.trees))
        assert tree is not None
        n = file.entries(tree)
        if n > 10_000:
            return digest("many", n)
        chunk = read_chunk(file, tree, range(n))
    values = [v for name in sorted(chunk.events) for v in (name, chunk.events[name])]
    for name in sorted(chunk.sections):
        section = chunk.sections[name]
        values += [name, section.counts, *(v for key in sorted(section.columns) for v in (key, section.columns[key]))]
    return digest(*values)


def _showers(folder: Path) -> Path:
    from helpers.files.shower_files import write_sparse

    return write_sparse(folder / "showers.h5", 40)


def _read_showers(path: Path) -> str:
    from fastcalo.io.showers.reader import open_showers

    with open_showers(path) as f:
        values: list[Any] = [f.pdg(), f.kinetic_energy(), f.direction(), f.entry()]
        for name in f.sections:
            values += [name, f.total(name), *f.hits(name)]
    return digest(*values)


def _foreign(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from helpers.files import foreign_files

        path = foreign_files.write_h5(folder / f"{kind}_gamma.h5", **getattr(foreign_files, kind)(3))
        if kind == "calochallenge":
            (folder / "binning.xml").write_text(foreign_files.BINNING)
        return path

    return make


def _binning(folder: Path) -> Path:
    _foreign("calochallenge")(folder)
    return folder / "binning.xml"


def _read_binning(path: Path) -> str:
    from fastcalo.io.showers.binning import read_binnings

    return digest(*((b.name, b.pdg, b.layer_ids, len(b.voxels)) for b in read_binnings(path)))


# --- trainings


TRAINED: Path | None = None
"""Folder of a finished training, where there is one already."""


def _run(folder: Path) -> Path:
    if TRAINED is not None:
        return Path(shutil.copytree(TRAINED, folder / "run"))
    from helpers.trainings.tiny_training import tiny_config, write_data

    from fastcalo.training.trainer import run_stages

    run = folder / "run"
    config = tiny_config(write_data(folder))
    run_stages(config, run, curves=False)
    return run


def _of_run(name: str) -> Callable[[Path], Path]:
    return lambda folder: _run(folder) / name


def _load_checkpoint(path: Path) -> str:
    from fastcalo.training.run.checkpoint import load

    return digest(_plain(load(path)))


def _load_run(path: Path) -> str:
    from fastcalo.training.run.checkpoint import fingerprint
    from fastcalo.training.trainer import load_run

    config, architecture, state = load_run(path.parent)
    return digest(config, fingerprint(architecture.networks), sorted(state.items()))


def _edit_checkpoint(image: bytes, rng: random.Random) -> bytes:
    import io

    import torch

    from fastcalo.training.run.checkpoint import _sealed

    state = torch.load(io.BytesIO(image), weights_only=True)
    out = io.BytesIO()
    edited = edit_table(state, rng)
    torch.save(edited, out)
    return _sealed(out.getvalue())


def _edit_json(image: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return damage(image, rng)
    return json.dumps(edit_table(json.loads(image), rng)).encode()


def _plain(value: Any) -> Any:
    import torch

    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return (value.shape, value.numpy().tobytes()) if isinstance(value, torch.Tensor) else value


def _read_metrics(path: Path) -> str:
    from fastcalo.training.run.curves import read_metrics

    return digest(read_metrics(path.parent))


# --- searches


def _journal(folder: Path) -> Path:
    from helpers.trainings.small_search import write_search

    from fastcalo.training.tune.config import load_tune
    from fastcalo.training.tune.study.study import Outcome, Study

    config, base = load_tune(write_search(folder))
    with Study.create(folder / "study", config, base) as study:
        for k in range(4):
            trial = study.ask()
            study.begin(trial, 0, [0])
            study.rung(trial, 10, 0.5)
            study.tell(trial, Outcome("done", float(k), 0.01))
    return folder / "study" / "journal.jsonl"


def _read_journal(path: Path) -> str:
    from fastcalo.training.tune.study.record import read_record

    record = read_record(path.parent)
    return digest([(t.number, t.point, t.status) for t in record.trials])


def _edit_journal(image: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return damage(image, rng)
    lines = image.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(edit_table(json.loads(lines[at]), rng)).encode()
    return b"\n".join(lines) + b"\n"


# --- texts


def _toml(source: str, load: Callable[[Path], Any]) -> tuple[Callable[[Path], Path], Callable[[Path], str]]:
    return _copy(source), lambda path: digest(load(path))


def _edit_text(image: bytes, rng: random.Random) -> bytes:
    return edit_toml(image.decode(), rng)


def _load_detector(path: Path) -> Any:
    from fastcalo import load_detector

    return load_detector(path).hash


def _load_training(path: Path) -> Any:
    from fastcalo.training.config import load_config

    return load_config(path)


def _load_search(path: Path) -> Any:
    from fastcalo.training.tune.config import load_tune

    return load_tune(path)


def _search(folder: Path) -> Path:
    from helpers.trainings.small_search import write_search

    return Path(write_search(folder))


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _load_schema(path: Path) -> str:
    from fastcalo.io.particles.schemas import load_overrides

    return digest(load_overrides(path))


def _load_limits(path: Path) -> str:
    from fastcalo.validation.limits import load_limits

    return digest(load_limits(path))


def _load_hits_limits(path: Path) -> str:
    from fastcalo.validation.hits.limits import load_hits_limits

    return digest(load_hits_limits(path))


SCHEMA = """[schema]
tree = "particles"
pdg = "mc_id"
px = "mc_px"
py = "mc_py"
pz = "mc_pz"
units = { momentum = "MeV", length = "cm" }
final_status = [1]
"""
LIMITS = """[limits]
auc_cells = { max = 0.9 }
fpd = { min = 0.1, max = 0.2 }
"""
HITS_LIMITS = """[limits]
"*.energy.ratio" = { min = 0.9, max = 1.1, sigmas = 2 }
"ECAL.cells.p_value" = { min = 1e-3 }
"""

TARGETS: tuple[Target, ...] = (
    Target("model", _model, _draw, knows=True),
    Target("contract", _model, _draw, _edit_contract),
    Target("particles (TTree)", _copy("tests/data/edm4hep_ttree.root"), _particles),
    Target("particles (RNTuple)", _copy("tests/data/edm4hep_rntuple.root"), _particles),
    Target("hits", _hits, _read_hits, knows=True),
    Target("showers", _showers, _read_showers),
    Target("showers of LCD", _foreign("lcd_fixed"), _read_showers),
    Target("showers of CaloGAN", _foreign("calogan"), _read_showers),
    Target("showers of the CaloChallenge", _foreign("calochallenge"), _read_showers),
    Target("binning", _binning, _read_binning),
    Target("checkpoint", _of_run("layers.pt"), _load_checkpoint, knows=True, trained=True),
    Target("checkpoint, edited", _of_run("hits.pt"), _load_run, _edit_checkpoint, trained=True),
    Target("config.json", _of_run("config.json"), _load_run, _edit_json, trained=True),
    Target("metrics.jsonl", _of_run("metrics.jsonl"), _read_metrics, trained=True),
    Target("journal", _journal, _read_journal, _edit_journal),
    Target("detector", *_toml("fastcalo/detector/clic-like.toml", _load_detector), _edit_text),
    Target("training", *_toml("configs/em.toml", _load_training), _edit_text),
    Target("search", _search, lambda path: digest(_load_search(path)), _edit_text),
    Target("schema", _text("schema.toml", SCHEMA), _load_schema, _edit_text),
    Target("limits", _text("limits.toml", LIMITS), _load_limits, _edit_text),
    Target("limits of hits", _text("limits.toml", HITS_LIMITS), _load_hits_limits, _edit_text),
)


def by_name() -> Mapping[str, Target]:
    """All targets."""
    return {target.name: target for target in TARGETS}
