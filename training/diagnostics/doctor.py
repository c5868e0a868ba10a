# SPDX-License-Identifier: BSD-3-Clause
"""Diagnosis of a machine for training, alone or with MPI, with remedies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastcalo.errors import FastCaloError
from fastcalo.model.onnx_session import available_cores
from fastcalo.system.install import install_line
from fastcalo.system.launcher import ranks_started

from ..distributed.allreduce_timing import check_allreduce, time_allreduce
from .doctor_gpu import diagnose_gpus, list_gpus
from .findings import BAD, GOOD, WARNING, Finding, RankFacts, check_binding, check_threads, check_versions

_SIZES = (8, 64 * 1024, 1024 * 1024, 8 * 1024 * 1024)
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
# what the launcher of each calls itself
_LAUNCHERS = {"Open MPI": ("open mpi", "openrte", "prrte"), "Intel": ("intel",), "MPICH": ("hydra", "mpich")}


def launched_rank() -> int:
    """Number of this process, from its launcher; 0 where there is none."""
    return next((int(os.environ[name]) for name in _RANKS if os.environ.get(name, "").isdigit()), 0)


def open_world() -> tuple[Any, str]:
    """MPI's world, and why there is none: the doctor must not fail where a training would."""
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    # without a library of MPI, mpi4py raises a RuntimeError
    except (ImportError, RuntimeError) as error:
        return None, str(error)
    return MPI.COMM_WORLD, ""


def diagnose(world: Any, trouble: str, folder: Path) -> list[Finding]:
    """Look at everything.

    Parameters
    ----------
    world : mpi4py.MPI.Comm or None
        As `open_world` returned it, as well as `trouble`.
    trouble : str
    folder : Path
        Where runs are to be written.

    Returns
    -------
    list of Finding
        On the first rank; empty on the others.
    """
    facts = _facts(0 if world is None else int(world.rank))
    everyone: list[RankFacts] = [facts] if world is None else world.allgather(facts)
    flavour = "" if world is None else _flavour()
    findings = [
        *_mpi(world, trouble, flavour),
        *check_versions(everyone),
        *check_binding(everyone, flavour),
        *check_threads(everyone),
        *_onnxruntime(),
        *diagnose_gpus(world, everyone),
        *_sums(world),
        *_folder(world, folder, everyone),
        *_geant4(everyone),
    ]
    return [] if facts.rank else findings


def _facts(rank: int) -> RankFacts:
    threads = 0
    with suppress(ImportError):
        import torch

        threads = torch.get_num_threads()
    names = ("fastcalo", "torch", "numpy", "mpi4py")
    omp = os.environ.get("OMP_NUM_THREADS", "")
    # torch takes no more than there are cores, other libraries do
    threads = max(threads, int(omp) if omp.isdigit() else 0)
    versions = (("Python", sys.version.split()[0]), *((name, _version(name)) for name in names))
    return RankFacts(rank, os.uname().nodename, _cpus(), threads, omp, list_gpus(), versions, _geant4_trouble())


def _cpus() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _version(name: str) -> str:
    if name == "fastcalo":
        from fastcalo._version import __version__

        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _geant4_trouble() -> str:
    from fastcalo.fullsim.data import find_data

    try:
        find_data()
    except FastCaloError as error:
        return str(error)
    return ""


def _flavour() -> str:
    from mpi4py import MPI

    library = MPI.Get_library_version()
    return next((name for name in ("Open MPI", "Intel", "MPICH") if name in library), library.split()[0])


def _mpi(world: Any, trouble: str, flavour: str) -> Iterator[Finding]:
    started = ranks_started()
    if world is None:
        if started > 1:
            yield Finding(
                "MPI", BAD, f"{started} processes were started, but mpi4py does not work here ({trouble})",
                install_line("mpi"),
            )  # fmt: skip
        else:
            yield Finding(
                "MPI", WARNING, f"mpi4py does not work here ({trouble}): training runs in one process only",
                f"{install_line('mpi')}, and a library of MPI: that of the cluster, or pip install mpich",
            )  # fmt: skip
        return
    from mpi4py import MPI

    library = " ".join(MPI.Get_library_version().split()[:3]).rstrip("\x00,:")
    if flavour == "MPICH" and ":" in library:
        library = f"MPICH {library.split()[-1]}"
    known = f"{library}, MPI {'.'.join(map(str, MPI.Get_version()))}"
    if world.size != started:
        yield Finding(
            "MPI", BAD, f"{started} processes were started together, but {known} knows of {world.size}",
            f"start with the mpiexec of {flavour}; srun --mpi=list shows what srun can do",
        )  # fmt: skip
    elif started > 1:
        yield Finding("MPI", GOOD, f"{known}, {started} ranks, as many as were started")
    else:
        yield Finding("MPI", GOOD, f"{known}, one process")
        yield from _launcher(flavour)


