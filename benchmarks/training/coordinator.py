# SPDX-License-Identifier: BSD-3-Clause
"""Waiting time of the groups of a hyper-parameter search for its coordinator, up to 512 groups.

    python benchmarks/training/coordinator.py [--groups N ...] [--rounds N] [--out FOLDER]

The coordinator, the study with its journal on a disk, and the optimiser are the real ones. Groups are simulated: how
long a trial takes is drawn (log-normal), and their time passes at once. What the coordinator itself takes, its loop and
the thread that asks the optimiser, is measured and added to the simulated clock.
"""

from __future__ import annotations

import os

# as beside a training: one core, before anything loads a library that starts threads
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import heapq
import json
import logging
import math
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

# what benchmarks share
sys.path.insert(0, str(Path(__file__).parents[1]))
import measure
import numpy as np

from fastcalo.training.config import TrainConfig, load_config
from fastcalo.training.tune.config import ObjectiveConfig, StoppingConfig, TuneConfig
from fastcalo.training.tune.running.coordinator import BackgroundTasks, Clock, Coordinator, GroupState
from fastcalo.training.tune.running.mpi_messages import MessageChannel
from fastcalo.training.tune.running.trial import outcome_table
from fastcalo.training.tune.running.trial_queue import NoDisplay
from fastcalo.training.tune.space import Space, read_space
from fastcalo.training.tune.study.study import Outcome, Study

ROOT = Path(__file__).parents[2]
GROUPS = (2, 8, 32, 128, 512)
MEDIAN_S, SPREAD = 1_800.0, 0.4
"""Of a trial's time: median, and standard deviation of its logarithm."""
RUNGS = 5
FEWEST = 40
"""Trials of a search."""
PACKAGES = ("fastcalo", "numpy", "scikit-learn", "scikit-optimize")
LOOK_S = 5e-3
"""How often a leader looks for messages."""
SPACE = {
    "stage.layers.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "stage.hits.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "stage.adversarial.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "stage.adversarial.adversarial_weight": {"low": 0.03, "high": 3.0, "log": True},
    "network.hit_width": {"low": 64, "high": 256, "integer": True},
    "stage.hits.batch": {"choices": [32, 64, 128]},
}


