# SPDX-License-Identifier: BSD-3-Clause
"""On-disk cache of arrays, memory-mapped on reuse."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.errors import OutputError
from fastcalo.io.atomic import output_errors, whole_file

log = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]


def load_or_make(folder: Path, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, from the files that an earlier call with the same key left in `folder`.

    Of several processes that ask at the same time, one makes them and the others wait. Damaged files are made anew,
    with a warning. Where nothing can be written, the arrays come from memory.

    Parameters
    ----------
    folder : path
        Made if missing. Its files may be removed at any time.
    key : str
        Stands for all that the arrays depend on; part of the files' names.
    make : callable
        Gives arrays by their names.

    Returns
    -------
    dict of array
        Read-only, mapped into memory.
    """
    # most find it there, and need not wait for each other
    if (found := _found(folder, key)) is not None:
        return found
    with _alone(folder / f"{key}.lock"):
        if (found := _found(folder, key)) is not None:
            return found
        arrays = make()
        try:
            _save(folder, key, arrays)
            return _load(folder, key)
        except (OutputError, OSError, ValueError) as error:
            log.warning("showers are not kept in %s: %s", folder, error)
            return arrays


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine is in a block of this path; one that is killed is in none."""
    with ExitStack() as exits:
        # where this does not work, the same is made twice at worst
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = exits.enter_context(path.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
            exits.callback(path.unlink, missing_ok=True)
        yield


def _found(folder: Path, key: str) -> Arrays | None:
    index = folder / f"{key}.json"
    if not index.exists():
        return None
    try:
        return _load(folder, key)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, EOFError) as error:
        log.warning("%s: is damaged (%s), and is made anew", index, error)
        # or those who wait would find the same
        with suppress(OSError):
            index.unlink()
        return None


def _load(folder: Path, key: str) -> Arrays:
    sums = json.loads((folder / f"{key}.json").read_text())
    arrays = {}
    for name, wanted in sums.items():
        arrays[name] = np.asarray(np.load(folder / f"{key}.{name}.npy", mmap_mode="r", allow_pickle=False))
        if _sum(arrays[name]) != wanted:
            raise ValueError(f"the checksum of {name} is another")
    return arrays


def _save(folder: Path, key: str, arrays: Arrays) -> None:
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        path = folder / f"{key}.{name}.npy"
        with whole_file(path, overwrite=True) as part, output_errors(path), part.open("wb") as f:
            np.save(f, array, allow_pickle=False)
    # last, for it stands for all of them
    with whole_file(folder / f"{key}.json", overwrite=True) as part:
        part.write_text(json.dumps({name: _sum(array) for name, array in arrays.items()}))


def _sum(array: NDArray[Any]) -> str:
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
