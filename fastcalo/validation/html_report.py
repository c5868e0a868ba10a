# SPDX-License-Identifier: BSD-3-Clause
"""Self-contained HTML reports with text, tables and figures, and a JSON file beside them."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..io.atomic import check_output, output_errors, whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

PAGE, NUMBERS = "index.html", "report.json"

INK, GREY, COLOUR = "#1d2733", "#9aa5b1", "#c2410c"
"""Colours of figures: of the reference, of what is secondary, of what is judged."""

_DPI = 100


@dataclass(frozen=True)
class Figure:
    """A picture with its words.

    Attributes
    ----------
    title, caption : str
    png : bytes
    """

    title: str
    caption: str
    png: bytes


def subplots(rows: int, columns: int, *, size: tuple[float, float] | None = None, **grid: Any) -> tuple[Any, Any]:
    """Make a figure that belongs to no window, and its axes, an array [rows, columns].

    Parameters
    ----------
    rows, columns : int
    size : (float, float), optional
        Width and height, inches; by default that which fits the page.
    **grid
        For `matplotlib.figure.Figure.subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MatplotlibFigure

    # not pyplot: it would choose a backend for the whole process
    figure = MatplotlibFigure(figsize=size or (4.2 * columns, 3.4 + 1.2 * (rows - 1)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def png(figure: MatplotlibFigure) -> bytes:
    """Return a figure as a PNG image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    figure.set_dpi(_DPI)
    # savefig would work out the layout, which takes most of the time, twice
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(buffer)
    return buffer.getvalue()


def render(template: Path, **values: Any) -> str:
    """Fill a template that extends ``html_report.html.j2``.

    It has the filters ``number``, four digits, and ``base64``, for bytes; a value that is not given is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: f"{value:.4g}"
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(template.name).render(**values)


def numbers_text(content: Any) -> str:
    """Return the text of a JSON file; what is no finite number is null there."""
    return json.dumps(finite(content), indent=1, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Return the same without numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_texts(folder: Path, texts: dict[str, str], *, overwrite: bool = False) -> None:
    """Write files into a folder, by name.

    Raises
    ------
    OutputError
        A file cannot be written, or is there already.
    """
    for name, text in texts.items():
        path = folder / name
        with whole_file(path, overwrite=overwrite) as temporary, output_errors(path):
            temporary.write_text(text, encoding="utf-8")


def check_folder(folder: Path, names: tuple[str, ...], *, overwrite: bool = False) -> None:
    """Make sure that files of these names may be written to a folder that is there or can be made.

    Raises
    ------
    OutputError
        It is a file, cannot be made or written to, or holds a file of such a name that may not be replaced.
    """
    if folder.is_file():
        raise OutputError(f"{folder}: is a file; give the name of a folder")
    if not folder.exists():
        check_output(folder)
        return
    for name in names:
        check_output(folder / name, overwrite=overwrite)
