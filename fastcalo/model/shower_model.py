# SPDX-License-Identifier: BSD-3-Clause
"""Trained shower model: an ONNX file with its contract and session."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config.shipped import RENAMED
from ..display import html_table
from ..errors import ConfigError, ContractError, InputError, ModelNotFoundError
from ..system.memory import check_memory
from .contract import read_contract
from .description import WINDOWS, describe_model, tensors_of
from .graph_check import KINEMATICS, check_graph
from .native_library import NativeModel, open_native
from .noise import draw_noise
from .onnx_file import METADATA_KEY, read_image, read_onnx
from .onnx_session import check_threads, open_session
from .random_numbers import RandomStreams, random_streams
from .sparse_showers import SparseShowers

log = logging.getLogger(__name__)

DEFAULT_MODELS = ("em", "hadron", "muon")
"""Shipped models that together know all particles that reach a calorimeter."""
BATCH = 256
"""Showers per call of ONNX Runtime: bounds memory and suffices to share a call's fixed cost."""
BACKENDS = ("auto", "native", "onnxruntime")
"""What runs a model. ``auto``: the native engine where it is built and knows the graph, else ONNX Runtime."""
_WITHOUT_DIGEST = 1
"""Last format of contracts whose files need not hold a digest: their showers are right if the file is whole, and who
has such a file may not have the training that it was exported from."""
_SLACK = 1e-6
"""Ranges are widened by this, relatively, against rounding."""
_FARTHEST = 1e5
"""Of an entry point in the frame of its module, mm: larger than any module."""


def load_model(name_or_path: str | Path, threads: int | None = None, backend: str = "auto") -> ShowerModel:
    """Load a shipped model by its name, or any model by its path.

    Parameters
    ----------
    name_or_path : str or Path
        ``"em"``, or the path of an ``.onnx`` file.
    threads : int, optional
        Threads of ONNX Runtime; by default what the process may use, two at most.
    backend : str
        One of `BACKENDS`. All give the same hits; deposits agree to 1e-4.

    Raises
    ------
    ConfigError
        There is no such backend.
    MissingDependencyError
        The backend is not installed.
    ModelNotFoundError
        No such name and no such file.
    ContractError
        The file is no model, or its contract is missing or cannot be met.

    Examples
    --------
    >>> import fastcalo
    >>> em = fastcalo.load_model("em")
    >>> showers = em.generate(pdg=22, kinetic_energy=[1.0, 10.0], direction=[0, 0, 1], entry=[0, 0], seed=1)
    >>> showers["ECAL"].shape
    (2, 25, 25, 25)
    """
    folder = files("fastcalo") / "model"
    shipped = sorted(f.name.removesuffix(".onnx") for f in folder.iterdir() if f.name.endswith(".onnx"))
    path = Path(str(folder / f"{name_or_path}.onnx")) if str(name_or_path) in shipped else Path(name_or_path)
    if not path.is_file():
        if (new := RENAMED.get(str(name_or_path))) is not None:
            raise ModelNotFoundError(
                f"there is no model {str(name_or_path)!r} any more: it is now {new!r}, which gives whole showers, too"
            )
        raise ModelNotFoundError(f"there is no model {str(name_or_path)!r}: neither a file nor one of {shipped}")
    return ShowerModel(path, threads, backend)


