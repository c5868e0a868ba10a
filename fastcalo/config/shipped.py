# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that come with fastcalo: trainings and searches that are called by their names."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .toml import read_toml
from .validation import nearest

RENAMED = {"em-whole": "em", "hadron-whole": "hadron"}
"""What models and their trainings were called while those of windows had their names."""
_SEARCH_KEY = "base"
"""What the file of a search has, and that of a training has not."""


def shipped_trainings() -> dict[str, Path]:
    """Files of the trainings that come with fastcalo, by name: ``fastcalo train em``."""
    return {name: path for name, path in _files().items() if not _is_search(path)}


def shipped_searches() -> dict[str, Path]:
    """Files of the searches that come with fastcalo, by name: ``fastcalo tune tune-em``."""
    return {name: path for name, path in _files().items() if _is_search(path)}


def find_configuration(text: str | Path, known: dict[str, Path]) -> Path:
    """File that a user means by a path, or by the name of a shipped configuration.

    Parameters
    ----------
    text : str or Path
    known : dict
        Of `shipped_trainings` or `shipped_searches`.

    Raises
    ------
    ConfigError
        It is neither a file nor one of the names; the message gives the nearest one.
    """
    path, name = Path(text), str(text)
    if path.is_file():
        return path
    if name in known:
        return known[name]
    if path.suffix or len(path.parts) != 1:
        # what is wrong with it is reported where it is read
        return path
    hint = f"it is now {RENAMED[name]!r}" if name in RENAMED else nearest(name, known)
    raise ConfigError(f"{name}: there is no such file, and no configuration of that name; {hint}")


def _files() -> dict[str, Path]:
    package = Path(__file__).parents[1]
    # in a wheel they stand in the package; in a clone beside it
    for folder in (package / "configs", package.resolve().parent / "configs"):
        if found := sorted(folder.glob("*.toml")):
            return {path.stem: path for path in found}
    return {}


def _is_search(path: Path) -> bool:
    return _SEARCH_KEY in read_toml(path)
