# SPDX-License-Identifier: BSD-3-Clause
"""Atomic file writing: a file gets its name only when it is complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Make sure that a file may be written, before hours of work go into it.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        The folder is missing or closed to us, or the name is taken.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written to")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; give another name, or ask to overwrite it (--overwrite)")
    return path


@contextmanager
def whole_file(path: str | Path, *, overwrite: bool = False, keep: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder; rename when the block ends well, remove when it does not.

    File and folder are on the disk when this ends. Whatever happens in between, under the final name is what was there
    before, or the whole new file.

    Parameters
    ----------
    path : str or Path
        The final name.
    overwrite : bool
        Whether a file of that name may be replaced.
    keep : bool
        Whether the new file is kept under another name if its own was taken in the meantime.

    Yields
    ------
    Path
        The temporary name: hidden, and unlike any other.

    Raises
    ------
    OutputError
        The name is taken or cannot be written to, or the data do not reach the disk. The message names a
        new file that is kept.
    """
    path = check_output(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with output_errors(path):
            _sync(temporary)
            if overwrite:
                temporary.replace(path)
            else:
                _take_name(temporary, path, keep)
            _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn what the operating system reports about writing `path` into an `OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; nothing is left of it") from error


def _take_name(temporary: Path, path: Path, keep: bool) -> None:
    """Rename a file, unless its new name is taken.

    `Path.rename` would replace what another process has put there since the name was looked at; a link is made only
    where there is nothing.
    """
    try:
        _link(temporary, path)
    except FileExistsError:
        if not keep:
            raise OutputError(f"{path}: was written by another process in the meantime") from None
        kept = path.with_name(f"{path.stem}.{secrets.token_hex(4)}{path.suffix}")
        temporary.rename(kept)
        raise OutputError(
            f"{path}: was written by another process in the meantime; what this one has made is kept as {kept}"
        ) from None
    temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # a file system without links: an empty file takes the name, and is replaced by the whole one
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        temporary.replace(path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    # without this a full quota on a network file system shows after the rename, or never
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # not every file system knows how to do this for a folder
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP, errno.EBADF)):
            raise
    finally:
        os.close(descriptor)
