# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo scaling``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option


def command(
    config: Annotated[
        Path,
        Argument(
            metavar="CONFIG",
            help="The training, whose first stage is measured: a TOML file, or the name of a shipped one.",
        ),
    ],
    output: Annotated[Path, Option("--output", "-o", metavar="FOLDER", help="For scaling.json and scaling.png.")],
    ranks: Annotated[
        list[int] | None, Option(help="A number of ranks. May be repeated.", show_default="powers of 2, and all")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        Option(help="allreduce, downpour, easgd or gem. May be repeated.", show_default="that of CONFIG"),
    ] = None,
    steps: Annotated[int, Option(help="Steps of each training; the first fifth is not counted.", min=5)] = 100,
    repeats: Annotated[int, Option(help="Trainings of each number of ranks.", min=1)] = 3,
    target: Annotated[
        tuple[str, float] | None,
        Option(metavar="NAME VALUE", help="Time until an evaluation is as near to full simulation."),
    ] = None,
    threads: Annotated[int, Option(help="Threads in each process.", show_default="the file's", min=0)] = 0,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace files of these names.")] = False,
) -> None:
    """Measure how fast a training is on several numbers of ranks.

    Strong scaling keeps the global batch, weak scaling lets it grow with the ranks; workers of other strategies than
    allreduce keep a batch each, and share the steps. All is measured on real steps of the first stage. From times of
    sums over all ranks, a model projects to 1024 ranks; what is projected stands apart.

    With --target, layers_... of an evaluation must come down to VALUE, ratios as response_..., width_..., hits_... as
    near to 1; then --steps must be enough for it, and there are ten evaluations. Time is that since the first step.

    \b
    Examples:
      mpiexec -n 8 fastcalo scaling configs/em-hits.toml -o scaling --ranks 1 --ranks 4 --ranks 8 --threads 1
      mpiexec -n 8 fastcalo scaling configs/em-hits.toml -o scaling --steps 2000 --target hits_1-10GeV 0.1
      mpiexec -n 4 fastcalo scaling configs/em-hits.toml -o scaling --strategy allreduce --strategy easgd --strategy gem
    """  # noqa: D301
    from fastcalo.cli.output import name_rank
    from fastcalo.config.shipped import find_configuration, shipped_trainings
    from fastcalo.errors import ConfigError
    from fastcalo.io.atomic import check_output, output_errors

    from ..config import load_config
    from ..distributed.world import abort_on_error, join_world
    from ..scaling.measure import make_plans, measure_scaling
    from ..scaling.runs import Target

    world = join_world()
    name_rank(world)
    if world is None:
        raise ConfigError("scaling needs several processes: mpiexec -n 4 fastcalo scaling CONFIG.toml -o FOLDER")
    with abort_on_error(world):
        config = find_configuration(config, shipped_trainings())
        settings = load_config(config)
        if threads:
            settings = settings.updated("--threads", threads=threads)
        numbers, strategies = ranks or _powers(world.size), strategy or ()
        make_plans(settings, str(config), numbers, strategies, world.size)
        if not world.rank:
            with output_errors(output):
                output.mkdir(parents=True, exist_ok=True)
            for name in ("scaling.json", "scaling.png"):
                check_output(output / name, overwrite=overwrite)
        world.Barrier()
        goal = Target(*target) if target else None
        found = measure_scaling(
            settings,
            str(config),
            world,
            output,
            numbers,
            strategies,
            steps=steps,
            repeats=repeats,
            target=goal,
            report=_say,
        )
        if found:
            _write(found, output)


def _powers(size: int) -> list[int]:
    return [*(1 << k for k in range(size.bit_length()) if 1 << k < size), size]


def _say(text: str) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False).print(text)


def _write(found: dict[str, Any], output: Path) -> None:
    import json

    from fastcalo.io.atomic import whole_file

    from ..scaling.figure import draw_scaling

    with whole_file(output / "scaling.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(found, indent=1))
    with whole_file(output / "scaling.png", overwrite=True) as temporary:
        draw_scaling(found, temporary)
    _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from fastcalo.cli.output import console

    table = Table(title=f"Measured: stage {found['stage']}, {found['steps']} steps", title_justify="left")
    for name in ("strategy", "scaling", "ranks", "batch", "showers/s", "efficiency", "waiting", "slowest rank"):
        table.add_column(name, justify="left" if name in ("strategy", "scaling") else "right")
    if found["target"]:
        table.add_column(f"s to {found['target']['name']} {found['target']['value']:g}", justify="right")
    for p in found["measured"]:
        row = [p["strategy"], p["kind"], str(p["ranks"]), str(p["batch"])]
        row += [f"{p['showers_per_second']:.1f} ± {p['spread']:.1f}"]
        row += [f"{p['efficiency']:.3f} ± {p['efficiency_spread']:.3f}"]
        row += [f"{p['communication_share']:.1%}", f"{p['communication_share_max']:.1%}"]
        if found["target"]:
            row.append(_reached(p))
        table.add_row(*row)
    out = console()
    out.print(table)
    if not found["projection"]:
        return
    projected = Table(title=found["projection"]["label"].capitalize(), title_justify="left")
    for name in ("scaling", "ranks", "showers/s", "one σ of the fits", "waiting"):
        projected.add_column(name, justify="left" if name == "scaling" else "right")
    for kind, curve in found["projection"]["curves"].items():
        if curve["ranks"]:
            low, high = curve["low"][-1], curve["high"][-1]
            row = [kind, f"{curve['ranks'][-1]:.0f}", f"{curve['rate'][-1]:.3g}"]
            projected.add_row(*row, f"{low:.3g} to {high:.3g}", f"{curve['share'][-1]:.1%}")
    out.print(projected)


def _reached(point: dict[str, Any]) -> str:
    if point["seconds_to_target"] is not None:
        return f"{point['seconds_to_target']:.1f}"
    if point["reached"]:
        return f"reached by {point['reached']} of {len(point['repeats'])}"
    known = [distance for distance in point["closest"] if distance is not None]
    return f"not reached, best {min(known):.3g}" if known else "not reached"
