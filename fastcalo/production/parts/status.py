# SPDX-License-Identifier: BSD-3-Clause
"""Status of a conversion in parts, by its manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...display import html_table
from ...errors import InputError
from .manifest import FAILED, Manifest, damage_of, find_manifests, read_manifest

# of the first line: what may differ between jobs that make shares of one conversion
_OWN = ("share",)


@dataclass(frozen=True)
class ProductionStatus:
    """How far a conversion in parts is.

    Attributes
    ----------
    manifests : tuple of Manifest
        One for each job that has made a share of the parts.
    parts : int
        All that there are to be.
    rows : dict of int to (Path, dict)
        Of parts that are stated to be done: the folder of the manifest, and its row.
    failed : dict of int to str
        Parts that could not be made, and why.
    damaged : dict of int to str
        Parts that are not as the manifest states, and why; only where that was looked at.
    """

    manifests: tuple[Manifest, ...]
    parts: int
    rows: dict[int, tuple[Path, dict[str, Any]]]
    failed: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts that are not there, damaged ones among them."""
        return [number for number in range(self.parts) if number not in self.rows or number in self.damaged]

    @property
    def complete(self) -> bool:
        """Whether all parts are done, and none is known to be damaged."""
        return not self.missing

    @property
    def events(self) -> int:
        """Events of the parts that are done."""
        return sum(int(row["events"]) for _, row in self.rows.values())

    @property
    def seconds(self) -> float:
        """Time that workers have spent on them, summed over workers."""
        return sum(float(row["seconds"]) for _, row in self.rows.values())

    def files(self, kind: str = "output") -> list[Path]:
        """Files of one kind, ``output`` or ``rejected``, in the order of the parts."""
        return [
            folder / file["name"]
            for _, (folder, row) in sorted(self.rows.items())
            for file in row["files"]
            if file["kind"] == kind
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return {
            "manifests": [str(manifest.path) for manifest in self.manifests],
            "parts": self.parts,
            "done": len(self.rows) - len(self.damaged),
            "complete": self.complete,
            "events": self.events,
            "bytes": sum(file["bytes"] for _, row in self.rows.values() for file in row["files"]),
            "seconds": round(self.seconds, 3),
            "workers": len({row["worker"] for _, row in self.rows.values()}),
            "failed": {str(number): text for number, text in sorted(self.failed.items())},
            "damaged": {str(number): text for number, text in sorted(self.damaged.items())},
            "missing": self.missing,
        }

    def __repr__(self) -> str:
        return f"<ProductionStatus: {len(self.rows)} of {self.parts} parts done, {self.events} events>"

    def _repr_html_(self) -> str:
        return html_table("Conversion", (), self.describe())

    def describe(self) -> list[tuple[str, str]]:
        """The state as pairs of a label and a text."""
        found = self.to_dict()
        rate = f", {found['events'] / self.seconds:.3g} per second and worker" if self.seconds else ""
        rows = [
            ("parts", f"{found['done']} of {self.parts} done"),
            ("events", f"{found['events']}{rate}"),
            ("files", f"{found['bytes'] / 1e6:.1f} MB, made by {found['workers']} workers"),
        ]
        for label, texts in (("failed", self.failed), ("damaged", self.damaged)):
            rows += [(label, f"part {number}: {text}") for number, text in sorted(texts.items())]
        if self.missing:
            rows.append(("missing", ranges(self.missing)))
        return rows


def production_status(where: str | Path, *, check: bool = False) -> ProductionStatus:
    """Read how far a conversion in parts is.

    Parameters
    ----------
    where : path
        Folder of the files, or one of the manifests in it.
    check : bool
        Whether to look at all files, and compare their digests with those of the manifest.

    Raises
    ------
    InputError
        There is no manifest, or manifests are of different conversions.
    """
    manifests = [read_manifest(path) for path in find_manifests(Path(where))]
    first = manifests[0]
    rows: dict[int, tuple[Path, dict[str, Any]]] = {}
    failed: dict[int, str] = {}
    for manifest in manifests:
        differ = [key for key, value in first.header.items() if key not in _OWN and manifest.header.get(key) != value]
        if differ:
            raise InputError(
                f"{first.path} and {manifest.path} are of conversions with another {differ[0]}: name one of the two"
            )
        rows |= {number: (manifest.path.parent, manifest.rows[number]) for number in manifest.done}
        failed |= {n: str(row.get("error")) for n, row in manifest.rows.items() if row["status"] == FAILED}
    damaged = {}
    if check:
        damaged = {n: text for n, (folder, row) in rows.items() if (text := damage_of(row, folder))}
    return ProductionStatus(tuple(manifests), int(first.header["parts"]), rows, failed, damaged)


def ranges(numbers: list[int], most: int = 8) -> str:
    """Numbers that rise in words, such as ``0-3, 7``; of very many ranges the first."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    texts = [f"{a}" if a == b else f"{a}-{b}" for a, b in found[:most]]
    more = sum(b - a + 1 for a, b in found[most:])
    return ", ".join(texts) + (f" and {more} more" if more else "")
