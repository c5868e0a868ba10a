# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of the schemas of two hit files: trees, branches, types, units, cell IDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .reader import HitFile, hits_tree, is_list


def schema_differences(full: HitFile, fast: HitFile) -> list[str]:
    """Compare what a reader must know before it reads the first hit.

    Returns
    -------
    list of str
        One line for each difference, which states what it is and where; empty if there is none.
    """
    lines = list(_missing("tree", "", full.trees, fast.trees))
    for name in _common(full.trees, fast.trees):
        if full.trees[name] != fast.trees[name]:
            lines.append(f"tree {name!r}: a {full.trees[name]} in FULL, but a {fast.trees[name]} in FAST")
        lines += _branches(full.branches(name), fast.branches(name), f"tree {name!r}: ")
    lines += _differences(full.units, fast.units, "unit of ")
    sections = full.stated_sections, fast.stated_sections
    lines += _missing("section", "provenance: ", *sections, known=all(sections))
    for name in _common(*sections):
        lines += _differences(sections[0][name], sections[1][name], f"section {name!r}: ")
    return lines


def unknowns(file: HitFile, label: str) -> list[str]:
    """What cannot be compared because the file does not state it, one line each."""
    lines = []
    if not file.provenance:
        lines.append(f"{label} has no fastcalo_provenance: its units and the particles that it stands for are unknown")
    elif not file.units:
        lines.append(f"{label} does not state its units")
    tree = hits_tree(list(file.trees))
    names = file.sections(tree) if tree is not None else []
    if silent := [name for name in names if name not in file.stated_sections]:
        lines.append(
            f"{label} does not state how the cell IDs of {', '.join(silent)} are made: they are not taken apart"
        )
    if file.detector is None:
        lines.append(f"{label}: its detector is not at hand (--detector): modules, layers and positions go unchecked")
    return lines


def doubts(full: HitFile, fast: HitFile) -> list[str]:
    """Return what lets one doubt that both files stand for the same events in the same detector, one line each."""
    lines = []
    hashes = [(file.provenance.get("detector") or {}).get("hash") for file in (full, fast)]
    if all(hashes) and hashes[0] != hashes[1]:
        lines.append("the files were made with different descriptions of the detector (provenance: detector.hash)")
    inputs = [_inputs(file) for file in (full, fast)]
    if all(inputs) and inputs[0] != inputs[1]:
        lines.append(f"the files were made of other inputs: FULL of {inputs[0]}, FAST of {inputs[1]}")
    return lines


def _inputs(file: HitFile) -> list[str]:
    # the folder doesn't matter: the same file may lie elsewhere on another machine
    return [str(item.get("path", "")).rsplit("/", 1)[-1] for item in file.provenance.get("inputs") or []]


def _branches(full: Mapping[str, str], fast: Mapping[str, str], where: str) -> Iterator[str]:
    yield from _missing("branch", where, full, fast)
    for name in _common(full, fast):
        if full[name] == fast[name]:
            continue
        shapes = _shape(full[name]), _shape(fast[name])
        differ = f" ({shapes[0]} against {shapes[1]})" if shapes[0] != shapes[1] else ""
        yield f"{where}branch {name!r}: {full[name]} in FULL, but {fast[name]} in FAST{differ}"


def _shape(kind: str) -> str:
    return "a list per event" if is_list(kind) else "one value per event"


def _differences(full: Mapping[str, Any], fast: Mapping[str, Any], what: str) -> Iterator[str]:
    """Differences of what both files state; what one of them does not state is unknown, and no difference."""
    for key in _common(full, fast):
        if full[key] != fast[key]:
            yield f"provenance: {what}{key}: {full[key]!r} in FULL, but {fast[key]!r} in FAST"


def _missing(
    what: str, where: str, full: Mapping[str, Any], fast: Mapping[str, Any], known: bool = True
) -> Iterator[str]:
    if known:
        yield from (f"{where}{what} {name!r}: in FULL, but not in FAST" for name in full if name not in fast)
        yield from (f"{where}{what} {name!r}: in FAST, but not in FULL" for name in fast if name not in full)


def _common(full: Mapping[str, Any], fast: Mapping[str, Any]) -> list[str]:
    return [name for name in full if name in fast]
