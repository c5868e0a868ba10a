# SPDX-License-Identifier: BSD-3-Clause
"""The command line, called in the process of the test: to start a process and import takes longer than most commands.

Where the process is the point (signals, environment, imports, what Python does at its end), tests start one with the
arguments of `process_command`.
"""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from fastcalo.cli import main

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call ``fastcalo`` with these arguments; exit code and output are returned as `subprocess.run` returns them.

    Warnings are errors, as everywhere in the tests. The output of processes that the command starts is not in it.
    """
    out, err, words = io.StringIO(), io.StringIO(), [str(argument) for argument in arguments]
    with (
        _settings_kept(), chdir(cwd or Path()), redirect_stdout(out), redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):  # fmt: skip
        main(words)
    assert isinstance(end.value.code, int)
    return subprocess.CompletedProcess(words, end.value.code, out.getvalue(), err.getvalue())


def process_command(*arguments: object) -> list[str]:
    """Arguments of `subprocess.run` for ``fastcalo`` in a process of its own, where warnings are errors."""
    return [sys.executable, "-W", "error", "-m", "fastcalo", *map(str, arguments)]


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Give the command a log without handlers, as in a new process, and undo what it sets for the whole process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    own = logging.getLogger("fastcalo")
    own_level, own_handlers = own.level, list(own.handlers)
    receivers = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for handler in set(own.handlers) - set(own_handlers):
            own.removeHandler(handler)
            handler.close()
        own.setLevel(own_level)
        sys.unraisablehook = hook
        for number, receiver in receivers.items():
            signal.signal(number, receiver)
