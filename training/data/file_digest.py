# SPDX-License-Identifier: BSD-3-Clause
"""Digests of whole files, computed once in a process."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastcalo.errors import InputError


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, which is read again only if its size or the time of its last change are others.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        stat = path.stat()
        return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


@cache
def _digest(path: Path, size: int, changed_ns: int) -> bytes:
    del size, changed_ns
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