@dataclass
class World(Clock):
    """Simulated groups: their clock, the messages with them, and the thread beside the coordinator."""

    seed: int
    time: float = 0.0
    waits: list[float] = field(default_factory=list)
    hand_s: float = 0.0
    loop_s: float = 0.0

    def __post_init__(self) -> None:
        self.space: Space = read_space(SPACE, "space")
        self._rng = np.random.default_rng(self.seed)
        self._mail: list[tuple[float, int, int, dict[str, Any]]] = []
        self._sent, self._idle_since = 0, dict[int, float]()
        self._task = dict[int, tuple[int, float]]()
        self._thread_free = 0.0
        self._results: deque[tuple[float, Callable[[Any], None], Any]] = deque()
        self._awake, self._in_thread = time.perf_counter(), 0.0

    # the clock

    def now(self) -> float:
        """Simulated seconds."""
        return self.time

    def sleep(self) -> None:
        """Add what the loop has taken, then go to the next event."""
        took = time.perf_counter() - self._awake - self._in_thread
        self.loop_s += took
        events = [at for at in (self._mail[0][0] if self._mail else math.inf, self._next_result()) if at < math.inf]
        self.time = max(self.time + took + LOOK_S, min(events, default=0.0))
        self._awake, self._in_thread = time.perf_counter(), 0.0

    def _next_result(self) -> float:
        return self._results[0][0] if self._results else math.inf

    # the thread

    def do(self, what: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Do it now, as if it began when the thread has time and took as long as it does."""
        start = time.perf_counter()
        result = what()
        took = time.perf_counter() - start
        self.hand_s += took
        self._in_thread += took
        self._thread_free = max(self._thread_free, self.time) + took
        self._results.append((self._thread_free, then, result))

    def collect(self, everything: bool = False) -> None:
        """Take up what is done."""
        while self._results and (everything or self._results[0][0] <= self.time):
            _, then, result = self._results.popleft()
            then(result)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return not self._results

    def close(self) -> None:
        """Nothing to do."""

    # messages

    size = 1

    def look(self) -> tuple[int, dict[str, Any]] | None:
        """The next message that has come."""
        if not self._mail or self._mail[0][0] > self.time:
            return None
        at, _, rank, message = heapq.heappop(self._mail)
        current = self._task.get(rank)
        if current is None or message["trial"] != current[0]:
            return self.look()
        if message["do"] == "ended":
            self._idle_since[rank] = at
            del self._task[rank]
        return rank, message

    def flush(self, _: float) -> None:
        """Nothing to do."""

    def send(self, rank: int, **message: Any) -> None:
        """Groups: work on a trial, or stop."""
        if message["do"] == "trial":
            self.waits.append(self.time - self._idle_since.get(rank, 0.0) + LOOK_S * float(self._rng.random()))
            self._begin(rank, message["number"], message["point"])
        elif message["do"] == "stop":
            outcome = Outcome("stopped", reason=message["reason"])
            self._channel(self.time + 1.0, rank, do="ended", trial=message["trial"], outcome=outcome_table(outcome))

    def _begin(self, rank: int, trial: int, point: dict[str, Any]) -> None:
        seconds = MEDIAN_S * math.exp(SPREAD * float(self._rng.standard_normal()))
        self._task[rank] = trial, self.time + seconds
        unit_D = self.space.units([point])[0]
        value = float(((unit_D - 0.4) ** 2).sum() + 0.02 * self._rng.standard_normal())
        for k in range(1, RUNGS + 1):
            worse = math.exp(-3 * k / (RUNGS + 1))
            at = self.time + seconds * k / (RUNGS + 1)
            self._channel(at, rank, do="rung", trial=trial, step=1_000 * k, value=value + worse)
        outcome = Outcome("done", value=value, variance=4e-4, seconds=seconds)
        self._channel(self.time + seconds, rank, do="ended", trial=trial, outcome=outcome_table(outcome))

    def _channel(self, at: float, rank: int, **message: Any) -> None:
        self._sent += 1
        heapq.heappush(self._mail, (at, self._sent, rank, message))


Optimiser: TypeAlias = Literal["gp", "optuna", "random"]


def simulate(groups: int, trials: int, optimiser: Optimiser, base: TrainConfig) -> dict[str, Any]:
    """One search of so many groups and trials."""
    world = World(seed=groups)
    tune = TuneConfig(
        name="simulated", base="base.toml", trials=trials, optimiser=optimiser, initial=max(8, groups // 4),
        objective=ObjectiveConfig(), stopping=StoppingConfig(least=20, first=2_000), space=world.space,
    )  # fmt: skip
    states = [GroupState(k, [1 + k]) for k in range(groups)]
    with tempfile.TemporaryDirectory() as folder, Study.create(Path(folder) / "study", tune, base) as study:
        Coordinator(study, states, cast(MessageChannel, world), NoDisplay(), cast(BackgroundTasks, world), world).run()
        end = study.record.lines[-1]
        stopped = sum(t.status == "stopped" for t in study.trials)
    wall = float(end["wall_s"])
    return {
        "groups": groups,
        "trials": trials,
        "stopped": stopped,
        "optimiser": optimiser,
        "busy": end["busy"],
        "wait_mean_s": float(np.mean(world.waits)),
        "wait_99_s": float(np.quantile(world.waits, 0.99)),
        "wait_most_s": max(world.waits),
        "thread_share": world.hand_s / wall,
        "loop_share": world.loop_s / wall,
        "thread_s_per_trial": world.hand_s / trials,
        "simulated_h": wall / 3_600,
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Share of time that groups wait, and that the coordinator works, against the number of groups."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    x = [row["groups"] for row in rows]
    curves = (
        ("groups wait", "o-", [1 - r["busy"] for r in rows]),
        ("the coordinator's thread works", "s--", [r["thread_share"] for r in rows]),
        ("the coordinator's loop works", "^:", [r["loop_share"] for r in rows]),
    )
    for label, style, shares in curves:
        axes.plot(x, [max(100 * share, 1e-4) for share in shares], style, label=label)
    axes.axhline(2, color="0.6", lw=1)
    axes.annotate("2 %", (x[0], 2), (0, 3), textcoords="offset points", color="0.4")
    axes.axhline(100, color="0.6", lw=1, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="groups", ylabel="share of the time [%]")
    axes.set_xticks(x, [str(g) for g in x], minor=False)
    axes.legend(frameon=False)
    axes.set_title(f"Trials of {MEDIAN_S / 60:.0f} min (log-normal, simulated), coordinator measured", fontsize=10)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Simulate, print, draw and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=list(GROUPS))
    parser.add_argument("--rounds", type=float, default=3.0, help="trials of a group, in the mean")
    parser.add_argument("--optimiser", default="gp", choices=["gp", "optuna", "random"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    base = load_config(ROOT / "configs" / "em-hits.toml")
    rows = []
    print("groups trials stopped    busy  wait: mean    99 %     most [s]  thread   loop  thread s/trial")
    for groups in arguments.groups:
        # a search of few groups has more rounds in practice
        trials = max(int(arguments.rounds * groups), FEWEST)
        row = simulate(groups, trials, arguments.optimiser, base)
        rows.append(row)
        print(
            f"{row['groups']:6} {row['trials']:6} {row['stopped']:7} {row['busy']:8.4%} {row['wait_mean_s']:9.3f} "
            f"{row['wait_99_s']:9.3f} {row['wait_most_s']:9.2f} {row['thread_share']:10.3%} {row['loop_share']:6.3%} "
            f"{row['thread_s_per_trial']:8.3f}",
            flush=True,
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"hardware": measure.hardware(PACKAGES), "median_s": MEDIAN_S, "spread": SPREAD, "rows": rows}
    (arguments.out / "coordinator.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(rows, arguments.out / "coordinator.png")


if __name__ == "__main__":
    main()
