# SPDX-License-Identifier: BSD-3-Clause
"""Paths that a training's file names: variables and patterns filled in."""

from __future__ import annotations

import os
import tempfile
from glob import glob
from pathlib import Path

from fastcalo.errors import ConfigError


def cache_folder(text: str, where: str) -> Path | None:
    """The folder of ``data.cache``, made if missing; None if there is to be none.

    Raises
    ------
    ConfigError
        A variable that is not set, or a folder that cannot be made or written to.
    """
    if not text:
        return None
    folder = Path(_filled_in(text, where))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # asking for the right would be granted to root where nobody can write
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as e:
        raise ConfigError(
            f"{where}: data.cache = {text!r}: cannot write to {folder}: {e.strerror or e}; name a folder on a disk of "
            "the machine itself, or leave the key out"
        ) from e


def run_folder(text: str, where: str) -> Path:
    """The folder that ``start`` names.

    Raises
    ------
    ConfigError
        A variable that is not set.
    """
    return Path(_filled_in(text, where))


def data_paths(paths: tuple[str, ...], where: str) -> list[Path]:
    """Files that paths stand for: environment variables and ~ are filled in, patterns in a file's name are matched.

    Those of a pattern come in the order of their names. No file comes twice.

    Raises
    ------
    ConfigError
        A variable that is not set, or a file that is not there.
    """
    out: list[Path] = []
    for text in paths:
        path = Path(_filled_in(text, where))
        # brackets may be part of a name
        names = [path.name] if path.is_file() else sorted(glob(path.name, root_dir=path.parent))  # noqa: PTH207
        found = [path.parent / name for name in names if (path.parent / name).is_file()]
        if not found:
            raise ConfigError(f"{where}: there is no file {path}")
        out += found
    return list(dict.fromkeys(out))


def _filled_in(text: str, where: str) -> str:
    # Path.expanduser would raise where a user is not known
    full = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111
    if "$" in full:
        raise ConfigError(f"{where}: {text!r} names an environment variable that is not set")
    return full
