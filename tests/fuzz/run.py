# SPDX-License-Identifier: BSD-3-Clause
"""Any number of mutants, in processes that may crash or hang: ``python tests/fuzz/run.py --mutants 20000``.

Prints a table of what became of them, and how to see each bad one again; ends with 1 if there is any.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from multiprocessing.connection import Connection
from pathlib import Path

# the packages of the tests, and this checkout of fastcalo
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fuzz.judging import judge, prepare  # noqa: E402
from fuzz.targets import TARGETS, by_name  # noqa: E402

_PATIENCE_S = 120.0
_KINDS = ("same", "refused", "other", "raw", "crash", "hang")


def work(pipe: Connection, name: str, seeds: range) -> None:
    """Judge mutants one after the other; send a message before and after each."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    target = by_name()[name]
    with tempfile.TemporaryDirectory() as folder:
        path, whole, expected = prepare(target, Path(folder))
        for seed in seeds:
            pipe.send(("begin", seed, ""))
            verdict = judge(target, path, whole, expected, seed)
            pipe.send((verdict.kind, seed, verdict.detail))
    pipe.send(("end", 0, ""))


def fuzz(name: str, seeds: range, patience_s: float) -> dict[int, tuple[str, str]]:
    """Kind and detail of each mutant of a format."""
    found: dict[int, tuple[str, str]] = {}
    context = multiprocessing.get_context("spawn")
    start = seeds.start
    while start < seeds.stop:
        ready = False
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, name, range(start, seeds.stop)))
        process.start()
        theirs.close()
        under_way = start
        try:
            while True:
                if not ours.poll(patience_s):
                    found[under_way] = ("hang", f"longer than {patience_s:g} s")
                    break
                kind, seed, detail = ours.recv()
                if kind == "end":
                    under_way = seeds.stop - 1
                    break
                ready = True
                if kind == "begin":
                    under_way = seed
                else:
                    found[seed] = (kind, detail)
        except EOFError:
            process.join()
            if not ready:
                raise RuntimeError(f"the whole file of {name!r} cannot be written or read") from None
            found[under_way] = ("crash", f"exit code {process.exitcode}")
        process.kill()
        process.join()
        start = under_way + 1
    return found


def main() -> int:
    """Run and print; the exit status is 1 if a mutant is not well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1000, help="in all, shared out evenly among the formats")
    parser.add_argument("--seed", type=int, default=0, help="number of the first mutant of each format")
    parser.add_argument("--only", action="append", help="a format; may be repeated")
    parser.add_argument("--patience", type=float, default=_PATIENCE_S, help="seconds for one mutant")
    parser.add_argument("--json", type=Path, help="write what became of each mutant that is not well to a file")
    options = parser.parse_args()
    targets = [t for t in TARGETS if not options.only or t.name in options.only]
    each = -(-options.mutants // len(targets))
    bad: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    print(f"{'format':30}" + "".join(f"{kind:>9}" for kind in _KINDS) + "  seconds")
    total: Counter[str] = Counter()
    for target in targets:
        begin = time.monotonic()
        found = fuzz(target.name, range(options.seed, options.seed + each), options.patience)
        counts = Counter(kind for kind, _ in found.values())
        total += counts
        row = "".join(f"{counts[kind]:9}" for kind in _KINDS)
        print(f"{target.name:30}{row}  {time.monotonic() - begin:.0f}", flush=True)
        for seed, (kind, detail) in found.items():
            if kind in ("raw", "crash", "hang") or (kind == "other" and target.knows):
                bad[target.name][seed] = kind, detail
                print(f"    {kind}: --only {target.name!r} --seed {seed} --mutants 1: {detail}", flush=True)
    print(f"{'all':30}" + "".join(f"{total[kind]:9}" for kind in _KINDS))
    if options.json:
        options.json.write_text(json.dumps(bad, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
