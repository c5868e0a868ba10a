# SPDX-License-Identifier: BSD-3-Clause
"""Export of a finished run to one self-describing ONNX file, compared with the torch model before it is renamed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from fastcalo._version import __version__
from fastcalo.detector.description import load_detector
from fastcalo.display import html_table
from fastcalo.io.atomic import check_output, output_errors, whole_file
from fastcalo.model.contract import Contract
from fastcalo.model.onnx_file import seal
from fastcalo.model.shower_model import ShowerModel
from fastcalo.training.architectures.base import Architecture
from fastcalo.training.config import TrainConfig
from fastcalo.training.trainer import load_run

from .exportable import Exportable, exportable_of
from .parity import check_parity

_QUICK_SHOWERS = 2_000
"""Showers from which the need of noise is measured, where the model is not kept."""


@dataclass(frozen=True, repr=False)
class ExportResult:
    """An exported model.

    Attributes
    ----------
    path : Path
        The ``.onnx`` file; `load_model` opens it.
    contract : Contract
        What the file states: species, ranges, noise, and the scores of its comparison with the torch model.
    """

    path: Path
    contract: Contract

    def __repr__(self) -> str:
        return f"<ExportResult {str(self.path)!r}: {self.contract.name}, species {list(self.contract.species)}>"

    def _repr_html_(self) -> str:
        return html_table(f"Model {self.path}", (), ShowerModel(self.path).describe())


def export(
    run: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    status: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Turn a trained model into one self-describing ONNX file.

    Parameters
    ----------
    run : str or Path
        Folder of a finished training.
    output : str or Path
        The ``.onnx`` file to write; it appears under its name when it has passed all checks.
    overwrite : bool
        Whether the file may be replaced.
    status : callable, optional
        Called with what is being done, in words.

    Returns
    -------
    ExportResult

    Raises
    ------
    TrainingError
        The run is not finished.
    ExportError
        The graph does not draw the torch model's showers.
    OutputError
        The file exists already, or cannot be written.

    Examples
    --------
    >>> from fastcalo import export
    >>> export("runs/em", "em.onnx").contract.scores  # doctest: +SKIP
    """
    run, output = Path(run), Path(output)
    check_output(output, overwrite=overwrite)
    config, networks, state = load_run(run)
    networks.networks.eval()
    exportable = exportable_of(networks)
    status("measuring how much noise showers need")
    contract = _contract(config, exportable, str(state["data_hash"]))
    status("building and checking the graph")
    graph = exportable.graph(contract)
    with whole_file(output, overwrite=overwrite) as temporary, output_errors(output):
        _write(graph, contract, temporary)
        status("comparing with the torch model")
        contract = replace(contract, scores=check_parity(temporary, exportable))
        _write(graph, contract, temporary)
    return ExportResult(output, contract)


def export_unchecked(config: TrainConfig, networks: Architecture, output: Path) -> None:
    """Export networks as they stand, without comparing the graph with them: for a look at a model under way.

    Parameters
    ----------
    config : TrainConfig
    networks : Architecture
    output : Path
        Replaced if it exists.
    """
    training = networks.networks.training
    networks.networks.eval()
    try:
        exportable = exportable_of(networks)
        exportable.measured_showers = min(_QUICK_SHOWERS, exportable.measured_showers)
        contract = _contract(config, exportable, "")
        _write(exportable.graph(contract), contract, output)
    finally:
        networks.networks.train(training)


def _write(graph: onnx.ModelProto, contract: Contract, path: Path) -> None:
    path.write_bytes(seal(graph.SerializeToString(), contract.to_json()))


def _contract(config: TrainConfig, exportable: Exportable, data_hash: str) -> Contract:
    detector = load_detector(config.detector)
    contract = Contract(
        name=config.name,
        arch=config.arch,
        species=config.species,
        kinetic_energy=config.validity.kinetic_energy,
        max_angle=math.radians(config.validity.angle_degrees),
        sections=config.sections,
        stack=detector.stack,
        stack_hash=detector.stack_hash,
        noise=(),
        thresholds={name: detector.section(name).threshold for name in config.sections},
        sparse=exportable.sparse,
        format=exportable.format,
        data_hash=data_hash,
        code_version=__version__,
    )
    return replace(contract, noise=exportable.noise(contract))
