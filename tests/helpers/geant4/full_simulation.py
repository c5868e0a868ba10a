# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures and helpers of tests of full simulation."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fastcalo.detector.description import Detector, load_detector, parse_detector
from fastcalo.errors import Geant4DataError, MissingDependencyError
from fastcalo.fullsim.data import find_data
from fastcalo.fullsim.shots import Shots

VARIABLES = (
    "GEANT4_DATA_DIR", "G4LEDATA", "G4ENSDFSTATEDATA", "G4LEVELGAMMADATA", "G4PARTICLEXSDATA", "G4SAIDXSDATA",
)  # fmt: skip


def skip_without_geant4() -> None:
    try:
        find_data()
    except (MissingDependencyError, Geant4DataError) as error:
        pytest.skip(f"needs Geant4: {str(error).splitlines()[0]}")


def detector_with(**values: object) -> Detector:
    """The default detector with some keys changed, given as section__ECAL__cell_mm."""
    description = copy.deepcopy(load_detector().description)
    for key, value in values.items():
        *path, last = key.split("__")
        table = description
        for part in path:
            table = table[part]
        table[last] = value
    return parse_detector(description, "changed")


def make_shots(n: int, seed: int = 0, species: Sequence[int] = (11, 22, 211, 2112), highest: float = 1.0) -> Shots:
    """Shots all over a module, up to 60 degrees."""
    rng = np.random.default_rng(seed)
    cosine, azimuth = rng.uniform(0.5, 1, n), rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    return Shots(
        number=np.arange(n) + 100,
        pdg=rng.choice(species, n),
        kinetic_energy=rng.uniform(0.1, highest, n),
        direction=np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1),
        position=rng.uniform(-1500, 1500, (n, 2)),
        seeds=rng.integers(1, 2**31 - 2, (n, 2)),
    )


def run_without_data(*arguments: object, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing leads to Geant4's data, with a standard input that would let it wait for an answer."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("G4") and k != "GEANT4_DATA_DIR"}
    reader, writer = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**environment, "HOME": str(home), **variables},
            stdin=reader,
            timeout=60,
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        os.close(reader)
        os.close(writer)
