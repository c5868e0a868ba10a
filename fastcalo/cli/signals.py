# SPDX-License-Identifier: BSD-3-Clause
"""Signal handlers that end a command by an exception, wherever in the code the signal arrives."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


SIGNALLED = 128
"""A command that a signal has ended exits with this much more than the signal's number, as in a shell."""


class _Terminated(SystemExit):
    """SIGTERM was received."""


def end_by_exceptions() -> None:
    """Have SIGTERM and SIGINT end the command by an exception, which lets every file under way be removed.

    Python drops an exception that is raised in a destructor or a callback of the collector. If that is where the
    signal fell, it is sent again, until it falls where its exception is seen.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = partial(_send_again, sys.unraisablehook)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    raise _Terminated(SIGNALLED + number)


def _send_again(otherwise: Callable[[UnraisableHookArgs], object], dropped: UnraisableHookArgs) -> None:
    if issubclass(dropped.exc_type, _Terminated):
        number = signal.SIGTERM
    elif issubclass(dropped.exc_type, KeyboardInterrupt):
        number = signal.SIGINT
    else:
        otherwise(dropped)
        return
    if sys.is_finalizing():
        # no thread starts any more, and the command is at its end
        return
    # a moment later, for here, too, an exception is dropped
    timer = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, number))
    timer.daemon = True
    timer.start()
