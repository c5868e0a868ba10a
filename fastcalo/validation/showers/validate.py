# SPDX-License-Identifier: BSD-3-Clause
"""Validation of a model or a shower file against full simulation, from files to a report."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..._version import __version__
from ...errors import ConfigError, MissingDependencyError
from ...model.shower_model import ShowerModel, load_model
from ...system.install import install_line
from ..limits import check_limits, load_limits
from .compare import JUDGES, compare_showers
from .figures import draw_figures
from .report import ValidationReport
from .response import decades
from .sample import ShowerSample, generate_sample
from .selection import FEWEST, DataOptions, PathLike, choose_samples, common_sections

_TIMED = 512
"""Showers of each decade that the model's time is taken on."""
_HDF5 = b"\x89HDF\r\n\x1a\n"


def validate(
    candidate: PathLike | ShowerModel,
    data: PathLike,
    *,
    reference: PathLike | None = None,
    limits: PathLike | None = None,
    options: DataOptions | None = None,
    showers: int = 20_000,
    seed: int = 0,
    threads: int | None = None,
    judges: Sequence[str] = (),
    status: Callable[[str], None] = lambda _: None,
) -> ValidationReport:
    """Compare a model, or showers in a file, with full simulation.

    Parameters
    ----------
    candidate : ShowerModel, name or path
        A model; or a file of showers with the same voxels as the data.
    data : path
        Showers of full simulation. One half is the reference; the model is asked for the particles of the other half,
        whose true showers give the baseline. The halves are alike in species and energy.
    reference : path, optional
        Showers of full simulation to be the reference instead, so that all of `data` can serve.
    limits : path, optional
        See `load_limits`.
    options : DataOptions, optional
    showers : int
        As many of `data` are used at most.
    seed : int
        Chooses halves, showers of the model, bootstraps and classifiers.
    threads : int, optional
        Of ONNX Runtime.
    judges : sequence of str
        Classifiers that take longer: ``"network"``, a graph network on hits, which needs PyTorch.
    status : callable, optional
        Called with what is being done, in words.

    Raises
    ------
    InputError
        A file cannot be read, does not fit the other, or has too few showers that the model is made for.
    ContractError
        The model was made for another detector.
    ConfigError
        The limits make no sense.
    MissingDependencyError
        The extra ``validate`` is not installed.

    Examples
    --------
    >>> from fastcalo import validate
    >>> report = validate("em", "examples/data/em_geant4.h5", showers=200, threads=1)
    >>> report.comparison.numbers["separation.mean"].value < 0.2
    True
    """
    _check_installed()
    if unknown := [judge for judge in judges if judge not in JUDGES]:
        raise ConfigError(f"judge {unknown[0]!r} is not known; there is {', '.join(JUDGES)}")
    if showers < 2 * FEWEST:
        raise ConfigError(f"showers must be at least {2 * FEWEST}, not {showers}")
    begin = time.perf_counter()
    options = options or DataOptions()
    wanted = load_limits(limits) if limits is not None else []
    model = _model(candidate, threads)
    with ExitStack() as stack:
        status("reading")
        full = stack.enter_context(options.open(data))
        others = {"reference": stack.enter_context(options.open(reference))} if reference is not None else {}
        if not isinstance(candidate, ShowerModel) and model is None:
            others["candidate"] = stack.enter_context(options.open(candidate))
        sections, thresholds = common_sections(model, [full, *others.values()], options)
        samples, outside = choose_samples(model, full, others, sections, thresholds, showers, seed)
        attributes = full.attributes
    timing = _timing(model, samples.candidate, attributes, threads)
    comparison = compare_showers(samples, seed, status, judges)
    verdicts = check_limits(wanted, comparison.numbers, str(limits))
    label = model.name if model is not None else Path(str(candidate)).name
    provenance = {
        "fastcalo": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "candidate": _described(model) if model is not None else str(candidate),
        "data": str(data),
        "reference": str(reference) if reference is not None else "the other half of the data",
        "full_simulation": {key: value for key, value in attributes.items() if isinstance(value, str | int | float)},
        "thresholds_gev": thresholds,
        "seed": seed,
        "showers_outside_validity": outside,
        "particles": {
            name: _particles(sample)
            for name, sample in (
                ("reference", samples.reference),
                ("candidate", samples.candidate),
                ("floor", samples.baseline),
            )
        },
        "limits": str(limits) if limits is not None else "none",
        "seconds": round(time.perf_counter() - begin, 1),
    }
    return ValidationReport(
        f"Validation of {label}", len(samples.candidate), sections, comparison, timing, provenance, verdicts,
        partial(draw_figures, samples, comparison, label),
    )  # fmt: skip


def _check_installed() -> None:
    try:
        import jinja2  # noqa: F401
        import mplhep  # noqa: F401
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"validation needs {error.name}, which is not installed: {install_line('validate')}"
        ) from error


def _model(candidate: PathLike | ShowerModel, threads: int | None) -> ShowerModel | None:
    """The model; None for a file of showers."""
    if isinstance(candidate, ShowerModel):
        return candidate
    path = Path(candidate)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                return None
    return load_model(candidate, threads)


def _timing(
    model: ShowerModel | None, sample: ShowerSample, attributes: Mapping[str, Any], threads: int | None
) -> dict[str, Any]:
    """Wall time of the model by decade, as JSON can hold it."""
    full = attributes.get("seconds_per_shower")
    text = "The candidate is a file: its time is not known."
    rows = []
    if model is not None:
        text = (
            f"Wall time on this machine of noise and network, up to {_TIMED} showers a decade, threads: "
            f"{threads or 'those that the process may use, two at most'}."
        )
        for low, high in decades(sample):
            inside = np.flatnonzero((sample.kinetic_energy >= low) & (sample.kinetic_energy < high))[:_TIMED]
            if len(inside):
                _, seconds = generate_sample(model, sample.take(inside), seed=0)
                rows.append({"energy": f"{low:g}-{high:g}", "seconds_per_shower": seconds / len(inside)})
    if isinstance(full, int | float):
        text += f" Full simulation took {full:.4g} s a shower, over all its energies and on one core, by its file."
    return {"decades": rows, "full_simulation_seconds_per_shower": full, "text": text}


def _particles(sample: ShowerSample) -> str:
    """Species and energies in words: only samples of like particles can be compared."""
    codes, counts = np.unique(sample.pdg, return_counts=True)
    species = ", ".join(f"{count} of PDG {code}" for code, count in zip(codes, counts, strict=True))
    low, middle, high = np.quantile(sample.kinetic_energy, [0, 0.5, 1])
    return f"{species}; {low:.3g} to {high:.3g} GeV, half of them up to {middle:.3g} GeV"


def _described(model: ShowerModel) -> dict[str, Any]:
    return {"name": model.name, "arch": model.contract.arch, "file": model.path.name, "sha256": model.file_hash}
