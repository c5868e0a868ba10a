# SPDX-License-Identifier: BSD-3-Clause
"""The command: what it prints, its exit code, and that it leaves nothing half-written."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uproot
from helpers.command import process_command, run_command
from helpers.files.root_files import plain, write_tree
from helpers.models.tiny_model import write_tiny_model

from fastcalo.cli.commands import own_commands
from fastcalo.event.events import Reason
from fastcalo.io.showers.native import ShowerFile
from fastcalo.system.install import install_line

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo" / "events.root"
SHOWERS = ROOT / "examples" / "data" / "em_geant4.h5"


def start_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    environment = {**os.environ, **environment}
    return subprocess.run(
        process_command(*arguments), env=environment, timeout=100, check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


# help


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from fastcalo.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as done:\n    assert done.code == 0\n"
        "heavy = {'torch', 'onnxruntime', 'uproot', 'awkward', 'h5py', 'mpi4py', 'numpy', 'rich.console'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")
    for subcommand in own_commands().values():
        assert re.search(rf"{subcommand.name} +{re.escape(subcommand.summary)}", done.stdout)


def test_version():
    from fastcalo import __version__

    assert start_command("--version").stdout == f"fastcalo {__version__}\n"


# convert


def test_convert_prints_what_it_found_and_did(tmp_path, tiny_model):
    out, summary = tmp_path / "hits.root", tmp_path / "summary.json"
    arguments = [
        "--model",
        tiny_model,
        "--seed",
        7,
        "--chunk",
        40,
        "--workers",
        2,
        "--threads",
        1,
        "--summary",
        summary,
    ]
    done = run_command("convert", DEMO, "-o", out, "--rejected", tmp_path / "rejected.root", *arguments)
    assert done.returncode == 0, done.stderr
    # no progress bar where there is no terminal
    assert done.stderr == ""
    written_summary = json.loads(summary.read_text())
    assert written_summary["events"] == 300
    assert re.search(r"schema +EDM4hep", done.stdout)
    for reason in Reason:
        counts = written_summary["reasons"][reason.name.lower()]
        line = re.search(rf"{re.escape(reason.text)} +│ +(\d+) │ +([\d.]+) │", done.stdout)
        assert bool(line) == bool(counts["count"])
        if line:
            assert int(line[1]) == counts["count"]
            assert float(line[2]) == pytest.approx(counts["energy"], abs=1e-3)
    assert "300 events in" in done.stdout
    with uproot.open(out) as file:
        assert file["Events"].num_entries == 300
        assert json.loads(str(file["fastcalo_provenance"]))["seed"] == 7


def test_convert_takes_names_of_branches(tmp_path, tiny_model):
    columns = plain(10)
    names = {"pdg": "code", "px": "a", "py": "b", "pz": "c"}
    source = write_tree(tmp_path / "in.root", {names.get(name, name): values for name, values in columns.items()})
    toml = tmp_path / "schema.toml"
    toml.write_text('[schema]\npx = "a"\npy = "b"\nunits = { momentum = "MeV" }\n')
    options = ["--model", tiny_model, "--schema", toml, "--tree", "events", "--branch", "pdg=code", "--branch", "pz=c"]
    done = run_command("convert", source, "-o", tmp_path / "hits.root", *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"momentum +a, b, c \[MeV, by the user\]", done.stdout)


def test_a_progress_bar_on_a_terminal(tmp_path, tiny_model):
    ours, its = pty.openpty()
    arguments = process_command("convert", DEMO, "-o", tmp_path / "hits.root", "--model", tiny_model, "--chunk", 20)
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=its, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(its)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:
            # Linux reports so that the other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"events" in seen
    assert b"/300" in seen


# errors


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Usage: fastcalo"),
        ("convrt", "No such command 'convrt'"),
        ("convert {demo}", "Missing option"),
        ("convert {demo} -o {out} --workers 0", "--workers"),
        ("convert {demo} -o {out} --colour red", "No such option"),
        ("convert {demo} -o {out} --branch pdg", "'pdg' is not of the form ROLE=NAME"),
        ("convert {demo} -o {out} --branch pgd=x", "'pgd' is nothing that a branch can stand for"),
        ("convert {demo} -o {out} --engine warp", "--engine"),
        # before the input is looked at
        ("convert none.root -o {out} --engine geant4 --model em", "is for the fast engine"),
        ("convert none.root -o {out} --final-status one", "is no list of whole numbers"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path, line, message):
    done = run_command(*shlex.split(line.format(demo=DEMO, out=tmp_path / "hits.root")))
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert {here}/none.root -o {out}", "none.root: no such file"),
        ("convert {here}/text.root -o {out}", "text.root: is not a ROOT file"),
        ("convert {here}/empty.root -o {out}", "empty.root: is empty"),
        ("convert {here}/cut.root -o {out}", "cut.root: is cut short"),
        ("convert {showers} -o {out}", "is not a ROOT file"),
        ("convert {demo} -o {out} --tree evnts", "has no tree 'evnts'; there is only ['events']"),
        ("convert {demo} -o {out} --branch pdg=pgd", "has no branch 'pgd'"),
        ("convert {demo} -o {out} --schema {here}/none.toml", "none.toml: cannot be read: No such file"),
        ("convert {demo} -o {out} --schema {here}/bad.toml", "schema.pgd: unknown key; the nearest known one is 'pdg'"),
        ("convert {demo} -o {out} --model nonesuch", "no model 'nonesuch'"),
        ("convert {demo} -o {out} --detector nonesuch", "nonesuch"),
        ("convert {demo} -o {out} --model {here}/text.root", "text.root"),
        ("convert {demo} -o {out} --model {here}/other.onnx", "clause 'stack'"),
        ("convert {demo} -o {here}/text.root --model {tiny}", "exists already"),
        ("convert {demo} -o {here}/none/hits.root --model {tiny}", "there is no folder"),
        # options are checked before the input is looked at
        ("convert {here}/none.root -o {here}/none/hits.root", "there is no folder"),
        ("convert {here}/none.root -o {out} --summary {here}/none/x.json", "there is no folder"),
        ("convert {here}/none.root -o {out} --model nonesuch", "no model 'nonesuch'"),
        ("convert {here}/none.root -o {out} --detector nonesuch", "nonesuch"),
        ("compare {here}/none.root {here}/none.root --limits {here}/bad.toml", "bad.toml"),
        ("inspect {here}/none.root", "no such file, nor a shipped detector ['clic-like']"),
        ("inspect {here}/text.root", "is no ROOT, Parquet, HDF5, ONNX (.onnx) or TOML (.toml) file"),
        ("inspect {here}/cut.root", "is cut short"),
        ("inspect {here}/bad.toml", "bad.toml"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_and_ends_with_1(tmp_path, tiny_model, line, message):
    (tmp_path / "text.root").write_text("some text")
    (tmp_path / "empty.root").touch()
    (tmp_path / "cut.root").write_bytes(DEMO.read_bytes()[:50_000])
    (tmp_path / "bad.toml").write_text("[schema]\npgd = 'x'\n")
    write_tiny_model(tmp_path / "other.onnx", stack_hash="0" * 64)
    before = sorted(tmp_path.iterdir())
    words = {"here": tmp_path, "demo": DEMO, "showers": SHOWERS, "out": tmp_path / "hits.root", "tiny": tiny_model}
    done = run_command(*shlex.split(line.format(**words)))
    assert done.returncode == 1
    assert done.stderr.startswith("fastcalo: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_debugging_shows_the_traceback(tmp_path):
    done = start_command("convert", tmp_path / "none.root", "-o", tmp_path / "hits.root", FASTCALO_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "InputError" in done.stderr


def test_a_missing_library_names_its_extra(tmp_path):
    # a module that cannot be imported, in front of the true one
    (tmp_path / "onnxruntime.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnxruntime'\", name='onnxruntime')"
    )
    path = f"{tmp_path}:{ROOT}"
    done = start_command("convert", DEMO, "-o", tmp_path / "hits.root", PYTHONPATH=path)
    assert done.returncode == 1
    assert install_line("cpu") in done.stderr
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = start_command("train", ROOT / "configs" / "em.toml", PYTHONPATH=path)
    assert done.returncode == 1
    assert f"'fastcalo train' needs torch, which is not installed: {install_line('train')}" in done.stderr


# interruptions


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing(tmp_path, tiny_model, number, code, workers):
    options = ["--model", tiny_model, "--chunk", 20, "--workers", workers]
    arguments = process_command("convert", *[DEMO] * 40, "-o", tmp_path / "hits.root", *options)
    # as a user runs it: where a signal falls between the opening of an input and its entry into a with statement, the
    # file is closed by the collector, which only -W error makes a noise of
    del arguments[1:3]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 60
        # some of the hits are written
        while not any(path.stat().st_size > 10_000 for path in tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the starting of processes is read from /proc")
@pytest.mark.parametrize("processes", [2, 3])
def test_an_interrupt_while_workers_start_leaves_no_error(tmp_path, tiny_model, processes):
    """Ctrl-C reaches the workers, too: when the first of them has just been started, or the second."""
    options = ["--model", tiny_model, "--chunk", 20, "--workers", 2]
    arguments = process_command("convert", *[DEMO] * 3, "-o", tmp_path / "hits.root", *options)
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        # one of them is the resource tracker of multiprocessing
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        limit = time.monotonic() + 60
        while len(children.read_text().split()) < processes:
            assert process.poll() is None
            assert time.monotonic() < limit
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


SIGNAL_IN_A_DESTRUCTOR = """
import os, sys, time
from fastcalo.cli.signals import end_by_exceptions

