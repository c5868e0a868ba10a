# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a conversion: which entries each has, and the names of its files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from ...io.particles.reader import EventReader

PathLike = str | os.PathLike[str]

_DIGITS = 4


@dataclass(frozen=True)
class Part:
    """Events that are converted together.

    Attributes
    ----------
    number : int
        Counted from 0.
    entries : range
        Where the events begin, counted over all files.
    """

    number: int
    entries: range


@dataclass(frozen=True)
class Share:
    """Parts that one of several jobs makes, as those of an array of SLURM or HTCondor.

    Attributes
    ----------
    number : int
        Counted from 0.
    of : int
    """

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise ConfigError(f"part {self.number}/{self.of}: there are parts 0/{self.of} to {self.of - 1}/{self.of}")

    @classmethod
    def parse(cls, text: str) -> Share:
        """Return the share that is written as ``i/n``.

        Raises
        ------
        ConfigError
            It is none.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise ConfigError(f"part {text!r}: is written as i/n, such as 0/10 to 9/10")
        return cls(int(found[1]), int(found[2]))

    def of_parts(self, parts: int) -> range:
        """Numbers of the parts that it has, of so many."""
        return range(parts * self.number // self.of, parts * (self.number + 1) // self.of)


class Plan:
    """How an input is cut into parts.

    Parameters
    ----------
    reader : EventReader
    events_per_file : int
        The last part may have fewer.

    Raises
    ------
    ConfigError
        There is to be less than one event in a part.
    """

    def __init__(self, reader: EventReader, events_per_file: int) -> None:
        if events_per_file < 1:
            raise ConfigError(f"events_per_file must be at least 1, but is {events_per_file}")
        self._files = reader.files
        self._edges = [*(reader.starts(events_per_file) or [0]), reader.n_entries]

    def __len__(self) -> int:
        return len(self._edges) - 1

    def part(self, number: int) -> Part:
        """The part of that number."""
        return Part(number, range(self._edges[number], self._edges[number + 1]))

    def parts(self, numbers: range) -> Iterator[Part]:
        """Parts of these numbers."""
        return (self.part(number) for number in numbers)

    def hash_of(self, part: Part) -> str:
        """SHA-256 of what a part is made of: the identities of its files, and the entries."""
        before, found = 0, []
        for file in self._files:
            if before < part.entries.stop and part.entries.start < before + file.n_entries:
                found.append([file.identity, file.tree, before])
            before += file.n_entries
        text = json.dumps([found, part.entries.start, part.entries.stop])
        return hashlib.sha256(text.encode()).hexdigest()


def part_path(pattern: PathLike, part: int) -> Path:
    """Name of one of many files.

    Parameters
    ----------
    pattern : path
        With ``{part}`` where the number goes, written as in Python's format strings: ``hits_{part:03}.root``. Without,
        the number is put before the suffix, ``hits_0002.root`` for ``hits.root``.
    part : int
        Counted from 0.

    Raises
    ------
    ConfigError
        The pattern is not written well, or gives all files the same name.
    """
    text = os.fspath(pattern)
    if "{" not in text:
        path = Path(text)
        return path.with_name(f"{path.stem}_{part:0{_DIGITS}}{path.suffix}")
    try:
        named, other = text.format(part=part), text.format(part=part + 1)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(f"{text}: a pattern of outputs is written as hits_{{part:04}}.root ({error!r})") from None
    if named == other:
        raise ConfigError(f"{text}: all outputs would have this name; put {{part}} where their number goes")
    return Path(named)


def pattern_folder(pattern: PathLike) -> Path:
    """The folder that all files of a pattern lie in, at any depth; their manifest lies in it."""
    folder = Path(pattern).parent
    while "{" in str(folder):
        folder = folder.parent
    return folder


def manifest_path(pattern: PathLike, share: Share) -> Path:
    """Name of the manifest of files of that pattern: ``hits_manifest.jsonl`` for ``hits.root``; each share has its own.

    Parameters
    ----------
    pattern : path
    share : Share
    """
    first = part_path(pattern, 0)
    text = os.fspath(pattern)
    stem = re.sub(r"[^\w.-]", "", re.sub(r"\{[^}]*\}", "manifest", Path(text).stem)) if "{" in Path(text).name else ""
    stem = stem or f"{first.stem.removesuffix('_' + '0' * _DIGITS)}_manifest"
    number = "" if share.of == 1 else f".{share.number:0{len(str(share.of))}}-of-{share.of}"
    return pattern_folder(pattern) / f"{stem}{number}.jsonl"
