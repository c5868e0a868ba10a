# SPDX-License-Identifier: BSD-3-Clause
"""Manifest of a conversion in parts: JSON lines that list which parts are there, and by which digest to know them.

The first line states the conversion. Each part that is done adds two: what became of its particles, and then, with the
key ``part``, its entries, files and their digests. Lines are added as parts are done, each pair in one piece that is on
the disk before the next is begun; a piece that was torn is not counted. The file is written anew, in the order of the
parts, when a conversion goes on and when it ends: under a temporary name, and renamed when whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import InputError, OutputError
from ...io.atomic import output_errors, whole_file

KIND = "fastcalo_manifest"
"""Key of the first line, which states the version of the format."""

VERSION = 1
DONE, FAILED = "done", "failed"

_ACCOUNTS = b'{"accounts_of"'
_BLOCK = 1 << 20


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
    manifest = Manifest(path, header)
    for line in lines:
        if line.startswith(_ACCOUNTS):
            continue
        row = _parsed(line)
        # of a line that was torn by the end of the process there is no more than its begin
        if row is not None and isinstance(row.get("part"), int) and "status" in row:
            manifest.rows[row["part"]] = row
    return manifest


def read_accounts(path: Path, parts: set[int]) -> Iterator[dict[str, Any]]:
    """Yield what became of the particles of parts, in the order of the manifest.

    Raises
    ------
    InputError
        The manifest is missing.
    """
    latest: dict[int, bytes] = {}
    for line in _lines(path):
        if line.startswith(_ACCOUNTS) and (row := _parsed(line)) is not None and row["accounts_of"] in parts:
            latest[row["accounts_of"]] = line
    for number in sorted(latest):
        yield json.loads(latest[number])


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
    _write(manifest.path, manifest.header, _pieces(manifest.path, manifest.done))
    with output_errors(manifest.path):
        file = manifest.path.open("ab", buffering=0)
    with file:
        yield ManifestWriter(manifest.path, file)
    last = read_manifest(manifest.path)
    _write(manifest.path, manifest.header, _pieces(manifest.path, set(last.rows)))


class ManifestWriter:
    """A manifest that grows; made by `open_manifest`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

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
        piece = _line(row)
        if accounts is not None:
            piece = _line({"accounts_of": row["part"], **accounts}) + piece
        with output_errors(self._path):
            # one call: others that look at the manifest see all of it, or a torn last line
            if self._file.write(piece) != len(piece):
                raise OutputError(f"{self._path}: cannot be written: no space left on device")
            os.fsync(self._file.fileno())


def digest_of(path: Path) -> str:
    """SHA-256 of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return f"sha256:{found.hexdigest()}"


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


def _write(path: Path, header: Mapping[str, Any], pieces: Iterable[bytes]) -> None:
    with whole_file(path, overwrite=True) as temporary, output_errors(path), temporary.open("wb") as file:
        file.write(_line(header))
        for piece in pieces:
            file.write(piece)


def _pieces(path: Path, parts: set[int]) -> list[bytes]:
    """Lines of these parts, those that came last, in the order of their numbers."""
    found: dict[int, bytes] = {}
    before = b""
    for line in _lines(path) if path.exists() else ():
        if line.startswith(_ACCOUNTS):
            before = line
            continue
        row = _parsed(line)
        if row is not None and row.get("part") in parts:
            accounts = _parsed(before) if before else None
            mine = accounts is not None and accounts["accounts_of"] == row["part"]
            found[row["part"]] = (before + b"\n" if mine else b"") + line + b"\n"
        before = b""
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


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
