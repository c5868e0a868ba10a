# SPDX-License-Identifier: BSD-3-Clause
"""The package as a user gets it: what it brings along, and what it is made of."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from fastcalo.system.install import install_line

ROOT = Path(__file__).parents[2]
UPPER = ("training", "export", "integration")
# libraries that only the upper folders may use; a runtime with one of them is no longer a light one
HEAVY = ("onnx", "skopt")
# and those that the runtime uses in one place only, when that is called (the network that judges hits is of torch)
PLACES = {"sklearn": "validation", "torch": "network.py", "mpi4py": "executors.py"}


def runtime_modules() -> list[Path]:
    # the one command serves all levels: its sub-commands load what is above when they are called
    elsewhere = {*UPPER, "cli"}
    return [path for path in (ROOT / "fastcalo").rglob("*.py") if not set(path.parts) & elsewhere]


def imports_of(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports anywhere, those inside the package spelt out."""
    names: set[str] = set()
    package = ("fastcalo", *path.relative_to(ROOT / "fastcalo").parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def run(code: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)


@pytest.mark.parametrize("library", ["torch", "mpi4py"])
def test_importing_fastcalo_brings_in_neither_torch_nor_mpi(library: str) -> None:
    assert importlib.util.find_spec(library), "its absence would mean nothing where it is not installed"
    assert run(f"import sys, fastcalo; print({library!r} in sys.modules)").strip() == "False"


def test_importing_fastcalo_loads_no_package_but_the_lazy_loader() -> None:
    """An import takes a moment only as long as what the names need is loaded when they are used."""
    loaded = run("import sys; before = {*sys.modules}; import fastcalo; print(*{*sys.modules} - before)").split()
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names == {"fastcalo", "lazy_loader"}


@pytest.mark.parametrize("path", runtime_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_runtime_uses_no_folder_above_it(path: Path) -> None:
    elsewhere = [library for library, place in PLACES.items() if place not in path.parts]
    banned = (*(f"fastcalo.{folder}" for folder in UPPER), *HEAVY, *elsewhere)
    assert not [name for name in imports_of(path) if any(f"{name}.".startswith(f"{b}.") for b in banned)]


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    # of Python only: tests/integration compiles
    subprocess.run(command, cwd=source, check=True, capture_output=True, env={**os.environ, "FASTCALO_PURE": "1"})
    return next(target.glob("fastcalo-*"))


def assert_whole(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    python = {str(path.relative_to(ROOT)) for path in (ROOT / "fastcalo").glob("**/*.py")}
    for folder in UPPER:
        python |= {f"fastcalo/{path.relative_to(ROOT)}" for path in (ROOT / folder).glob("**/*.py")}
    assert python | {f"fastcalo/{name}" for name in ("py.typed", "detector/clic-like.toml", "model/em.onnx")} <= names
    assert {f"fastcalo/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml")} <= names
    assert all(name.startswith(("fastcalo/", "fastcalo-")) for name in names)


def test_a_wheel_holds_every_folder_and_what_they_read(tmp_path: Path) -> None:
    assert_whole(build("wheel", ROOT, tmp_path))


def test_a_wheel_made_of_an_sdist_is_whole_too(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    unpacked = next((tmp_path / "source").iterdir())
    assert_whole(build("wheel", unpacked, tmp_path / "wheel"))


def test_the_version_is_stated_once_and_cited_right() -> None:
    import fastcalo

    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited.group(1) == fastcalo.__version__


def test_only_the_extras_cpu_and_gpu_bring_onnx_runtime():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    naming = {name for name, needs in extras.items() if any(need.startswith("onnxruntime") for need in needs)}
    assert naming == {"cpu", "gpu"}
    # what makes, draws and checks models works with either
    for name in ("train", "export", "validate", "tune", "plot"):
        assert not any(extra in need for need in extras[name] for extra in ("cpu", "gpu")), name


@pytest.mark.parametrize(
    ("url", "details", "line"),
    [
        ("{folder}/dist/fastcalo-1-py3-none-any.whl", {"archive_info": {}}, "pip install '{url}[cpu,train]'"),
        ("{folder}/a clone", {"dir_info": {"editable": True}}, "pip install -e '{url}[cpu,train]'"),
        ("{folder}/a clone", {"dir_info": {}}, "pip install '{url}[cpu,train]'"),
        ("{folder}/gone.whl", {"archive_info": {}}, "pip install 'fastcalo[cpu,train]'"),
        (None, {}, "pip install 'fastcalo[cpu,train]'"),
    ],
    ids=["wheel", "editable", "folder", "gone", "index"],
)
def test_what_is_missing_is_installed_from_where_fastcalo_is_from(tmp_path, monkeypatch, url, details, line):
    (tmp_path / "a clone").mkdir()
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "fastcalo-1-py3-none-any.whl").touch()
    # what pip leaves behind of an installed distribution
    place = tmp_path / "site" / "fastcalo-1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: fastcalo\nVersion: 1\n")
    if url is not None:
        path = Path(url.format(folder=tmp_path))
        (place / "direct_url.json").write_text(json.dumps({"url": path.as_uri(), **details}))
        line = line.format(url=path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert install_line("cpu", "train") == line
