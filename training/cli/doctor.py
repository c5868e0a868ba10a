# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

if TYPE_CHECKING:
    from ..diagnostics.findings import Finding


def command(
    folder: Annotated[Path, Option(metavar="FOLDER", help="Where runs are to be written.")] = Path(),
    json: Annotated[bool, Option("--json", help="Print a list of findings as JSON.")] = False,
) -> None:
    """Check whether this machine can train, and what to repair.

    Alone, or started as a training is to be started: by mpiexec or srun. Looks at MPI and its launcher, cores and
    threads of each rank, ONNX Runtime, sums over all ranks, the folder of the run, and the data of Geant4. Ends with 1
    if something is bad; a warning means that it works, but slowly, or not all of it.

    \b
    Examples:
      fastcalo doctor --json
      mpiexec -n 8 fastcalo doctor --folder runs
    """  # noqa: D301
    from ..diagnostics.doctor import diagnose, launched_rank, open_world
    from ..diagnostics.findings import BAD
    from ..distributed.world import abort_on_error

    world, trouble = open_world()
    with abort_on_error(world):
        findings = diagnose(world, trouble, folder.absolute())
        bad = any(finding.verdict == BAD for finding in findings)
        if world is not None:
            bad = world.bcast(bad)
    # of processes that do not know of each other, one speaks
    if findings and not launched_rank():
        _show(findings, json)
    if bad:
        raise Exit(1)


def _show(findings: list[Finding], as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich.text import Text

    from fastcalo.cli.output import console

    out = console()
    if as_json:
        out.print(json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False), soft_wrap=True)
        return
    styles = {"good": "green", "warning": "yellow", "bad": "bold red"}
    for finding in findings:
        line = Text(f"{finding.verdict:8}", style=styles[finding.verdict])
        out.print(line.append(f"{finding.subject}: {finding.text}", style="default"), soft_wrap=True)
        if finding.mend:
            out.print(f"{'':8}→ {finding.mend}", soft_wrap=True)
