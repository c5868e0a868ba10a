# SPDX-License-Identifier: BSD-3-Clause
"""Journal of a search: an append-only file of one writer and any number of readers.

Every line is a JSON object with its `kind` and the `time` it was written at, in seconds since 1970. A line is on the
disk before `append` returns. A process that is killed may leave half of a line behind the last whole one: it was never
acknowledged, and is passed over.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import math
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from fastcalo.errors import InputError, OutputError

_log = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class Journal:
    """A journal that is open for writing, by one process at a time.

    Parameters
    ----------
    path : Path
        Made if it is not there. Half of a line at its end is cut off.

    Raises
    ------
    OutputError
        Another process has it open, or the file cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as e:
            raise OutputError(f"{path}: cannot be written: {e.strerror or e}") from e
        try:
            self._lock()
            whole = _whole(path.read_bytes())
            if os.fstat(self._file).st_size > whole:
                _log.warning("%s: half of a line at its end is cut off: its writer was killed", path)
                os.ftruncate(self._file, whole)
            _folder_to_disk(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise OutputError(
                f"{self.path}: another process works on this search; wait until it ends, or take another folder"
            ) from e
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                raise OutputError(f"{self.path}: cannot be locked: {e.strerror or e}") from e
            _log.warning("%s: its file system knows no locks; make sure that no other process writes to it", self.path)

    def append(self, kind: str, **values: Any) -> dict[str, Any]:
        """Write a line and wait until it is on the disk.

        Numbers of numpy become Python's; what is not finite becomes null.

        Returns
        -------
        dict
            The line.

        Raises
        ------
        OutputError
            It could not be written; half of it may have been.
        """
        line: dict[str, Any] = plain({"kind": kind, "time": time.time(), **values})
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, "no space left")
            os.fsync(self._file)
        except OSError as e:
            raise OutputError(f"{self.path}: cannot be written: {e.strerror or e}") from e
        return line

    def close(self) -> None:
        """Let others write."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole lines; needs no lock.

    Raises
    ------
    InputError
        The file is not there, or one of its whole lines is not a JSON object with a kind.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror or e}") from e
    lines = []
    for number, text in enumerate(data[: _whole(data)].splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as e:
            raise InputError(f"{path}: line {number} is not JSON: {e}") from e
        if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
            raise InputError(f"{path}: line {number} is no entry of a journal: it has no 'kind'")
        lines.append(line)
    return lines


def plain(value: Any) -> Any:
    """The same in types of JSON: numpy's numbers and arrays become Python's, what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _whole(data: bytes) -> int:
    """Bytes up to the end of the last whole line."""
    return data.rfind(b"\n") + 1


def _folder_to_disk(folder: Path) -> None:
    # a new file may be lost in spite of its own fsync if its name is not on the disk
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
