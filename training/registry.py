# SPDX-License-Identifier: BSD-3-Clause
"""Registry of architectures: the name of each, and the package that names its parts.

An architecture is added by its folder in ``training/architectures``, its folder in ``export`` and one line here.
Parts are named, not imported, so that a configuration is checked without torch, and training runs without onnx.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ArchitectureEntry:
    """Parts of one architecture; its package holds one of these under the name ``ARCHITECTURE``.

    Attributes
    ----------
    config : str
        ``module:class`` of the model of a training's file, which derives from
        `fastcalo.training.config.train_config.TrainConfig`.
    networks : str
        ``module:class`` of what implements `fastcalo.training.architectures.base.Architecture`.
    exportable : str
        ``module:class`` of what implements `fastcalo.export.exportable.Exportable` for these networks.
    """

    config: str
    networks: str
    exportable: str


ARCHITECTURES = {
    "hits": "fastcalo.training.architectures.hits",
    "showers": "fastcalo.training.architectures.showers",
    "3dgan": "fastcalo.training.architectures.dense_gan",
}
"""Packages of all architectures, by the values of ``arch`` in the TOML of a training."""


EXPORTER = "fastcalo.export.exporter:export_unchecked"
"""Writes the models that a search evaluates. The export is built on training; so its function is named here, and the
command that starts a search hands it in."""


def load_object(reference: str) -> Any:
    """Import what a ``module:name`` refers to."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def architecture_entry(arch: str) -> ArchitectureEntry:
    """The parts of a registered architecture."""
    entry: ArchitectureEntry = import_module(ARCHITECTURES[arch]).ARCHITECTURE
    return entry


def entry_of(networks: object) -> ArchitectureEntry | None:
    """The entry of an object's class, or of the nearest one that it derives from; None if there is none."""
    entries = {entry.networks: entry for entry in map(architecture_entry, ARCHITECTURES)}
    classes = [f"{c.__module__}:{c.__qualname__}" for c in type(networks).__mro__]
    return next((entries[name] for name in classes if name in entries), None)