class Held:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(60)

end_by_exceptions()
try:
    Held()
    time.sleep(60)
finally:
    print("files are removed")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_in_a_destructor_is_not_lost(number, code):
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_IN_A_DESTRUCTOR, str(int(number))],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout == "files are removed\n"
    assert "Exception ignored" not in done.stderr
    assert done.returncode == code


SIGNAL_AT_THE_END = """
import os, sys
from fastcalo.cli.signals import end_by_exceptions

end_by_exceptions()
os.set_blocking(1, False)
try:
    while os.write(1, b"x" * 4096):
        pass
except BlockingIOError:
    os.set_blocking(1, True)
sys.stdout.write("the last words are waiting until the pipe is read")
sys.stderr.write("done")
sys.stderr.flush()
"""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_at_the_very_end_do_not_hold_it_up(number, times):
    arguments, buffered = [sys.executable, "-c", SIGNAL_AT_THE_END], os.environ | {"PYTHONUNBUFFERED": ""}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        assert process.stderr.read(4) == b"done"
        for _ in range(times):
            time.sleep(0.5)
            process.send_signal(number)
        time.sleep(0.5)
        try:
            process.communicate(timeout=20)
        finally:
            process.kill()
    # the last words were written, were not, or the handlers were gone already
    assert process.returncode in (0, 120, -number)


