# SPDX-License-Identifier: BSD-3-Clause
"""Terminal output of the commands: tables, progress bars, logging."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..production.summary import Summary

LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
"""Lines of the log, on standard error."""

# where the output is no terminal, it is for other programs: a row is one line, however long
_WIDTH = 10_000

_PADDING = re.compile(r" +(?=\n)")

SAY_AGAIN_S = 30.0
"""Seconds between two lines that report how far a work is."""


# controls of terminals, and those that turn the direction of writing
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
    if chr(code) not in "\n\t"
}


def printable(text: str) -> str:
    """A text as it may go to a terminal: what would control it, such as in names of damaged files, is written out."""
    return text.translate(_CONTROLS)


class LogFormatter(logging.Formatter):
    """Writes lines of the log that control no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return printable(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes lines of the log as JSON, with the numbers that a record carries as ``fields``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(_plain(fields))


def log_to_file(path: str) -> None:
    """Append all that is logged to a file, as JSON lines.

    Parameters
    ----------
    path : str

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from ..errors import OutputError

    try:
        handler = logging.FileHandler(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    handler.setFormatter(JsonFormatter())
    handler.setLevel(logging.INFO)
    log = logging.getLogger("fastcalo")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def name_rank(world: Any) -> None:
    """Have lines of the log name the process, of several, that they are from.

    Parameters
    ----------
    world : mpi4py.MPI.Comm or None
        Nothing is changed where there are no others.
    """
    if world is None:
        return
    formatter = LogFormatter(f"[rank {world.rank}/{world.size}] {LOG_FORMAT}")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)


def console() -> Console:
    """Return where the results go: standard output."""
    from rich.console import Console

    class PrintableConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

        def on_broken_pipe(self) -> None:
            # nobody reads any more, which is no reason to end: what is still to be written to files must be, and the
            # status is that of the work
            self.quiet = True
            forget_output()

    if sys.stdout.isatty():
        return PrintableConsole(highlight=False, markup=False)
    return PrintableConsole(file=cast(TextIO, _WithoutPadding(sys.stdout)), width=_WIDTH, highlight=False, markup=False)


class _WithoutPadding(io.TextIOBase):
    """Writes to another file what is written to this one, without the blanks that fill lines of tables."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(_PADDING.sub("", text))
        return len(text)

    def flush(self) -> None:
        self._file.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._file.encoding


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    sys.stdout.write(printable(json.dumps(_plain(value), indent=2, ensure_ascii=False)) + "\n")


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers of numpy become those of Python, and those that are none become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def forget_output() -> None:
    """Let standard output lead nowhere, because its reader has gone."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_rows(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print pairs of a label and a text under a title."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(f"  {label}", Text(printable(text)))
    out = console()
    if title:
        out.print(Text(printable(title), style="bold"))
    out.print(grid)


def show_summary(summary: Summary) -> None:
    """Print what a conversion did: the particles by what became of them, and the hits."""
    from rich.table import Table

    from ..event.events import NOT_TO_SIMULATE, Reason
    from ..particles import name_of

    particles = Table(title="Particles", title_justify="left", title_style="bold")
    particles.add_column("what became of them")
    particles.add_column("number", justify="right")
    particles.add_column("kinetic energy [GeV]", justify="right")
    particles.add_column("share [%]", justify="right")
    whole = sum(counts.energy for reason, counts in summary.reasons.items() if reason not in NOT_TO_SIMULATE)
    for reason, counts in summary.reasons.items():
        if counts.count:
            share = "" if reason in NOT_TO_SIMULATE else f"{100 * counts.energy / max(whole, 1e-300):.2f}"
            particles.add_row(reason.text, f"{counts.count}", f"{counts.energy:.3f}", share)
        parts = {}
        if reason is Reason.SIMULATED:
            parts = {f"{name_of(k)} as {name_of(summary.substitutes[k])}": t for k, t in summary.substituted.items()}
            if summary.fully is not None:
                parts["by full simulation"] = summary.fully
        elif reason is Reason.UNKNOWN_SPECIES:
            parts = {name_of(k): t for k, t in summary.unknown.items()}
        elif reason is Reason.DECAYED:
            parts = {name_of(k): t for k, t in summary.decays.items()}
        for text, part in sorted(parts.items(), key=lambda item: -item[1].energy):
            particles.add_row(f"  {text}", f"{part.count}", f"{part.energy:.3f}", style="dim")
    particles.add_section()
    particles.add_row("all of the input", f"{summary.particles.count}", f"{summary.particles.energy:.3f}")
    if summary.daughters.count:
        particles.add_row("daughters of decays", f"{summary.daughters.count}", f"{summary.daughters.energy:.3f}")

    hits = Table(title="Hits", title_justify="left", title_style="bold")
    hits.add_column("section")
    hits.add_column("number", justify="right")
    hits.add_column("visible energy [GeV]", justify="right")
    for name, counts in summary.sections.items():
        hits.add_row(name, f"{counts.count}", f"{counts.energy:.4f}")

    out = console()
    out.print(particles)
    out.print(hits)
    if repeated := summary.repeats.get("repeated"):
        out.print(f"{repeated} of {summary.events} events bear numbers that came before; see the warning")
    for note in summary.notes:
        out.print(f"Note: {note}", soft_wrap=True)
    out.print(_rate(summary))


def _rate(summary: Summary) -> str:
    text = f"{summary.events} events in {summary.wall_seconds:.2f} s"
    if (share := summary.share_outside_network) is not None:
        text += f", {share:.0%} of it outside the network"
    return text


class ProgressLines:
    """Reports on standard error how far a work is, one line each half minute: for logs, where a bar is of no use.

    Parameters
    ----------
    what : str
        What is counted.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._reported = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Report that so much is done of all there is to do."""
        now = time.monotonic()
        if self._first is None:
            # what was done before, by a run that goes on, does not count for the rate
            self._first, self._start = done, now
        if now - self._reported < SAY_AGAIN_S:
            return
        self._reported = now
        text = f"{self._what}: {done}/{total}"
        if done > self._first and now > self._start:
            rate = (done - self._first) / (now - self._start)
            text += f", {rate:.3g} per second, {(total - done) / rate / 60:.1f} min left"
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def progress_bar(what: str, *, lines: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far a work is while the block runs: by a bar on a terminal, by lines elsewhere.

    Parameters
    ----------
    what : str
        What is counted.
    lines : bool
        Whether there are to be lines where standard error is no terminal.

    Yields
    ------
    callable or None
        To be called with what is done and what there is to do; None where nothing is shown.
    """
    if not sys.stderr.isatty():
        yield ProgressLines(what) if lines else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
