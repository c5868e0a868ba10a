# SPDX-License-Identifier: BSD-3-Clause
"""The C++ library, built once for all tests that use it."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import fastcalo
from fastcalo.model.native_library import LIBRARY

SOURCES = Path(__file__).parents[2] / "integration" / "cpp"
MODELS = Path(fastcalo.__file__).parent / "model"


def run_command(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def run():
    return run_command


@pytest.fixture(scope="session")
def onnxruntime_library():
    folder = Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    return next(iter(sorted(folder.glob("libonnxruntime.*"))))


@pytest.fixture(scope="session")
def built(tmp_path_factory, onnxruntime_library):
    """Folder in which the library and its tests are built; skips where that cannot be.

    While one works on them, FASTCALO_CPP_BUILD names a folder that was built before.
    """
    if os.environ.get("FASTCALO_CPP_BUILD"):
        return Path(os.environ["FASTCALO_CPP_BUILD"])
    if shutil.which("cmake") is None or not any(shutil.which(c) for c in ("c++", "g++", "clang++")):
        pytest.skip("needs cmake and a C++ compiler: pip install cmake, apt-get install g++")
    build = tmp_path_factory.mktemp("cpp") / "build"
    run_command(
        "cmake", "-S", SOURCES, "-B", build, f"-DFASTCALO_ONNXRUNTIME_LIBRARY={onnxruntime_library}",
        f"-DFASTCALO_MODELS={MODELS}", "-DFASTCALO_WARNINGS_AS_ERRORS=ON",
        # several sources compiled as one take half of the time: most of it goes to the standard library's headers
        "-DCMAKE_UNITY_BUILD=ON",
    )  # fmt: skip
    run_command("cmake", "--build", build, "--parallel", 2)
    return build


@pytest.fixture
def library(built, monkeypatch):
    """The library, with which Python draws, too."""
    found = next(p for p in (built / "src").glob("libfastcalo.*") if p.suffix in (".so", ".dylib"))
    monkeypatch.setenv(LIBRARY, str(found))
    return found
