# SPDX-License-Identifier: BSD-3-Clause
"""Arrays kept on disk: the same as those made, or made anew."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.trainings.tiny_training import tiny_config, write_data
from numpy.testing import assert_array_equal

from fastcalo.training.data import showers as data
from fastcalo.training.data.cache import load_or_make
from fastcalo.training.run import checkpoint
from fastcalo.training.trainer import run_stages as train

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

    return lambda folder, key="k": load_or_make(folder, key, make)


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


MAKER = """
import sys, time
from pathlib import Path
import numpy as np
from fastcalo.training.data.cache import load_or_make

folder, number = Path(sys.argv[1]), sys.argv[2]

def make():
    (folder / f"made-{number}").touch()
    # long enough for the others to come meanwhile
    time.sleep(2)
    if sys.argv[3] == "fail":
        raise SystemExit("killed")
    return {"a": np.arange(5)}

(folder / f"here-{number}").touch()
while len(list(folder.glob("here-*"))) < 3:
    time.sleep(0.01)
print(load_or_make(folder / "cache", "k", make)["a"].sum())
"""


@pytest.mark.parametrize("first", ["work", "fail"])
def test_of_several_processes_one_makes_what_the_others_wait_for(tmp_path, first):
    # whichever of them comes first; one that ends before it has finished is no hindrance
    how = [first, "work", "work"] if first == "work" else ["fail", "fail", "work"]
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path), str(k), how[k]], stdout=-1, stderr=-1, text=True)
        for k in range(3)
    ]
    out = [maker.communicate(timeout=60) for maker in makers]
    made = len(list(tmp_path.glob("made-*")))
    right = [text for text, _ in out if text == "10\n"]
    if first == "work":
        assert made == 1
        assert len(right) == 3, out
    else:
        assert 1 <= made <= 3
        assert len(right) >= 1, out
    assert not list((tmp_path / "cache").glob("*.lock"))


def test_a_training_with_a_cache_is_the_same_and_reads_showers_once(tmp_path, monkeypatch):
    plain = tiny_config(write_data(tmp_path))
    plain = plain.updated(stage=plain.stage[:2])
    monkeypatch.setenv("NODE", str(tmp_path))
    config = plain.updated(data=plain.data.updated(cache="$NODE/cache"))
    reads, read = [], data.ShowerData._read
    monkeypatch.setattr(data.ShowerData, "_read", lambda *a: reads.append(1) or read(*a))
    train(plain, tmp_path / "plain")
    without = len(reads)
    train(config, tmp_path / "first")
    assert 0 < len(reads) - without < without, "showers to judge with are the same for both stages"
    kept = sorted((tmp_path / "cache").iterdir())
    before = len(reads)
    train(config, tmp_path / "second")
    assert len(reads) == before
    assert sorted((tmp_path / "cache").iterdir()) == kept
    # and a run may go on without it
    train(plain, tmp_path / "second", resume=True)
    for stage in ("layers", "hits"):
        states = [checkpoint.load(tmp_path / run / f"{stage}.pt")["networks"] for run in ("plain", "first", "second")]
        for state in states[1:]:
            for network, values in states[0].items():
                for name, value in values.items():
                    assert_array_equal(state[network][name], value)
