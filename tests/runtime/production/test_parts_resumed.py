# SPDX-License-Identifier: BSD-3-Clause
"""Conversions in parts that were interrupted: what is missing or damaged is made again, and nothing else."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest
import uproot
from helpers.command import process_command, run_command
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import KilledEngine, StraightEngine
from helpers.mpi import ENVIRONMENT, MPIEXEC

from fastcalo import convert, load_detector, open_events
from fastcalo.errors import InputError, OutputError, WorkerDiedError
from fastcalo.event.events import Events
from fastcalo.event.hits import Hits
from fastcalo.production.parts.join import join_parts
from fastcalo.production.parts.manifest import read_manifest
from fastcalo.production.parts.plan import Share
from fastcalo.production.parts.run import convert_in_parts
from fastcalo.production.parts.status import production_status, ranges

ENGINE = StraightEngine(load_detector())
DEMO = Path(__file__).parents[3] / "examples" / "demo" / "events.root"
EACH, PARTS = 6, 9


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    # numbers that come again, so that parts must know of each other
    branches = plain(50, seed=3) | {"event": np.arange(50) % 30}
    return write_tree(tmp_path_factory.mktemp("parts") / "in.root", branches)


def events_of(paths) -> list:
    return [event for path in paths for event in uproot.open(path)["Events"].arrays().tolist()]


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> list:
    path = tmp_path_factory.mktemp("whole") / "hits.root"
    convert(source, path, ENGINE, seed=2, step_size=EACH)
    return events_of([path])


def make(source: Path, folder: Path, engine=ENGINE, **options):
    options = {"seed": 2, "events_per_file": EACH, "rejected": folder / "rejected.root", **options}
    return convert_in_parts(open_events(source), folder / "hits.root", engine, **options)


def hits(folder: Path) -> list[Path]:
    return sorted(folder.glob("hits_*.root"))


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.root")}


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path: Path) -> None:
    image = bytearray(path.read_bytes())
    image[len(image) // 2] ^= 1
    path.write_bytes(image)


@pytest.mark.parametrize(("spoil", "kind"), [(Path.unlink, "hits"), (cut_off, "rejected"), (flip_a_bit, "hits")])
def test_a_part_that_is_not_as_the_manifest_states_is_made_again_and_no_other(tmp_path, source, whole, spoil, kind):
    first = make(source, tmp_path)
    before = times(tmp_path)
    spoil(tmp_path / f"{kind}_0003.root")
    status = production_status(tmp_path, check=True)
    assert (status.missing, list(status.damaged), len(status.rows)) == ([3], [3], PARTS)
    second = make(source, tmp_path, resume=True)
    changed = {name for name, when in times(tmp_path).items() if before[name] != when}
    assert changed == {"hits_0003.root", "rejected_0003.root"}
    assert events_of(hits(tmp_path)) == whole
    assert first.accounts() == second.accounts()
    assert production_status(tmp_path, check=True).complete


def test_what_a_killed_process_leaves_is_not_trusted_and_removed(tmp_path, source, whole):
    make(source, tmp_path)
    manifest = tmp_path / "hits_manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    # the line of part 8 is torn, so its files are there without a digest
    assert b'"part": 8' in lines[-1]
    manifest.write_bytes(b"".join([*lines[:-1], lines[-1][:40]]))
    left = [".hits_0008.0123abcd.root", "..hits_0008.0123abcd.root.89abcdef.part", ".rejected_0008.0123abcd.root"]
    others = [".hits_0002.root", "hits_0008.0123abcd.root", ".hits_0003.0123abcd.root"]
    for name in (*left, *others):
        (tmp_path / name).write_bytes(b"torn")
    assert production_status(tmp_path).missing == [8]
    before = times(tmp_path)
    done = make(source, tmp_path, resume=True)
    assert {name for name, when in times(tmp_path).items() if before[name] != when} == {
        "hits_0008.root", "rejected_0008.root"
    }  # fmt: skip
    assert not any((tmp_path / name).exists() for name in left)
    assert all((tmp_path / name).exists() for name in others)
    (tmp_path / "hits_0008.0123abcd.root").unlink()
    assert events_of(hits(tmp_path)) == whole
    assert done.events == 50


def test_files_in_which_nothing_was_made_are_not_touched(tmp_path, source):
    make(source, tmp_path)
    before, manifest = times(tmp_path), (tmp_path / "hits_manifest.jsonl").read_text()
    make(source, tmp_path, resume=True)
    assert times(tmp_path) == before
    assert (tmp_path / "hits_manifest.jsonl").read_text() == manifest
    with pytest.raises(OutputError, match=r"hits_manifest.jsonl: exists already; go on with it \(--resume\)"):
        make(source, tmp_path)
    make(source, tmp_path, overwrite=True)
    assert all(times(tmp_path)[name] != when for name, when in before.items())


@pytest.mark.parametrize(
    ("change", "what"),
    [({"seed": 3}, "seed"), ({"events_per_file": 7}, "events_per_file"), ({"decays": False}, "decays")],
)
def test_a_manifest_of_another_conversion_is_not_gone_on_with(tmp_path, source, change, what):
    make(source, tmp_path)
    with pytest.raises(InputError, match=rf"hits_manifest.jsonl: was begun with another {what}"):
        make(source, tmp_path, resume=True, **change)


def test_neither_is_one_of_another_input(tmp_path, source):
    make(source, tmp_path)
    other = write_tree(tmp_path / "in.root", plain(50, seed=3) | {"event": np.arange(50) % 30})
    with pytest.raises(InputError, match="was begun with another inputs"):
        make(other, tmp_path, resume=True)


def test_two_processes_do_not_write_the_same_manifest(tmp_path, source):
    class Again(StraightEngine):
        def run(self, events: Events, seed: int = 0) -> Hits:
            with pytest.raises(OutputError, match="another process is at work on it"):
                make(source, tmp_path, resume=True)
            return super().run(events, seed)

        def provenance(self) -> dict:
            return {}

    # the same name in the manifest
    Again.__name__ = "StraightEngine"
    Again.provenance = StraightEngine.provenance
    make(source, tmp_path, Again(load_detector()))
    assert not list(tmp_path.glob(".*"))


@dataclass
class Fails(StraightEngine):
    """An engine that cannot simulate an event while a file is there."""

    at: int = 0
    flag: Path = Path()
    error: Callable[[str], Exception] = InputError

    def run(self, events: Events, seed: int = 0) -> Hits:
        if self.at in events.event and self.flag.exists():
            raise self.error("cursed")
        return super().run(events, seed)


def test_a_part_that_cannot_be_made_does_not_keep_the_others_from_being_made(tmp_path, source, whole):
    flag = tmp_path / "flag"
    flag.touch()
    engine = Fails(load_detector(), at=29, flag=flag)
    with pytest.raises(InputError, match=r"1 of 9 parts could not be made: part 4: cursed. See .*hits_manifest.jsonl"):
        make(source, tmp_path, engine)
    status = production_status(tmp_path)
    assert (status.missing, status.failed) == ([4], {4: "cursed"})
    flag.unlink()
    make(source, tmp_path, engine, resume=True)
    assert events_of(hits(tmp_path)) == whole
    assert production_status(tmp_path).failed == {}


@pytest.mark.slow
def test_a_part_whose_workers_are_killed_is_tried_again_then_alone_and_the_others_are_made(
    tmp_path, source, whole, caplog
):
    flag = tmp_path / "flag"
    flag.touch()
    # the last part has two events
    engine = KilledEngine(load_detector(), fewer_than=EACH, flag=flag)
    with pytest.raises(InputError, match=r"1 of 9 parts could not be made: part 8: its worker died 3 times") as caught:
        make(source, tmp_path, engine, workers=2)
    assert "--resume" in str(caught.value)
    # with it whatever else was being made when its worker died
    tried = [r.fields["tried_again"] for r in caplog.records if r.message.startswith("a worker died; tried again")]
    assert len(tried) == 2
    assert all(listed.endswith("8") for listed in tried)
    status = production_status(tmp_path, check=True)
    assert (status.missing, list(status.failed)) == ([8], [8])
    assert not list(tmp_path.glob(".*"))
    flag.unlink()
    make(source, tmp_path, engine, resume=True)
    assert events_of(hits(tmp_path)) == whole


@pytest.mark.slow
def test_workers_that_die_whatever_they_make_end_it(tmp_path, source):
    engine = KilledEngine(load_detector(), fewer_than=99, flag=source)
    with pytest.raises(WorkerDiedError, match=r"2 parts were given up one after the other.*--resume"):
        make(source, tmp_path, engine, workers=2)
    assert sorted(production_status(tmp_path).failed) == [0, 1]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(WorkerDiedError, match="Parts 0-1 were"):
        make(source, tmp_path, engine, executor=pool, resume=True)
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_ends_it_and_what_is_whole_stays(tmp_path, source, whole):
    flag = tmp_path / "flag"
    flag.touch()
    engine = Fails(load_detector(), at=29, flag=flag, error=OutputError)
    with pytest.raises(OutputError, match="cursed"):
        make(source, tmp_path, engine)
    assert len(hits(tmp_path)) == 4
    assert not list(tmp_path.glob(".*"))
    flag.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in hits(tmp_path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            make(source, tmp_path, engine, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    make(source, tmp_path, engine, resume=True)
    assert events_of(hits(tmp_path)) == whole


def test_shares_of_several_jobs_are_one_conversion(tmp_path, source, whole):
    for number in (2, 0):
        make(source, tmp_path, share=Share(number, 3))
    status = production_status(tmp_path)
    assert (status.missing, status.events, len(status.manifests)) == ([3, 4, 5], 50 - 3 * EACH, 2)
    with pytest.raises(InputError, match="3 of 9 parts are not there: 3-5; make them"):
        join_parts(tmp_path, tmp_path / "all.root")
    make(source, tmp_path, share=Share(1, 3))
    assert production_status(tmp_path, check=True).complete
    assert events_of(hits(tmp_path)) == whole
    done = join_parts(tmp_path, tmp_path / "all.root")
    assert events_of([tmp_path / "all.root"]) == whole
    assert done.events == 50
    with pytest.raises(OutputError, match="for it is a part"):
        join_parts(tmp_path, tmp_path / "hits_0000.root", overwrite=True)
    flip_a_bit(tmp_path / "hits_0005.root")
    with pytest.raises(InputError, match=r"hits_0005.root: is damaged"):
        join_parts(tmp_path, tmp_path / "more.root")
    # manifests of something else beside them
    make(source, tmp_path, share=Share(0, 2), seed=5, overwrite=True)
    with pytest.raises(InputError, match="are of conversions with another seed: name one of the two"):
        production_status(tmp_path)


def test_a_part_whose_accounts_are_lost_is_made_again(tmp_path, source, whole):
    first = make(source, tmp_path)
    path = tmp_path / "hits_manifest.accounts.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(InputError, match=r"accounts.jsonl: has no accounts of some parts"):
        join_parts(tmp_path, tmp_path / "all.root")
    before = times(tmp_path)
    assert make(source, tmp_path, resume=True).accounts() == first.accounts()
    changed = {name for name, when in times(tmp_path).items() if before[name] != when}
    assert changed == {f"{kind}_000{k}.root" for kind in ("hits", "rejected") for k in (7, 8)}
    assert events_of(hits(tmp_path)) == whole


def test_shares_are_all_parts_once():
    for parts in (0, 1, 7, 100):
        for of in (1, 3, 8):
            assert [n for k in range(of) for n in Share(k, of).of_parts(parts)] == list(range(parts))
    assert ranges([0, 1, 2, 4, 8, 9]) == "0-2, 4, 8-9"
    assert ranges([0, 2, 4, 6], most=2) == "0, 2 and 2 more"


def test_a_manifest_of_very_many_parts_is_read(tmp_path, source):
    make(source, tmp_path)
    path = tmp_path / "hits_manifest.jsonl"
    header, row = path.read_bytes().splitlines(keepends=True)[:2]
    many = 20_000
    lines = [row.replace(b'"part": 0', b'"part": %d' % k) for k in range(many)]
    path.write_bytes(header.replace(b'"parts": 9', b'"parts": %d' % many) + b"".join(lines))
    manifest = read_manifest(path)
    assert len(manifest.rows) == many
    assert manifest.rows[many - 1]["files"] == manifest.rows[0]["files"]
    assert production_status(path).events == EACH * many


def test_the_commands(tmp_path, source):
    arguments = ["convert", source, "-o", tmp_path / "hits.root", "--model", "em", "--threads", "1"]
    log = tmp_path / "log.jsonl"
    assert run_command("--log-file", log, *arguments, "--part", "1/3").returncode == 0
    assert [path.name for path in hits(tmp_path)] == ["hits_0001.root"]
    done = run_command("status", tmp_path)
    assert done.returncode == 3
    assert "1 of 3 done" in done.stdout
    assert "0, 2" in done.stdout
    for part in ("0/3", "2/3", "1/3"):
        assert run_command(*arguments, "--part", part, "--resume").returncode == 0
    done = run_command("status", tmp_path, "--check", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["events"] == 50
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (made,) = [line for line in lines if line.get("status") == "done"]
    assert (made["part"], made["events"], made["seed"]) == (1, 17, 0)
    assert made["events_per_second"] > 0
    assert run_command("merge", tmp_path, "-o", tmp_path / "all.root").returncode == 0
    assert uproot.open(tmp_path / "all.root")["Events"].num_entries == 50
    for wrong in (["--part", "3/3"], ["--part", "x"]):
        assert run_command(*arguments, *wrong).returncode == 1
    assert run_command(*arguments, "--resume").returncode == 2
    assert run_command("merge", tmp_path / "all.root", "-o", tmp_path / "more.root").returncode == 2


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("victim", ["parent", "ranks"])
def test_the_end_by_a_signal_that_nothing_can_catch(tmp_path, victim):
    """Whatever dies: what is there then is whole, and the rest is made by the next call."""

    def command(folder: Path, *more: str) -> list[str]:
        words = [DEMO, "-o", folder / "hits.root", "--model", "em", "--threads", "1", "--events-per-file", "15", *more]
        return process_command("convert", *words)

    (tmp_path / "whole").mkdir()
    folder = tmp_path / "cut"
    folder.mkdir()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, env=ENVIRONMENT)
    launcher = [str(MPIEXEC), "-n", "3"] if victim == "ranks" else []
    job = subprocess.Popen(
        [*launcher, *command(folder, "--workers", "2")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    )  # fmt: skip
    # a part is done once the manifest has it; its file has its name a moment before
    manifest = folder / "hits_manifest.jsonl"
    while (not manifest.exists() or len(read_manifest(manifest).done) < 3) and job.poll() is None:
        time.sleep(0.01)
    family = psutil.Process(job.pid).children(recursive=True)
    if victim == "ranks":
        ranks = [child for child in family if "fastcalo" in " ".join(child.cmdline())]
        ranks[-1].kill()
    else:
        job.send_signal(signal.SIGKILL)
    assert job.wait(60) != 0
    assert 3 <= production_status(folder, check=True).to_dict()["done"] < 20
    subprocess.run(command(folder, "--resume"), check=True, capture_output=True, env=ENVIRONMENT)
    assert production_status(folder, check=True).complete
    assert events_of(hits(folder)) == events_of(hits(tmp_path / "whole"))
    assert not list(folder.glob(".*"))
