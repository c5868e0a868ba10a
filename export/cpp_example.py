# SPDX-License-Identifier: BSD-3-Clause
"""Writing of a CMake project that simulates events in C++ with a given model."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastcalo.errors import OutputError
from fastcalo.model import shower_model

_PROJECT = Path(shower_model.__file__).parents[1] / "integration" / "cpp" / "examples" / "standalone"
_FILES = ("CMakeLists.txt", "simulate.cpp")
_TEST = """
# ctest --test-dir build
enable_testing()
add_test(NAME simulate COMMAND simulate ${{CMAKE_CURRENT_SOURCE_DIR}}/{model})
"""
_README = """\
# {name} in C++

One event, simulated with `{model}` in detector clic-like. Build and install the C++ library of fastcalo first: its
sources are in `integration/cpp` of the repository, and in `fastcalo/integration/cpp` of the Python package.

    cmake -S . -B build -DCMAKE_PREFIX_PATH=/where/fastcalo/is
    cmake --build build
    build/simulate {model}
"""


def write_cpp_example(model: str | Path, folder: str | Path) -> list[Path]:
    """Write a project that compiles against the installed C++ library: sources, the model, and how to build it.

    Parameters
    ----------
    model : str or Path
        File of a model, or the name of a shipped one.
    folder : str or Path
        Is made; must be empty if it exists.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError, ContractError
        There is no such model, or it is damaged.
    OutputError
        The folder has files in it, or cannot be written.
    """
    loaded, target = shower_model.load_model(model), Path(folder)
    name = Path(loaded.path).name
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise OutputError(f"{target}: is not empty; name another folder for the C++ example")
        for file in _FILES:
            shutil.copyfile(_PROJECT / file, target / file)
        shutil.copyfile(loaded.path, target / name)
        with (target / "CMakeLists.txt").open("a") as cmake:
            cmake.write(_TEST.format(model=name))
        (target / "README.md").write_text(_README.format(name=Path(name).stem, model=name))
    except OSError as error:
        raise OutputError(f"{target}: the C++ example cannot be written: {error}") from error
    return [target / file for file in (*_FILES, name, "README.md")]
