"""From a finished run to one self-describing ONNX file, checked before it gets its name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from fastcalo._version import __version__
from fastcalo.contract import METADATA_KEY, Contract, NoiseSpec
from fastcalo.detector import load_detector
from fastcalo.errors import ExportError, OutputError
from fastcalo.training.config import TrainConfig
from fastcalo.training.hits.conditions import conditions
from fastcalo.training.hits.gan import HitGan
from fastcalo.training.hits.model import LATENT
from fastcalo.training.hits.sampler import draw_noise, points_of
from fastcalo.training.loop import load_run

from .hits_graph import build
from .parity import check_parity, domain

_CAPACITY_POWER = 0.6
"""The number of hits grows with about this power of energy."""
_CAPACITY_SHOWERS = 20_000
_CAPACITY_QUANTILE = 0.9995


def export_run(
    run: Path, output: Path, *, overwrite: bool = False, progress: Callable[[str], None] = lambda _: None
) -> Contract:
    """Export a run's model.

    Parameters
    ----------
    run : Path
        Folder of a finished training.
    output : Path
        The ``.onnx`` file to write; it appears under its name when it has passed all checks.
    overwrite : bool
        Whether the file may be replaced.
    progress : callable, optional
        Told in words what is being done.

    Returns
    -------
    Contract

    Raises
    ------
    TrainingError
        The run is not finished.
    ExportError
        The graph does not draw the torch model's showers.
    OutputError
        The file exists already, or cannot be written.
    """
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists already; give another name, or --overwrite")
    config, networks, state = load_run(run)
    if not isinstance(networks, HitGan):
        raise ExportError(f"{run}: arch {config.arch!r} can be trained, but not yet exported; arch 'hits' can")
    networks.networks.eval()
    progress("measuring how much noise showers need")
    contract = _contract(config, networks, str(state["data_hash"]))
    progress("building and checking the graph")
    graph = build(networks.layers, networks.hits, config.section, _capacity(contract))
    temporary = output.with_name(f".{output.name}.{os.getpid()}.onnx")
    try:
        _write(graph, contract, temporary)
        progress("comparing with the torch model")
        contract = replace(contract, scores=check_parity(temporary, networks))
        _write(graph, contract, temporary)
        os.replace(temporary, output)
    except OSError as e:
        raise OutputError(f"{output} cannot be written: {e.strerror or e}") from e
    finally:
        temporary.unlink(missing_ok=True)
    return contract


def _write(graph: onnx.ModelProto, contract: Contract, path: Path) -> None:
    onnx.helper.set_model_props(graph, {METADATA_KEY: contract.to_json()})
    path.write_bytes(graph.SerializeToString())


def _capacity(contract: Contract) -> tuple[float, float, float]:
    return next(n.capacity for n in contract.noise if n.capacity)


def _contract(config: TrainConfig, model: HitGan, data_hash: str) -> Contract:
    detector, layers = load_detector(config.detector), model.geometry.layers
    contract = Contract(
        name=config.name,
        arch=config.arch,
        species=config.species,
        kinetic_energy=config.validity.kinetic_energy,
        max_angle=math.radians(config.validity.angle_degrees),
        sections=(config.section,),
        stack=detector.stack,
        stack_hash=detector.stack_hash,
        noise=(
            NoiseSpec("layer_uniform", (layers, 3), "uniform"),
            NoiseSpec("layer_normal", (layers,), "normal"),
            NoiseSpec("latent_normal", (LATENT,), "normal"),
        ),
        thresholds={config.section: model.geometry.threshold},
        sparse=True,
        data_hash=data_hash,
        code_version=__version__,
    )
    points = NoiseSpec("point_uniform", ("P", 4), "uniform", _measure_capacity(contract, model))
    return replace(contract, noise=(*contract.noise, points))


def _measure_capacity(contract: Contract, model: HitGan) -> tuple[float, float, float]:
    """Rows of noise that showers of an energy E need: a + b E^c, enough for all but very few."""
    torch.manual_seed(0)
    pdg, energy, direction = (torch.from_numpy(x) for x in domain(contract, _CAPACITY_SHOWERS))
    entry = (torch.rand(_CAPACITY_SHOWERS, 2) - 0.5) * model.geometry.cell
    c = conditions(model.geometry, energy, direction, entry, pdg)
    noise = draw_noise(len(c), model.geometry.layers, 1)
    _, count = model.layers.sample(c, noise.layer_uniform, noise.layer_normal)
    always = float(points_of(torch.ones(1)).item() * model.geometry.layers)
    above = (points_of(count).sum(1) - always).clamp_min(0) / energy**_CAPACITY_POWER
    return always, float(np.ceil(np.quantile(above.numpy(), _CAPACITY_QUANTILE))), _CAPACITY_POWER
