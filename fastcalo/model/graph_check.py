# SPDX-License-Identifier: BSD-3-Clause
"""Whether a graph takes and gives what its contract states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ContractError
from .contract import Contract

KINEMATICS = ("kinetic_energy", "direction", "entry", "species")
"""Inputs of every graph, besides noise."""


def check_graph(session: Any, c: Contract, path: Path) -> None:
    """Refuse a graph that does not take and give what the contract states.

    Raises
    ------
    ContractError
        Names the clause.
    """
    have = {i.name: i.shape for i in session.get_inputs()}
    want = {*KINEMATICS, *(n.name for n in c.noise)}
    if set(have) != want:
        raise ContractError(
            f"{path}: clause 'noise': the graph takes {sorted(have)}, the contract states {sorted(want)}"
        )
    for n in c.noise:
        _check_shape(path, "noise", n.name, have[n.name], n.shape)
    outputs = {o.name: o.shape for o in session.get_outputs()}
    tails = ("_shower", "_cell", "_deposit") if c.sparse else ()
    if not c.whole:
        tails = ("", *tails)
    if lacking := {s + t for s in c.sections for t in tails} - set(outputs):
        raise ContractError(f"{path}: clause 'sections': the graph has no output {sorted(lacking)}")
    for s in c.sections if not c.whole else ():
        _check_shape(path, "stack", s, outputs[s], c.window_shape(s))


def _check_shape(path: Path, clause: str, name: str, have: list[int | str], want: tuple[int | str, ...]) -> None:
    # only lengths that the graph fixes can contradict
    if len(have) != len(want) + 1 or any(
        a != b for a, b in zip(have[1:], want, strict=True) if isinstance(a, int) and isinstance(b, int)
    ):
        raise ContractError(
            f"{path}: clause {clause!r}: {name!r} has the shape {have} in the graph, but {['N', *want]} in the contract"
        )
