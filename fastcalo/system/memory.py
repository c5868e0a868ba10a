# SPDX-License-Identifier: BSD-3-Clause
"""Amounts of memory: as they are written, what this process may still take, and whether it keeps what it has freed."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from ..errors import ConfigError, InputError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_PREFIXES = "KMGT"
_MALLOC_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


def bytes_of(text: str, what: str) -> float:
    """Bytes of an amount of memory such as ``100 MB`` or ``1.5 GiB``; a MB has 10⁶ of them, and a MiB 2²⁰.

    Parameters
    ----------
    text : str
    what : str
        What it is the amount of, for the message.

    Raises
    ------
    ConfigError
        It is none.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(?:([kKMGT])(i?))?B\s*", text)
    number = 0.0 if found is None else float(found[1])
    if found is None or number == 0:
        raise ConfigError(f"{what}: {text!r} is no amount of memory, such as '100 MB' or '1.5 GiB'")
    base = 1024 if found[3] else 1000
    return number * float(base ** (1 + _PREFIXES.index(found[2].upper()) if found[2] else 0))


def available_bytes() -> int | None:
    """Memory in bytes that the machine, and the control group of this process, have left; None if unknown."""
    found = [bytes_left for bytes_left in (_machine(), _control_group()) if bytes_left is not None]
    return max(0, min(found)) if found else None


def check_memory(needed: float, what: str, advice: str) -> None:
    """Refuse work that needs more memory than there is.

    Parameters
    ----------
    needed : float
        Bytes.
    what : str
        What needs them, for the message.
    advice : str
        What to do instead.

    Raises
    ------
    InputError
    """
    left = available_bytes()
    if left is not None and needed > left:
        raise InputError(f"{what} needs about {gigabytes(needed)} of memory, but {gigabytes(left)} are left: {advice}")


def keep_freed_memory() -> bool:
    """Let this process keep memory that it has freed, for arrays of up to a gigabyte; return whether it does.

    The C library of Linux gives large arrays back to the system as soon as they are freed, which clears every page when
    it is asked for the next one: a third of the time of trainings whose steps make many arrays of a few megabytes.
    Environment variables by which a user has chosen otherwise are left alone.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # other C libraries have no such function, or one that returns 0
    return mallopt is not None and all(mallopt(key, 1 << 30) for key in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))


def gigabytes(size: float) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:.3g} GB"


def _machine() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    # systems without /proc report all of the memory only
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _control_group() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
