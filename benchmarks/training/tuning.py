# SPDX-License-Identifier: BSD-3-Clause
"""Measure optimisers on functions whose minimum is known, print a table, and write benchmarks/results/tuning.json.

    python benchmarks/training/tuning.py [--seeds N] [--first-seed N] [--evaluations N] [--optimisers gp optuna]
        [--out FOLDER]

Branin's function (2 dimensions) and Hartmann's (6), in the forms of Dixon & Szegö, Towards Global Optimisation 2
(1978), with noise and without. Regret is the true value, less the minimum, of the point that a search ends with: that
whose reported value is best, or that which is chosen by the mean of a Gaussian process through all values, as `fastcalo
tune report` does. Both are compared with what random search has by its best reported value; the chosen one also with
what random search would choose alike. With several points in parallel evaluations take one to two units of time, and
whoever ends gets the next point at once.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo.training.tune.optimisers import make_optimiser
from fastcalo.training.tune.report.surface import ResponseSurface
from fastcalo.training.tune.space import Point, Real, Space

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Function:
    """A function to minimise, its least value, and the standard deviation of its noise where there is some."""

    call: Callable[[NDArray[np.float64]], float]
    space: Space
    least: float
    noise: float

    def at(self, point: Point) -> float:
        """Its value without noise."""
        return self.call(np.array([float(v) for v in point.values()]))


def branin(x: NDArray[np.float64]) -> float:
    """Branin's function, three equal minima."""
    first, second = float(x[0]), float(x[1])
    valley = second - 5.1 / (4 * math.pi**2) * first**2 + 5 / math.pi * first - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(first) + 10


_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(x: NDArray[np.float64]) -> float:
    """Hartmann's function in six dimensions: four wells."""
    return -float(_WEIGHTS @ np.exp(-np.sum(_WIDTHS * (x - _CENTRES) ** 2, axis=1)))


FUNCTIONS = {
    "Branin": Function(branin, Space((Real("x", -5, 10), Real("y", 0, 15))), 0.397887, 2.0),
    "Hartmann-6": Function(hartmann6, Space(tuple(Real(f"x{i}", 0, 1) for i in range(6))), -3.32237, 0.1),
}


@dataclass(frozen=True)
class Task:
    """One search: a function by its name, an optimiser by its own, and how they meet."""

    function: str
    optimiser: str
    seed: int
    noisy: bool = False
    parallel: int = 1
    evaluations: int = 40


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes
    ----------
    regrets : list of float
        After every evaluation, of the point whose reported value is best.
    chosen : float
        Regret at the end, of the point where the mean of a Gaussian process through all values is lowest.
    tried : float
        The least regret of all points.
    """

    regrets: list[float]
    chosen: float
    tried: float

    @property
    def best(self) -> float:
        """Regret at the end, of the point whose reported value is best."""
        return self.regrets[-1]


def search(task: Task) -> Found:
    """Search once."""
    function = FUNCTIONS[task.function]
    optimiser = make_optimiser(task.optimiser, function.space, task.seed)
    noise = function.noise if task.noisy else 0.0
    rng = np.random.default_rng([task.seed, 1])
    running: list[tuple[float, int, Point]] = []
    now, asked = 0.0, 0
    points: list[Point] = []
    trues: list[float] = []
    values: list[float] = []
    while len(values) < task.evaluations:
        while len(running) < task.parallel and asked < task.evaluations:
            point = optimiser.ask()[0].point
            heapq.heappush(running, (now + rng.uniform(1, 2), asked, point))
            asked += 1
        now, _, point = heapq.heappop(running)
        points.append(point)
        trues.append(function.at(point))
        values.append(trues[-1] + noise * rng.standard_normal())
        optimiser.tell(point, values[-1], noise**2)
    regret_N, value_N = np.array(trues) - function.least, np.array(values)
    unit_ND = function.space.units(points)
    mean_N, _ = ResponseSurface(function.space, unit_ND, value_N, np.full(len(values), noise**2)).posterior(unit_ND)
    best = [int(value_N[: n + 1].argmin()) for n in range(len(values))]
    return Found(regret_N[best].tolist(), float(regret_N[mean_N.argmin()]), float(regret_N.min()))


def proposal_seconds(optimiser: str, reported: int, pending: int) -> float:
    """Processor time of a proposal with so many points reported and pending, its model's parameters known, s."""
    function = FUNCTIONS["Hartmann-6"]
    made = make_optimiser(optimiser, function.space, 1, initial=1)
    for unit_D in np.random.default_rng(1).random((reported, len(function.space))):
        point = function.space.points(unit_D[None])[0]
        made.tell(point, function.at(point))
    for unit_D in np.random.default_rng(2).random((pending, len(function.space))):
        made.pend(function.space.points(unit_D[None])[0])
    made.ask()
    start = time.process_time()
    made.ask(3)
    return (time.process_time() - start) / 3


