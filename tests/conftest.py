from pathlib import Path

import pytest
from hypothesis import settings

# the first example may have to load a library, and the machine may be busy: time is for pytest's own limit to watch
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Folder with 120 real showers in two files, ``a.h5`` and ``b.h5``; not to be changed."""
    from helpers.shower_files import write_real

    folder = tmp_path_factory.mktemp("data")
    write_real(folder / "a.h5", 70)
    write_real(folder / "b.h5", 50, start=500)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """Folder of a finished training of ``arch = "hits"``, of a few steps only; not to be changed."""
    from helpers.tiny_training import tiny_config, write_data

    from fastcalo.training.trainer import run_stages as train

    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config(write_data(tmp_path_factory.mktemp("data"))), run)
    return run


@pytest.fixture(scope="session")
def hadron_run(tmp_path_factory) -> Path:
    """As `tiny_run`, of hadrons in both sections."""
    from helpers.tiny_training import hadron_config

    from fastcalo.training.trainer import run_stages as train

    run = tmp_path_factory.mktemp("runs") / "hadrons"
    train(hadron_config(), run)
    return run


@pytest.fixture(scope="session")
def geant4():
    """Full simulation of the default detector in two processes, shared by all tests, for Geant4 takes time to start."""
    from helpers.full_simulation import skip_without_geant4

    from fastcalo import Geant4Simulation, load_detector

    skip_without_geant4()
    with Geant4Simulation(load_detector(), workers=2) as engine:
        yield engine
