# SPDX-License-Identifier: BSD-3-Clause
"""Client of `helpers.fork_server`: called with the server's socket and arguments of Python. It imports little."""

import contextlib
import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)

process = 0
early = []


def forward(number, _):
    if process:
        os.kill(process, number)
    else:
        early.append(number)


for each in FORWARDED:
    signal.signal(each, forward)
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
files = []
with os.scandir("/dev/fd") as entries:
    numbers = [int(entry.name) for entry in entries]
for number in numbers:
    # that of the list itself is closed
    with contextlib.suppress(OSError):
        os.fstat(number)
        if number != server.fileno():
            files.append(number)
request = {
    "arguments": sys.argv[2:],
    "environment": dict(os.environ),
    "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes long to import
    "files": files,
    "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
}
text = json.dumps(request).encode()
data = b"%d\n" % len(text) + text
sent = socket.send_fds(server, [data], files)
server.sendall(data[sent:])
# the process has them now: who is at their other end is to notice when it ends
for number in files:
    if number > 2:
        os.close(number)
lines = server.makefile()
process = int(lines.readline() or 0)
for number in early:
    os.kill(process, number)
code = int(lines.readline() or 1)
process = 0
if code < 0:
    # SIGKILL can be given no action, nor needs one
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
