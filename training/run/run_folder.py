"""Run folder: configuration, identity check, metrics log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastcalo._version import __version__
from fastcalo.errors import TrainingError

from ..architectures.base import Metrics
from ..config import TrainConfig, recorded_config
from .tensorboard import TensorboardWriter

Report = Callable[[str, int, int, Metrics], None]
"""Called with the stage's name, the step, the number of steps and the numbers of the last logged step."""

_MAY_CHANGE = ("stage", "threads", "device", "parallel")


def open_run(config: TrainConfig, run: Path, may_exist: bool) -> None:
    """Make the run's folder, or check that it is this configuration's.

    Raises
    ------
    TrainingError
        It is not, or holds a run and must not, or cannot be written to.
    """
    file = run / "config.json"
    described = {"fastcalo": __version__, **config.as_dict()}
    if file.exists():
        if not may_exist:
            raise TrainingError(f"{run} holds a training already; go on with --resume, or name another folder")
        table = json.loads(file.read_text())
        table.pop("fastcalo", None)
        # read as a configuration, so that keys that came later have their defaults, and those without effect are gone
        then, now = _must_stay(recorded_config(table, str(file))), _must_stay(config)
        if changed := [key for key in now if then[key] != now[key]]:
            raise TrainingError(f"{run} was trained with another {', '.join(changed)}; name another folder")
        return
    try:
        run.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(described, indent=1) + "\n")
    except OSError as e:
        raise TrainingError(f"cannot write to the run's folder {run}: {e.strerror or e}") from e


def _must_stay(config: TrainConfig) -> dict[str, Any]:
    """What a run cannot go on without."""
    table = config.updated(data=config.data.updated(cache="")).as_dict()
    return {key: value for key, value in table.items() if key not in _MAY_CHANGE}


class MetricsLog:
    """Writes numbers of a run to ``metrics.jsonl``, and to whoever else asks for them.

    Parameters
    ----------
    run : Path
    report : callable, optional
    tensorboard : bool
        Whether TensorBoard is to have them, too.

    Raises
    ------
    MissingDependencyError
        TensorBoard is not installed.
    """

    def __init__(self, run: Path, report: Report | None = None, tensorboard: bool = False) -> None:
        self._run, self._report = run, report
        self._scalars = TensorboardWriter(run / "tensorboard") if tensorboard else None

    def begin(self, stage: str, step: int) -> None:
        """A stage goes on from a step: what there is of later ones does not count."""
        if self._scalars:
            self._scalars.begin(stage, step)

    def line(self, stage: str, step: int, steps: int, kind: str, seconds: float, metrics: Metrics) -> None:
        """Write numbers of a kind, ``train`` or ``test``, of one step of a stage."""
        line = {"stage": stage, "step": step, "kind": kind, "seconds": round(seconds, 2), **metrics}
        with (self._run / "metrics.jsonl").open("a") as f:
            f.write(json.dumps(line) + "\n")
        if self._scalars:
            self._scalars.add(step, kind, metrics)
        if self._report:
            self._report(stage, step, steps, metrics)

    def close(self) -> None:
        """Nothing more comes."""
        if self._scalars:
            self._scalars.close()
