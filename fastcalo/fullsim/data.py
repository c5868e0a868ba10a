# SPDX-License-Identifier: BSD-3-Clause
"""Location of Geant4's physics data, found before Geant4 starts.

On import geant4-pybind looks for its data sets. Where one is missing it asks at the terminal whether to download it,
or downloads it unasked if the variable CI is set: a program without a terminal would wait for ever, or for gigabytes.
Where GEANT4_DATA_DIR is set it does neither. So its processes always get that, and the path of each data set.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import Geant4DataError, MissingDependencyError
from ..system.install import install_line

_ROOT = "GEANT4_DATA_DIR"

# what the reference physics lists cannot do without: variable, and what the folder's name begins with
_NEEDED = {
    "G4LEDATA": "G4EMLOW",
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE",
    "G4LEVELGAMMADATA": "PhotonEvaporation",
    "G4PARTICLEXSDATA": "G4PARTICLEXS",
    "G4SAIDXSDATA": "G4SAIDDATA",
}


def find_data() -> dict[str, Path]:
    """Find the data sets that Geant4 needs.

    Returns
    -------
    dict of str to Path
        By the environment variable that points Geant4 to it. ``GEANT4_DATA_DIR`` is the first.

    Raises
    ------
    MissingDependencyError
        geant4-pybind is not installed.
    Geant4DataError
        A data set is missing.
    """
    if find_spec("geant4_pybind") is None:
        raise MissingDependencyError(f"full simulation needs geant4-pybind: {install_line('geant4')}")
    root = Path(os.environ.get(_ROOT) or Path.home() / ".geant4_pybind")
    problems = []
    if os.environ.get(_ROOT) and not root.is_dir():
        problems.append(f"{_ROOT} points to {root}, which is no folder")
    found = {}
    for variable, name in _NEEDED.items():
        path, problem = _find(variable, name, root)
        if path is None:
            problems.append(problem)
        else:
            found[variable] = path
    if problems:
        raise Geant4DataError("\n  ".join(["Geant4's physics data are missing:", *problems]) + "\n" + _remedy())
    return {_ROOT: root if root.is_dir() else found["G4LEDATA"].parent, **found}


def _find(variable: str, name: str, root: Path) -> tuple[Path | None, str]:
    if value := os.environ.get(variable):
        path = Path(value)
        return (path, "") if path.is_dir() else (None, f"{variable} points to {path}, which is no folder")
    folders = sorted(path for path in root.glob(f"{name}[0-9]*") if path.is_dir())
    return (folders[-1], "") if folders else (None, f"{variable} is not set, and there is no {name}* in {root}")


def _remedy() -> str:
    variables = " ".join(f"-u {name}" for name in (_ROOT, *_NEEDED) if name in os.environ)
    command = f"{sys.executable} -c 'import geant4_pybind'"
    if variables:
        command = f"env {variables} {command}"
    return (
        f"geant4-pybind downloads them (some gigabytes, to ~/.geant4_pybind): run\n  {command}\nand answer y. "
        f"Or point {_ROOT} to the data of a Geant4 that is installed already."
    )
