# SPDX-License-Identifier: BSD-3-Clause
"""Fast calorimeter simulation: particles in, calorimeter hits out, through networks trained on full simulation.

Names are imported when they are first used, so that ``import fastcalo`` takes next to no time. Where each is defined
stands in ``__init__.pyi``, which type checkers and editors read too.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from ._version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == __name__:
            raise
        from .errors import MissingDependencyError
        from .system.install import install_line

        # only these two import more than the runtime has before they are called
        extra = name if name in {"train", "export"} else "cpu"
        raise MissingDependencyError(
            f"fastcalo.{name} needs {error.name}, which is not installed: {install_line(extra)}"
        ) from error
