# SPDX-License-Identifier: BSD-3-Clause
"""Trees that stay open from one reading of a file to the next, so that each is looked at once."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..root_files import open_root
from .hepmc import is_hepmc, open_hepmc
from .tree import OpenFile

# what is kept open while nobody reads it
_MOST_FILES = 8
_MOST_BRANCHES = 5000


class OpenFiles:
    """Files that were opened, the latest of which stay open."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[OpenFile, ExitStack]] = {}
        self._finalizer = weakref.finalize(self, _close_all, self._files)

    def __reduce__(self) -> tuple[type[OpenFiles], tuple[()]]:
        return OpenFiles, ()

    @contextmanager
    def open(self, path: str) -> Iterator[OpenFile]:
        """Open a file, or take it as it was left.

        Parameters
        ----------
        path : str
            Local path or URL.

        Raises
        ------
        InputError
            It is missing, empty, no ROOT file or cut short.
        """
        # the latest stands last
        file, stack = self._files.pop(path) if path in self._files else _opened(path)
        self._files[path] = file, stack
        file.users += 1
        try:
            yield file
        finally:
            file.users -= 1
            self._close_oldest()

    def close(self) -> None:
        """Close all files; they are opened again when they are needed."""
        _close_all(self._files)

    def _close_oldest(self) -> None:
        idle = [path for path, (file, _) in self._files.items() if not file.users]
        branches = sum(file.branches for file, _ in self._files.values())
        for path in idle:
            if len(self._files) <= _MOST_FILES and branches <= _MOST_BRANCHES:
                break
            file, stack = self._files.pop(path)
            branches -= file.branches
            stack.close()


def _opened(path: str) -> tuple[OpenFile, ExitStack]:
    stack = ExitStack()
    is_text = "://" not in path and is_hepmc(path)
    file = open_hepmc(path) if is_text else OpenFile(path, stack.enter_context(open_root(path)))
    stack.callback(file.close)
    return file, stack


def _close_all(files: dict[str, tuple[OpenFile, ExitStack]]) -> None:
    while files:
        _, (_, stack) = files.popitem()
        stack.close()
