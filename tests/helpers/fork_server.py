# SPDX-License-Identifier: BSD-3-Clause
"""Server that forks Python processes with the training code imported, which takes a new process three seconds.

`forked_python` is what a test writes in place of ``sys.executable``. A process that is started in that way is a small
client, which sends its arguments, environment, folder and open files to the server. The server forks, the new process
does what ``python -m …``, ``python -c …`` or ``python file`` would, and the client ends as that process does: with its
exit code, or by its signal. Signals to the client reach the process, and it does not outlive the client.

The process is the point in tests of how Python starts: those start one themselves.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

_CLIENT = Path(__file__).with_name("fork_client.py")
_started: list[list[str]] = []


def forked_python() -> list[str]:
    """Command that starts a forked Python; the server is started at the first call and ends with this process."""
    if not _started:
        folder = tempfile.TemporaryDirectory(prefix="fastcalo-tests-")
        path = str(Path(folder.name) / "socket")
        folders = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
        server = subprocess.Popen(
            [sys.executable, __file__, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        )
        assert server.stdin
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        server.stdout.close()

        def end() -> None:
            server.communicate()
            folder.cleanup()

        atexit.register(end)
        _started.append([sys.executable, "-I", "-S", str(_CLIENT), path])
    return _started[0]


# the server


def serve(path: str) -> dict[str, Any] | None:
    """Fork for each client until standard input is closed; returns the client's request in the new process."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    wakeup, of_signals = socket.socketpair()
    for end in (wakeup, of_signals):
        end.setblocking(False)
    signal.set_wakeup_fd(of_signals.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    chooser = selectors.DefaultSelector()
    for file in (listener, wakeup, sys.stdin):
        chooser.register(file, selectors.EVENT_READ)
    clients: dict[int, socket.socket] = {}
    os.write(1, b"ready\n")
    while True:
        for key, _ in chooser.select():
            if key.fileobj is sys.stdin:
                for process in clients:
                    os.kill(process, signal.SIGKILL)
                return None
            if key.fileobj is listener:
                client, _ = listener.accept()
                request, files = _receive(client)
                process = os.fork()
                if not process:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for own in (listener, wakeup, of_signals, chooser, client, *clients.values()):
                        own.close()
                    _place(request["files"], files)
                    return request
                for number in files:
                    os.close(number)
                client.sendall(f"{process}\n".encode())
                clients[process] = client
                chooser.register(client, selectors.EVENT_READ, process)
            elif key.fileobj is wakeup:
                wakeup.recv(4096)
                _report_ends(clients, chooser)
            # a client sends nothing more: this one is gone
            elif key.data in clients:
                with suppress(ConnectionError):
                    key.fileobj.recv(1)
                os.kill(key.data, signal.SIGKILL)
                chooser.unregister(key.fileobj)


def _receive(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request of a client, and its open files under numbers of this process."""
    data, files, _, _ = socket.recv_fds(client, 1 << 16, 64)
    size, _, text = data.partition(b"\n")
    while len(text) < int(size):
        text += client.recv(1 << 16)
    return json.loads(text), files


def _report_ends(clients: dict[int, socket.socket], chooser: selectors.BaseSelector) -> None:
    """Send each client whose process has ended how it has ended."""
    while clients:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        client = clients.pop(process)
        with suppress(OSError):
            client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        with suppress(KeyError):
            chooser.unregister(client)
        client.close()


def _place(numbers: list[int], files: list[int]) -> None:
    """Give open files the numbers that they have in the client."""
    above = [fcntl.fcntl(file, fcntl.F_DUPFD, 256) for file in files]
    for file in files:
        os.close(file)
    for number, file in zip(numbers, above, strict=True):
        os.dup2(file, number)
        os.close(file)


# the process


def run(request: dict[str, Any]) -> None:
    """Do in this process what Python would do with the arguments."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["cores"] is not None:
        os.sched_setaffinity(0, request["cores"])
    for folder in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)
    words = request["arguments"]
    while words[0] == "-W":
        warnings.simplefilter(words[1])
        words = words[2:]
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(words[1], vars(main))
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def _import_training() -> None:
    """What trainings and searches import; not MPI, which each process has to start for itself."""
    import fastcalo.io.showers.native
    import fastcalo.training.architectures.dense_gan.gan
    import fastcalo.training.architectures.hits.gan
    import fastcalo.training.cli.train
    import fastcalo.training.cli.tune
    import fastcalo.training.strategies
    import fastcalo.training.trainer  # noqa: F401


if __name__ == "__main__":
    _import_training()
    gc.collect()
    gc.freeze()
    request = serve(sys.argv[1])
    if request:
        run(request)
