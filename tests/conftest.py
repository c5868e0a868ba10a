# SPDX-License-Identifier: BSD-3-Clause
"""What all tests have in common: their threads, markers with what they need, and files and engines that many use."""

import importlib.util
import os
from pathlib import Path

import pytest
from helpers.mpi import MPIEXEC, end_started
from hypothesis import settings

# before a library reads them: the matrices of tests are small, and several processes test beside each other
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# the first example may have to load a library, and the machine may be busy: time is for pytest's own limit to watch
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


# seconds of a processor on one machine; what is missing takes less than a minute
LONGEST = {
    "mpi": 700, "integration": 150, "geant4": 120, "test_examples": 70, "test_validation_report": 50, "test_cli": 40,
}  # fmt: skip
"""Groups of tests that take long: they begin first, so that no process has one to do when the others have done all."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a pytest with which pytest-xdist silently distributes tests one by one (9.2, with xdist 3.8)."""
    # xdist puts a test's group behind this name, and distributes by what stands there
    if getattr(config.option, "dist", "no") == "loadgroup" and not hasattr(pytest.Item, "_nodeid"):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} and pytest-xdist would tear apart tests that belong together: "
            "pip install --constraint constraints.txt pytest pytest-xdist"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests of Geant4, and keep together, in one of several processes, what shares a file's fixtures or Geant4.

    The order is that in which the groups begin.

    So are the tests that start ranks: two jobs of several ranks at the same time would take each other's processors.
    """
    for item in items:
        folder = item.path.parent.name
        if folder == "geant4":
            item.add_marker(pytest.mark.geant4)
        if config.pluginmanager.hasplugin("xdist"):
            mpi = "mpi" if item.get_closest_marker("mpi") else None
            # one start of Geant4, one build of the C++ library
            group = mpi or (folder if folder in ("geant4", "integration") else item.path.stem)
            item.add_marker(pytest.mark.xdist_group(group))
    if config.pluginmanager.hasplugin("xdist"):
        items.sort(key=lambda item: -LONGEST.get(item.get_closest_marker("xdist_group").args[0], 0))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a library that is not there."""
    if item.get_closest_marker("mpi") and not MPIEXEC.exists():
        pytest.skip("needs MPI in this environment: pip install mpich")
    if item.get_closest_marker("root") and importlib.util.find_spec("ROOT") is None:
        pytest.skip("needs ROOT: pip install --pre root")


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    end_started()


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Folder with 120 real showers in two files, ``a.h5`` and ``b.h5``; not to be changed."""
    from helpers.files.shower_files import write_real

    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 70)
    write_real(folder / "b.h5", 50, start=500)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """Folder of a finished training of ``arch = "hits"``, of a few steps only; not to be changed."""
    from helpers.trainings.tiny_training import tiny_config, write_data

    from fastcalo.training.trainer import run_stages as train

    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config(write_data(tmp_path_factory.mktemp("data"))), run)
    return run


@pytest.fixture(scope="session")
def hadron_run(tmp_path_factory) -> Path:
    """As `tiny_run`, of hadrons in both sections."""
    from helpers.trainings.tiny_training import hadron_config

    from fastcalo.training.trainer import run_stages as train

    run = tmp_path_factory.mktemp("runs") / "hadrons"
    train(hadron_config(), run)
    return run


@pytest.fixture(scope="session")
def geant4():
    """Full simulation of the default detector in two processes, shared by all tests, for Geant4 takes time to start."""
    from helpers.geant4.full_simulation import skip_without_geant4

    from fastcalo import Geant4Simulation, load_detector

    skip_without_geant4()
    with Geant4Simulation(load_detector(), workers=2) as engine:
        yield engine
