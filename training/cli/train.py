# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo train``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..exchange import Exchange
    from ..run.timeline import RankTimeline

log = logging.getLogger(__name__)


def command(
    config: Annotated[Path, Argument(metavar="CONFIG.toml", help="What to train, and how.")],
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="RUN", help="Folder of the run.", show_default="runs/NAME")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the run that the folder holds.")] = False,
    stage: Annotated[
        list[str] | None, Option(help="Run this stage only. May be repeated.", show_default="all, one after the other")
    ] = None,
    threads: Annotated[int, Option(help="Threads of torch; 0 leaves it to torch.", min=0)] = 0,
    device: Annotated[
        str | None,
        Option(metavar="auto|cpu|cuda", help="Where networks are trained.", show_default="as the file says, or auto"),
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
      fastcalo train configs/em.toml -o runs/em
      fastcalo train configs/em.toml -o runs/em --resume
      mpiexec -n 8 fastcalo train configs/em.toml -o runs/em --threads 1
    """  # noqa: D301
    from fastcalo.cli.output import name_rank

    from ..config import load_config
    from ..distributed.world import abort_on_error, join_world
    from ..strategies import open_exchange

    world = join_world()
    name_rank(world)
    with abort_on_error(world):
        settings = load_config(config)
        if threads:
            settings = settings.updated("--threads", threads=threads)
        if device:
            settings = settings.updated("--device", device=device)
        run = output or Path("runs") / settings.name
        exchange = None if world is None else open_exchange(settings.parallel, world, run)
        with _tracing(trace, world) as tracer:
            _train(settings, run, str(config), stage or (), resume, exchange, tracer, tensorboard)


@contextmanager
def _tracing(path: Path | None, world: Any) -> Iterator[RankTimeline | None]:
    """Write what a training did when, even if a signal has stopped it."""
    if path is None:
        yield None
        return
    from fastcalo.io.atomic import check_output

    from ..run.signals import Stopped
    from ..run.timeline import RankTimeline, gather_timeline

    check_output(path, overwrite=True)
    trace = RankTimeline()
    try:
        yield trace
    except Stopped:
        gather_timeline(trace, world, path)
        raise
    gather_timeline(trace, world, path)


def _train(
    settings: TrainConfig,
    run: Path,
    where: str,
    only: Sequence[str],
    resume: bool,
    exchange: Exchange | None,
    trace: RankTimeline | None,
    tensorboard: bool,
) -> None:
    """Train, and show how on the first rank."""
    from contextlib import nullcontext

    from fastcalo.cli.output import SAY_AGAIN_S, console, progress_bar

    from ..run.signals import Stopped
    from ..trainer import run_stages

    first, told = exchange is None or not exchange.rank, time.monotonic()
    with progress_bar(f"training {settings.name}", lines=False) if first else nullcontext() as bar:

        def report(name: str, step: int, steps: int, metrics: dict[str, float]) -> None:
            nonlocal told
            if bar:
                bar(step, steps)
            elif step == steps or time.monotonic() - told > SAY_AGAIN_S:
                told = time.monotonic()
                numbers = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items())
                console().print(f"{name} {step}/{steps}: {numbers}", soft_wrap=True)

        try:
            run_stages(
                settings, run, only=only, resume=resume, where=where, exchange=exchange, report=report, trace=trace,
                tensorboard=tensorboard,
            )  # fmt: skip
        except Stopped:
            if first:
                log.warning("stopped; the training is saved: go on with --resume")
            raise
    if first:
        console().print(f"Done: {run}. Next: fastcalo export {run} -o {settings.name}.onnx", soft_wrap=True)
