# SPDX-License-Identifier: BSD-3-Clause
"""Makes what find_package(Geant4) finds, of Geant4's source tree and the library that geant4-pybind carries.

``python geant4_prefix.py SOURCE PREFIX``: wheels have no headers, and source trees no libraries. SOURCE is the folder
of a Geant4 source tree of the same version as the wheel's, PREFIX is made. What the linker of the wheel left out is
compiled with the program that uses it.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

CONFIGURED = {
    "G4GlobalConfig.hh": "#pragma once\n#define G4MULTITHREADED\n#define G4_STORE_TRAJECTORY\n#define G4VERBOSE\n",
    "G4GeomConfig.hh": "#pragma once\n",
    "PTL/Config.hh": "#pragma once\n",
}
LEFT_OUT = ("G4VFastSimulationModel.cc", "G4VUserActionInitialization.cc")

# a virtual function that the first patch of 11.4 put in between; without it all calls behind it go astray
ADDED = ("G4RunManager.hh", "    virtual void InitializeGeometry();\n", "    virtual void GeometryOptimisation();\n")

CONFIG = """\
set(Geant4_VERSION {version})
set(Geant4_FOUND TRUE)
set(Geant4_INCLUDE_DIRS "{prefix}/include/Geant4")
set(Geant4_DEFINITIONS G4MULTITHREADED)
if(NOT TARGET Geant4::wheel)
  add_library(Geant4::wheel SHARED IMPORTED)
  set_target_properties(Geant4::wheel PROPERTIES IMPORTED_LOCATION "{library}")
  add_library(Geant4_left_out STATIC {sources})
  target_include_directories(Geant4_left_out PRIVATE ${{Geant4_INCLUDE_DIRS}})
  target_compile_features(Geant4_left_out PRIVATE cxx_std_17)
  set_target_properties(Geant4_left_out PROPERTIES POSITION_INDEPENDENT_CODE ON)
endif()
set(
  Geant4_LIBRARIES
  $<BUILD_INTERFACE:Geant4_left_out> Geant4::wheel "{python}" -Wl,--unresolved-symbols=ignore-in-shared-libs
)
"""

CONFIG_VERSION = """\
set(PACKAGE_VERSION {version})
if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
"""


def wheel_library() -> Path | None:
    """The library of geant4-pybind, where it is installed."""
    found = importlib.util.find_spec("geant4_pybind")
    return Path(found.origin) if found is not None and found.origin else None


def python_library() -> Path | None:
    """Python's own shared library, which the wheel's refers to."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY")
    path = Path(folder or "") / (name or "")
    return path if path.suffix != ".a" and path.is_file() else None


def make_prefix(source: Path, prefix: Path) -> None:
    """Copy the headers, and write what CMake reads."""
    library, python = wheel_library(), python_library()
    if library is None or python is None:
        raise FileNotFoundError("needs geant4-pybind, and a Python with a shared library")
    headers, config = prefix / "include" / "Geant4", prefix / "lib" / "cmake" / "Geant4"
    headers.mkdir(parents=True)
    config.mkdir(parents=True)
    for path in source.rglob("include/**/*"):
        if path.suffix in (".hh", ".icc", ".h", ".hpp") and path.is_file():
            shutil.copy(path, headers / path.name)
    for name in ("CLHEP", "PTL"):
        folder = next(p for p in source.rglob(name) if p.is_dir() and any(p.rglob("*.h*")))
        shutil.copytree(folder, headers / name)
    for name, text in CONFIGURED.items():
        (headers / name).write_text(text)
    name, line, added = ADDED
    text = (headers / name).read_text()
    if added not in text:
        (headers / name).write_text(text.replace(line, line + added))
    sources = " ".join(str(next(source.rglob(name))) for name in LEFT_OUT)
    values = {"version": "11.4.0", "prefix": prefix, "library": library, "python": python, "sources": sources}
    (config / "Geant4Config.cmake").write_text(CONFIG.format(**values))
    (config / "Geant4ConfigVersion.cmake").write_text(CONFIG_VERSION.format(**values))


if __name__ == "__main__":
    make_prefix(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
