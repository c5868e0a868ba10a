"""Arrays kept on disk: the same as those made, or made anew."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastcalo.training.cache import cached

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(5), "none": np.zeros((0, 3), np.int32)}


@pytest.fixture
def made():
    """How often arrays were made."""
    return []


@pytest.fixture
def get(made):
    def make():
        made.append(1)
        return dict(ARRAYS)

    return lambda folder, key="k": cached(folder, key, make)


def right(arrays):
    for name, array in ARRAYS.items():
        assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    return True


def test_arrays_are_made_once(tmp_path, get, made):
    folder = tmp_path / "new" / "cache"
    assert right(get(folder))
    assert right(get(folder))
    assert len(made) == 1
    assert right(get(folder, "other"))
    assert len(made) == 2
    assert sorted(p.name for p in folder.glob("k.*")) == ["k.a.npy", "k.b.npy", "k.json", "k.none.npy"]
    assert not list(folder.glob(".*"))


def spoil(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("k.a.npy", spoil),
        ("k.a.npy", lambda p: p.write_bytes(p.read_bytes()[:-7])),
        ("k.a.npy", lambda p: p.write_bytes(b"")),
        ("k.a.npy", lambda p: p.write_text("something else")),
        ("k.a.npy", lambda p: np.save(p, ARRAYS["b"])),
        ("k.a.npy", lambda p: p.unlink()),
        ("k.json", lambda p: p.write_text("[1]")),
        ("k.json", lambda p: p.write_text("{")),
        ("k.json", lambda p: p.write_bytes(b"\xff\xfe")),
    ],
)
def test_damaged_files_are_made_anew(tmp_path, get, made, caplog, name, damage):
    get(tmp_path)
    damage(tmp_path / name)
    assert right(get(tmp_path))
    assert len(made) == 2
    assert "k.json: is damaged" in caplog.text
    assert right(get(tmp_path))
    assert len(made) == 2


def test_a_folder_that_cannot_be_written_to_does_not_stop_the_training(tmp_path, get, caplog):
    (tmp_path / "file").write_text("")
    assert right(get(tmp_path / "file" / "cache"))
    assert "not kept in" in caplog.text
