# SPDX-License-Identifier: BSD-3-Clause
"""Conversions in parts by two workers of each executor, beside one worker and two jobs that share nothing.

    python benchmarks/production.py [EVENTS.root] [--rounds 3]

In each round all kinds run one after the other; medians of the rounds' ratios are printed. A rate is of the parts
between the first few and the last, so that starts do not count. Beside it stand seconds of the processor of the whole
job, children and start included, per event, which other work on the machine changes less. A copy of the input's
particles by uproot, without anything between, is the bound that files set.
"""

from __future__ import annotations

import argparse
import json
import resource
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
JOBS: dict[str, list[list[str]]] = {
    "one worker": [["--workers", "1"]],
    "two workers": [["--workers", "2"]],
    "two jobs": [["--part", "0/2"], ["--part", "1/2"]],
    "MPI": [["--workers", "1"]],
    "Dask": [["--dask", "local", "--workers", "2"]],
}


def command(source: Path, folder: Path, *more: str, log: str = "log") -> list[str]:
    """A conversion in parts of so many events."""
    words = [sys.executable, "-m", "fastcalo", "--log-file", f"{folder}/{log}.jsonl", "convert", str(source)]
    return [*words, "-o", f"{folder}/hits.root", "--events-per-file", str(EACH), "--threads", "1", *more]


def rate(folder: Path) -> tuple[float, int]:
    """Events per second by the times at which parts were done, and all events."""
    lines = [json.loads(line) for path in folder.glob("log*.jsonl") for line in path.read_text().splitlines()]
    done = sorted((datetime.fromisoformat(line["time"]), line["events"]) for line in lines if "part" in line)
    first, last = done[_FIRST - 1][0], done[-1][0]
    counted = sum(events for _, events in done[_FIRST:])
    return float(counted / (last - first).total_seconds()), sum(events for _, events in done)


def processor_seconds() -> float:
    """Of the children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(kind: str, source: Path) -> tuple[float, float]:
    """Convert by an executor: events per second, and milliseconds of the processor per event."""
    start = [str(MPIEXEC), "-n", "3"] if kind == "MPI" else []
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        commands = [
            [*start, *command(source, Path(folder), *options, log=f"log{k}")] for k, options in enumerate(JOBS[kind])
        ]
        running = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for words in commands]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit(f"{kind} failed")
        found, events = rate(Path(folder))
    return found, 1000 * (processor_seconds() - before) / events


def raw_copy(source: Path) -> tuple[float, float]:
    """Events per second, and milliseconds of the processor per event, of a copy of the particles by uproot."""
    begin, used = time.perf_counter(), time.process_time()
    with uproot.open(source) as file, tempfile.TemporaryDirectory() as folder:
        tree = file["events"]
        names = [name for name in tree.keys(full_paths=False) if name.startswith("MCParticles.")]
        arrays = {name.replace(".", "_"): tree[name].array() for name in names}
        with uproot.recreate(Path(folder) / "copy.root") as copy:
            copy["events"] = {name: array for name, array in arrays.items() if array.ndim == 2 and not array.fields}
        n = tree.num_entries
    return n / (time.perf_counter() - begin), 1000 * (time.process_time() - used) / n


def main() -> None:
    """Print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds: list[dict[str, tuple[float, float]]] = []
    for k in range(options.rounds):
        # forwards and backwards in turn, so that a machine that grows slower favours no kind
        order = list(JOBS)[:: 1 if k % 2 == 0 else -1]
        rounds.append({kind: measure(kind, options.source) for kind in order})
        print(
            "; ".join(f"{kind} {rounds[-1][kind][0]:.1f}/s, {rounds[-1][kind][1]:.1f} ms" for kind in JOBS), flush=True
        )

    def ratio(one: str, other: str) -> float:
        return statistics.median(found[one][0] / found[other][0] for found in rounds)

    for kind in JOBS:
        used = statistics.median(found[kind][1] / found["one worker"][1] for found in rounds)
        of_rates = [ratio(kind, other) for other in ("one worker", "two jobs", "two workers")]
        print(
            f"{kind}: {of_rates[0]:.2f} of one worker's rate, {of_rates[1]:.2f} of two jobs', {of_rates[2]:.2f} of two "
            f"workers'; {used:.2f} of one worker's time of the processor"
        )
    rates = raw_copy(options.source)
    print(f"copy of the input's particles by uproot: {rates[0]:.0f} events per second, {rates[1]:.2f} ms per event")


if __name__ == "__main__":
    main()
