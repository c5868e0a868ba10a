# SPDX-License-Identifier: BSD-3-Clause
"""Command ``fastcalo list``."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option


def command(as_json: Annotated[bool, Option("--json", help="Print JSON instead of tables.")] = False) -> None:
    """List the models and detectors that fastcalo ships.

    Their names can be given wherever a model or a detector is asked for; those with an asterisk are taken where none
    is named.

    \b
    Examples:
      fastcalo list
      fastcalo list --json
      fastcalo inspect em clic-like
    """  # noqa: D301
    from ..production.catalogue import catalogue
    from .output import print_json

    found = catalogue()
    if as_json:
        print_json(found)
        return
    _show("Models", ("particles", "kinetic energy [GeV]", "angle", "gives"), [_model(m) for m in found["models"]])
    _show("Detectors", ("sections",), [_detector(d) for d in found["detectors"]])


def _model(model: dict[str, Any]) -> tuple[str, ...]:
    low, high = model["kinetic_energy_gev"]
    gives = f"{' and '.join(model['sections'])}, {'whole showers' if model['whole'] else 'windows'}"
    angle = f"up to {model['max_angle_degrees']:g}°"
    return _name(model), " ".join(model["species_names"]), f"{low:g} to {high:g}", angle, gives


def _detector(detector: dict[str, Any]) -> tuple[str, ...]:
    sections = (f"{name} of {layers} layers" for name, layers in detector["sections"].items())
    return _name(detector), ", ".join(sections)


def _name(thing: dict[str, Any]) -> str:
    return f"{thing['name']} *" if thing["default"] else str(thing["name"])


def _show(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    from .output import console

    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("name", *columns):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
