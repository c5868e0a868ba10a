# SPDX-License-Identifier: BSD-3-Clause
"""One mutant of a format, and what became of it."""

from __future__ import annotations

import logging
import random
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz.targets import Target


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``same``, ``refused``, ``other``, or ``raw`` with what was raised."""

    kind: str
    detail: str = ""


def prepare(target: Target, folder: Path) -> tuple[Path, bytes, str]:
    """Write the whole file; return its path, its bytes, and what reading it comes to."""
    path = target.make(folder)
    return path, path.read_bytes(), target.read(path)


def judge(target: Target, path: Path, whole: bytes, expected: str, seed: int) -> Verdict:
    """Make one mutant, read it, and put the whole file back."""
    from fastcalo.errors import FastCaloError

    logging.disable(logging.CRITICAL)
    rng = random.Random(f"{target.name} {seed}")
    try:
        path.write_bytes(target.mutate(whole, rng))
        with np.errstate(all="ignore"):
            found = target.read(path)
    except FastCaloError as error:
        return Verdict("refused", str(error)[:200])
    # whatever else gets out is what is looked for
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Verdict("raw", f"{type(error).__name__}: {str(error)[:300]} {_where(error)}")
    finally:
        logging.disable(logging.NOTSET)
        path.write_bytes(whole)
    return Verdict("same" if found == expected else "other")


def _where(error: BaseException) -> str:
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "fastcalo" in f.filename or "/training/" in f.filename
    ]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
