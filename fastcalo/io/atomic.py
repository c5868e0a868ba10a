"""Atomic file writing: a file gets its name only when it is complete."""

from __future__ import annotations

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
def whole_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name in the same folder; rename when the block ends well, remove when it does not.

    Parameters
    ----------
    path : str or Path
        The final name.
    overwrite : bool
        Whether a file of that name may be replaced.

    Yields
    ------
    Path
        The temporary name: hidden, and unlike any other.

    Raises
    ------
    OutputError
        The name is taken or cannot be written to, or the data do not reach the disk.
    """
    path = check_output(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with output_errors(path):
            _to_disk(temporary)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into an `OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; nothing is left of it") from error


def _to_disk(path: Path) -> None:
    # without this a full quota on a network file system shows after the rename, or never
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
