# SPDX-License-Identifier: BSD-3-Clause
"""State of a rank that only it holds (``easgd``), saved beside the checkpoint: parameters and optimiser moments."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

from fastcalo.errors import TrainingError

from ...run import checkpoint
from .topology import Topology


class WorkerState:
    """A file of one rank.

    It belongs to the checkpoint of its step. As ranks hear of a checkpoint one after the other, a rank that is ended in
    between has no such file, and then starts from the centre.

    Parameters
    ----------
    run : Path
        Folder of the training.
    stage : str
    rank : int
    tree : Topology
    applies : bool
        Whether there is anything to be kept.
    """

    def __init__(self, run: Path, stage: str, rank: int, tree: Topology, applies: bool) -> None:
        self._file = run / "ranks" / f"{stage}-{rank}.pt"
        self._tree, self._applies = list(astuple(tree)), applies

    def save(self, state: dict[str, Any], step: int) -> None:
        """Write it, for the checkpoint of a step.

        Raises
        ------
        TrainingError
            It cannot be written.
        """
        if not self._applies:
            return
        try:
            self._file.parent.mkdir(exist_ok=True)
        except OSError as e:
            raise TrainingError(f"cannot write to {self._file.parent}: {e.strerror or e}") from e
        checkpoint.save(self._file, {"step": step, "tree": self._tree, **state})

    def load(self, step: int) -> dict[str, Any] | None:
        """What was written for the checkpoint of a step by as many ranks; None if that is not there."""
        if not self._applies or not step or not self._file.exists():
            return None
        state = checkpoint.load(self._file)
        return state if (state["step"], state["tree"]) == (step, self._tree) else None

    def remove(self) -> None:
        """The stage is over."""
        self._file.unlink(missing_ok=True)
