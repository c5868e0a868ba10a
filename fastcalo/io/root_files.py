# SPDX-License-Identifier: BSD-3-Clause
"""ROOT files of any content: opened when they are whole, their trees and branches by name, errors as one kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FastCaloError, InputError
from .ntuple import NtupleFields

PROVENANCE = "fastcalo_provenance"
"""Name of the TObjString in which a file that we wrote states how it was made, as JSON."""

# of accounts: PDG codes of substitutes, and what holds for all of the input
_NOT_ADDED = ("as", "repeats")
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


@contextmanager
def open_root(path: str) -> Iterator[Any]:
    """Open a ROOT file, having made sure that it is whole.

    Parameters
    ----------
    path : str
        Local path or URL.

    Yields
    ------
    uproot.ReadOnlyDirectory

    Raises
    ------
    InputError
        It is missing, empty, no ROOT file or cut short.
    """
    import uproot

    if "://" not in path:
        _check_local(Path(path))
    with reading_errors(path):
        # what uproot would keep in its caches is read once only
        root = uproot.open({path: None}, array_cache=None, object_cache=None)
    with root:
        _check_length(root, path)
        yield root


def tree_names(root: Any, path: str) -> list[str]:
    """Names of the TTrees and RNTuples of an open file, those in its folders too.

    Raises
    ------
    InputError
        There are none.
    """
    with reading_errors(path):
        classes: dict[str, str] = root.classnames(recursive=True, cycle=False)
    names = [name for name, kind in classes.items() if kind in _TREES]
    if not names:
        raise InputError(f"{path}: {_no_tree(classes)}")
    return names


def _no_tree(classes: dict[str, str]) -> str:
    """Why a file without trees cannot be read."""
    if early := [name for name, kind in classes.items() if kind == "ROOT::Experimental::RNTuple"]:
        return (
            f"its RNTuple {early[0]!r} was written by a release candidate of the format (before ROOT 6.34), which "
            "is not read any more: write it again with ROOT 6.34 or later, or as a TTree"
        )
    if any(kind.startswith("HepMC") and kind.endswith("GenEventData") for kind in classes.values()):
        return "holds each event as an object of its own (HepMC3 WriterRoot): write it with WriterRootTree"
    listed = dict(list(classes.items())[:20])
    return f"holds neither a TTree nor an RNTuple; it holds {listed or 'nothing'}"


def provenance_of(root: Any, path: str) -> dict[str, Any]:
    """What a file that we wrote states of itself; empty for files of others.

    A file that ROOT's hadd made of several has the provenance of each. That of the first is returned, with the accounts
    of all added, and their number as ``parts``.

    Raises
    ------
    InputError
        It is damaged.
    """
    stated = stated_provenance(root, path)
    return stated if isinstance(stated, dict) else {}


def stated_provenance(root: Any, path: str) -> Any:
    """As `provenance_of`, but whatever a file has under that name, also where it is no provenance."""
    with reading_errors(f"{path}: {PROVENANCE}"):
        keys = [key for key in root.keys(recursive=False) if key.split(";")[0] == PROVENANCE]
        stated = [json.loads(str(root[key])) for key in sorted(keys, key=lambda key: int(key.split(";")[1]))]
        if not stated:
            return {}
        if len(stated) == 1 or "accounts" not in stated[0]:
            return stated[0]
        common = {key: value for key, value in stated[0].items() if key != "entries"}
        return {**common, "accounts": _added([each["accounts"] for each in stated]), "parts": len(stated)}


def _added(values: list[Any]) -> Any:
    """Accounts added, key by key."""
    found = values[0]
    if isinstance(found, dict):
        keys = dict.fromkeys(key for value in values for key in value)
        lists = {key: [value[key] for value in values if key in value] for key in keys}
        return {key: some[0] if key in _NOT_ADDED else _added(some) for key, some in lists.items()}
    return sum(values) if isinstance(found, int | float) else found


def branch_names(tree: Any) -> list[str]:
    """Names of the branches of a TTree, or of the fields of an RNTuple, without those of what they belong to."""
    return list(tree.keys(full_paths=False) if hasattr(tree, "branches") else NtupleFields(tree).paths)


@contextmanager
def reading_errors(where: str) -> Iterator[None]:
    """Turn whatever reading `where` ends in into an `InputError`."""
    try:
        yield
    except FastCaloError:
        raise
    # uproot and the codecs below it raise whatever they trip over
    except Exception as error:
        first = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{where} cannot be read; it may be cut short or damaged: {first}") from error


def _check_local(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if magic != b"root":
        raise InputError(f"{path}: is not a ROOT file")


def _check_length(root: Any, path: str) -> None:
    if "://" in path:
        return
    promised, there = int(root.file.fEND), Path(path).stat().st_size
    if there < promised:
        raise InputError(f"{path}: is cut short: it has {there} bytes, but should have {promised}")


def read_branch(tree: Any, name: str, entries: range, where: str) -> Any:
    """Read a branch or field of a tree, by the name that `branch_names` gives, as an awkward array.

    Raises
    ------
    InputError
        There are more or fewer entries than the tree states.
    """
    import uproot

    span = {"entry_start": entries.start, "entry_stop": entries.stop, "library": "ak"}
    try:
        array = tree[name].array(**span)
    except uproot.exceptions.KeyInFileError:
        # an RNTuple takes a dot for the way into a record, but there may be dots in the names of its fields
        if name not in [field.name for field in getattr(tree, "fields", ())]:
            raise
        array = tree.arrays(filter_name=[name], **span)[name]
    if len(array) != len(entries):
        raise InputError(f"{where} has {len(array)} entries instead of {len(entries)}; it may be cut short or damaged")
    return array
