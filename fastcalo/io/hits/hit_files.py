# SPDX-License-Identifier: BSD-3-Clause
"""Opening of files of hits of any format, having made sure that they are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...detector.description import Detector, load_detector
from ...errors import DetectorError, InputError
from ..root_files import PROVENANCE, open_root, reading_errors, tree_names
from .edm4hep_file import Edm4hepFile, is_edm4hep
from .reader import HitFile

# what is read of a file's provenance: types by key, any key where there is an asterisk
_STATED: dict[str, Any] = {
    "units": {"*": str},
    "inputs": [{"path": str}],
    "detector": {
        "name": str,
        "hash": str,
        "sections": {"*": {"encoding": str, "system": int, "threshold_gev": int | float}},
    },
    "accounts": {"reasons": {"*": {"count": int | float, "energy": int | float}}},
}


@contextmanager
def open_hit_file(path: str, detector: Detector | None = None) -> Iterator[HitFile]:
    """Open a file of hits, having made sure that it is whole.

    Parameters
    ----------
    path : str
        Local path or URL.
    detector : Detector, optional
        In which it was made. Found by what the file says unless given.

    Yields
    ------
    HitFile

    Raises
    ------
    InputError
        It is missing, empty, no ROOT file or cut short, holds no tree, or its provenance is not as we write it.
    """
    with open_root(path) as root:
        names = tree_names(root, path)
        with reading_errors(path):
            classes = root.classnames(recursive=True, cycle=False)
            provenance = json.loads(str(root[PROVENANCE])) if PROVENANCE in root else {}
        if misfit := next(_misfits(provenance, _STATED, PROVENANCE), ""):
            raise InputError(f"{path}: {misfit}")
        trees = {name: str(classes[name]).split("::")[-1] for name in names}
        detector = detector or _detector_of(provenance)
        if is_edm4hep(trees):
            yield Edm4hepFile.of(path, root, provenance, trees, detector)
        else:
            yield HitFile(path, root, provenance, trees, detector)


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
    said = dict(provenance.get("detector") or {})
    try:
        detector = load_detector(str(said.get("name", "")))
    except DetectorError:
        return None
    return detector if detector.hash == said.get("hash") else None
