# SPDX-License-Identifier: BSD-3-Clause
"""Measurements of the speed benchmark; each function measures one quantity on the core that the process is bound to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import uproot
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastcalo.fullsim.gun import Gun
    from fastcalo.fullsim.pool import Geant4Pool
    from fastcalo.model.shower_model import ShowerModel

CONE_DEGREES = 56.0
ENERGIES = (0.1, 100.0)  # GeV
DECADES = ((0.1, 1.0), (1.0, 10.0), (10.0, 100.0))  # GeV
SPECIES = (11, -11, 22)


def hardware(packages: Iterable[str]) -> dict[str, str]:
    """What the numbers depend on, with the versions of packages."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": models[0] if models else platform.processor(),
        "cores of the machine": str(os.cpu_count()),
        "load before": load,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def publish(base: Path, title: str, machine: dict[str, Any], table: list[str], results: Any) -> None:
    """Print a title, the hardware and a table, and write them to `base`.md, and the numbers to `base`.json."""
    lines = [f"# {title}", "", *(f"- {name}: {value}" for name, value in machine.items()), "", *table]
    print("\n".join(lines))
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".md").write_text("\n".join(lines) + "\n")
    base.with_suffix(".json").write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    print(f"\nwritten to {base}.md and .json")


def kinematics(n: int, cell_mm: float, seed: int = 1) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Arguments of `generate` for n electrons, positrons and photons.

    Energies are uniform in the logarithm, directions isotropic in a cone about the normal, entries uniform in the cell.
    """
    rng = np.random.default_rng(seed)
    cos = rng.uniform(np.cos(np.radians(CONE_DEGREES)), 1, n)
    phi = rng.uniform(0, 2 * np.pi, n)
    sin = np.sqrt(1 - cos**2)
    return {
        "pdg": rng.choice(SPECIES, n),
        "kinetic_energy": np.exp(rng.uniform(np.log(ENERGIES[0]), np.log(ENERGIES[1]), n)),
        "direction": np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], axis=1),
        "entry": rng.uniform(-cell_mm / 2, cell_mm / 2, (n, 2)),
    }


def ms_per_shower(model: ShowerModel, batch: int, cell_mm: float, repeats: int) -> tuple[list[float], list[float]]:
    """Time per shower of `generate`, ms, one value for every repeat, each with particles of its own.

    Returns wall time and processor time: on an idle machine they are the same.
    """
    wall, processor = [], []
    for seed in range(repeats + 1):
        particles = kinematics(batch, cell_mm, seed)
        start = time.perf_counter(), time.process_time()
        model.generate(**particles, seed=1)
        wall.append(1e3 * (time.perf_counter() - start[0]) / batch)
        processor.append(1e3 * (time.process_time() - start[1]) / batch)
    return wall[1:], processor[1:]  # the first one warms up


def geant4_ms_per_shower(reference: Path) -> float:
    """Return what full simulation took for one shower of the reference file on one core, ms."""
    with h5py.File(reference) as file:
        return 1e3 * float(file.attrs["seconds_per_shower"])


def children_seconds() -> float:
    """Processor time of the processes that this one started and that still run, s: only on Linux."""
    total, tick = 0, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # the name of the process, in brackets, may hold blanks
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            total += int(fields[11]) + int(fields[12])
    return total / tick


def geant4_ms(pool: Geant4Pool, gun: Gun, showers: int, first: int = 0) -> float:
    """Processor time of full simulation of showers `first`, `first` + 1, ... of a gun, ms a shower."""
    from fastcalo.fullsim.gun import shots_of

    if not first:
        # the first shots of a process take longer
        list(pool.run([shots_of(gun.conditions(pool.detector, showers, showers + 3))]))
    start = children_seconds()
    list(pool.run([shots_of(gun.conditions(pool.detector, first, first + showers))]))
    return 1e3 * (children_seconds() - start) / showers


def import_seconds(repeats: int) -> list[float]:
    """Wall time of `import fastcalo` in fresh interpreters."""
    code = "import time; start = time.perf_counter(); import fastcalo; print(time.perf_counter() - start)"
    return [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(repeats)]


def repeat_events(source: Path, target: Path, n_events: int) -> None:
    """Write the source's events over and over, as events with numbers of their own, until there are n_events.

    Both files have the branches of EDM4hep.
    """
    arrays = uproot.open(source)["events"].arrays(filter_name=["EventHeader.*", "MCParticles.*"])
    whole, rest = divmod(n_events, len(arrays))
    collections: dict[str, dict[str, Any]] = {"EventHeader": {}, "MCParticles": {}}
    for branch in arrays.fields:
        name, _, key = branch.partition(".")
        collections[name][key] = ak.concatenate([arrays[branch]] * whole + [arrays[branch][:rest]])
    numbers = np.arange(n_events, dtype=np.int32)
    collections["EventHeader"]["eventNumber"] = ak.unflatten(numbers, np.ones_like(numbers))
    zipped = {name: ak.zip(members) for name, members in collections.items()}
    with uproot.recreate(target) as file:
        tree = file.mktree(
            "events",
            {name: ak.type(array).content for name, array in zipped.items()},
            field_name=lambda outer, inner: f"{outer}.{inner}" if outer else inner,
        )
        tree.extend(zipped)


def convert_run(source: Path, target: Path) -> tuple[float, float]:
    """Wall time of `convert` in this process, s, and the share of it spent outside ONNX Runtime."""
    from fastcalo import convert

    summary = convert(source, target, overwrite=True)
    share = summary.share_outside_network
    if share is None:
        raise RuntimeError("the engine does not state how long its networks took")
    return summary.wall_seconds, share


def convert_peak_mib(source: Path, target: Path) -> float:
    """Peak resident memory of `fastcalo convert` in a process of its own, MiB."""
    command = [sys.executable, "-m", "fastcalo", "convert", str(source), "-o", str(target), "--overwrite"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors}")
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kib / 1024


def summary(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {"median": median(values), "lowest": min(values), "highest": max(values)}
