# SPDX-License-Identifier: BSD-3-Clause
"""Interface between the exporter and the architectures: `Exportable`."""

from __future__ import annotations

from typing import Any, Protocol

import onnx
from numpy.typing import NDArray

from fastcalo.errors import ExportError
from fastcalo.model.contract import Contract, NoiseSpec
from fastcalo.training.architectures.base import Architecture
from fastcalo.training.registry import entry_of, load_object

Feed = dict[str, NDArray[Any]]
"""The graph's inputs of some showers, by name."""


class Exportable(Protocol):
    """A trained torch model, as the export sees it.

    Attributes
    ----------
    format : int
        Of the contract.
    sparse : bool
        Whether the graph gives lists of hits besides the windows.
    parity_showers : int
        How many showers are compared.
    tolerance : float
        Largest relative difference of cell energies between graph and torch model.
    allowed_beyond : float
        Part of the cells that may differ by more: what rounding at an edge does to them has no bound.
    measured_showers : int
        Number of showers from which the need of noise is measured.
    """

    format: int
    sparse: bool
    parity_showers: int
    tolerance: float
    allowed_beyond: float
    measured_showers: int

    def noise(self, contract: Contract) -> tuple[NoiseSpec, ...]:
        """Noise tensors that showers within a contract's validity need."""

    def graph(self, contract: Contract) -> onnx.ModelProto:
        """The whole sampler."""

    def showers(self, contract: Contract, feed: Feed) -> dict[str, NDArray[Any]]:
        """What the torch model draws, as the graph's outputs that hold it.

        Windows of each section, float32 [n, nx, ny, layers], GeV, or, of format 3, lists of hits.
        """


def exportable_of(architecture: Architecture) -> Exportable:
    """Trained networks as the export sees them.

    Raises
    ------
    ExportError
        There is no export of this architecture.
    """
    entry = entry_of(architecture)
    if entry is None:
        raise ExportError(f"{type(architecture).__name__} can be trained, but not exported")
    exportable: Exportable = load_object(entry.exportable)(architecture)
    return exportable
