# SPDX-License-Identifier: BSD-3-Clause
"""Findings of the diagnosis, and checks of the facts that ranks report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from fastcalo.system.install import install_line

GOOD, WARNING, BAD = "good", "warning", "bad"
_BINDING = {
    "MPICH": "mpiexec -bind-to core",
    "Open MPI": "mpiexec --bind-to core",
    "Intel": "I_MPI_PIN=1 mpiexec",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    subject : str
    verdict : str
        ``"good"``, ``"warning"`` (works, but slowly or not everything) or ``"bad"``.
    text : str
    mend : str
        What to do; empty where there is nothing to do.
    """

    subject: str
    verdict: str
    text: str
    mend: str = ""


@dataclass(frozen=True)
class RankFacts:
    """What one process sees of its machine.

    Attributes
    ----------
    rank : int
    node : str
    cpus : tuple of int
        Numbers of the cores that it may run on.
    threads : int
        That torch would start, or that OMP_NUM_THREADS asks for, if that is more.
    omp : str
        ``OMP_NUM_THREADS``.
    gpus : tuple of (str, str)
        Name, the same for all who see it, and model of each GPU that torch can use.
    versions : tuple of (str, str)
        Of what has to be the same everywhere; empty where it is not installed.
    geant4 : str
        What is wrong with Geant4's data; empty if nothing is.
    """

    rank: int
    node: str
    cpus: tuple[int, ...]
    threads: int
    omp: str
    gpus: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    geant4: str


def check_versions(everyone: list[RankFacts]) -> Iterator[Finding]:
    """Whether all ranks run the same software."""
    first = dict(everyone[0].versions)
    for name, mine in first.items():
        others = [facts.rank for facts in everyone if dict(facts.versions)[name] != mine]
        if others:
            yield Finding(
                "software", BAD, f"ranks {others} have another version of {name} than rank 0, with {mine or 'none'}",
                "start all ranks in the same environment",
            )  # fmt: skip
            return
    text = ", ".join(f"{name} {number}" for name, number in first.items() if number)
    if not first["torch"]:
        yield Finding("software", WARNING, f"{text}; torch is not installed", install_line("train"))
    else:
        yield Finding("software", GOOD, text + (", the same on all ranks" if len(everyone) > 1 else ""))


def group_by_node(everyone: list[RankFacts]) -> dict[str, list[RankFacts]]:
    """The ranks of each node."""
    nodes = defaultdict(list)
    for facts in everyone:
        nodes[facts.node].append(facts)
    return nodes


def check_binding(everyone: list[RankFacts], flavour: str = "") -> Iterator[Finding]:
    """Whether ranks of a node keep off each other's cores."""
    call = _BINDING.get(flavour, "mpiexec --bind-to core")
    for node, ranks in group_by_node(everyone).items():
        union = set().union(*(facts.cpus for facts in ranks))
        subject = f"cores of {node}"
        shared = sorted(
            {f.rank for i, f in enumerate(ranks) for k, g in enumerate(ranks) if i != k and set(f.cpus) & set(g.cpus)}
        )
        if len(union) < len(ranks):
            yield Finding(
                subject, WARNING, f"{len(ranks)} ranks on {len(union)} cores ({format_ranks(union)}): they take turns",
                "start fewer ranks on a node, or ask for more cores (--cpus-per-task, -bind-to)",
            )  # fmt: skip
        elif shared:
            yield Finding(
                subject, WARNING, f"ranks {shared} may run on the same cores ({format_ranks(union)})",
                f"bind them: {call}, or srun --cpu-bind=cores",
            )  # fmt: skip
        else:
            each = f", {min(len(f.cpus) for f in ranks)} or more for each rank" if len(ranks) > 1 else ""
            yield Finding(subject, GOOD, f"{len(union)} ({format_ranks(union)}){each}")


def check_threads(everyone: list[RankFacts]) -> Iterator[Finding]:
    """Whether there are no more threads than cores."""
    for node, ranks in group_by_node(everyone).items():
        subject = f"threads on {node}"
        origin = f" (OMP_NUM_THREADS={ranks[0].omp})" if ranks[0].omp else ""
        over = [facts for facts in ranks if facts.threads > len(facts.cpus)]
        union = set().union(*(facts.cpus for facts in ranks))
        total = sum(facts.threads for facts in ranks)
        if over:
            yield Finding(
                subject, BAD,
                f"ranks {[f.rank for f in over]} want {over[0].threads} threads on {len(over[0].cpus)} cores{origin}",
                f"export OMP_NUM_THREADS={len(over[0].cpus)}, or give each rank more cores",
            )  # fmt: skip
        elif total > len(union):
            yield Finding(
                subject, WARNING, f"{len(ranks)} ranks want {total} threads on {len(union)} cores{origin}",
                f"export OMP_NUM_THREADS={max(1, len(union) // len(ranks))}, or fastcalo train --threads",
            )  # fmt: skip
        else:
            yield Finding(subject, GOOD, f"{total} on {len(union)} cores{origin}")


def format_ranks(numbers: set[int]) -> str:
    """Whole numbers in short: ``{0, 1, 2, 5}`` is ``"0-2,5"``."""
    out: list[list[int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in out)
