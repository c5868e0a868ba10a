# SPDX-License-Identifier: BSD-3-Clause
"""HDF5 files read slice by slice, with errors that name file and dataset."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...display import html_table
from ...errors import FastCaloError, InputError
from ...system.memory import check_memory
from .hdf5_heaps import check_heaps

if TYPE_CHECKING:
    import h5py

_SMALL_BYTES = 100_000_000
_Number = TypeVar("_Number", np.int32, np.float32, np.float64)


class Hdf5File(ABC):
    """An open file of showers; the base of its readers.

    Parameters
    ----------
    path : str or Path
    file : h5py.File, optional
        To be read instead of what lies at `path`, which then only stands in messages. It is closed with this one.

    Attributes
    ----------
    path : Path
    sections : tuple of str
        Sections that the file has deposits of.
    attributes : dict
        What the file states of itself.

    Raises
    ------
    InputError
        There is no such file, it is not HDF5 or cut short, or `_check` finds a defect.
    """

    sections: tuple[str, ...]
    _length: int

    def __init__(self, path: str | Path, file: h5py.File | None = None) -> None:
        self.path = Path(path)
        self._opened: dict[str, h5py.Dataset] = {}
        self._file = open_hdf5(self.path) if file is None else file
        try:
            with reading(self.path, "its structure"):
                self.attributes: dict[str, Any] = {
                    key: value.item() if isinstance(value, np.generic) else value
                    for key, value in self._file.attrs.items()
                }
                self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.path)!r}: {len(self)} showers, {', '.join(self.sections)}>"

    def _repr_html_(self) -> str:
        rows = [("showers", str(len(self))), ("sections", ", ".join(self.sections))]
        # the description of the detector is long
        listed = {key: value for key, value in self.attributes.items() if key not in {"showers", "detector"}}
        return html_table(f"Showers {self.path}", (), [*rows, *((key, f"{value}") for key, value in listed.items())])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @abstractmethod
    def _check(self) -> None:
        """Check what there is, and set `sections` and `_length`."""

    def _has(self, section: str) -> None:
        if section not in self.sections:
            raise InputError(f"{self.path}: has no section {section!r}; it has {list(self.sections)}")

    def _data(self, name: str) -> h5py.Dataset:
        import h5py

        if not isinstance(self._file.get(name), h5py.Dataset):
            raise InputError(f"{self.path}: has no dataset {name!r}; it has {sorted(self._file)}")
        return self._file[name]

    def _has_length(self, name: str, length: int) -> None:
        if (got := self._file[name].shape[0]) != length:
            raise InputError(f"{self.path}: {name} has {got} rows, but the rest of the file asks for {length}")

    def _is_written(self, name: str) -> None:
        """Refuse a dataset that declares more rows than were written: HDF5 would read them as zeros."""
        data = self._file[name]
        if data.chunks is None or not data.size:
            return
        wanted = math.prod(-(-length // chunk) for length, chunk in zip(data.shape, data.chunks, strict=True))
        if (have := data.id.get_num_chunks()) < wanted:
            raise InputError(
                f"{self.path}: {name} has {data.shape[0]} rows, but only {have} of its {wanted} pieces were written; "
                "the file was not finished"
            )

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise InputError(f"{self.path}: showers {start} to {stop} are asked for, but there are {len(self)}")
        return start, stop

    def _slice(self, name: str, start: int, stop: int) -> NDArray[Any]:
        with reading(self.path, f"{name}[{start}:{stop}]"):
            # kept open, with the chunks that were unpacked last: short slices in a row often share one
            if name not in self._opened:
                self._opened[name] = self._file[name]
            data = self._opened[name]
            size = max(0, min(stop, data.shape[0]) - start) * math.prod(data.shape[1:]) * data.dtype.itemsize
            # what is small needs no look at the machine
            if size > _SMALL_BYTES:
                check_memory(size, f"{self.path}: {name}[{start}:{stop}]", "read fewer showers at a time")
            rows: NDArray[Any] = data[start:stop]
        return rows

    def _checked(
        self, name: str, start: int, rows: NDArray[_Number], good: NDArray[np.bool_], problem: str
    ) -> NDArray[_Number]:
        """Return `rows`, unless one is not `good` or not finite."""
        fine = good & np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
        if not fine.all():
            bad = int(np.argmin(fine))
            raise InputError(f"{self.path}: {name}[{start + bad}] = {rows[bad]} {problem}")
        return rows


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises
    ------
    InputError
        There is no such file, or it is not HDF5 or cut short.
    """
    import h5py

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with reading(path, "the file"):
        check_heaps(path)
        return h5py.File(path, "r")


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of the HDF5 library into an `InputError` that names the file and `what` is read of it."""
    try:
        yield
    except FastCaloError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: {what} needs more memory than there is") from error
    # the HDF5 library and NumPy raise whatever they trip over: names that are no UTF-8, types that are not known, ...
    except Exception as error:
        first = str(error).strip().split("\n", 1)[0]
        problem = f"{what} cannot be read as HDF5; the file may be cut short or damaged: {first}"
        raise InputError(f"{path}: {problem}") from error
