# SPDX-License-Identifier: BSD-3-Clause
"""Small searches that really train: a file, its training, and showers."""

from __future__ import annotations

from pathlib import Path

from helpers.files.shower_files import write_real
from helpers.mpi import with_strategy, write_config

SPACE = '"stage.hits.learning_rate" = { low = 1e-4, high = 1e-2, log = true }'


def write_showers_for_search(folder: Path) -> Path:
    """Showers to train on and to evaluate by."""
    write_real(folder / "a.h5", 70)
    write_real(folder / "b.h5", 50, start=500)
    write_real(folder / "test.h5", 220, start=100)
    return folder


def write_search(
    folder: Path,
    data: Path,
    *,
    stages: str = "hits",
    steps: int = 8,
    evaluate: int = 1_000,
    checkpoint: int = 10,
    space: str = SPACE,
    strategy: str = "allreduce",
    patience: int = 60,
    objective: str = "",
    more: str = "",
    **keys: object,
) -> Path:
    """A search of few trials, each of few steps; returns its file."""
    base = write_config(folder / "base.toml", data, stages, patience=patience, steps=steps, checkpoint=checkpoint)
    text = base.read_text().replace("[network]", f'test = ["{data}/test.h5"]\n[network]')
    text = with_strategy(text, strategy)
    base.write_text(text.replace("evaluate_every = 1000", f"evaluate_every = {evaluate}"))
    table: dict[str, object] = {"name": "tiny", "base": "base.toml", "trials": 3, "optimiser": "random", **keys}
    lines = [f"{k} = {v!r}".replace("'", '"') for k, v in table.items()]
    lines += ["[space]", space, "[objective]", 'distance = "separation"', "showers = 100", objective, more]
    (folder / "tune.toml").write_text("\n".join(lines) + "\n")
    return folder / "tune.toml"
