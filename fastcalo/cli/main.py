"""The ``fastcalo`` command: sub-commands loaded on demand, and exit codes of errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand
from typer.main import get_command

from .._version import __version__
from ..errors import FastCaloError, MissingDependencyError
from .output import LOG_FORMAT
from .signals import end_by_exceptions


@dataclass(frozen=True)
class Subcommand:
    """What `fastcalo --help` says of a sub-command, which is the function ``command`` of its module.

    Or a group of them: the functions in ``commands`` of its module, by name. If it has both, ``command`` is meant where
    none of ``commands`` is named.

    Attributes
    ----------
    name : str
    summary : str
    module : str
        Its full dotted name; it is imported when the command is called.
    extra : str
        The extra of the distribution that brings what it needs.
    """

    name: str
    summary: str
    module: str
    extra: str


SUBCOMMANDS = (
    Subcommand("convert", "Turn files of particles into a file of calorimeter hits.", "fastcalo.cli.convert", "cpu"),
    Subcommand("inspect", "Tell what a file, a detector or a model is.", "fastcalo.cli.inspect", "cpu"),
    Subcommand("merge", "Add hits of refused particles to a file of hits.", "fastcalo.cli.merge", "cpu"),
    Subcommand(
        "compare", "Tell whether two files of hits can stand for each other.", "fastcalo.cli.compare", "validate"
    ),
    Subcommand("fullsim", "Simulate showers with Geant4, for training and tests.", "fastcalo.cli.fullsim", "geant4"),
    Subcommand(
        "validate", "Compare a model with full simulation, number by number.", "fastcalo.cli.validate", "validate"
    ),
    Subcommand("train", "Train a shower model on full simulation.", "fastcalo.training.cli.train", "train"),
    Subcommand(
        "doctor", "Tell whether this machine is fit to train, and what to mend.", "fastcalo.training.cli.doctor", "mpi"
    ),
    Subcommand(
        "scaling", "Measure how fast a training is on several numbers of ranks.", "fastcalo.training.cli.scaling", "mpi"
    ),
    Subcommand("tune", "Search for the best hyper-parameters of a training.", "fastcalo.training.cli.tune", "tune"),
    Subcommand("export", "Turn a trained model into one self-describing ONNX file.", "fastcalo.export.cli", "export"),
)

# bare texts: square brackets in help and errors are those of TOML and of extras, not mark-up
_STYLE: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None}


class _Lazy(TyperCommand):
    """Stands for a sub-command in the list of them; becomes the true one when it is called."""

    def __init__(self, subcommand: Subcommand) -> None:
        super().__init__(subcommand.name, help=subcommand.summary, rich_markup_mode=None)
        self._subcommand = subcommand

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _needing(self._subcommand):
            module = import_module(self._subcommand.module)
        app = typer.Typer(**_STYLE, no_args_is_help=hasattr(module, "commands"), help=module.__doc__)
        commands = getattr(module, "commands", {})
        if args and args[0] in commands:
            commands, info_name, args = {args[0]: commands[args[0]]}, f"{info_name} {args[0]}", args[1:]
        elif hasattr(module, "command"):
            commands = {self._subcommand.name: module.command}
        for name, function in commands.items():
            app.command(name)(_needing(self._subcommand)(function))
        return get_command(app).make_context(info_name, args, parent=parent, **extra)


@contextmanager
def _needing(subcommand: Subcommand) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"'fastcalo {subcommand.name}' needs {error.name}, which is not installed: "
            f"pip install 'fastcalo[{subcommand.extra}]'"
        ) from error


def run(arguments: Sequence[str] | None) -> NoReturn:
    """Run the command line and exit: with 0 if all is well, 2 if it was called wrongly, 1 for any other error."""
    end_by_exceptions()
    debug = os.environ.get("FASTCALO_DEBUG") == "1"
    try:
        _group().main(args=None if arguments is None else list(arguments), prog_name="fastcalo")
    except FastCaloError as error:
        if debug:
            raise
        _fail(str(error))
    # a traceback does not help a person at a terminal
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error}\nThis is a fault of fastcalo: FASTCALO_DEBUG=1 shows where; report it.")
    sys.exit(0)


def _group() -> Any:
    app = typer.Typer(
        **_STYLE, no_args_is_help=True, help="Fast calorimeter simulation: particles in, calorimeter hits out."
    )
    app.callback()(_options)
    group: Any = get_command(app)
    for subcommand in SUBCOMMANDS:
        group.add_command(_Lazy(subcommand))
    return group


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastcalo {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
) -> None:
    del version
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format=LOG_FORMAT)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"fastcalo: error: {message}\n")
    sys.exit(1)
