# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo tune TUNE``."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from ..tune.study.study import Trial

_SHOWN = 12


def command(
    config: Annotated[
        Path,
        Argument(
            metavar="TUNE",
            help="What to vary, in which training, how often: a TOML file, or a shipped one's name.",
        ),
    ],
    output: Annotated[Path, Option("--output", "-o", metavar="STUDY", help="Folder of the search.")],
    resume: Annotated[bool, Option("--resume", help="Go on with the search that the folder holds.")] = False,
    threads: Annotated[int, Option(help="Threads in each process.", show_default="the file's", min=0)] = 0,
) -> None:
    """Search for the best hyper-parameters of a training.

    Started by mpiexec, the first process hands out trials, and the others form groups of group_size (a key of the
    file): each trains one trial after the other. One process alone does the same, one trial after the other.

    All that happened is in journal.jsonl in the folder; each trial has a folder of its own. Whatever ended a search,
    it goes on with --resume, with any number of processes: trials that were under way from their last checkpoints.

    'fastcalo tune report STUDY' reports what was found, even while a search is running.

    \b
    Examples:
      mpiexec -n 3 fastcalo tune configs/tune-em.toml -o studies/em --threads 1
      mpiexec -n 9 fastcalo tune configs/tune-em.toml -o studies/em --threads 1 --resume
      fastcalo tune report studies/em -o studies/em/report
    """  # noqa: D301
    from fastcalo.cli.output import console, name_rank
    from fastcalo.config.shipped import find_configuration, shipped_searches
    from fastcalo.system.memory import keep_freed_memory

    from ..distributed.world import abort_on_error, join_world
    from ..registry import EXPORTER, load_object
    from ..tune.running.search import search

    keep_freed_memory()
    world = join_world()
    name_rank(world)
    with abort_on_error(world):
        file = find_configuration(config, shipped_searches())
        first = world is None or not world.rank
        exporter = load_object(EXPORTER)
        with _Board() if first else nullcontext() as board:
            study = search(file, output, exporter, resume=resume, threads=threads, world=world, display=board)
        if study is None:
            return
        out = console()
        if study.best is None:
            out.print("No trial has ended well; their reasons are in the journal.", soft_wrap=True)
        else:
            out.print(f"Best: {_words(study.best)}", soft_wrap=True)
        out.print(f"Done: {output}. Next: fastcalo tune report {output} -o {output / 'report'}", soft_wrap=True)


class _Board:
    """A table that is kept up to date on a terminal; elsewhere a line for each thing that happens."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._live: Any = None
        self._running: dict[int, tuple[Trial, float]] = {}
        self._groups: dict[int, int] = {}
        self._reported: list[Trial] = []
        self._best: Trial | None = None
        self._next = 0.0

    def __enter__(self) -> _Board:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop()

    def began(self, trial: Trial, group: int, again: bool) -> None:
        """A group works on a trial, or goes on with one."""
        self._running[trial.number] = trial, time.monotonic()
        self._groups[trial.number] = group
        if self._live is None:
            how = "goes on in" if again else "begins in"
            self._console.print(f"trial {trial.number} {how} group {group}: {trial.source}, {_point(trial)}")
        self._draw()

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """A trial was reported."""
        self._running.pop(trial.number, None)
        self._reported.append(trial)
        self._best = best
        if self._live is None:
            self._console.print(f"{_words(trial)}; best is {_value(best)}")
        self._draw()

    def note(self, text: str) -> None:
        """A line above the table."""
        self._console.print(text)

    def refresh(self) -> None:
        """Let the clocks go on, once a second."""
        if self._live is not None and time.monotonic() > self._next:
            self._draw()

    def _draw(self) -> None:
        if self._live is None:
            return
        from rich.table import Table

        now = time.monotonic()
        self._next = now + 1.0
        table = Table(title=f"{len(self._reported)} trials reported, best: {_value(self._best)}", title_justify="left")
        for name in ("trial", "group", "status", "value", "best", "seconds", "point"):
            table.add_column(name, justify="left" if name in ("status", "point") else "right", overflow="fold")
        for trial in self._reported[-_SHOWN:]:
            group, seconds = str(self._groups.get(trial.number, "")), f"{trial.reported.get('seconds', 0.0):.0f}"
            mark = "*" if trial is self._best else ""
            table.add_row(str(trial.number), group, trial.status, _value(trial), mark, seconds, _point(trial))
        for trial, since in self._running.values():
            rung = f"({trial.rungs[-1][1]:.3f})" if trial.rungs else ""
            group = str(self._groups[trial.number])
            table.add_row(str(trial.number), group, "running", rung, "", f"{now - since:.0f}", _point(trial))
        self._live.update(table, refresh=True)


def _value(trial: Trial | None) -> str:
    return "none yet" if trial is None or trial.value is None else f"{trial.value:.4g}"


def _point(trial: Trial) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.point.items())


def _words(trial: Trial) -> str:
    reported = trial.reported
    text = f"trial {trial.number}: {trial.status}, value {_value(trial)}"
    if reported.get("distance") is not None:
        text += f" (distance {reported['distance']:.4g}, baseline {reported['floor']:.4g})"
    if reported.get("latency_ms") is not None:
        text += f", {reported['latency_ms']:.3g} ms a shower"
    text += f", {reported.get('seconds', 0.0):.0f} s"
    return text + (f": {reported['reason']}" if reported.get("reason") else "")
