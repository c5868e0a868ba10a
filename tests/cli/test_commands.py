# SPDX-License-Identifier: BSD-3-Clause
"""Sub-commands: each folder brings its own, and other distributions may bring more."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fastcalo.cli.commands import FOLDERS, GROUP, own_commands, plugin_commands

MODULE = '''
"""A command of another distribution."""
import sys
from fastcalo.errors import InputError

assert "torch" not in sys.modules


def command(name: str, loud: bool = False) -> None:
    """Greet a detector.

    Example:
      fastcalo greet HCAL
    """
    if name == "nobody":
        raise InputError("nobody: cannot be greeted; name a detector")
    print(f"Hello {name}{'!' * loud}")
'''
GROUP_MODULE = '''
"""Two commands under one name."""


def one() -> None:
    """Print 1."""
    print("1")


def two() -> None:
    """Print 2."""
    print("2")


commands = {"one": one, "two": two}
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution, as pip would leave it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "greetings.py").write_text(MODULE)
    (folder / "numbers_of_greetings.py").write_text(GROUP_MODULE)
    (folder / "broken_greetings.py").write_text("raise RuntimeError('out of order')\n")
    (folder / "lacking_greetings.py").write_text("import a_library_that_is_nowhere\n")
    info = folder / "fastcalo_greetings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fastcalo-greetings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\ngreet = greetings\nnumbers = numbers_of_greetings\nbroken = broken_greetings\n"
        "lacking = lacking_greetings\nconvert = greetings\n"
    )
    (info / "RECORD").write_text("")
    return folder


def fastcalo(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "fastcalo", *arguments],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_each_folder_brings_its_own_commands():
    found = [command for folder in FOLDERS for command in import_module(folder).COMMANDS]
    assert list(own_commands()) == [command.name for command in found]
    for folder in FOLDERS:
        for command in import_module(folder).COMMANDS:
            assert f"{command.module}.".startswith(f"{folder}.")
            module = import_module(command.module)
            assert callable(getattr(module, "command", None)) or module.commands


def test_help_lists_those_of_other_distributions(site):
    done = fastcalo(site, "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  greet +Greet a detector\.$", done.stdout, re.MULTILINE)
    assert re.search(r"^  numbers +Two commands under one name\.$", done.stdout, re.MULTILINE)
    assert re.search(r"^  broken +\(cannot be loaded: RuntimeError: out of order", done.stdout, re.MULTILINE)
    # and fastcalo's own first, which cannot be replaced
    assert done.stdout.index("  export ") < done.stdout.index("  broken ")
    assert re.search(r"^  convert +Turn files of particles", done.stdout, re.MULTILINE)


def test_a_command_of_another_distribution_runs(site):
    done = fastcalo(site, "greet", "HCAL", "--loud")
    assert (done.returncode, done.stdout) == (0, "Hello HCAL!\n"), done.stderr
    assert "fastcalo greet HCAL" in fastcalo(site, "greet", "--help").stdout
    done = fastcalo(site, "greet", "nobody")
    assert (done.returncode, done.stderr) == (1, "fastcalo: error: nobody: cannot be greeted; name a detector\n")
    assert fastcalo(site, "numbers", "two").stdout == "2\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "'fastcalo broken' of fastcalo-greetings cannot be loaded: RuntimeError: out of order; mend or"),
        ("lacking", "needs a_library_that_is_nowhere, which is not installed: pip install 'fastcalo-greetings'"),
    ],
)
def test_the_error_of_one_that_cannot_be_loaded_names_its_package(site, name, message):
    done = fastcalo(site, name)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_of_two_with_one_name_the_first_is_taken(monkeypatch, caplog):
    points = [EntryPoint("twice", "first_module", GROUP), EntryPoint("twice", "second_module", GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == GROUP else [])
    with caplog.at_level(logging.INFO):
        assert plugin_commands({}) == {"twice": points[0]}
    assert "'twice' of an unknown distribution is left out" in caplog.text
