# SPDX-License-Identifier: BSD-3-Clause
"""TensorBoard output of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastcalo.errors import MissingDependencyError
from fastcalo.system.install import install_line

from ..architectures.base import Metrics
from .throughput import TIMINGS


class TensorboardWriter:
    """Writes event files, one folder for each stage.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    MissingDependencyError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                f"--tensorboard needs TensorBoard ({error}): {install_line('tensorboard')}"
            ) from error
        self._folder, self._make = folder, SummaryWriter
        self._writer: Any = None

    def begin(self, stage: str, step: int) -> None:
        """Go on with a stage behind a step; TensorBoard drops what earlier files hold of later ones."""
        self.close()
        self._writer = self._make(str(self._folder / stage), purge_step=step + 1)

    def add(self, step: int, kind: str, metrics: Metrics) -> None:
        """Write numbers of a step as ``KIND/NAME``; those of how fast it goes as ``speed/NAME``."""
        for name, value in metrics.items():
            self._writer.add_scalar(f"{'speed' if name in TIMINGS else kind}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file of the stage."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
