# SPDX-License-Identifier: BSD-3-Clause
"""Description of files, detectors and models: as rows of text for people, as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ..config.shipped import RENAMED
from ..detector.description import load_detector
from ..display import html_table
from ..errors import InputError
from ..particles import name_of

Rows = list[tuple[str, str]]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_FOLDER = Path(__file__).parents[1]
# of a file of thousands of branches the first ones are listed
_MAX_BRANCHES = 40
# showers read at a time
_SLICE = 1000


@dataclass(frozen=True, repr=False)
class FileDescription:
    """Description of a file, a detector or a model.

    Attributes
    ----------
    title : str
        What it is, and its name.
    parts : tuple of (str, list of (str, str))
        Headings, and under each pairs of a label and a text.
    facts : dict
        The same for programs, as JSON can hold it. Its key ``kind`` is ``model``, ``detector``, ``showers`` or
        ``root``; a model has its ``contract``, ``inputs``, ``outputs`` and ``file``, a detector its ``description``,
        showers their ``attributes`` and ``sections``, a ROOT file its ``trees`` and ``provenance``.
    """

    title: str
    parts: tuple[tuple[str, Rows], ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        lines = [self.title]
        for heading, rows in self.parts:
            width = max((len(label) for label, _ in rows), default=0)
            lines += [heading] if heading else []
            lines += [f"  {label:{width}}  {text}" for label, text in rows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<h4>{escape(self.title)}</h4>" + "".join(html_table(heading, (), rows) for heading, rows in self.parts)


def inspect(name_or_path: str | Path, *, binning: str | Path | None = None, pdg: int | None = None) -> FileDescription:
    """Describe a file, or a shipped detector or model.

    Parameters
    ----------
    name_or_path : str or Path
        A ROOT file, a file of showers (HDF5), a detector (TOML) or a model (ONNX), known by what is in it; or the name
        of a shipped detector or model.
    binning, pdg : optional
        For showers in others' formats, as `fastcalo.io.showers.reader.open_showers` takes them.

    Raises
    ------
    InputError
        There is no such thing, or none that is known.
    FastCaloError
        It is damaged.

    Examples
    --------
    >>> inspect("clic-like").title
    'Detector clic-like'
    """
    path = Path(name_or_path)
    if "://" in str(name_or_path):
        return _inspect_root(str(name_or_path))
    if path.is_file():
        return _inspect_file(path, binning, pdg)
    name = str(name_or_path)
    if name in (detectors := shipped("detector", ".toml")):
        return _inspect_detector(name)
    if name in (models := shipped("model", ".onnx")):
        return _inspect_model(name)
    if name in RENAMED:
        raise InputError(f"{name}: there is no such model any more: it is now {RENAMED[name]!r}")
    raise InputError(f"{name}: no such file, nor a shipped detector {detectors} or model {models}")


def _inspect_file(path: Path, binning: str | Path | None, pdg: int | None) -> FileDescription:
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if magic.startswith(b"root"):
        return _inspect_root(str(path))
    if magic.startswith(b"PAR1"):
        return _inspect_parquet(str(path))
    if magic == _HDF5:
        return _inspect_showers(path, binning, pdg)
    if path.suffix == ".onnx":
        return _inspect_model(path)
    if path.suffix == ".toml":
        return _inspect_detector(path)
    raise InputError(f"{path}: is no ROOT, Parquet, HDF5, ONNX (.onnx) or TOML (.toml) file")


def _inspect_detector(name_or_path: str | Path) -> FileDescription:
    detector = load_detector(name_or_path)
    facts: dict[str, Any] = {
        "kind": "detector",
        "name": detector.name,
        "hash": detector.hash,
        "stack_hash": detector.stack_hash,
    }
    facts["description"] = detector.description
    return FileDescription(f"Detector {detector.name}", (("", detector.describe()),), facts)


def _inspect_model(name_or_path: str | Path) -> FileDescription:
    from ..model.description import describe_model, model_facts
    from ..model.shower_model import load_model

    model = load_model(name_or_path)
    return FileDescription(f"Model {name_or_path}", describe_model(model), {"kind": "model", **model_facts(model)})


def _inspect_showers(path: Path, binning: str | Path | None, pdg: int | None) -> FileDescription:
    from ..io.showers.reader import open_showers

    with open_showers(path, binning=binning, pdg=pdg) as showers:
        rows = [("showers", str(len(showers)))]
        # the description of the detector is long, and the sections are listed below
        listed = {key: value for key, value in showers.attributes.items() if key not in {"showers", "detector"}}
        rows += [(key, str(value)) for key, value in listed.items()]
        facts: dict[str, Any] = {"kind": "showers", "showers": len(showers), "attributes": listed, "sections": {}}
        energy = showers.kinetic_energy()
        if len(showers):
            facts["species"] = sorted(set(showers.pdg().tolist()))
            facts["kinetic_energy_gev"] = [float(energy.min()), float(energy.max())]
            rows.append(("species", ", ".join(map(str, facts["species"]))))
            rows.append(("kinetic energy", f"{energy.min():g} to {energy.max():g} GeV"))
        for name in showers.sections:
            hits, total = _deposits(showers, name)
            facts["sections"][name] = {"voxels": _voxels(showers, name), "hits": hits, "energy_gev": total}
            share = f", {total / energy.sum():.2%} of the kinetic energy" if energy.sum() else ""
            each = f"{hits / max(1, len(showers)):.1f} cells with a deposit per shower"
            rows.append((name, f"{_voxels(showers, name)}, {each}{share}"))
    return FileDescription(f"Showers {path}", (("", rows),), facts)


def _voxels(showers: Any, section: str) -> str:
    if hasattr(showers, "shape"):
        return f"window {' x '.join(map(str, showers.shape(section)))}"
    voxels = showers.voxels(section)
    return f"{len(voxels)} voxels in {voxels.layers} layers"


def _deposits(showers: Any, section: str) -> tuple[int, float]:
    """Hits of a section, and their energy in GeV."""
    hits, total = 0, 0.0
    for start in range(0, len(showers), _SLICE):
        stop = min(start + _SLICE, len(showers))
        hits += int(showers.hits(section, start, stop)[0][-1])
        total += float(showers.total(section, start, stop).sum(dtype=float))
    return hits, total


def _inspect_root(path: str) -> FileDescription:
    from ..io.root_files import open_root, provenance_of, reading_errors, tree_names

    parts: list[tuple[str, Rows]] = []
    facts: dict[str, Any] = {"kind": "root", "trees": {}, "provenance": None}
    with open_root(path) as root:
        for name in tree_names(root, path):
            with reading_errors(f"{path}: tree {name!r}"):
                part, facts["trees"][name] = _inspect_tree(root[name], name)
                parts.append(part)
        if provenance := provenance_of(root, path):
            facts["provenance"] = provenance
            parts += _stated(provenance)
    return FileDescription(f"ROOT file {path}", tuple(parts), facts)


def _inspect_parquet(path: str) -> FileDescription:
    from ..io.hits.parquet_file import open_parquet, parquet_file

    with open_parquet(path) as (opened, provenance):
        file = parquet_file(path, opened, provenance, None)
        (tree,) = file.trees
        columns = file.branches(tree)
        facts: dict[str, Any] = {"kind": "parquet", "entries": file.entries(tree), "columns": columns}
    facts["provenance"] = provenance or None
    shown = ", ".join(list(columns)[:_MAX_BRANCHES]) + (", …" if len(columns) > _MAX_BRANCHES else "")
    parts: list[tuple[str, Rows]] = [("", [("entries", str(facts["entries"])), ("columns", shown)])]
    if provenance:
        parts += _stated(provenance)
    return FileDescription(f"Parquet file {path}", tuple(parts), facts)


def _stated(provenance: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    rest = {key: value for key, value in provenance.items() if key != "accounts"}
    return [("Provenance", list(_flattened(rest))), ("Accounts", _accounts(provenance.get("accounts", {})))]


def _inspect_tree(tree: Any, name: str) -> tuple[tuple[str, Rows], dict[str, Any]]:
    from ..io.particles.evidence import NoParticlesError
    from ..io.particles.schemas import SchemaOverrides
    from ..io.particles.search import schema_of
    from ..io.particles.tree import OpenTree

    opened = OpenTree(tree, f"tree {name!r}")
    branches = opened.names
    shown = ", ".join(branches[:_MAX_BRANCHES]) + (", …" if len(branches) > _MAX_BRANCHES else "")
    rows = [("entries", str(tree.num_entries)), ("branches", shown)]
    kind = str(tree.classname).rsplit("::", maxsplit=1)[-1]
    facts: dict[str, Any] = {"class": kind, "entries": int(tree.num_entries), "branches": list(branches)}
    try:
        schema = schema_of(opened, SchemaOverrides(tree=name))
        facts["particles"] = {label: text for label, text in schema.describe() if label != "tree"}
        facts["notes"] = list(schema.notes)
        rows += list(facts["particles"].items())
        rows += [("note", note) for note in schema.notes]
    except NoParticlesError:
        rows.append(("particles", "none known by their names"))
    except InputError as error:
        rows.append(("particles", str(error)))
    return (f"{kind} {name}", rows), facts


def _accounts(accounts: Mapping[str, Any]) -> Rows:
    """Rows of `Summary.accounts`, without what did not occur."""
    tallies = {
        **accounts.get("reasons", {}),
        **{f"not known: {name_of(int(code))}": counts for code, counts in accounts.get("unknown", {}).items()},
        **{
            f"{name_of(int(code))} as {name_of(counts['as'])}": counts
            for code, counts in accounts.get("substituted", {}).items()
        },
        **accounts.get("sections", {}),
        "all particles": accounts.get("particles"),
    }
    return [
        (name.replace("_", " "), f"{counts['count']}, {counts['energy']:.6g} GeV")
        for name, counts in tallies.items()
        if counts and counts["count"]
    ]


def _flattened(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _flattened(below, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flattened(item, f"{key}[{index}]")
    else:
        yield key, str(value)


def shipped(folder: str, suffix: str) -> list[str]:
    """Names of what fastcalo ships in one of its folders."""
    return sorted(path.stem for path in (_FOLDER / folder).glob(f"*{suffix}"))
