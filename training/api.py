# SPDX-License-Identifier: BSD-3-Clause
"""Function `train`: what ``fastcalo train`` calls, with a result to look at."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastcalo.config.shipped import find_configuration, shipped_trainings
from fastcalo.display import html_table
from fastcalo.io.atomic import check_output, output_errors

from .config import TrainConfig, load_config, with_values
from .distributed.world import abort_on_error, join_world
from .run.metrics_log import Report
from .run.signals import Stopped
from .run.timeline import RankTimeline, gather_timeline
from .strategies import open_exchange
from .trainer import run_stages

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """A finished training.

    Attributes
    ----------
    path : Path
        Folder of the run: checkpoints, ``config.json``, ``metrics.jsonl`` and ``curves.png``. `export` takes it.
    config : TrainConfig
    metrics : mapping of str to mapping of str to float
        Numbers of the last evaluation of each stage, by the stage's name.
    """

    path: Path
    config: TrainConfig
    metrics: Mapping[str, Mapping[str, float]]

    def __repr__(self) -> str:
        stages = ", ".join(f"{stage.name} {stage.steps} steps" for stage in self.config.stage)
        return f"<TrainingResult {str(self.path)!r}: {self.config.name}; {stages}>"

    def _repr_html_(self) -> str:
        rows = [
            (stage, name, f"{value:.4g}") for stage, numbers in self.metrics.items() for name, value in numbers.items()
        ]
        return html_table(f"Training {self.path}", ("stage", "number", "last evaluation"), rows)


def train(
    config: TrainConfig | str | Path,
    output: str | Path | None = None,
    *,
    stages: Sequence[str] = (),
    resume: bool = False,
    values: Mapping[str, Any] | None = None,
    steps: int | None = None,
    threads: int = 0,
    device: str | None = None,
    tensorboard: bool = False,
    trace: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: Report | None = None,
) -> TrainingResult:
    """Train a shower model on full simulation.

    Where ``mpiexec`` has started several processes, they train together: each calls this with the same arguments.

    Parameters
    ----------
    config : TrainConfig, str or Path
        What to train, and how; the path of a TOML file, the name of one that comes with fastcalo, or one that was
        loaded.
    output : str or Path, optional
        Folder of the run; ``runs/`` and the configuration's name unless given.
    stages : sequence of str
        Names of the stages to run; all, one after the other, unless given.
    resume : bool
        Go on with the run that the folder holds.
    values : mapping of str, optional
        Values in place of those of the configuration, by dotted path: ``{"stage.hits.batch": 32}``. They are recorded
        in ``config.json``.
    steps : int, optional
        Steps of each stage that is run, in place of those of the configuration.
    threads : int
        Threads of torch; 0 leaves it to the configuration, and then to what the machine can bear.
    device : str, optional
        ``"auto"``, ``"cpu"`` or ``"cuda"``, instead of that of the configuration.
    tensorboard : bool
        Write metrics for TensorBoard, too.
    trace : str or Path, optional
        File of JSON, in Chrome trace format, that states what each process did when; written at the end, also if a
        signal has stopped the training.
    progress : callable, optional
        Called with the steps done, and all steps of the stages to run, each time that numbers are logged; as `report`
        on the first process only.
    report : callable, optional
        Called with the name of the stage, the step, the steps of the stage and the numbers by their names, each time
        that numbers are logged.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ConfigError
        The configuration, or the device, cannot be used.
    TrainingError
        The folder holds another run, or one and `resume` is false; there is no such stage; or a loss is not finite.
    MissingDependencyError
        TensorBoard, or mpi4py where several processes were started, is not installed.
    OutputError
        The folder, or the file of the trace, cannot be written.
    Stopped
        By SIGTERM or SIGUSR1. A checkpoint is kept.

    Examples
    --------
    >>> from fastcalo import export, train
    >>> result = train("configs/hadron-start.toml", "runs/hadron", threads=2)  # doctest: +SKIP
    >>> export(result.path, "hadron.onnx")  # doctest: +SKIP
    """
    world = join_world()
    with abort_on_error(world):
        chosen, origin = _configuration(config, values or {}, steps, stages)
        for name, value in (("threads", threads), ("device", device)):
            if value:
                chosen = chosen.updated("argument", **{name: value})
        run = Path("runs") / chosen.name if output is None else Path(output)
        exchange = None if world is None else open_exchange(chosen.parallel, world, run)
        with _traced(trace, world) as timeline:
            run_stages(
                chosen,
                run,
                only=stages,
                resume=resume,
                where=str(origin.get("file", "configuration")),
                exchange=exchange,
                report=_reporter(chosen, stages, progress, report),
                trace=timeline,
                tensorboard=tensorboard,
                origin=origin,
            )
        return TrainingResult(run, chosen, _last_evaluations(run))


def _configuration(
    config: TrainConfig | str | Path, values: Mapping[str, Any], steps: int | None, only: Sequence[str]
) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration with other values, and where it is from, for the folder of the run."""
    origin: dict[str, Any] = {}
    if not isinstance(config, TrainConfig):
        file = find_configuration(config, shipped_trainings())
        config, origin = load_config(file), {"file": str(file)}
    if steps is not None:
        values = {f"stage.{s.name}.steps": steps for s in config.stage if not only or s.name in only} | dict(values)
    if values:
        origin["set"] = dict(values)
        config = with_values(config, values, str(origin.get("file", "configuration")))
    return config, origin


@contextmanager
def _traced(path: str | Path | None, world: Any) -> Iterator[RankTimeline | None]:
    """Record what a training does when, and write it at the end, also if a signal has stopped it."""
    timeline = None if path is None else RankTimeline()

    def write() -> None:
        if timeline is not None and path is not None:
            gather_timeline(timeline, world, Path(path))

    if path is not None:
        check_output(Path(path), overwrite=True)
    try:
        yield timeline
    except Stopped:
        write()
        if world is None or not world.rank:
            log.warning("stopped; the training is saved: go on with --resume")
        raise
    write()


def _reporter(
    config: TrainConfig, only: Sequence[str], progress: Callable[[int, int], None] | None, report: Report | None
) -> Report:
    """Return what passes reports of single stages on, and turns them into the progress of all."""
    chosen = [stage for stage in config.stage if not only or stage.name in only]
    names = [stage.name for stage in chosen]
    total = sum(stage.steps for stage in chosen)

    def reported(name: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        if progress:
            progress(sum(stage.steps for stage in chosen[: names.index(name)]) + step, total)
        if report:
            report(name, step, steps, metrics)

    return reported


def _last_evaluations(run: Path) -> dict[str, dict[str, float]]:
    """Read the numbers of the last evaluation of each stage from ``metrics.jsonl``."""
    file, found = run / "metrics.jsonl", {}
    with output_errors(file):
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for line in lines:
        if line.get("kind") == "test":
            numbers = {key: value for key, value in line.items() if key not in {"stage", "step", "kind", "seconds"}}
            found[str(line["stage"])] = numbers
    return found
