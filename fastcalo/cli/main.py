# SPDX-License-Identifier: BSD-3-Clause
"""The ``fastcalo`` command: sub-commands loaded on demand, and exit codes of errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .._version import __version__
from ..errors import CommandError, FastCaloError, MissingDependencyError
from ..system.launcher import end_before_mpi, end_by_signal
from .commands import Subcommand, load_plugin, own_commands, plugin_commands
from .output import LOG_FORMAT, LogFormatter, log_to_file, printable
from .signals import SIGNALLED, end_by_exceptions

# bare texts: square brackets in help and errors are those of TOML and of extras, not mark-up
_STYLE: dict[str, Any] = {
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
_EXIT_CODES = {
    "0": "done",
    "1": "could not be done: standard error has the reason",
    "2": "called wrongly",
    "128+N": "ended by signal N: 130 by Ctrl-C, 143 by SIGTERM",
}
_EXAMPLES = """\b
Examples:
  fastcalo convert events.root -o hits.root
  fastcalo list
  fastcalo COMMAND -h"""


class _Lazy(TyperCommand):
    """Command that stands for a sub-command in the help, and loads its module when it is called."""

    def __init__(self, subcommand: Subcommand) -> None:
        super().__init__(subcommand.name, help=subcommand.summary, rich_markup_mode=None)
        self._subcommand = subcommand

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module = _module_of(self._subcommand)
        codes = _epilog(getattr(module, "EXIT_CODES", {}))
        several = hasattr(module, "commands")
        app = typer.Typer(**_STYLE, add_completion=False, no_args_is_help=several, help=module.__doc__, epilog=codes)
        commands = getattr(module, "commands", {})
        if args and args[0] in commands:
            commands, info_name, args = {args[0]: commands[args[0]]}, f"{info_name} {args[0]}", args[1:]
        elif hasattr(module, "command"):
            commands = {self._subcommand.name: module.command}
        for name, function in commands.items():
            app.command(name, epilog=codes)(_needing(self._subcommand)(function))
        return get_command(app).make_context(info_name, args, parent=parent, **extra)


class _Commands(TyperGroup):
    """Sub-commands of fastcalo, and those of other distributions.

    The latter are looked for only to list them, or where a name is none of fastcalo's.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._own = own_commands()
        for subcommand in self._own.values():
            self.add_command(_Lazy(subcommand))

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(plugin_commands(self._own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.commands:
            return super().get_command(ctx, cmd_name)
        point = plugin_commands(self._own).get(cmd_name)
        if point is not None:
            self.add_command(_Lazy(load_plugin(point)))
        return super().get_command(ctx, cmd_name)


def _epilog(special: Mapping[str, str]) -> str:
    """What the codes mean that a command ends with; `special` are those of one command."""
    codes = dict(sorted((_EXIT_CODES | dict(special)).items(), key=lambda pair: (len(pair[0]), pair[0])))
    return "\b\nExit codes:\n" + "\n".join(f"  {code:<5}  {text}" for code, text in codes.items())


def _module_of(subcommand: Subcommand) -> ModuleType:
    """The module of a sub-command.

    Raises
    ------
    MissingDependencyError
        Something that it imports is not installed.
    CommandError
        It is another distribution's, and cannot be imported for another reason.
    """
    try:
        with _needing(subcommand):
            return import_module(subcommand.module)
    except Exception as error:
        if not subcommand.distribution or isinstance(error, FastCaloError):
            raise
        raise CommandError(
            f"'fastcalo {subcommand.name}' of {subcommand.distribution} cannot be loaded: "
            f"{type(error).__name__}: {error}; mend or remove that distribution"
        ) from error


@contextmanager
def _needing(subcommand: Subcommand) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"'fastcalo {subcommand.name}' needs {error.name}, which is not installed: {subcommand.install}"
        ) from error


def run(arguments: Sequence[str] | None) -> NoReturn:
    """Run the command line and exit: with 0 if all is well, 2 if it was called wrongly, 1 for any other error."""
    end_by_exceptions()
    debug = os.environ.get("FASTCALO_DEBUG") == "1"
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _group().main(args=words, prog_name="fastcalo")
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED and not getattr(end, "together", False):
            end_by_signal(end.code - SIGNALLED)
        if end.code and _joins_others(words):
            end_before_mpi()
        raise
    except FastCaloError as error:
        if debug:
            raise
        _fail(str(error), words)
    # a traceback does not help a person at a terminal
    except Exception as error:
        if debug:
            raise
        _fail(
            f"{type(error).__name__}: {error}\nThis is a fault of fastcalo: FASTCALO_DEBUG=1 shows where; report it.",
            words,
        )
    sys.exit(0)


def _joins_others(words: Sequence[str]) -> bool:
    """Whether a command line is of a command whose processes wait for each other when it begins."""
    command = own_commands().get(next((word for word in words if not word.startswith("-")), ""))
    return command is not None and command.joins_others


def _group() -> Any:
    app = typer.Typer(
        cls=_Commands,
        **_STYLE,
        no_args_is_help=True,
        help=f"Fast calorimeter simulation: particles in, calorimeter hits out.\n\n{_EXAMPLES}",
        epilog=_epilog({}),
    )
    app.callback()(_options)
    return get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastcalo {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Report what is being done.")] = False,
    log_file: Annotated[
        str | None, typer.Option(metavar="FILE.jsonl", help="Append what is being done to a file, as JSON lines.")
    ] = None,
) -> None:
    del version
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    if log_file is not None:
        log_to_file(log_file)


def _fail(message: str, words: Sequence[str]) -> NoReturn:
    sys.stderr.write(f"fastcalo: error: {printable(message)}\n")
    if _joins_others(words):
        end_before_mpi()
    sys.exit(1)
