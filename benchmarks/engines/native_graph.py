# SPDX-License-Identifier: BSD-3-Clause
"""The native engine's executor of graphs, called through ctypes, and inputs for the models."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastcalo.model.description import WINDOWS
from fastcalo.model.noise import draw_noise
from fastcalo.model.onnx_session import import_onnxruntime, open_session
from fastcalo.model.random_numbers import random_streams
from fastcalo.model.shower_model import ShowerModel, load_model

AXES = 6
"""Most axes of a tensor."""
KINDS = ("elementwise", "product", "indexing", "layout", "reduction", "control")
_TYPES = {1: np.float32, 2: np.uint8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_}


class NativeGraph:
    """A graph, loaded by the library of plain functions ``fastcalo_graph`` (integration/cpp/tests/graph).

    Parameters
    ----------
    library : Path
    image : bytes
        The .onnx file.
    inputs : sequence of str
        Names of inputs in the order of the file.
    outputs : sequence of str
        Names of the outputs to compute, in the order of the file.

    Raises
    ------
    RuntimeError
        The graph cannot be loaded.
    """

    def __init__(self, library: Path, image: bytes, inputs: list[str], outputs: list[str]) -> None:
        self._lib = ctypes.CDLL(str(library))
        self._lib.fastcalo_graph_error.restype = ctypes.c_char_p
        for name in ("open", "run", "output"):
            getattr(self._lib, f"fastcalo_graph_{name}").restype = ctypes.c_void_p
        names = (ctypes.c_char_p * len(outputs))(*[o.encode() for o in outputs])
        self._inputs, self._outputs = inputs, outputs
        self._graph = ctypes.c_void_p(
            self._lib.fastcalo_graph_open(image, ctypes.c_size_t(len(image)), names, ctypes.c_size_t(len(outputs)))
        )
        if self._graph.value is None:
            raise RuntimeError(self._lib.fastcalo_graph_error().decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lib.fastcalo_graph_close(self._graph)

    def bind(self, feed: dict[str, NDArray[Any]]) -> tuple[Any, ...]:
        """Arrays as `call` takes them."""
        n = len(self._inputs)
        data, ranks, lengths = (ctypes.c_void_p * n)(), (ctypes.c_int64 * n)(), (ctypes.c_int64 * (AXES * n))()
        kept = [np.asarray(feed[i], order="C") if i in feed else None for i in self._inputs]
        for k, a in enumerate(kept):
            if a is not None:
                data[k], ranks[k] = a.ctypes.data, a.ndim
                lengths[AXES * k : AXES * k + a.ndim] = list(a.shape)
        return data, ranks, lengths, ctypes.c_size_t(n), kept

    def call(self, bound: tuple[Any, ...], profile: bool = False) -> ctypes.c_void_p:
        """Run, and give the result, which must be released."""
        result = ctypes.c_void_p(self._lib.fastcalo_graph_run(self._graph, *bound[:4], int(profile)))
        if result.value is None:
            raise RuntimeError(self._lib.fastcalo_graph_error().decode())
        return result

    def release(self, result: ctypes.c_void_p) -> None:
        """Give the memory of a result back."""
        self._lib.fastcalo_graph_release(result)

    def run(self, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs."""
        result = self.call(self.bind(feed))
        arrays = []
        for k in range(len(self._outputs)):
            kind, rank, lengths = ctypes.c_int(), ctypes.c_int64(), (ctypes.c_int64 * AXES)()
            at = self._lib.fastcalo_graph_output(
                result, ctypes.c_size_t(k), ctypes.byref(kind), ctypes.byref(rank), lengths
            )
            shape, dtype = tuple(lengths[: rank.value]), np.dtype(_TYPES[kind.value])
            size = int(np.prod(shape)) * dtype.itemsize
            arrays.append(np.frombuffer(ctypes.string_at(at, size) if size else b"", dtype).reshape(shape))
        self.release(result)
        return arrays

    def profile(self, bound: tuple[Any, ...]) -> tuple[dict[str, tuple[float, int]], float]:
        """Seconds and calls by kind of instruction, and multiply-adds of all products of matrices."""
        result = self.call(bound, profile=True)
        numbers = (ctypes.c_double * (2 * len(KINDS) + 1))()
        self._lib.fastcalo_graph_profile(result, numbers)
        self.release(result)
        return {k: (numbers[2 * j], int(numbers[2 * j + 1])) for j, k in enumerate(KINDS)}, numbers[2 * len(KINDS)]


def lists_of(model: ShowerModel) -> list[str]:
    """Outputs of a model that are lists of hits."""
    return [s + tail for s in model.contract.sections for tail in ("_shower", "_cell", "_deposit")]


class Pair:
    """A model in both engines, which give its lists of hits from the same inputs with one thread.

    Parameters
    ----------
    library : Path
        See `NativeGraph`.
    model : str
        Name of a shipped model, or path.
    """

    def __init__(self, library: Path, model: str) -> None:
        self.model = load_model(model, threads=1)
        self.names = lists_of(self.model)
        self._session = open_session(self.model.path, 1)
        self._options = import_onnxruntime().RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._optional = [i.name for i in self._session.get_overridable_initializers()]
        inputs = [i.name for i in self._session.get_inputs()] + self._optional
        self.native = NativeGraph(library, self.model.path.read_bytes(), inputs, self.names)

    def run_onnxruntime(self, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs by ONNX Runtime."""
        return list(self._session.run(self.names, feed, self._options))

    def feed(self, showers: int, seed: int) -> dict[str, NDArray[Any]]:
        """Inputs of some showers, without the dense windows that a model may fill besides."""
        feed = feed_of(self.model, showers, seed)
        if WINDOWS in self._optional:
            feed[WINDOWS] = np.array(False)
        return feed


def feed_of(model: ShowerModel, showers: int, seed: int) -> dict[str, NDArray[Any]]:
    """Kinematics and noise of showers with log-uniform energies from 0.1 to 100 GeV, in the order of their energies."""
    c, rng = model.contract, np.random.default_rng(seed)
    low, high = np.log(np.clip((0.1, 100.0), *c.kinetic_energy))
    energy = np.sort(np.exp(rng.uniform(low, high, showers))).astype(np.float32)
    theta, phi = rng.uniform(0, min(c.max_angle, 0.6), showers), rng.uniform(0, 2 * np.pi, showers)
    direction = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    reach = 500.0 if c.whole else 2.5
    zero = np.zeros(showers, np.int64)
    feed: dict[str, NDArray[Any]] = {
        "kinetic_energy": energy,
        "direction": direction.astype(np.float32),
        "entry": rng.uniform(-reach, reach, (showers, 2)).astype(np.float32),
        "species": rng.choice(np.array(c.species, np.int64), showers),
    }
    feed.update(draw_noise(c.noise, random_streams(seed, zero, zero, np.arange(showers)), energy))
    return feed
