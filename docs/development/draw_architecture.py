# SPDX-License-Identifier: BSD-3-Clause
"""Picture of the folders and of what they import, made from the imports themselves.

``python docs/development/draw_architecture.py`` prints it as SVG; the documentation draws it whenever it is built.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

BANDS = ("fastcalo", "training", "export", "integration")
"""The levels, from below to above."""
LEFT_OUT = {"_version", "errors", "display", "__main__", "py"}
"""Modules that everything uses, and those that only lead to others."""

WIDTH, BOX_HEIGHT, ROW, GAP, MARGIN = 980, 30, 64, 16, 26


@dataclass
class Node:
    """A box of the picture: a folder, or a module beside folders; or several that import each other.

    Attributes
    ----------
    names : list of str
    uses : set of str
        Names of what is imported, in the same level.
    row : int
        Rows below it.
    x, y : float
        Centre of the box.
    """

    names: list[str]
    uses: set[str] = field(default_factory=set)
    row: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Width of the box."""
        return 7.4 * len(", ".join(self.names)) + 24


def modules_of(root: Path) -> dict[str, Path]:
    """Files of all modules by dotted name below ``fastcalo``, those of the upper levels too."""
    package, found = root / "fastcalo", {}
    for folder in (package, *(package / band for band in BANDS[1:])):
        # a link is followed where the search begins, and nowhere else
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(package).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that a module imports anywhere in it."""
    parts = ["fastcalo", *module.split(".")]
    package = parts if path.name == "__init__.py" else parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) + 1 - node.level] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        inside = origin.removeprefix("fastcalo").removeprefix(".")
        if origin.split(".")[0] == "fastcalo":
            found |= {m if (m := f"{inside}.{alias.name}".strip(".")) in modules else inside for alias in node.names}
    return {name for name in found if name in modules}


def place_of(module: str) -> tuple[str, str]:
    """Level, and the folder or module within it, that a module belongs to."""
    parts = module.split(".")
    band = parts[0] if parts[0] in BANDS[1:] else "fastcalo"
    inside = parts[1:] if band != "fastcalo" else parts
    return band, inside[0] if inside else ""


def folder_graph(root: Path) -> tuple[dict[str, dict[str, set[str]]], dict[tuple[str, str], int]]:
    """What each folder of a level imports of the same level, and the number of imports between levels."""
    modules = modules_of(root)
    inside: dict[str, dict[str, set[str]]] = {band: {} for band in BANDS}
    between: dict[tuple[str, str], int] = {}
    for module, path in modules.items():
        band, name = place_of(module)
        if name in LEFT_OUT or not name:
            continue
        uses = inside[band].setdefault(name, set())
        for other in imports_of(module, path, modules):
            other_band, other_name = place_of(other)
            if other_band != band:
                between[band, other_band] = between.get((band, other_band), 0) + 1
            elif other_name not in {"", name, *LEFT_OUT}:
                uses.add(other_name)
    return inside, between


def reached(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """All that each node imports, directly or by way of others."""
    closed = {name: set(uses) for name, uses in graph.items()}
    for middle in graph:
        for uses in closed.values():
            if middle in uses:
                uses.update(closed[middle])
    return closed


def nodes_of(graph: dict[str, set[str]]) -> list[Node]:
    """Boxes with their rows; lines that others imply are left out."""
    graph = {**{other: set() for uses in graph.values() for other in uses}, **graph}
    closed = reached(graph)
    groups = {name: sorted({name} | {o for o in closed[name] if name in closed[o]}) for name in graph}
    head = {name: group[0] for name, group in groups.items()}
    small = {head[name]: set() for name in graph}
    for name, uses in graph.items():
        small[head[name]] |= {head[other] for other in uses} - {head[name]}
    closed = reached(small)
    nodes = {}
    for name in sorted(small, key=lambda n: len(closed[n])):
        direct = {o for o in small[name] if not any(o in closed[p] for p in small[name] - {o})}
        row = 1 + max((nodes[o].row for o in direct), default=-1)
        nodes[name] = Node(groups[name], direct, row)
    return list(nodes.values())


def place(nodes: list[Node], bottom: float) -> float:
    """Give boxes their places above `bottom`; return the top of the highest row."""
    by_name = {name: node for node in nodes for name in node.names}
    y = bottom
    for row in range(max(node.row for node in nodes) + 1):
        boxes = [node for node in nodes if node.row == row]
        # above what they use
        boxes.sort(key=lambda n: sum(by_name[o].x for o in n.uses) / len(n.uses) if n.uses else 0.0)
        lines: list[list[Node]] = [[]]
        for box in boxes:
            if sum(b.width + GAP for b in [*lines[-1], box]) > WIDTH - 2 * MARGIN:
                lines.append([])
            lines[-1].append(box)
        for line in lines:
            spare = (WIDTH - 2 * MARGIN - sum(b.width for b in line)) / (len(line) + 1)
            x = MARGIN + spare
            for box in line:
                box.x, box.y, x = x + box.width / 2, y, x + box.width + spare
            y -= ROW
    return y + ROW - BOX_HEIGHT


def draw(root: Path) -> str:
    """Return the picture as SVG.

    Parameters
    ----------
    root : Path
        Folder of the repository.
    """
    inside, between = folder_graph(root)
    shapes, y = [], 0.0
    for band in BANDS:
        nodes = nodes_of(inside[band]) if inside[band] else []
        bottom = y - BOX_HEIGHT - 14
        top = place(nodes, bottom) - 32 if nodes else bottom - 18
        shapes.append(_band(band, top, y, between))
        by_name = {name: node for node in nodes for name in node.names}
        shapes += [_line(node, by_name[other]) for node in nodes for other in sorted(node.uses)]
        shapes += [_box(node) for node in nodes]
        y = top - 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {y:.0f} {WIDTH} {12 - y:.0f}" font-family="sans-serif">'
    marker = '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    marker += '<path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>'
    return "\n".join([head, marker, *shapes, "</svg>", ""])


def _band(band: str, top: float, bottom: float, between: dict[tuple[str, str], int]) -> str:
    counts = [f"{n} imports of {other}" for (b, other), n in sorted(between.items()) if b == band]
    title = f"{band}/" + (f" ({', '.join(counts)})" if counts else "")
    rectangle = f'<rect x="4" y="{top:.0f}" width="{WIDTH - 8}" height="{bottom - top:.0f}" rx="8" fill="#eef2f7"/>'
    return f'{rectangle}<text x="18" y="{top + 21:.0f}" font-size="14" fill="#334155">{escape(title)}</text>'


def _box(node: Node) -> str:
    x, y = node.x - node.width / 2, node.y - BOX_HEIGHT / 2
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{node.width:.1f}" height="{BOX_HEIGHT}" rx="5" '
    shape += 'fill="#ffffff" stroke="#334155"/>'
    text = escape(", ".join(node.names))
    return f'{shape}<text x="{node.x:.1f}" y="{node.y + 5:.1f}" font-size="13" text-anchor="middle">{text}</text>'


def _line(upper: Node, lower: Node) -> str:
    points = [(upper.x, upper.y + BOX_HEIGHT / 2), (lower.x, lower.y - BOX_HEIGHT / 2 - 1)]
    (x0, y0), (x1, y1) = next(pairwise(points))
    bend = (y1 - y0) / 2
    path = f"M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
    return f'<path d="{path}" fill="none" stroke="#64748b" stroke-width="1.2" marker-end="url(#a)"/>'


if __name__ == "__main__":
    sys.stdout.write(draw(Path(__file__).parents[2]))
