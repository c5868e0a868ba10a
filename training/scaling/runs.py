# SPDX-License-Identifier: BSD-3-Clause
"""Scaling results: rates, efficiencies and projections of runs on several numbers of ranks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcalo._version import __version__

from ..config import TrainConfig
from .projection import LinearModel, fit_computing, fit_network, project, ring_cost

SIZES = (8, 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024)
"""Bytes of the sums that the model of the network is calibrated on."""
FARTHEST = 1024
_DISTANCES = ("layers_", "observables_mean_pull")


@dataclass(frozen=True)
class Target:
    """When a training is good enough.

    Attributes
    ----------
    name : str
        Of a number of the evaluations in ``metrics.jsonl``.
    value : float
        Largest distance from full simulation.
    """

    name: str
    value: float

    def distance(self, line: dict[str, Any]) -> float:
        """How far an evaluation is from full simulation: deviations are that, ratios are as far as from 1."""
        number = float(line.get(self.name, np.inf))
        distance = number if self.name.startswith(_DISTANCES) else abs(number - 1)
        # of an evaluation that has gone wrong
        return distance if np.isfinite(distance) else np.inf


@dataclass(frozen=True)
class ScalingRun:
    """One training of one number of ranks.

    Attributes
    ----------
    batch : int
        Showers of the global batch.
    rate : float
        Showers per second, all ranks together.
    share, share_max : float
        Of the time that ranks waited: mean and largest.
    computing : float
        Seconds of a step without waiting, mean of the ranks; of ranks in step only.
    messages, size : float
        Sums of gradients in a step, and their bytes; of ranks in step only.
    target : float or None
        Seconds until the target was reached.
    closest : float
        Distance of the best evaluation from the target's ideal.
    """

    batch: int
    rate: float
    share: float
    share_max: float
    computing: float = 0.0
    messages: float = 0.0
    size: float = 0.0
    target: float | None = None
    closest: float = float("inf")


def scaling_report(
    config: TrainConfig,
    where: str,
    samples: dict[tuple[str, str, int], list[ScalingRun]],
    sums: dict[int, NDArray[np.float64]],
    steps: int,
    target: Target | None,
    nodes: int,
) -> dict[str, Any]:
    """Turn what was measured into what ``scaling.json`` holds.

    Parameters
    ----------
    config : TrainConfig
    where : str
    samples : dict
        By strategy, kind and number of ranks.
    sums : dict of int to float64 [len(SIZES), repeats]
        Seconds of sums, by number of ranks.
    steps : int
    target : Target or None
    nodes : int
    """
    points = []
    for strategy, kind in dict.fromkeys(key[:2] for key in samples):
        own = {p: found for (s, k, p), found in samples.items() if (s, k) == (strategy, kind)}
        # one process is the same under whatever strategy
        if alone := samples.get(("allreduce", "strong", 1)):
            own = {1: alone, **own} if strategy == "allreduce" else own
            reference, base = 1, alone
        else:
            reference = min(own)
            base = own[reference]
        points += [_point(strategy, kind, p, found, base, reference) for p, found in own.items()]
    in_step = {key[1:]: found for key, found in samples.items() if key[0] == "allreduce"}
    return {
        "fastcalo": __version__,
        "config": where,
        "arch": config.arch,
        "stage": config.stage[0].name,
        "steps": steps,
        "threads": config.threads,
        "nodes": nodes,
        "target": asdict(target) if target else None,
        "measured": points,
        "allreduce": {
            "bytes": list(SIZES),
            "seconds": {str(p): np.median(t, axis=1).tolist() for p, t in sums.items()},
            "spread": {str(p): _deviation(t).tolist() for p, t in sums.items()},
        },
        "projection": _projection(config, in_step, sums, nodes),
    }


def _point(
    strategy: str, kind: str, ranks: int, own: list[ScalingRun], base: list[ScalingRun], first: int
) -> dict[str, Any]:
    rates, reference = np.array([s.rate for s in own]), np.array([s.rate for s in base])
    efficiency = rates.mean() / reference.mean() * first / ranks
    relative = np.hypot(_spread(rates) / rates.mean(), _spread(reference) / reference.mean() if own is not base else 0)
    times = [s.target for s in own]
    reached = [t for t in times if t is not None]
    return {
        "strategy": strategy,
        "kind": kind,
        "ranks": ranks,
        "batch": own[0].batch,
        "showers_per_second": float(rates.mean()),
        "spread": _spread(rates),
        "repeats": rates.tolist(),
        "relative_to_ranks": first,
        "efficiency": float(efficiency),
        "efficiency_spread": float(efficiency * relative) if own is not base else 0.0,
        "communication_share": float(np.mean([s.share for s in own])),
        "communication_share_max": float(np.max([s.share_max for s in own])),
        "seconds_to_target": float(np.mean(reached)) if len(reached) == len(times) else None,
        "seconds_to_target_repeats": times,
        "reached": len(reached),
        # JSON knows no infinity
        "closest": [s.closest if np.isfinite(s.closest) else None for s in own],
    }


def _spread(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _projection(
    config: TrainConfig,
    samples: dict[tuple[str, int], list[ScalingRun]],
    sums: dict[int, NDArray[np.float64]],
    nodes: int,
) -> dict[str, Any] | None:
    if not sums:
        return None
    seconds = np.array([np.median(t, axis=1) for t in sums.values()])
    deviation = np.array([_deviation(t) for t in sums.values()])
    # a model of two numbers is no better than a tenth
    network = fit_network(list(sums), SIZES, seconds, np.maximum(deviation, 0.1 * seconds))
    per_rank = np.array([s.batch / p for (_, p), own in samples.items() for s in own])
    taken = np.array([s.computing for own in samples.values() for s in own])
    computing = fit_computing(per_rank, taken, 0.05 * taken)
    largest = max(sums)
    messages, size = (float(np.mean([getattr(s, n) for s in samples["strong", largest]])) for n in ("messages", "size"))
    late = _late([(p, s) for (_, p), own in samples.items() for s in own if p > 1], network)
    ranks = np.exp2(np.arange(1, int(np.log2(FARTHEST)) + 1)).astype(np.float64)
    batch = config.stage[0].batch
    curves = {}
    batches: dict[str, NDArray[np.float64]] = {"strong": np.full_like(ranks, batch), "weak": ranks * batch}
    for kind, global_batch in batches.items():
        # no rank without a shower
        kept = global_batch >= ranks
        found = project(ranks[kept], global_batch[kept], network, computing, messages, size, late)
        curves[kind] = {"ranks": ranks[kept].tolist(), **{name: values.tolist() for name, values in found.items()}}
    return {
        "label": f"projection, not measured: calibrated on up to {largest} ranks of {nodes} node(s)",
        "model": "step = t0 + t1 b + late + sums by a ring (alpha-beta)",
        "alpha_s": network.values[0],
        "beta_s_per_byte": network.values[1],
        "network_covariance": network.covariance.tolist(),
        "network_chi2": network.chi2,
        "t0_s": computing.values[0],
        "t1_s_per_shower": computing.values[1],
        "computing_covariance": computing.covariance.tolist(),
        "computing_chi2": computing.chi2,
        "late_s": late[0],
        "late_error_s": late[1],
        "messages_per_step": messages,
        "bytes_per_step": size,
        "curves": curves,
    }


def _deviation(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread of each row that a few interruptions do not change: of a normal distribution, its width."""
    away = np.abs(seconds - np.median(seconds, axis=1)[:, None])
    return np.asarray(1.4826 * np.median(away, axis=1))


def _late(samples: list[tuple[int, ScalingRun]], network: LinearModel) -> tuple[float, float]:
    """Seconds of waiting in a step that messages do not explain, and their spread."""
    found = []
    for p, s in samples:
        messages = ring_cost(np.array([float(p)]), s.messages, s.size) @ network.values
        found.append(max(0.0, s.share * s.batch / s.rate - float(messages[0])))
    return float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else found[0]
