# SPDX-License-Identifier: BSD-3-Clause
"""Input files by patterns, lists, and URLs of servers on this machine."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.command import run_command
from helpers.files.root_files import plain, write_tree

from fastcalo import open_events
from fastcalo.errors import InputError
from fastcalo.io.input_files import expand_inputs


def touch(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [str(folder / name) for name in names]


def test_patterns_stand_for_files_in_the_order_of_their_names(tmp_path):
    touch(tmp_path, "run2.root", "run1.root", "other.txt", "more/run3.root")
    assert expand_inputs(tmp_path / "run*.root") == [str(tmp_path / f"run{k}.root") for k in (1, 2)]
    assert expand_inputs([tmp_path / "run[2-9].root", "a.root"]) == [str(tmp_path / "run2.root"), "a.root"]
    found = expand_inputs(str(tmp_path / "**" / "run*.root"))
    assert [Path(name).name for name in found] == ["run3.root", "run1.root", "run2.root"]
    with pytest.raises(InputError, match=r"none\*.root: no file fits this pattern"):
        expand_inputs(tmp_path / "none*.root")


def test_a_file_whose_name_looks_like_a_pattern_or_a_list_is_that_file(tmp_path, monkeypatch):
    touch(tmp_path, "run[1].root", "run1.root", "@a.root")
    assert expand_inputs(tmp_path / "run[1].root") == [str(tmp_path / "run[1].root")]
    monkeypatch.chdir(tmp_path)
    assert expand_inputs("@a.root") == ["@a.root"]


def test_lists_name_files_patterns_urls_and_other_lists(tmp_path):
    touch(tmp_path, "data/b1.root", "data/b2.root", "data/with space.root")
    (tmp_path / "more.txt").write_text("data/b1.root")
    (tmp_path / "list.txt").write_text(
        f"# a comment\n\n{tmp_path}/x.root   # absolute\ndata/b*.root\nroot://host:1094//a/b*.root\n@more.txt\n"
        "data/with space.root\nhttps://host/a#b.root\n"
    )
    data = tmp_path / "data"
    assert expand_inputs(f"@{tmp_path}/list.txt") == [
        f"{tmp_path}/x.root",
        *(str(data / f"b{k}.root") for k in (1, 2)),
        "root://host:1094//a/b*.root",
        str(data / "b1.root"),
        str(data / "with space.root"),
        "https://host/a#b.root",
    ]


def test_what_is_wrong_with_a_list_is_reported_with_its_line(tmp_path):
    (tmp_path / "list.txt").write_text("a.root\nnone*.root\n")
    with pytest.raises(InputError, match=r"list.txt, line 2: .*none\*.root: no file fits"):
        expand_inputs(f"@{tmp_path}/list.txt")
    (tmp_path / "loop.txt").write_text("@loop.txt\n")
    with pytest.raises(InputError, match="does one name itself"):
        expand_inputs(f"@{tmp_path}/loop.txt")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        expand_inputs(f"@{tmp_path}/missing.txt")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match=r"no input file is named in @.*empty.txt"):
        expand_inputs(f"@{tmp_path}/empty.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        expand_inputs(f"@{tmp_path}/bytes.txt")
    with pytest.raises(InputError, match="no input file is given"):
        expand_inputs([])


def test_the_command_takes_lists(tmp_path):
    for k in (1, 2):
        write_tree(tmp_path / f"run{k}.root", plain(seed=k))
    (tmp_path / "list.txt").write_text("run*.root\n")
    done = run_command("convert", f"@{tmp_path}/list.txt", "-o", tmp_path / "hits.root", "--model", "em")
    assert done.returncode == 0
    assert "and 1 more" in done.stdout + done.stderr


# servers


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and parts of them, as servers of data do."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes=") or "," in wanted:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(content) - 1), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop}/{len(content)}")
        self.send_header("Content-Length", str(stop - start + 1))
        self.end_headers()
        self.wfile.write(content[start : stop + 1])


@pytest.fixture
def web(tmp_path):
    handler = functools.partial(RangeHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def assert_same(url: str, path: Path) -> None:
    (remote,), (local,) = (list(open_events(name).iterate(1000)) for name in (url, path))
    np.testing.assert_array_equal(remote.momentum, local.momentum)
    np.testing.assert_array_equal(remote.offsets, local.offsets)


def test_files_of_a_web_server(tmp_path, web):
    pytest.importorskip("aiohttp", reason="uproot reads http:// and https:// through aiohttp")
    assert_same(f"{web}/a.root", write_tree(tmp_path / "a.root", plain(200)))
    with pytest.raises(InputError, match=r"none.root cannot be read"):
        open_events(f"{web}/none.root")


@pytest.fixture
def xrootd():
    """URL of a folder that XRootD serves."""
    pytest.importorskip("fsspec_xrootd", reason="uproot reads root:// through fsspec-xrootd")
    program = shutil.which("xrootd")
    if program is None:
        pytest.skip("needs the server of XRootD (Debian: xrootd-server)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    # it does not run as root, and those whom it runs as cannot enter the folders of pytest
    root = Path(tempfile.mkdtemp(prefix="xrootd"))
    folders = {name: root / name for name in ("data", "admin")}
    for folder in (root, *folders.values()):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    config = root / "xrootd.cfg"
    config.write_text(
        f"all.role server\nall.export {folders['data']}\nxrd.port {port}\nall.adminpath {folders['admin']}\n"
        f"all.pidpath {folders['admin']}\n"
    )
    as_nobody = ["-R", "nobody"] if os.geteuid() == 0 else []
    arguments = [program, *as_nobody, "-c", str(config), "-l", str(folders["admin"] / "log")]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "xrootd ended"
            time.sleep(0.1)
        yield folders["data"], f"root://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(timeout=20)
        shutil.rmtree(root)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_of_an_xrootd_server(xrootd):
    folder, url = xrootd
    path = write_tree(folder / "a.root", plain(200))
    path.chmod(0o644)
    assert_same(f"{url}{path}", path)
