# SPDX-License-Identifier: BSD-3-Clause
"""Manifest of a conversion in parts: JSON lines that list which parts are there, and by which digest to know them.

The first line states the conversion. Each part that is done adds one, with the key ``part``: its entries, files and
their digests. What became of its particles stands in a file of its own, for it is long and seldom asked for; that line
is on the disk before the other is written, as the files are before both. A line that was torn is not counted. Both
files are written anew, in the order of the parts, when a conversion goes on and when it ends: under a temporary name,
and renamed when whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from ...errors import InputError, OutputError
from ...io.atomic import output_errors, whole_file

KIND = "fastcalo_manifest"
"""Key of the first line, which states the version of the format."""

VERSION = 1
DONE, FAILED = "done", "failed"


@dataclass
class Manifest:
    """What a manifest states.

    Attributes
    ----------
    path : Path
    header : mapping
        The conversion.
    rows : dict of int to dict
        The last row of each part, by its number.
    """

    path: Path
    header: Mapping[str, Any]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def done(self) -> set[int]:
        """Numbers of the parts that are stated to be done."""
        return {number for number, row in self.rows.items() if row["status"] == DONE}


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    InputError
        It is missing, or none.
    """
    lines = _lines(path)
    header = _parsed(next(lines, b""))
    if header is None or header.get(KIND) != VERSION:
        raise InputError(f"{path}: is no manifest of fastcalo, or of another version")
    # of a line that was torn by the end of the process there is no more than its begin
    rows = (row for row in _all_parsed(list(lines)) if isinstance(row.get("part"), int) and "status" in row)
    return Manifest(path, header, {row["part"]: row for row in rows})


def accounts_path(path: Path) -> Path:
    """Name of the file that states what became of the particles of the parts of a manifest."""
    return path.with_name(f"{path.stem}.accounts.jsonl")


def read_accounts(path: Path, parts: set[int]) -> dict[int, dict[str, Any]]:
    """What became of the particles of parts: what `Summary.accounts` gave, by their numbers.

    Parameters
    ----------
    path : Path
        Of the manifest.
    parts : set of int
        Those of which the file has none are not in the result.
    """
    beside = accounts_path(path)
    rows = _all_parsed(list(_lines(beside))) if beside.exists() else []
    found = {row["accounts_of"]: row for row in rows if row.get("accounts_of") in parts}
    return {number: found[number] for number in sorted(found)}


def find_manifests(where: Path) -> list[Path]:
    """Manifests of a folder, or the one that is named.

    Raises
    ------
    InputError
        There is none.
    """
    if where.is_file():
        return [where]
    found = [
        path for path in sorted(where.glob("*.jsonl")) if next(_lines(path), b"").startswith(b'{"' + KIND.encode())
    ]
    if not found:
        raise InputError(f"{where}: holds no manifest of a conversion in parts (fastcalo convert --events-per-file)")
    return found


@contextmanager
def open_manifest(manifest: Manifest) -> Iterator[ManifestWriter]:
    """Write a manifest anew, and keep it open for further rows; written in the order of the parts at the end.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    beside = accounts_path(manifest.path)
    _write_sorted(manifest, manifest.done)
    with output_errors(manifest.path):
        file = manifest.path.open("ab", buffering=0)
        accounts = beside.open("ab", buffering=0)
    with file, accounts:
        yield ManifestWriter(manifest.path, file, accounts)
    last = read_manifest(manifest.path)
    _write_sorted(manifest, set(last.rows))


class ManifestWriter:
    """A manifest that grows; made by `open_manifest`."""

    def __init__(self, path: Path, file: FileIO, accounts: FileIO) -> None:
        self._path, self._file, self._accounts = path, file, accounts

    def add(self, row: Mapping[str, Any], accounts: Mapping[str, Any] | None = None) -> None:
        """Add a part. It is on the disk when this returns.

        Parameters
        ----------
        row : mapping
            With ``part`` and ``status``.
        accounts : mapping, optional
            Of `Summary.accounts`.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        with output_errors(self._path):
            if accounts is not None:
                self._append(self._accounts, {"accounts_of": row["part"], **accounts})
            self._append(self._file, row)

    def _append(self, file: FileIO, row: Mapping[str, Any]) -> None:
        line = _line(row)
        # one call: others that look at the file see all of it, or a torn last line
        if file.write(line) != len(line):
            raise OutputError(f"{self._path}: cannot be written: no space left on device")
        os.fsync(file.fileno())


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def damage_of(row: Mapping[str, Any], folder: Path) -> str:
    """What is wrong with the files of a part that is stated to be done; empty if nothing is.

    Parameters
    ----------
    row : mapping
    folder : Path
        Of the manifest.
    """
    for file in row["files"]:
        path = folder / file["name"]
        try:
            if path.stat().st_size != file["bytes"]:
                return f"{path}: has {path.stat().st_size} bytes instead of {file['bytes']}"
            if digest_of(path) != file["digest"]:
                return f"{path}: is damaged: its digest is not that of the manifest"
        except OSError as error:
            return f"{path}: {error.strerror or error}"
    return ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from a manifest and its files while the block runs; whoever dies lets go of it.

    Raises
    ------
    OutputError
        Another process has it, or the folder cannot be written to.
    """
    with output_errors(path):
        lock = path.with_name(f".{path.name}.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path) from None
        except OSError:
            # a file system that cannot lock
            pass
        # who had the lock before has removed the file, and by now it may be another's
        there = Path(lock.name)
        if not there.exists() or not os.path.samestat(os.fstat(lock.fileno()), there.stat()):
            raise _taken(path)
        try:
            yield
        finally:
            with suppress(OSError):
                there.unlink()


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path}: another process is at work on it; wait until it ends")


def _write_sorted(manifest: Manifest, parts: set[int]) -> None:
    """Write both files anew, with these parts only, in the order of their numbers."""
    beside = accounts_path(manifest.path)
    _write(beside, _latest(beside, "accounts_of", parts))
    _write(manifest.path, [_line(manifest.header), *_latest(manifest.path, "part", parts)])


def _write(path: Path, lines: Iterable[bytes]) -> None:
    with whole_file(path, overwrite=True) as temporary, output_errors(path), temporary.open("wb") as file:
        file.writelines(lines)


def _latest(path: Path, key: str, parts: set[int]) -> list[bytes]:
    """Lines of these parts, those that came last."""
    found: dict[int, bytes] = {}
    for line in _lines(path) if path.exists() else ():
        row = _parsed(line)
        if row is not None and row.get(key) in parts:
            found[row[key]] = line + b"\n"
    return [found[number] for number in sorted(found)]


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _all_parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    """Lines that are whole."""
    try:
        # at once, which takes half the time
        return list(json.loads(b"[" + b",".join(lines) + b"]"))
    except ValueError:
        return [row for line in lines if (row := _parsed(line)) is not None]


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
