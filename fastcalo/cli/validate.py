# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from ..validation.showers.report import ValidationReport


EXIT_CODES = {"3": "a limit is not kept"}


def command(
    candidate: Annotated[str, Argument(metavar="MODEL", help="Model: a name or .onnx file; or a file of showers.")],
    data: Annotated[Path, Argument(metavar="DATA.h5", help="Showers of full simulation.")],
    output: Annotated[Path, Option("--output", "-o", metavar="FOLDER", help="Where index.html and report.json go.")],
    reference: Annotated[
        Path | None,
        Option(metavar="FILE.h5", help="More full simulation, to compare with.", show_default="half of DATA"),
    ] = None,
    limits: Annotated[
        Path | None, Option(metavar="FILE.toml", help="Limits; if one is not kept, the command ends with 3.")
    ] = None,
    showers: Annotated[int, Option(help="Use as many showers of DATA at most.", min=200)] = 20_000,
    section: Annotated[
        list[str] | None, Option(help="Compare this section. May be repeated.", show_default="all")
    ] = None,
    detector: Annotated[
        str | None,
        Option(
            help="Detector, for its thresholds: a shipped name or a .toml file.",
            show_default="that of MODEL and DATA.h5",
        ),
    ] = None,
    threshold: Annotated[
        float | None, Option(metavar="MEV", help="Leave out deposits up to this instead.", min=0)
    ] = None,
    binning: Annotated[Path | None, Option(metavar="FILE.xml", help="CaloChallenge: the binning.")] = None,
    pdg: Annotated[int | None, Option(help="Files of others: the species, if they don't state it.")] = None,
    deposit_scale: Annotated[float | None, Option(metavar="GEV", help="LCD: GeV per unit of deposits.")] = None,
    judge: Annotated[
        list[str] | None,
        Option(metavar="network", help="Train this judge, too: a graph network on hits. Needs PyTorch."),
    ] = None,
    seed: Annotated[int, Option(help="The same seed gives the same numbers.", min=0)] = 0,
    threads: Annotated[int | None, Option(help="Threads of ONNX Runtime.", min=1)] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a report that exists.")] = False,
) -> None:
    """Compare a model with full simulation, number by number.

    One half of DATA is the reference. The model is asked for the particles of the other half, whose true showers, held
    against the same reference, give the baseline: what even full simulation does not fall below.

    The report is one page with all tables and figures (index.html), and the numbers for machines (report.json).

    \b
    Examples:
      fastcalo validate em showers.h5 -o report
      fastcalo validate my.onnx test.h5 -o report --reference train.h5 --limits limits.toml
      fastcalo validate em showers.h5 -o report --judge network
      fastcalo validate generated.hdf5 dataset_2_2.hdf5 -o report --binning binning_dataset_2.xml
    """  # noqa: D301
    from ..validation.html_report import NUMBERS, PAGE, check_folder
    from ..validation.showers.selection import DataOptions
    from ..validation.showers.validate import validate
    from .output import console

    check_folder(output, (PAGE, NUMBERS), overwrite=overwrite)
    foreign = {"binning": binning, "pdg": pdg, "deposit_scale": deposit_scale}
    options = DataOptions(
        detector=detector,
        threshold=None if threshold is None else 1e-3 * threshold,
        sections=tuple(section or ()),
        foreign={key: value for key, value in foreign.items() if value is not None},
    )
    out = console()

    def status(text: str) -> None:
        out.print(f"{text} ...", style="dim")

    found = validate(
        candidate,
        data,
        reference=reference,
        limits=limits,
        options=options,
        showers=showers,
        seed=seed,
        threads=threads,
        judges=tuple(judge or ()),
        status=status,
    )
    status("figures")
    output.mkdir(exist_ok=True)
    found.write(output, overwrite=overwrite)
    _show(found)
    out.print(f"Report: {output / PAGE}", soft_wrap=True)
    if not found.passed:
        raise SystemExit(3)


def _show(report: ValidationReport) -> None:
    """Print the summary, the worst observables, and the verdicts."""
    from rich.table import Table

    from .output import console

    out = console()
    table = Table(title=f"{report.title}: {report.showers} showers", title_justify="left", title_style="bold")
    for heading, justify in (("number", "left"), ("candidate", "right"), ("baseline", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    worst = sorted(report.comparison.observables.items(), key=lambda item: -item[1]["separation"].value)[:3]
    rows = report.comparison.numbers | {f"separation of {name}": row["separation"] for name, row in worst}
    for name, n in rows.items():
        table.add_row(name, f"{n.value:.4g} ± {n.error:.2g}", f"{n.baseline:.4g} ± {n.baseline_error:.2g}")
    out.print(table)
    for v in report.verdicts:
        style = "green" if v.kept else "bold red"
        out.print(
            f"{'kept' if v.kept else 'NOT KEPT'}: {v.limit.name} = {v.number.value:.4g} ± {v.number.error:.2g}, "
            f"{v.limit.kind.replace('_', ' ')} {v.limit.bound:g}",
            style=style,
        )
