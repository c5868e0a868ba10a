# SPDX-License-Identifier: BSD-3-Clause
"""Examples of documents and docstrings, run as a newcomer runs them."""

from __future__ import annotations

import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from helpers.command import run_command

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# trains classifiers
SLOW = {"fastcalo.validation.showers.validate"}
# documents whose commands run one after the other, as they stand; Geant4 takes minutes for these events
COMMANDS = {"README.md": "convert|inspect", "docs/hits/quickstart.md": "convert|inspect"}


def modules_with_examples() -> list[object]:
    found = []
    for folder, prefix in (("fastcalo", "fastcalo"), ("training", "fastcalo.training"), ("export", "fastcalo.export")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if ">>>" in path.read_text():
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                name = ".".join((prefix, *(part for part in parts if part != "__init__")))
                found.append(pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has what a reader of the documents has."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "events.root").symlink_to(DEMO / "events.root")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_of_docstrings_run(module: str) -> None:
    found = import_module(module)
    tests = [test for test in doctest.DocTestFinder().find(found, module) if test.examples]
    assert tests, "the examples of the file are in no docstring"
    for test in tests:
        texts: list[str] = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=texts.append)
        assert not texts, "".join(texts)


def test_every_public_function_has_an_example() -> None:
    import fastcalo

    without = [
        name
        for name in fastcalo.__all__
        if callable(value := getattr(fastcalo, name))
        and not isinstance(value, type)
        and ">>>" not in (value.__doc__ or "")
    ]
    assert without == []


def snippets(document: Path) -> list[str]:
    """Python of a document, without what stands behind a comment that states why it is not run."""
    found = re.findall(
        r"(<!-- not run: [^>]+ -->\n)?^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL
    )
    return [code for left_out, code in found if not left_out]


def documents_with_python() -> list[str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    built = ROOT / "docs" / "_build"
    return [str(path.relative_to(ROOT)) for path in paths if built not in path.parents and snippets(path)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("document", documents_with_python())
def test_commands_and_python_of_a_document_run(document: str) -> None:
    text = (ROOT / document).read_text()
    if document in COMMANDS:
        found = re.findall(rf"^\$ fastcalo ((?:{COMMANDS[document]}) .*)$", text, re.MULTILINE)
        commands = [shlex.split(line, comments=True) for line in found if "geant4" not in line]
        assert commands
        for command in commands:
            done = run_command(*command)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
    # one after the other in one namespace, as in a notebook
    names: dict[str, object] = {"__name__": "__main__"}
    for code in snippets(ROOT / document):
        exec(compile(code, document, "exec"), names)


def test_the_documents_with_examples_are_found() -> None:
    some = {"README.md", "docs/hits/quickstart.md", "docs/hits/python.md", "docs/detectors/detector.md"}
    assert some <= set(documents_with_python())
