# SPDX-License-Identifier: BSD-3-Clause
"""The native engine: fastcalo's C++ library, used through its C interface.

The library is looked for where the environment variable ``FASTCALO_LIBRARY`` points, and in ``fastcalo/_native``, where
wheels that were built with a compiler have it (``make native`` puts it there in a checkout). The structures below are
those of ``integration/cpp/include/fastcalo/c_api.h``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ContractError, MissingDependencyError
from .random_numbers import RandomStreams
from .sparse_showers import SparseShowers

LIBRARY = "FASTCALO_LIBRARY"
"""Environment variable with the path of the library; empty for none."""

_VERSION = 1
_BACKEND_FAILED = 7
_NATIVE = 1

ENTRIES = (
    "library_version", "status_code", "status_message", "status_release", "event_digest", "model_open",
    "model_from_memory", "model_release", "model_info", "model_section", "model_noise", "noise_rows", "noise_draw",
    "showers_create", "showers_release", "generate", "generate_from_noise", "showers_section",
)  # fmt: skip
"""The table's functions in their order, up to the last that is used here."""


class _Table(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), *((name, ctypes.c_void_p) for name in ENTRIES)]


class _Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("backend", ctypes.c_int),
        ("onnxruntime_library", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
    ]


class _Particles(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("n", ctypes.c_size_t),
        *((name, ctypes.c_void_p) for name in ("pdg", "kinetic_energy", "direction", "entry")),
    ]


class _Keys(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("seed", ctypes.c_uint64),
        ("event", ctypes.c_void_p),
        ("particle", ctypes.c_void_p),
    ]


class _SectionShowers(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("n", ctypes.c_size_t),
        *((name, ctypes.c_void_p) for name in ("shower", "x", "y", "layer", "deposit")),
    ]


class _Library:
    """The library, with the functions of its table that are used here."""

    def __init__(self, path: Path) -> None:
        try:
            self._handle = ctypes.CDLL(str(path))
            get_api = self._handle.fastcalo_get_api
        except (OSError, AttributeError) as error:
            raise MissingDependencyError(
                f"{path} is no library of fastcalo that this machine can use: {error}"
            ) from error
        get_api.restype, get_api.argtypes = ctypes.POINTER(_Table), [ctypes.c_uint32]
        table = get_api(_VERSION)
        if not table:
            raise MissingDependencyError(f"{path} is of another version than this fastcalo; build it again")
        pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t

        def function(name: str, result: Any, *arguments: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *arguments)(getattr(table.contents, name))

        self._code = function("status_code", ctypes.c_int, pointer)
        self._message = function("status_message", text, pointer)
        self._release = function("status_release", None, pointer)
        self.model_from_memory = function("model_from_memory", pointer, text, size, text, pointer, pointer)
        self.model_release = function("model_release", None, pointer)
        self.showers_create = function("showers_create", pointer, pointer)
        self.showers_release = function("showers_release", None, pointer)
        self.generate = function("generate", pointer, pointer, pointer, pointer, pointer)
        self.showers_section = function("showers_section", pointer, pointer, size, pointer)

    def check(self, status: int | None) -> None:
        """Raise what a status reports."""
        if not status:
            return
        code, message = self._code(status), self._message(status).decode(errors="replace")
        self._release(status)
        raise _UnknownGraph(message) if code == _BACKEND_FAILED else ContractError(message)


class _UnknownGraph(ContractError):
    """The engine cannot run a graph."""


def library_path() -> Path | None:
    """Where the library is; None where there is none."""
    named = os.environ.get(LIBRARY)
    if named is not None:
        return Path(named) if named else None
    name = "libfastcalo.dylib" if sys.platform == "darwin" else "libfastcalo.so"
    path = Path(__file__).parents[1] / "_native" / name
    return path if path.is_file() else None


@cache
def _library(path: Path) -> _Library:
    return _Library(path)


def open_native(image: bytes, where: str, *, required: bool) -> NativeModel | None:
    """A model that the native engine runs.

    Parameters
    ----------
    image : bytes
        The whole file.
    where : str
        The file, for messages.
    required : bool
        Whether there must be one.

    Returns
    -------
    NativeModel or None
        None where the library is not there, or does not know the graph, and need not.

    Raises
    ------
    MissingDependencyError
        The library is required and not there, or cannot be loaded.
    ContractError
        It is required and cannot run the graph, or the file is damaged.
    """
    path = library_path()
    if path is None:
        if not required:
            return None
        raise MissingDependencyError(
            "the native engine is not built: install fastcalo where there are cmake and a C++ compiler, or name its "
            f"library in the environment variable {LIBRARY}"
        )
    try:
        return NativeModel(_library(path), image, where)
    except _UnknownGraph:
        if required:
            raise
        return None


class NativeModel:
    """A model that the native engine runs; many threads may use it at a time."""

    def __init__(self, library: _Library, image: bytes, where: str) -> None:
        self._library, self._where = library, where
        self._model = ctypes.c_void_p()
        options = _Options(ctypes.sizeof(_Options), _NATIVE, None, 0)
        library.check(
            library.model_from_memory(
                image, len(image), where.encode(), ctypes.byref(options), ctypes.byref(self._model)
            )
        )
        weakref.finalize(self, library.model_release, self._model)

    def sample(
        self,
        pdg: NDArray[np.int64],
        kinetic_energy: NDArray[np.float32],
        direction: NDArray[np.float32],
        entry: NDArray[np.float32],
        random: RandomStreams,
        sections: int,
    ) -> list[SparseShowers]:
        """Hits in each of the first sections of the contract, of particles that are known to be valid.

        Raises
        ------
        ContractError
            The engine could not run the graph, or its hits are none.
        """
        # these arrays must live until the call is over
        columns = [
            np.ascontiguousarray(pdg, np.int32),
            *(np.ascontiguousarray(a, np.float32) for a in (kinetic_energy, direction, entry)),
        ]
        digest = np.ascontiguousarray(random.low | random.high << np.uint64(32))
        number = np.ascontiguousarray(random.particle, np.uint32)
        particles = _Particles(ctypes.sizeof(_Particles), len(pdg), *(c.ctypes.data for c in columns))
        keys = _Keys(ctypes.sizeof(_Keys), random.seed, digest.ctypes.data, number.ctypes.data)
        library, showers = self._library, ctypes.c_void_p()
        library.check(library.showers_create(ctypes.byref(showers)))
        try:
            library.check(library.generate(self._model, ctypes.byref(particles), ctypes.byref(keys), showers))
            return [self._section(showers, k) for k in range(sections)]
        except _UnknownGraph as error:
            raise ContractError(f"{self._where}: could not be run: {error}") from error
        finally:
            library.showers_release(showers)

    def _section(self, showers: ctypes.c_void_p, index: int) -> SparseShowers:
        view = _SectionShowers(ctypes.sizeof(_SectionShowers))
        self._library.check(self._library.showers_section(showers, index, ctypes.byref(view)))

        def column(name: str, kind: type[np.generic]) -> NDArray[Any]:
            size = view.n * np.dtype(kind).itemsize
            # a copy: the library's memory is released
            return np.frombuffer(ctypes.string_at(getattr(view, name), size) if size else b"", kind)

        x, y, layer = (column(name, np.int32).astype(np.int64) for name in ("x", "y", "layer"))
        return SparseShowers(column("shower", np.int64), x, y, layer, column("deposit", np.float32))