def test_a_full_disk_is_reported(tmp_path, tiny_model):
    arguments = shlex.join(process_command("convert", DEMO, "-o", tmp_path / "hits.root", "--model", tiny_model))
    done = subprocess.run(["bash", "-c", f"ulimit -f 100; {arguments}"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"fastcalo: error: {tmp_path}/hits.root: cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


# inspect


def test_inspect_describes_everything(tmp_path, tiny_model):
    hits = tmp_path / "hits.root"
    assert run_command("convert", DEMO, "-o", hits, "--model", tiny_model, "--seed", 42).returncode == 0
    toml = ROOT / "fastcalo" / "detector" / "clic-like.toml"
    rntuple = ROOT / "tests" / "data" / "edm4hep_rntuple.root"
    done = run_command("inspect", hits, DEMO, rntuple, SHOWERS, toml, "clic-like", tiny_model)
    assert done.returncode == 0, done.stderr
    for pattern in (
        rf"ROOT file {hits}",
        r"entries +300\n",
        r"seed +42\n",
        r"simulated +\d+, [\d.]+ GeV",
        r"RNTuple events",
        r"schema +EDM4hep",
        r"showers +1200\n",
        r"species +-11, 11, 22\n",
        r"ECAL +window 25 x 25 x 25",
        r"Detector clic-like",
        r"field +4 T along z",
        rf"Model {tiny_model}",
        r"kinetic energy +0.1 to 100 GeV",
    ):
        assert re.search(pattern, re.sub(r" +\n", "\n", done.stdout)), pattern


def test_inspect_refuses_a_damaged_shower_file(tmp_path):
    path = tmp_path / "cut.h5"
    path.write_bytes(SHOWERS.read_bytes()[:100_000])
    done = run_command("inspect", path)
    assert done.returncode == 1
    assert "cut.h5: the file cannot be read as HDF5" in done.stderr
    with ShowerFile(SHOWERS) as showers:
        assert len(showers) == 1200
