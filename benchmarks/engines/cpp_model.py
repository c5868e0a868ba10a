# SPDX-License-Identifier: BSD-3-Clause
"""A model in the C++ library with either of its backends, called through its C interface, as a C++ program would."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastcalo.model.native_library import _Keys, _Library, _Options, _Particles, library_path
from fastcalo.model.random_numbers import RandomStreams

BACKENDS = {"native": 1, "onnxruntime": 2}
"""Numbers of ``fastcalo_backend``."""


def onnxruntime_library() -> Path:
    """The shared library that the Python package of ONNX Runtime brings."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        raise SystemExit("needs onnxruntime: pip install 'fastcalo[cpu]'")
    return next(iter(sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.*"))))


class CppModel:
    """A model, opened by the library that `load_model` would use.

    Parameters
    ----------
    path : Path
        The .onnx file.
    backend : str
        One of `BACKENDS`; ONNX Runtime runs with one thread.
    """

    def __init__(self, path: Path, backend: str) -> None:
        found = library_path()
        if found is None:
            raise SystemExit("needs the native engine: make native, or FASTCALO_LIBRARY")
        self._library, self._model, image = _Library(found), ctypes.c_void_p(), path.read_bytes()
        runtime = str(onnxruntime_library()).encode() if backend == "onnxruntime" else None
        options = _Options(ctypes.sizeof(_Options), BACKENDS[backend], runtime, 1)
        self._library.check(
            self._library.model_from_memory(
                image, len(image), str(path).encode(), ctypes.byref(options), ctypes.byref(self._model)
            )
        )
        self._showers = ctypes.c_void_p()
        self._library.check(self._library.showers_create(ctypes.byref(self._showers)))

    def bind(self, particles: dict[str, Any], random: RandomStreams) -> Callable[[], None]:
        """A function without arguments that simulates these particles; its hits stay in the library.

        Parameters
        ----------
        particles : dict
            ``pdg``, ``kinetic_energy``, ``direction`` and ``entry``, as `Gun.conditions` gives them.
        random : RandomStreams
        """
        kinds = {"pdg": np.int32, "kinetic_energy": np.float32, "direction": np.float32, "entry": np.float32}
        columns = [np.ascontiguousarray(particles[name], kind) for name, kind in kinds.items()]
        digest = np.ascontiguousarray(random.low | random.high << np.uint64(32))
        number = np.ascontiguousarray(random.particle, np.uint32)
        given = _Particles(ctypes.sizeof(_Particles), len(number), *(c.ctypes.data for c in columns))
        keys = _Keys(ctypes.sizeof(_Keys), random.seed, digest.ctypes.data, number.ctypes.data)

        def call(_alive: Any = (columns, digest, number)) -> None:
            library = self._library
            library.check(library.generate(self._model, ctypes.byref(given), ctypes.byref(keys), self._showers))

        return call
