# SPDX-License-Identifier: BSD-3-Clause
"""Folder of a run: configuration, and the check that it is the run's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastcalo._version import __version__
from fastcalo.errors import TrainingError
from fastcalo.io.atomic import output_errors, whole_file

from ..config import TrainConfig, recorded_config

log = logging.getLogger(__name__)

_CONFIG = "config.json"

_MAY_CHANGE = ("stage", "threads", "device", "parallel")


def open_run(config: TrainConfig, run: Path, may_exist: bool) -> bool:
    """Make the run's folder, or check that it is this configuration's.

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
        then, now = _must_stay(read_config(run)[0]), _must_stay(config)
        if changed := [key for key in now if then[key] != now[key]]:
            raise TrainingError(f"{run} was trained with another {', '.join(changed)}; name another folder")
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
        with whole_file(file, overwrite=may_exist, keep=False) as temporary, output_errors(file):
            temporary.write_text(json.dumps({"fastcalo": __version__, **config.as_dict()}, indent=1) + "\n")
    except OSError as e:
        if file.exists():
            raise _taken(run) from e
        raise TrainingError(f"cannot write to the run's folder {run}: {e.strerror or e}") from e
    return not checkpoints


def _taken(run: Path) -> TrainingError:
    return TrainingError(f"{run} holds a training already; go on with --resume, or name another folder")


@contextmanager
def forgotten_if_it_fails(run: Path, made: bool) -> Iterator[None]:
    """Remove a run's ``config.json`` again if a training ends by an error before there is anything to go on from.

    Parameters
    ----------
    run : Path
    made : bool
        Whether the run begins here; nothing is removed otherwise.
    """
    try:
        yield
    except Exception:
        if made and not any(run.glob("*.pt")) and not (run / "metrics.jsonl").exists():
            with suppress(OSError):
                (run / _CONFIG).unlink()
                run.rmdir()
        raise


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