class ShowerModel:
    """A model that turns particles at the calorimeter's face into deposits.

    It may be pickled and sent to other processes, where its session is opened again when first needed.

    Parameters
    ----------
    path : Path
    threads : int, optional
    backend : str, optional
        See `load_model`.

    Attributes
    ----------
    path : Path
    threads : int or None
    backend : str
        ``"native"`` or ``"onnxruntime"``: what runs it.
    contract : Contract
    file_hash : str
        SHA-256 of the file, hexadecimal.
    network_seconds : float
        Time spent in the backend so far.

    Raises
    ------
    ContractError
        The file is no model, is damaged, or its contract is missing or cannot be met.
    """

    def __init__(self, path: Path, threads: int | None = None, backend: str = "auto") -> None:
        if backend not in BACKENDS:
            raise ConfigError(f"backend must be one of {', '.join(map(repr, BACKENDS))}, not {backend!r:.80}")
        check_threads(threads)
        self.path, self.threads = path, threads
        self.network_seconds = 0.0
        image = read_image(path)
        file = read_onnx(image, str(path))
        self._digest = file.digest
        # first, so that a file which is damaged is not taken for one of another fastcalo
        file.check_digest(str(path), required=False)
        self.contract = read_contract(file.metadata.get(METADATA_KEY), str(path))
        if not file.check_digest(str(path), required=self.contract.format > _WITHOUT_DIGEST):
            log.warning(
                "%s: was exported before files held a digest: damage to it cannot be seen; export the model again", path
            )
        self.file_hash = hashlib.sha256(image).hexdigest()
        native = None if backend == "onnxruntime" else open_native(image, str(path), required=backend == "native")
        self.backend = "onnxruntime" if native is None else "native"
        if native is not None:
            self._native = native
        else:
            self._session = open_session(path, threads, image)
            check_graph(self._session, self.contract, path)

    @property
    def name(self) -> str:
        """Name of the model, from its contract."""
        return self.contract.name

    @cached_property
    def _session(self) -> Any:
        return open_session(self.path, self.threads, self._same_image())

    @cached_property
    def _native(self) -> NativeModel | None:
        return open_native(self._same_image(), str(self.path), required=True)

    def _same_image(self) -> bytes:
        # in another process: the file may have been replaced since
        image = read_image(self.path)
        if read_onnx(image, str(self.path)).digest != self._digest:
            raise ContractError(f"{self.path}: was replaced by another model while it was used; start again")
        return image

    @cached_property
    def _has_option(self) -> bool:
        return WINDOWS in {i.name for i in self._session.get_overridable_initializers()}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_session", "_native")}

    def __repr__(self) -> str:
        return f"ShowerModel({self.contract.name!r}, species={list(self.contract.species)}, path={str(self.path)!r})"

    def _repr_html_(self) -> str:
        return html_table(f"Model {self.name}", (), self.describe())

    def generate(
        self,
        *,
        pdg: ArrayLike,
        kinetic_energy: ArrayLike,
        direction: ArrayLike,
        entry: ArrayLike,
        seed: int = 0,
    ) -> dict[str, NDArray[np.float32]]:
        """Showers of given particles.

        Scalars, or one vector for all, are repeated as needed.

        Parameters
        ----------
        pdg : int [N]
            PDG numbers.
        kinetic_energy : float [N]
            GeV.
        direction : float [N, 3]
            Unit vectors in the shower frame: z along the layers' normal, inwards.
        entry : float [N, 2]
            Point on the front face, mm: in the frame of the module for models of whole showers, else from the centre of
            the cell of the first section that is hit, half its width at most.
        seed : int
            The same seed gives the same showers; shower i draws the i-th stream of random numbers.

        Returns
        -------
        dict of str to float32 [N, nx, ny, layers]
            Deposits per section, GeV. In each layer the window is centred on the cell which the straight line of
            flight crosses.

        Raises
        ------
        InputError
            Shapes that don't match, a particle outside the model's validity, or windows that take more memory than
            there is; `sample` gives lists of hits instead.
        """
        particles = self._particles(pdg, kinetic_energy, direction, entry)
        n = len(particles[0])
        zero = np.zeros(n, np.int64)
        random = random_streams(seed, zero, zero, np.arange(n))
        # before any shower is drawn: hours of work must not end in a lack of memory
        shapes = {section: (n, *self.window_shape(section)) for section in self.contract.sections}
        check_memory(
            4 * sum(math.prod(shape) for shape in shapes.values()),
            f"model {self.name!r}: dense windows of {n} showers",
            "ask for fewer at a time, or for lists of hits (ShowerModel.sample)",
        )
        windows = {section: np.zeros(shape, np.float32) for section, shape in shapes.items()}
        for section, showers in self._sampled(*particles, random):
            shower, cell, deposit = showers.in_window(self.window_shape(section))
            windows[section].reshape(n, math.prod(shapes[section][1:]))[shower, cell] = deposit
        return windows

    def sample(
        self,
        pdg: NDArray[np.int64],
        kinetic_energy: NDArray[np.float32],
        direction: NDArray[np.float32],
        entry: NDArray[np.float32],
        random: RandomStreams,
    ) -> dict[str, SparseShowers]:
        """Deposits of particles that are known to be valid, as lists.

        Parameters are those of `generate`, all of them arrays; `random` holds a stream per particle. Deposits are
        grouped by shower, but showers come in any order.
        """
        parts: dict[str, list[SparseShowers]] = {s: [] for s in self.contract.sections}
        for section, showers in self._sampled(pdg, kinetic_energy, direction, entry, random):
            parts[section].append(showers)
        return {section: SparseShowers.join(found) for section, found in parts.items()}

    def _sampled(
        self,
        pdg: NDArray[np.int64],
        kinetic_energy: NDArray[np.float32],
        direction: NDArray[np.float32],
        entry: NDArray[np.float32],
        random: RandomStreams,
    ) -> Iterator[tuple[str, SparseShowers]]:
        """Sections and hits in them, batch by batch."""
        if self.backend == "native":
            assert self._native is not None
            begin = time.perf_counter()
            found = self._native.sample(pdg, kinetic_energy, direction, entry, random, len(self.contract.sections))
            self.network_seconds += time.perf_counter() - begin
            yield from zip(self.contract.sections, found, strict=True)
            return
        # showers of like energy are drawn together: their number of hits, which decides the work, is alike
        order = np.argsort(kinetic_energy, kind="stable")
        for start in range(0, len(order), BATCH):
            i = order[start : start + BATCH]
            feed: dict[str, NDArray[Any]] = dict(
                zip(KINEMATICS, (kinetic_energy[i], direction[i], entry[i], pdg[i]), strict=True)
            )
            feed.update(draw_noise(self.contract.noise, random.take(i), kinetic_energy[i]))
            for section, showers in self._run(feed):
                yield section, replace(showers, shower=i[showers.shower])

    def _run(self, feed: dict[str, NDArray[Any]]) -> Iterator[tuple[str, SparseShowers]]:
        sections = self.contract.sections
        tails = ("_shower", "_cell", "_deposit") if self.contract.sparse else ("",)
        if self.contract.sparse and self._has_option:
            feed = {**feed, WINDOWS: np.array(False)}
        begin = time.perf_counter()
        try:
            out = self._session.run([s + t for s in sections for t in tails], feed, self._run_options)
        except Exception as e:  # ONNX Runtime's own errors share no base class
            raise ContractError(f"model {self.name!r} ({self.path}): ONNX Runtime could not run it: {e}") from e
        self.network_seconds += time.perf_counter() - begin
        for k, section in enumerate(sections):
            shape = self.window_shape(section)
            if self.contract.whole:
                shower, cell, deposit = out[3 * k : 3 * k + 3]
                showers = SparseShowers.of_cells(shower, cell, deposit)
            elif self.contract.sparse:
                showers = SparseShowers.of_window(shape, *out[3 * k : 3 * k + 3])
            else:
                flat = out[k].reshape(len(out[k]), -1)
                row, cell = np.nonzero(flat)
                showers = SparseShowers.of_window(shape, row, cell, flat[row, cell])
            limits = (None, None, shape[2]) if self.contract.whole else shape
            showers.check(section, limits, feed, f"model {self.name!r} ({self.path})")
            yield section, showers

    @property
    def _run_options(self) -> Any:
        from onnxruntime import RunOptions

        options = RunOptions()
        # the dense windows need not be filled when the lists are asked for
        options.only_execute_path_to_fetches = True
        return options

    def window_shape(self, section: str) -> tuple[int, int, int]:
        """Shape of the dense window of a section: cells along x, cells along y, layers."""
        return self.contract.window_shape(section)

    def _particles(
        self, pdg: ArrayLike, kinetic_energy: ArrayLike, direction: ArrayLike, entry: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        try:
            given = [np.asarray(a) for a in (pdg, kinetic_energy, direction, entry)]
            tails = ((), (), (3,), (2,))
            if any(a.shape[a.ndim - len(t) :] != t for a, t in zip(given, tails, strict=True)):
                raise ValueError("a vector is too short or too long")
            n = np.broadcast_shapes((1,), *(a.shape[: a.ndim - len(t)] for a, t in zip(given, tails, strict=True)))
            full = [np.broadcast_to(a, (*n, *t)) for a, t in zip(given, tails, strict=True)]
            if len(n) != 1:
                raise ValueError(f"{len(n)} axes of showers")
            if any(a.dtype.kind not in "iuf" for a in given):
                raise ValueError("they must be numbers")
            p, e, d, x = _whole_numbers(full[0]), *(a.astype(np.float32) for a in full[1:])
        except (ValueError, TypeError) as error:
            raise InputError(
                f"pdg [N], kinetic_energy [N], direction [N, 3] and entry [N, 2] do not fit together: {error}"
            ) from error
        c = self.contract
        reach, place = _FARTHEST, "the module's origin"
        if not c.whole:
            reach = float(c.stack["sections"][0].get("cell_mm", math.inf)) / 2 * (1 + _SLACK)
            place = "the centre of the cell that is hit"
        length = np.sqrt((d.astype(np.float64) ** 2).sum(1))
        tests = {
            f"pdg must be one of {list(c.species)}": np.isin(p, c.species),
            f"kinetic_energy must be within {list(c.kinetic_energy)} GeV": self.energy_ok(e),
            "direction must be a unit vector": np.abs(length - 1) < 1e-3,
            f"direction must be within {math.degrees(c.max_angle):.4g} degrees of z": self.angle_ok(d[:, 2]),
            f"entry must be within {reach:g} mm of {place}": (np.abs(x) <= reach).all(1),
        }
        for what, ok in tests.items():
            if not ok.all():
                k = int(np.argmin(ok))
                raise InputError(
                    f"model {self.name!r}: {what}, but {np.sum(~ok)} of {len(ok)} particles are not, "
                    f"the first at index {k} (pdg {p[k]}, {e[k]:g} GeV, direction {d[k].tolist()}, "
                    f"entry {x[k].tolist()})"
                )
        return p, e, (d / length[:, None]).astype(np.float32), x

    def energy_ok(self, kinetic_energy: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which kinetic energies [N], GeV, are within the model's range."""
        low, high = self.contract.kinetic_energy
        return np.asarray((kinetic_energy >= low * (1 - _SLACK)) & (kinetic_energy <= high * (1 + _SLACK)))

    def angle_ok(self, cosine: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which cosines [N] of the angle to the layers' normal are within the model's range."""
        return np.asarray(cosine >= math.cos(self.contract.max_angle) - _SLACK)

    def describe(self) -> list[tuple[str, str]]:
        """What the model is for, as rows of a table; `describe_model` lists what its graph takes and returns, too."""
        return describe_model(self)[0][1]

    @property
    def graph_inputs(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Type and shape by name of the tensors that the graph must have, and of those that may be left out."""
        return tensors_of(self._session.get_inputs()), tensors_of(self._session.get_overridable_initializers())

    @property
    def graph_outputs(self) -> dict[str, Any]:
        """Type and shape by name of the tensors that the graph gives."""
        return tensors_of(self._session.get_outputs())


def _whole_numbers(values: NDArray[Any]) -> NDArray[np.int64]:
    # 22.4 is not a photon
    if values.dtype.kind == "f" and not (np.abs(values) < 2**53).all():
        raise ValueError("pdg must be whole numbers")
    codes = values.astype(np.int64)
    if (codes != values).any():
        raise ValueError("pdg must be whole numbers")
    return codes
