# SPDX-License-Identifier: BSD-3-Clause
"""ONNX Runtime sessions: installed variant, number of threads, opening of files."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import ConfigError, ContractError, MissingDependencyError
from ..system.install import install_line

_PREFERRED = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ENOUGH_THREADS = 2
"""The graphs are small: more threads than this gain nothing on one batch; use workers instead."""

MOST_THREADS = 1024
"""More than any machine has cores: the operating system would be asked for this many threads, and take minutes."""


def import_onnxruntime() -> Any:
    """The module `onnxruntime`, after a look at what is installed.

    Raises
    ------
    MissingDependencyError
        Neither of ``onnxruntime`` and ``onnxruntime-gpu`` is installed, or both are: they overwrite each other's
        files, and what is left then runs on the CPU or not at all.
    """
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) > 1:
        raise MissingDependencyError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other: "
            f"pip uninstall -y onnxruntime onnxruntime-gpu, then {install_line('cpu')}, or gpu in place of cpu"
        )
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingDependencyError(
            f"running a model needs ONNX Runtime: {install_line('cpu')}, or gpu in place of cpu for CUDA"
        ) from e
    return onnxruntime


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def available_cores() -> int:
    """Cores that this process may use: affinity or cpuset, the control group's quota, and the batch system's word."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    limits = [os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS")]
    return max(1, min([cores, *([quota] if quota else []), *(int(s) for s in limits if s.isdigit() and int(s))]))


def _quota() -> int | None:
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return None


def check_threads(threads: int | None) -> None:
    """Raise ConfigError where a number of threads makes no sense."""
    if threads is not None and not (type(threads) is int and 1 <= threads <= MOST_THREADS):
        raise ConfigError(f"threads must be a whole number from 1 to {MOST_THREADS}, not {threads!r:.80}")


def open_session(path: Path, threads: int | None, image: bytes | None = None) -> Any:
    """An inference session.

    Parameters
    ----------
    path : Path
    image : bytes, optional
        The file, where it was read already; `path` then only stands in messages.
    threads : int or None
        Threads within an operator; None takes what the process may use, two at most.

    Raises
    ------
    ContractError
        The file is not an ONNX model that this ONNX Runtime can run.
    MissingDependencyError
        See `import_onnxruntime`.
    """
    check_threads(threads)
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    # numbers given outright: left to itself, ONNX Runtime pins threads to cores that a cpuset may not hold
    options.intra_op_num_threads = threads or min(_ENOUGH_THREADS, available_cores())
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    there = ort.get_available_providers()
    try:
        return ort.InferenceSession(image or str(path), options, providers=[p for p in _PREFERRED if p in there])
    except Exception as e:  # ONNX Runtime's own errors share no base class
        raise ContractError(f"{path} is not a model that ONNX Runtime {ort.__version__} can open: {e}") from e