def compare(optimisers: list[str], seeds: Sequence[int], evaluations: int) -> list[dict[str, Any]]:
    """Rows of the table: regrets of an optimiser, one point at a time and four, beside those of random search."""
    kinds = [("random", 1), *product(optimisers, (1, 4))]
    keys = list(product(FUNCTIONS, (False, True), kinds))
    tasks = [Task(f, o, s, noisy, p, evaluations) for f, noisy, (o, p) in keys for s in seeds]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        every = list(pool.map(search, tasks))
    found = {key: every[i * len(seeds) : (i + 1) * len(seeds)] for i, key in enumerate(keys)}
    return [
        {
            "function": name,
            "noise": FUNCTIONS[name].noise if noisy else 0.0,
            "optimiser": optimiser,
            "parallel": parallel,
            **beside(mine, found[name, noisy, ("random", 1)], found[name, noisy, (optimiser, 1)]),
        }
        for (name, noisy, (optimiser, parallel)), mine in found.items()
    ]


def beside(mine: Sequence[Found], random: Sequence[Found], alone: Sequence[Found]) -> dict[str, Any]:
    """Regrets of searches beside those of random searches with the same seeds, and of searches one point at a time."""
    out: dict[str, Any] = {}
    random_S = np.array([f.best for f in random])
    for end in ("best", "chosen"):
        mine_S, alone_S = (np.array([getattr(f, end) for f in found]) for found in (mine, alone))
        gained = random_S.mean() - alone_S.mean()
        out[end] = {
            "mean": float(mine_S.mean()),
            "median": float(np.median(mine_S)),
            "better than random": int((mine_S < random_S).sum()),
            "kept": float((random_S.mean() - mine_S.mean()) / gained) if gained else None,
            "regrets": mine_S.tolist(),
        }
    out["chosen"]["better than chosen"] = sum(m.chosen < r.chosen for m, r in zip(mine, random, strict=True))
    out["least regret tried"] = [f.tried for f in mine]
    out["mean regret by evaluation"] = np.mean([f.regrets for f in mine], axis=0).tolist()
    return out


def show(rows: list[dict[str, Any]], seeds: int) -> None:
    """Print the table."""
    print(f"{'':<39}{'best reported value':^31}{'chosen by a model':^39}{'tried':>8}")
    heads = (f"{'function':<12}", f"{'noise':>7}  ", f"{'optimiser':<10}", f"{'by':>6}  ")
    numbers = f"{'mean':>8}{'median':>8}{'better':>8}{'kept':>7}"
    print("".join(heads) + numbers + numbers + f"{'alike':>8}{'mean':>8}")
    for r in rows:
        line = f"{r['function']:<12}{r['noise']:>7}  {r['optimiser']:<10}{r['parallel']:>6}  "
        for end in (r["best"], r["chosen"]):
            kept = "" if end["kept"] is None else f"{end['kept']:.0%}"
            line += f"{end['mean']:>8.3f}{end['median']:>8.3f}{end['better than random']:>5}/{seeds:<2}{kept:>7}"
        print(line + f"{r['chosen']['better than chosen']:>5}/{seeds:<2}{np.mean(r['least regret tried']):>8.3f}")


def main() -> None:
    """Print and write it all."""
    parser = argparse.ArgumentParser(description="Optimisers on functions whose minimum is known.")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--optimisers", nargs="+", default=["gp"], choices=["gp", "optuna"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = compare(options.optimisers, seeds, options.evaluations)
    print(f"regret after {options.evaluations} evaluations, {options.seeds} seeds")
    show(rows, options.seeds)
    sizes = [(40, 3), (500, 3), (500, 512), (5_000, 512)]
    times = {f"{o}: {t} reported, {p} pending": proposal_seconds(o, t, p) for o in options.optimisers for t, p in sizes}
    print("processor seconds a proposal, Hartmann-6")
    for label, seconds in times.items():
        print(f"  {label}: {seconds:.3f}")
    options.out.mkdir(exist_ok=True, parents=True)
    whole = {"evaluations": options.evaluations, "seeds": list(seeds), "rows": rows, "seconds a proposal": times}
    (options.out / "tuning.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    main()
