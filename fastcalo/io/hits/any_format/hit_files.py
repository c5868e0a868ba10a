# SPDX-License-Identifier: BSD-3-Clause
"""Opening of files of hits of any format, having made sure that they are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ....detector.description import Detector, load_detector
from ....errors import DetectorError, InputError
from ...root_files import PROVENANCE, open_root, reading_errors, stated_provenance, tree_names
from ..edm4hep.reader import Edm4hepFile, is_edm4hep
from ..lines_file import SUFFIX, LinesFile
from ..parquet_file import is_parquet, open_parquet, parquet_file
from ..reader import HitFile, hits_tree

# what is read of a file's provenance: types by key, any key where there is an asterisk
_STATED: dict[str, Any] = {
    "units": {"*": str},
    "inputs": [{"path": str}],
    "detector": {
        "name": str,
        "hash": str,
        "sections": {"*": {"encoding": str, "system": int, "threshold_gev": int | float}},
    },
    "accounts": {"events": int, "reasons": {"*": {"count": int | float, "energy": int | float}}},
}


@contextmanager
def open_hit_file(path: str, detector: Detector | None = None) -> Iterator[HitFile]:
    """Open a file of hits, having made sure that it is whole.

    Parameters
    ----------
    path : str
        Local path or URL of a ROOT file, or a local one of lines of JSON, whose name ends with ``.jsonl``.
    detector : Detector, optional
        In which it was made. Found by what the file states unless given.

    Yields
    ------
    HitFile

    Raises
    ------
    InputError
        It is missing, empty, no ROOT file or cut short, holds no tree, its provenance is not as we write it, or its
        tree lacks events or sections that the provenance states.
    """
    if path.endswith(SUFFIX):
        yield LinesFile.of(path, detector)
        return
    if is_parquet(path):
        with open_parquet(path) as (opened, provenance):
            _check_stated(path, provenance)
            yield _whole(parquet_file(path, opened, provenance, detector or _detector_of(provenance)))
        return
    with open_root(path) as root:
        names = tree_names(root, path)
        with reading_errors(path):
            classes = root.classnames(recursive=True, cycle=False)
        provenance = stated_provenance(root, path)
        _check_stated(path, provenance)
        trees = {name: str(classes[name]).split("::")[-1] for name in names}
        detector = detector or _detector_of(provenance)
        if is_edm4hep(trees):
            yield Edm4hepFile.of(path, root, provenance, trees, detector)
        else:
            yield _whole(HitFile(path, root, provenance, trees, detector))


def _check_stated(path: str, provenance: Mapping[str, Any]) -> None:
    if misfit := next(_misfits(provenance, _STATED, PROVENANCE), ""):
        raise InputError(f"{path}: {misfit}")


def _whole(file: HitFile) -> HitFile:
    """The file, if its tree has what its provenance states: ROOT keeps no checksum of the tree's description.

    Raises
    ------
    InputError
    """
    tree = hits_tree(list(file.trees))
    stated = (file.provenance.get("detector") or {}).get("sections") or {}
    if tree is None or not stated:
        return file
    branches = file.branches(tree)
    if lacking := [name for name in stated if not any(branch.startswith(f"{name}_") for branch in branches)]:
        raise InputError(
            f"{file.path}: tree {tree!r} has no branches of {lacking[0]}, though the file states that it has hits of "
            f"{', '.join(stated)}: it is damaged; make it again"
        )
    events, entries = (file.provenance.get("accounts") or {}).get("events"), file.entries(tree)
    if events is not None and events != entries:
        raise InputError(
            f"{file.path}: tree {tree!r} has {entries} entries, but the file states that it has {events} events: it is "
            "damaged; make it again"
        )
    return file


def _misfits(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Yield what in a provenance is not of the type that it should be; what is missing is unknown, not wrong."""
    wanted: Any = type(kind) if isinstance(kind, dict | list) else kind
    if value is None and isinstance(kind, dict | list):
        return
    if not isinstance(value, wanted):
        yield f"{where} should be of type {getattr(wanted, '__name__', wanted)}, but is {value!r:.60}"
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _misfits(item, kind[0], f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in kind or "*" in kind:
                yield from _misfits(item, kind.get(key, kind.get("*")), f"{where}.{key}")


def _detector_of(provenance: Mapping[str, Any]) -> Detector | None:
    described = dict(provenance.get("detector") or {})
    try:
        detector = load_detector(str(described.get("name", "")))
    except DetectorError:
        return None
    return detector if detector.hash == described.get("hash") else None
