# SPDX-License-Identifier: BSD-3-Clause
"""Throughput of conversions in parts: two workers of each executor, beside one, and beside two jobs that share nothing.

    python benchmarks/production.py [EVENTS.root] [--repeats 3]

Rates are of the parts between the first few and the last, so that the start of processes does not count. Ratios are of
one round, in which all kinds run one after the other; the median of the rounds is given. On a machine with other work
the two jobs that share nothing are the scale: what workers lose beside them is what the executor costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import uproot

DEMO = Path(__file__).parents[1] / "examples" / "demo" / "events.root"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
EACH = 10
# parts that are left out at the beginning: each worker has one or two that wait for its start
_FIRST = 4


def command(source: Path, folder: Path, *more: str, log: str = "log") -> list[str]:
    """A conversion in parts of so many events."""
    words = [sys.executable, "-m", "fastcalo", "--log-file", f"{folder}/{log}.jsonl", "convert", str(source)]
    return [*words, "-o", f"{folder}/hits.root", "--events-per-file", str(EACH), "--threads", "1", *more]


def rate(folder: Path) -> float:
    """Events per second, by the times at which parts were done."""
    lines = [json.loads(line) for path in folder.glob("log*.jsonl") for line in path.read_text().splitlines()]
    done = sorted((datetime.fromisoformat(line["time"]), line["events"]) for line in lines if "part" in line)
    first, last = done[_FIRST - 1][0], done[-1][0]
    return float(sum(events for _, events in done[_FIRST:]) / (last - first).total_seconds())


def measure(kind: str, source: Path) -> float:
    """Convert by an executor, and return the events per second."""
    jobs: list[list[str]] = {
        "one worker": [["--workers", "1"]],
        "two workers": [["--workers", "2"]],
        "two jobs": [["--part", "0/2"], ["--part", "1/2"]],
        "MPI": [["--workers", "1"]],
        "Dask": [["--dask", "local", "--workers", "2"]],
    }[kind]
    start = [str(MPIEXEC), "-n", "3"] if kind == "MPI" else []
    with tempfile.TemporaryDirectory() as folder:
        commands = [[*start, *command(source, Path(folder), *options, log=f"log{k}")] for k, options in enumerate(jobs)]
        running = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for words in commands]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit(f"{kind} failed")
        return rate(Path(folder))


def raw_copy(source: Path) -> float:
    """Events per second of a copy of the input's particles by uproot, without anything between."""
    begin = time.perf_counter()
    with uproot.open(source) as file, tempfile.TemporaryDirectory() as folder:
        tree = file["events"]
        names = [name for name in tree.keys(full_paths=False) if name.startswith("MCParticles.")]
        arrays = {name.replace(".", "_"): tree[name].array() for name in names}
        with uproot.recreate(Path(folder) / "copy.root") as copy:
            copy["events"] = {name: array for name, array in arrays.items() if array.ndim == 2 and not array.fields}
        return float(tree.num_entries / (time.perf_counter() - begin))


def main() -> None:
    """Print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    kinds = ("one worker", "two workers", "two jobs", "MPI", "Dask")
    rounds = []
    for _ in range(options.repeats):
        rounds.append({kind: measure(kind, options.source) for kind in kinds})
        print(", ".join(f"{kind} {value:.1f}" for kind, value in rounds[-1].items()), "events per second", flush=True)
    for kind in kinds:
        ratios = [
            statistics.median(found[kind] / found[other] for found in rounds) for other in ("one worker", "two jobs")
        ]
        print(f"{kind}: {ratios[0]:.2f} of one worker, {ratios[1]:.2f} of two jobs that share nothing")
    print(f"copy of the input's particles by uproot: {raw_copy(options.source):.0f} events per second")


if __name__ == "__main__":
    main()
