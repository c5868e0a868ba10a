# SPDX-License-Identifier: BSD-3-Clause
"""Folder of a run: configuration, and the check that it is the run's."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastcalo._version import __version__
from fastcalo.errors import TrainingError
from fastcalo.io.atomic import output_errors, whole_file

from ..config import TrainConfig, recorded_config
from .signals import Stopped

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_REMOVALS = 4

_ORIGIN = "origin"
"""Where the configuration is from; what else stands in the file is the configuration itself."""

_MAY_CHANGE = ("stage", "threads", "device", "parallel")


def open_run(
    config: TrainConfig,
    run: Path,
    may_exist: bool,
    only: Sequence[str] = (),
    origin: Mapping[str, Any] | None = None,
) -> bool:
    """Make the run's folder, or check that it is this configuration's.

    Parameters
    ----------
    config : TrainConfig
    run : Path
    may_exist : bool
        Whether the run may go on.
    only : sequence of str
        Names of the stages that are to run; all when empty.
    origin : mapping, optional
        Where the configuration is from: the file, and what the command line has changed.

    Returns
    -------
    bool
        Whether the run begins here.

    Raises
    ------
    TrainingError
        It is another's, or holds a run and must not, or cannot be written to.
    """
    file = run / _CONFIG
    if file.exists():
        if not may_exist:
            raise _taken(run)
        before = read_config(run)[0]
        then, now = _must_stay(before), _must_stay(config)
        if changed := [key for key in now if then[key] != now[key]]:
            raise TrainingError(f"{run} was trained with another {', '.join(changed)}; name another folder")
        if (ran := _with_stages_of(before, config, only)).stage != before.stage:
            # it is asked later on whether all steps are done
            _write_config(ran, file, True, origin)
        return False
    if checkpoints := sorted(path.name for path in run.glob("*.pt")):
        if not may_exist:
            raise TrainingError(
                f"{run} holds checkpoints ({', '.join(checkpoints)}), but no {_CONFIG}: go on with --resume if they "
                "are of this configuration, or name another folder"
            )
        log.warning("%s holds checkpoints, but no %s: they are taken for those of this configuration", run, _CONFIG)
    try:
        run.mkdir(parents=True, exist_ok=True)
        # of several commands that begin a run by different stages, all write the same
        _write_config(config, file, may_exist, origin)
    except OSError as e:
        if file.exists():
            raise _taken(run) from e
        raise TrainingError(f"cannot write to the run's folder {run}: {e.strerror or e}") from e
    return not checkpoints


def _with_stages_of(before: TrainConfig, config: TrainConfig, only: Sequence[str]) -> TrainConfig:
    """A configuration, with the stages that are not to run as they are recorded."""
    recorded = {stage.name: stage for stage in before.stage}
    kept = [stage if not only or stage.name in only else recorded.get(stage.name, stage) for stage in config.stage]
    return config.updated(stage=tuple(kept))


def _write_config(config: TrainConfig, file: Path, overwrite: bool, origin: Mapping[str, Any] | None) -> None:
    table = {"fastcalo": __version__, **config.as_dict(), **({_ORIGIN: dict(origin)} if origin else {})}
    with whole_file(file, overwrite=overwrite, keep=False) as temporary, output_errors(file):
        temporary.write_text(json.dumps(table, indent=1) + "\n")


def _taken(run: Path) -> TrainingError:
    return TrainingError(f"{run} holds a training already; go on with --resume, or name another folder")


@contextmanager
def forgotten_if_it_fails(run: Path, made: bool) -> Iterator[None]:
    """Remove a run's folder again if a training ends before there is anything to go on from.

    Any rank does, for the one that fails may be the only one that knows. What others have put into the folder stays.
    Where all ranks are stopped nothing is removed, for the first one is still about to write its checkpoint.

    Parameters
    ----------
    run : Path
    made : bool
        Whether the run begins here; nothing is removed otherwise.
    """
    try:
        yield
    except BaseException as error:
        if (
            made
            and not isinstance(error, Stopped)
            and not any(run.glob("*.pt"))
            and not (run / "metrics.jsonl").exists()
        ):
            _remove(run)
        raise


def _remove(run: Path) -> None:
    """Remove what a beginning training has put into its folder, and the folder if nothing else is there."""
    for _ in range(_REMOVALS):
        # each may be gone already: other ranks fail, too
        for file in (run / _CONFIG, *(run / "ranks").glob("*")):
            with suppress(OSError):
                file.unlink()
        for folder in (run / "ranks", run):
            with suppress(OSError):
                folder.rmdir()
        if not run.exists():
            return
        # another rank may just have written that it is alive; without the folder it does not
        time.sleep(0.05)


def read_config(run: Path) -> tuple[TrainConfig, str]:
    """Configuration of a run, and the version of fastcalo that it was begun with.

    Raises
    ------
    TrainingError
        There is no run, or its ``config.json`` is damaged.
    """
    file = run / _CONFIG
    if not file.is_file():
        raise TrainingError(f"{run} holds no training (there is no {file})")
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        version = str(table.pop("fastcalo", "unknown"))
        table.pop(_ORIGIN, None)
        # read as a configuration, so that keys that came later have their defaults, and those without effect are gone
        config = recorded_config(table, str(file))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as e:
        raise TrainingError(
            f"{file} is damaged ({e}): remove it, and go on with --resume and the configuration that the run was begun "
            "with, or name another folder"
        ) from e
    return config, version


def _must_stay(config: TrainConfig) -> dict[str, Any]:
    """What a run cannot go on without."""
    table = config.updated(data=config.data.updated(cache="")).as_dict()
    return {key: value for key, value in table.items() if key not in _MAY_CHANGE}
