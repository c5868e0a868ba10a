# SPDX-License-Identifier: BSD-3-Clause
"""An architecture of another distribution: that of ``hits`` under another name, with tables of its own."""

from fastcalo.training.registry import ArchitectureEntry

ARCHITECTURE = ArchitectureEntry(
    config="helpers.trainings.toy_architecture.config:ToyTrainConfig",
    networks="helpers.trainings.toy_architecture.gan:ToyGan",
    exportable="helpers.trainings.toy_architecture.exportable:ExportableToyGan",
)
