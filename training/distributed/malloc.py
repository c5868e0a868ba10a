# SPDX-License-Identifier: BSD-3-Clause
"""Memory allocator settings: keep freed memory in the process."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of <malloc.h>
# the most that glibc takes (mallopt(3), M_MMAP_THRESHOLD)
_LARGEST = 32 << 20


def keep_freed_memory() -> None:
    """Have this process keep what it frees, instead of giving it back to the system and asking again.

    By default glibc maps large tensors anew each time, and the system fills them with zeros, page by page, which takes
    up to a fifth of a step's processor time. Nothing happens under other C libraries.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