def _launcher(flavour: str) -> Iterator[Finding]:
    """Whether the mpiexec that a user would call belongs to the library."""
    path = shutil.which("mpiexec")
    if path is None:
        beside = Path(sys.executable).with_name("mpiexec")
        mend = f"call it as {beside}" if beside.exists() else "use srun --mpi, or load the MPI module of the cluster"
        yield Finding("mpiexec", WARNING, "there is none in PATH", mend)
        return
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("mpiexec", WARNING, f"{path} cannot be asked for its version ({error})")
        return
    output = (done.stdout + done.stderr).lower()
    theirs = next((name for name, words in _LAUNCHERS.items() if any(word in output for word in words)), "")
    if theirs and theirs != flavour and flavour in _LAUNCHERS:
        yield Finding(
            "mpiexec", BAD, f"{path} is that of {theirs}, but mpi4py uses {flavour}: each process would be alone",
            f"call the mpiexec of {flavour}, or build mpi4py anew: pip install --no-binary mpi4py mpi4py",
        )  # fmt: skip
    else:
        yield Finding("mpiexec", GOOD, f"{path}{f' belongs to {theirs}' if theirs else ''}")


def _onnxruntime() -> Iterator[Finding]:
    found = {name: number for name in ("onnxruntime", "onnxruntime-gpu") if (number := _version(name))}
    if len(found) > 1:
        yield Finding(
            "ONNX Runtime", BAD, "onnxruntime and onnxruntime-gpu have overwritten each other",
            f"pip uninstall -y onnxruntime onnxruntime-gpu, then {install_line('cpu')}, or gpu in place of cpu",
        )  # fmt: skip
    elif not found:
        yield Finding("ONNX Runtime", WARNING, "is not installed: models can be trained, not run", install_line("cpu"))
    else:
        ((name, number),) = found.items()
        threads, cores = min(2, available_cores()), len(_cpus())
        yield Finding("ONNX Runtime", GOOD, f"{name} {number}; threads: {threads}, cores: {cores}")


def _sums(world: Any) -> Iterator[Finding]:
    if world is None or world.size == 1:
        return
    if not all(check_allreduce(world, size) for size in (*_SIZES, 4 * 100_003)):
        yield Finding(
            "all-reduce", BAD, "a sum of numbers over all ranks is wrong",
            "try another transport (UCX_TLS=tcp,self, or FI_PROVIDER=tcp), and report it to the cluster's support",
        )  # fmt: skip
        return
    times = time_allreduce(world, _SIZES)
    best = [float(sorted(row)[len(row) // 2]) for row in times]
    text = ", ".join(
        f"{_bytes(size)} {seconds * 1e6:.0f} µs" + (f" ({size / seconds / 1e9:.2f} GB/s)" if size > 4096 else "")
        for size, seconds in zip(_SIZES, best, strict=True)
    )
    slow = best[0] > 1e-3
    yield Finding(
        "all-reduce", WARNING if slow else GOOD, f"sums are right; {text}",
        "even small messages are slow: give each rank a core of its own, and use the fast network" if slow else "",
    )  # fmt: skip


def _folder(world: Any, folder: Path, everyone: list[RankFacts]) -> Iterator[Finding]:
    """Whether what the first rank writes is seen by all."""
    rank = 0 if world is None else world.rank
    file, trouble = folder / f".fastcalo-doctor-{os.uname().nodename}-{os.getpid()}", ""
    if not rank:
        try:
            file.write_text("seen\n")
        except OSError as error:
            trouble = error.strerror or str(error)
    if world is not None:
        file, trouble = world.bcast((file, trouble))
    seen = trouble == "" and _seen(file)
    everywhere = [seen] if world is None else world.allgather(seen)
    if not rank and not trouble:
        file.unlink(missing_ok=True)
    if trouble:
        yield Finding("folder", BAD, f"{folder} cannot be written to: {trouble}", "give another one with --folder")
    elif not all(everywhere):
        nodes = sorted({facts.node for facts, yes in zip(everyone, everywhere, strict=True) if not yes})
        yield Finding(
            "folder", BAD, f"what rank 0 writes to {folder} is not seen on {', '.join(nodes)}",
            "run in a folder on the shared file system, or name one with --folder",
        )  # fmt: skip
    else:
        yield Finding("folder", GOOD, f"{folder} is writable" + (" and seen by all ranks" if len(everyone) > 1 else ""))


def _seen(file: Path) -> bool:
    # network file systems may show a new file only after some seconds
    end = time.monotonic() + 5
    while not file.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _geant4(everyone: list[RankFacts]) -> Iterator[Finding]:
    lacking = [facts for facts in everyone if facts.geant4]
    if not lacking:
        yield Finding("Geant4", GOOD, "geant4-pybind and the physics data are there")
        return
    lines = [line.strip() for line in lacking[0].geant4.splitlines()]
    where = f" (ranks {[facts.rank for facts in lacking]})" if len(everyone) > 1 else ""
    mend = "fastcalo fullsim explains how to get them" if len(lines) > 1 else install_line("geant4")
    yield Finding("Geant4", WARNING, f"full simulation cannot run here{where}: {' '.join(lines[:2])}", mend)


def _bytes(size: int) -> str:
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size // scale} {unit}"
    return f"{size} B"
