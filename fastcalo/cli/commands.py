# SPDX-License-Identifier: BSD-3-Clause
"""Sub-commands: those that each folder declares, and those of other distributions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from ..system.install import install_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)

FOLDERS = ("fastcalo.cli", "fastcalo.training.cli", "fastcalo.export.cli")
"""Modules whose ``COMMANDS`` are the sub-commands of fastcalo, in the order of ``fastcalo --help``.

They are imported to show the help, so they must not import anything heavy themselves.
"""

GROUP = "fastcalo.commands"
"""Group of entry points by which other distributions add sub-commands."""


@dataclass(frozen=True)
class Subcommand:
    """What `fastcalo --help` shows of a sub-command, which is the function ``command`` of its module.

    Or a group of them: the functions in ``commands`` of its module, by name. If it has both, ``command`` is meant where
    none of ``commands`` is named.

    Attributes
    ----------
    name : str
    summary : str
    module : str
        Its full dotted name; it is imported when the command is called.
    extra : str
        The extra of fastcalo that brings what it needs.
    distribution : str
        The distribution that brings the command; empty for fastcalo itself.
    joins_others : bool
        Whether processes that a launcher has started together are joined by MPI.
    """

    name: str
    summary: str
    module: str
    extra: str = ""
    distribution: str = ""
    joins_others: bool = False

    @property
    def install(self) -> str:
        """The line that installs what the command needs."""
        return f"pip install '{self.distribution}'" if self.distribution else install_line(self.extra)


def own_commands() -> dict[str, Subcommand]:
    """Sub-commands of fastcalo, by name."""
    found: list[Subcommand] = [command for folder in FOLDERS for command in import_module(folder).COMMANDS]
    return {command.name: command for command in found}


def plugin_commands(own: Mapping[str, Subcommand]) -> dict[str, EntryPoint]:
    """Entry points of sub-commands that other distributions bring, by name.

    Parameters
    ----------
    own : mapping of str to Subcommand
        Those of fastcalo, whose names cannot be taken.
    """
    # not needed to run a sub-command of fastcalo, and slow to import
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in own or point.name in found:
            log.info("the command %r of %s is left out: there is one of that name", point.name, _distribution(point))
        else:
            found[point.name] = point
    return found


def load_plugin(point: EntryPoint) -> Subcommand:
    """A sub-command of another distribution, with the first line of its docstring as its summary.

    Its module is imported. If that fails, the summary states it, and calling the command states why.
    """
    try:
        module = import_module(point.module)
        text = getattr(module, "command", module).__doc__ or ""
        summary = text.strip().partition("\n")[0]
    # whatever is wrong with it, the other commands still work
    except Exception as error:  # noqa: BLE001
        summary = f"(cannot be loaded: {type(error).__name__}: {error})"
    return Subcommand(point.name, summary, point.module, distribution=_distribution(point))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown distribution"
