from pathlib import Path

import pytest
from hypothesis import settings

# the first example may have to load a library, and the machine may be busy: time is for pytest's own limit to watch
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """Folder of a finished training of ``arch = "hits"``, of a few steps only; not to be changed."""
    from trainings import tiny_config, write_data

    from fastcalo.training.loop import train

    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config(write_data(tmp_path_factory.mktemp("data"))), run)
    return run
