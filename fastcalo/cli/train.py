"""``fastcalo train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


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
) -> None:
    """Train a shower model on full simulation.

    The folder of the run then holds a checkpoint per stage, the log of metrics (metrics.jsonl) and curves.png.
    An interrupted training goes on with --resume as if nothing had happened. Stages that do not build on each other
    may be trained at the same time, by two commands with different --stage and the same folder.

    \b
    Examples:
      fastcalo train configs/em.toml -o runs/em
      fastcalo train configs/em.toml -o runs/em --resume
    """  # noqa: D301
    from dataclasses import replace

    from fastcalo.training.config import load_config
    from fastcalo.training.loop import train

    from .output import console, progress_bar

    settings = load_config(config)
    if threads:
        settings = replace(settings, threads=threads)
    run = output or Path("runs") / settings.name
    with progress_bar(f"training {settings.name}") as bar:

        def report(name: str, step: int, steps: int, metrics: dict[str, float]) -> None:
            if bar:
                bar(step, steps)
            elif step == steps or step % 1_000 == 0:
                numbers = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items())
                console().print(f"{name} {step}/{steps}: {numbers}", soft_wrap=True)

        train(settings, run, only=stage or (), resume=resume, where=str(config), report=report)
    console().print(f"Done: {run}. Next: fastcalo export {run} -o {settings.name}.onnx", soft_wrap=True)
