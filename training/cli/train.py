# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo train``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def command(
    config: Annotated[
        Path, Argument(metavar="CONFIG", help="What to train, and how: a TOML file, or the name of a shipped one.")
    ],
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="RUN", help="Folder of the run.", show_default="runs/NAME")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the run that the folder holds.")] = False,
    stage: Annotated[
        list[str] | None, Option(help="Run this stage only. May be repeated.", show_default="all, one after the other")
    ] = None,
    settings: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="KEY=VALUE",
            show_default=False,
            help="Value in place of the file's, as in stage.hits.steps=100. May be repeated.",
        ),
    ] = None,
    steps: Annotated[
        int | None, Option(help="Steps of each stage that is run.", show_default="those of the file", min=1)
    ] = None,
    threads: Annotated[int, Option(help="Threads in each process.", show_default="those of the file", min=0)] = 0,
    device: Annotated[
        str | None,
        Option(metavar="auto|cpu|cuda", help="Where networks are trained.", show_default="that of the file, or auto"),
    ] = None,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Write metrics for TensorBoard, too, to RUN/tensorboard.")
    ] = False,
    trace: Annotated[
        Path | None, Option(metavar="FILE.json", help="What each process does when, for Perfetto or chrome://tracing.")
    ] = None,
) -> None:
    """Train a shower model on full simulation.

    The folder of the run then holds a checkpoint per stage, the log of metrics (metrics.jsonl) and curves.png.
    An interrupted training goes on with --resume as if nothing had happened. Stages that do not build on each other
    may be trained at the same time, by two commands with different --stage and the same folder.

    Started by mpiexec, all processes train together: each computes its part of every batch. The result is the same, but
    for rounding, whatever their number, and a training may go on with another one.

    \b
    Examples:
      fastcalo train configs/hadron-start.toml -o runs/hadron
      fastcalo train configs/hadron-start.toml -o runs/hadron --resume
      fastcalo train em-hits --steps 100 --set stage.hits.batch=32 --set 'data.train=["showers.h5"]'
      mpiexec -n 8 fastcalo train configs/hadron-start.toml -o runs/hadron --threads 1
    """  # noqa: D301
    from contextlib import nullcontext

    from fastcalo.cli.output import console, name_rank, progress_bar
    from fastcalo.system.memory import keep_freed_memory

    from ..api import train
    from ..config import parse_settings
    from ..distributed.world import join_world

    keep_freed_memory()
    values = parse_settings(settings or (), "--set")
    world = join_world()
    name_rank(world)
    first = world is None or not world.rank
    with progress_bar("training", lines=False) if first else nullcontext() as bar:
        result = train(
            config,
            output,
            stages=stage or (),
            resume=resume,
            values=values,
            steps=steps,
            threads=threads,
            device=device,
            tensorboard=tensorboard,
            trace=trace,
            progress=bar,
            report=None if bar else StageLines(),
        )
    if first:
        next_step = f"fastcalo export {result.path} -o {result.config.name}.onnx"
        console().print(f"Done: {result.path}. Next: {next_step}", soft_wrap=True)


class StageLines:
    """Prints the numbers of a stage, one line each half minute and one at its end: where there is no terminal."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, name: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        """Print the line, if it is time for one."""
        from fastcalo.cli.output import SAY_AGAIN_S, console

        if step < steps and time.monotonic() - self._last <= SAY_AGAIN_S:
            return
        self._last = time.monotonic()
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        console().print(f"{name} {step}/{steps}: {numbers}", soft_wrap=True)
