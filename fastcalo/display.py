# SPDX-License-Identifier: BSD-3-Clause
"""Tables of HTML, as notebooks show the objects of this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_NUMBER = "text-align: right"
_TEXT = "text-align: left"


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """Return a table for a notebook; all texts are escaped.

    Parameters
    ----------
    title : str
        Stands above the table, if there is one.
    header : sequence of str
        Names of the columns; none for a table of pairs.
    rows : iterable of sequences of str
        Cells. The first column is aligned to the left, and so are all of a table without a header; the others are
        taken for numbers.
    note : str
        Stands below the table.
    """
    others = _NUMBER if header else _TEXT
    lines = [f"<p><b>{escape(title)}</b></p>"] if title else []
    lines.append("<table>")
    if header:
        lines.append(f"<thead><tr>{_cells('th', header, others)}</tr></thead>")
    lines.append("<tbody>")
    lines += [f"<tr>{_cells('td', row, others)}</tr>" for row in rows]
    lines.append("</tbody></table>")
    if note:
        lines.append(f"<p>{escape(note)}</p>")
    return "\n".join(lines)


def _cells(tag: str, texts: Sequence[str], others: str) -> str:
    styles = [_TEXT, *[others] * (len(texts) - 1)]
    return "".join(f'<{tag} style="{s}">{escape(str(t))}</{tag}>' for s, t in zip(styles, texts, strict=True))
