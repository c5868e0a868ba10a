# SPDX-License-Identifier: BSD-3-Clause
"""Memory that this process may still take, so that work which cannot fit is refused before it begins."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


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
