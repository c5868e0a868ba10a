# SPDX-License-Identifier: BSD-3-Clause
"""Levels of the folders: each imports only from folders below it, and no modules import each other in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 15
"""Largest number of modules, and of sub-folders, in one folder."""

# From below to above. A name is that of a folder, without its sub-folders, or of a module that stands in the root of
# a level (fastcalo, training): there are modules of all heights.
ORDER = (
    "_version",
    "errors",
    "system",
    "display",
    "particles",
    "event",
    "config",
    "detector",
    "io",
    "io.event_streams",
    "io.podio",
    "io.particles",
    "io.truth",
    "io.hits",
    "io.hits.edm4hep",
    "io.hits.any_format",
    "io.showers",
    "model",
    "simulation",
    "fullsim",
    "production",
    "production.parts",
    "validation",
    "validation.hits",
    "validation.showers",
    "cli",
    # training
    "training",
    "training.registry",
    "training.config",
    "training.random_numbers",
    "training.exchange",
    "training.data",
    "training.architectures",
    "training.architectures.dense_gan",
    "training.architectures.hit_lists",
    "training.architectures.hits",
    "training.architectures.showers",
    "training.run",
    "training.stages",
    "training.distributed",
    "training.distributed.synchronous",
    "training.distributed.asynchronous",
    "training.strategies",
    "training.trainer",
    "training.api",
    "training.scaling",
    "training.diagnostics",
    "training.tune",
    "training.tune.optimisers",
    "training.tune.study",
    "training.tune.report",
    "training.tune.running",
    "training.cli",
    # export
    "export",
    "export.hits",
    "export.showers",
    "integration",
    "integration.geant4",
    # what a user imports or starts: it leads to everything
    "",
    "__main__",
)


@cache
def modules() -> dict[str, Path]:
    """All modules of the package by their names without ``fastcalo.``, through the links to the upper levels."""
    package = ROOT / "fastcalo"
    found = {}
    for folder in [package, *(package / name for name in ("training", "export", "integration"))]:
        # a link is not followed by rglob, but may be where it starts
        for path in folder.rglob("*.py"):
            # a script beside sources in another language is no module
            if not (path.parent / "__init__.py").is_file():
                continue
            parts = path.relative_to(package).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def place_of(module: str) -> str:
    """The entry of `ORDER` that a module belongs to: its own, or that of its folder."""
    if module in ORDER or modules()[module].name == "__init__.py":
        return module
    return module.rpartition(".")[0]


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports anywhere: in functions and for type checking too."""
    path, found = modules()[module], set()
    parts = ["fastcalo", *module.split(".")] if module else ["fastcalo"]
    package = parts if path.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [(origin, alias.name) for alias in node.names]
        for origin, name in names:
            if origin != "fastcalo" and not origin.startswith("fastcalo."):
                continue
            inside = origin.removeprefix("fastcalo").removeprefix(".")
            member = f"{inside}.{name}".strip(".")
            target = member if name and member in modules() else inside
            assert target in modules(), f"{module} imports {origin}, which does not exist"
            found.add(target)
    return found - {module}


@cache
def graph() -> dict[str, set[str]]:
    return {module: imports_of(module) for module in modules()}


def test_the_imports_are_found():
    # at the head of a module, inside a function, relative and absolute
    assert {"errors", "detector.description"} <= graph()["simulation.fast"]
    assert {"production.convert", "model.shower_model"} <= graph()["cli.convert"]
    assert {"cli.output", "training.api", "training.distributed.world"} <= graph()["training.cli.train"]
    assert sum(map(len, graph().values())) > 500


def test_every_folder_has_its_place():
    places = {place_of(module) for module in modules()}
    assert sorted(places - set(ORDER)) == []
    assert sorted(set(ORDER) - places) == []
    assert len(set(ORDER)) == len(ORDER)


def test_folders_import_from_folders_below_them_only():
    rank = {name: k for k, name in enumerate(ORDER)}
    upward = [
        f"{place_of(module)} is below {place_of(other)}, but {module} imports {other}"
        for module, others in graph().items()
        for other in others
        if rank[place_of(module)] < rank[place_of(other)]
    ]
    assert sorted(upward) == []


def test_the_upper_levels_are_above_the_runtime():
    tops = [name.partition(".")[0] for name in ORDER]
    levels = [top if top in ("training", "export", "integration") else "fastcalo" for top in tops[:-2]]
    assert list(dict.fromkeys(levels)) == ["fastcalo", "training", "export", "integration"]
    assert levels == sorted(levels, key=["fastcalo", "training", "export", "integration"].index)


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_folder_is_too_full():
    full = {}
    for module, path in modules().items():
        if path.name == "__init__.py":
            files = [p for p in path.parent.iterdir() if p.suffix == ".py" and p.name != "__init__.py"]
            folders = [p for p in path.parent.iterdir() if (p / "__init__.py").is_file()]
            if max(len(files), len(folders)) > MOST:
                full[module] = len(files), len(folders)
    assert full == {}


@pytest.mark.parametrize("code", ["training", "training.config", "export", "export.exporter", "integration"])
def test_an_upper_level_under_its_bare_name_is_refused_in_one_sentence(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import {code}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    name = code.partition(".")[0]
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"fastcalo.errors.PackageNameError: {name} is a part of fastcalo: import fastcalo.{name} instead"
    )
    assert subprocess.run([sys.executable, "-c", f"import fastcalo.{name}"], cwd=ROOT, check=False).returncode == 0


def test_the_refusal_is_an_import_error_and_one_of_fastcalo():
    from fastcalo.errors import FastCaloError, PackageNameError

    assert issubclass(PackageNameError, ImportError)
    assert issubclass(PackageNameError, FastCaloError)
