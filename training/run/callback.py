# SPDX-License-Identifier: BSD-3-Clause
"""Callback interface of the training loop."""

from __future__ import annotations

from ..architectures.base import Architecture


class Callback:
    """Lets a training go on, and does not look. Others may know better."""

    def halt(self) -> bool:
        """Whether to save and stop; asked on every rank after each step, some times over. One rank is enough."""
        return False

    def evaluated(self, networks: Architecture, stage: str, step: int) -> None:
        """Called on the first rank after each evaluation but that at the very end."""
