# SPDX-License-Identifier: BSD-3-Clause
"""Training configuration written as TOML."""

from __future__ import annotations

from typing import Any

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line

from ..config import TrainConfig


def config_text(config: TrainConfig, *comments: str) -> str:
    """What `load_config` reads back to the same configuration.

    Paths of data stay as they are: relative ones are relative to where the training is started.

    Parameters
    ----------
    config : TrainConfig
    *comments : str
        Lines that stand above it.

    Raises
    ------
    MissingDependencyError
        tomli-w is not there.
    """
    try:
        import tomli_w
    except ImportError as e:
        raise MissingDependencyError(f"tomli-w is missing: {install_line('tune')}") from e
    head = "".join(f"# {' '.join(line.split())}\n" for line in comments)
    return head + tomli_w.dumps(_without_none(config.as_dict()))


def _without_none(value: Any) -> Any:
    # TOML has no word for none: a key that is left out has its default
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
