# SPDX-License-Identifier: BSD-3-Clause
"""Names of input files: patterns, lists in files and URLs become one list."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputError

_DEEPEST_LIST = 10


def expand_inputs(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """List input files.

    Parameters
    ----------
    paths : path or sequence of paths
        A name that begins with ``@`` is that of a list: one name, pattern or list a line, from the folder of the list;
        empty lines and what follows on ``#`` at the beginning of a line or after a space are left out. Patterns such as
        ``run*.root`` stand for all files that fit, in the order of their names; ``**`` for folders of any depth. URLs
        are taken as they are.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        There is no file, a list cannot be read, or nothing fits a pattern.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found = [name for path in given for name in _expanded(os.fspath(path), Path(), 0)]
    if not found:
        raise InputError("no input file is given" if not given else f"no input file is named in {given[0]}")
    return found


def _expanded(name: str, folder: Path, depth: int) -> Iterator[str]:
    if "://" in name:
        yield name
    elif name.startswith("@") and not (folder / name).exists():
        yield from _listed(folder / name[1:], depth)
    else:
        # a file whose name looks like a pattern is that file
        path = str(folder / name) if folder != Path() else name
        if not glob.has_magic(path) or Path(path).exists():
            yield path
            return
        # Path.glob takes no absolute patterns
        fitting = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
        if not fitting:
            raise InputError(f"{path}: no file fits this pattern")
        yield from fitting


def _listed(path: Path, depth: int) -> Iterator[str]:
    if depth >= _DEEPEST_LIST:
        raise InputError(f"{path}: lists name each other more than {_DEEPEST_LIST} deep; does one name itself?")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise InputError(f"@{path}: the list of input files cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        name = f" {line}".partition(" #")[0].strip()
        if name:
            try:
                yield from _expanded(name, path.parent, depth + 1)
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from error
