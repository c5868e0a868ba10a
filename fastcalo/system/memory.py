# SPDX-License-Identifier: BSD-3-Clause
"""Amounts of memory: as they are written, and what this process may still take, so that too much is refused early."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import ConfigError, InputError

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_PREFIXES = "KMGT"


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
