# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints of a stage: written atomically, read without unpickling."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fastcalo.errors import FastCaloError, OutputError, TrainingError
from fastcalo.io.atomic import output_errors, whole_file

from ..architectures.base import Architecture
from ..config import StageConfig
from ..data.showers import ShowerData

log = logging.getLogger(__name__)

HASH_VERSION = 2
"""Of the hash of the showers: 1 was of their species and energies, 2 is of all that is read."""
_FORMAT, _FORMAT_KEY = 1, "fastcalo_checkpoint"
_SEAL = b"fastcalo sha256 "
_SEAL_BYTES = len(_SEAL) + 64


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and containers of them), whole or not at all.

    The file is one of torch (a zip archive), whose comment is a digest of the rest: torch reads it as any other, but
    does not look at the archive's checksums.

    Raises
    ------
    TrainingError
        It cannot be written. What was there before is kept.
    """
    # torch's own writer reports a full disk by an error of its own kind
    image = io.BytesIO()
    torch.save({_FORMAT_KEY: _FORMAT, **state}, image)
    try:
        with whole_file(path, overwrite=True) as temporary, output_errors(path):
            temporary.write_bytes(_sealed(image.getvalue()))
    except OutputError as e:
        raise TrainingError(f"cannot write the checkpoint {path} ({e}); the one before it is kept") from e


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote.

    Raises
    ------
    TrainingError
        The file is missing, damaged, or holds more than plain data.
    """
    try:
        image = path.read_bytes()
    except OSError as e:
        raise TrainingError(f"cannot read the checkpoint {path}: {e.strerror or e}") from e
    rest = _without_seal(image)
    if rest is None:
        raise _damaged(path, "its digest is another")
    try:
        state: Any = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    # torch raises whatever it trips over: damaged bytes lead it anywhere
    except Exception as e:
        first = str(e).strip().split("\n", 1)[0]
        raise _damaged(path, f"{type(e).__name__}: {first}") from e
    if not isinstance(state, dict):
        raise _damaged(path, f"it holds a {type(state).__name__}")
    written = state.pop(_FORMAT_KEY, 0)
    if len(rest) == len(image):
        if written:
            raise _damaged(path, "its digest is missing")
        log.warning("%s: was written before checkpoints held a digest: damage to it cannot be seen", path)
    return state


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint's content is put to use into a `TrainingError` that names the file."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as e:
        if isinstance(e, FastCaloError):
            raise
        text = " ".join(str(e).split())
        raise TrainingError(
            f"the checkpoint {path} is not of this training: {type(e).__name__}: {text[:300]}; train with the "
            "configuration and the version of fastcalo that it was made with, or remove it to train that stage again"
        ) from e


def step_of(path: Path, state: Mapping[str, Any], steps: int, stage: str) -> int:
    """Step that a checkpoint of a stage of `steps` steps stands at.

    Raises
    ------
    TrainingError
        It holds none, or one beyond the stage's last.
    """
    step = state.get("step")
    if type(step) is not int or step < 0:
        raise _damaged(path, f"step is {step!r}")
    if step > steps:
        raise TrainingError(
            f"the checkpoint {path} stands at step {step}, but stage {stage!r} has {steps} steps: set steps to {step} "
            "or more, or remove it to train that stage again"
        )
    return step


def _damaged(path: Path, why: str) -> TrainingError:
    return TrainingError(f"the checkpoint {path} is damaged ({why}); remove it to train that stage again")


def _sealed(image: bytes) -> bytes:
    """A zip archive without a comment, and its digest as a comment."""
    comment = _SEAL + hashlib.sha256(image).hexdigest().encode()
    # the last two bytes of an archive are the length of its comment
    return image[:-2] + len(comment).to_bytes(2, "little") + comment


def _without_seal(image: bytes) -> bytes | None:
    """The archive as it was before `_sealed`, or the bytes as they are where no digest follows; None if it is wrong."""
    at = image.rfind(_SEAL, -_SEAL_BYTES)
    if at < 2:
        return image
    rest = image[: at - 2] + bytes(2)
    return rest if _sealed(rest) == image else None


def path_of(run: Path, stage: StageConfig) -> Path:
    """The checkpoint of a stage."""
    return run / f"{stage.name}.pt"


def restore(architecture: Architecture, run: Path, stage: StageConfig) -> int:
    """Load a stage's networks if its checkpoint is there; return the steps done.

    Of a finished stage a critic that does not fit, as that of an older version, is left as it is.

    Raises
    ------
    TrainingError
        It is damaged, or is not of these networks or this stage.
    """
    file = path_of(run, stage)
    if not file.exists():
        return 0
    state = load(file)
    done = step_of(file, state, stage.steps, stage.name)
    with fitting(file):
        for name in architecture.kept_by(stage.name):
            kept, network = state["networks"][name], architecture.networks[name]
            # a finished stage needs its critic no more, and other versions of fastcalo show theirs something else
            if name == "critic" and done == stage.steps and not _same_shapes(kept, network.state_dict()):
                continue
            network.load_state_dict(kept)
    return done


def _same_shapes(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}


def check_showers(path: Path, state: Mapping[str, Any], data: ShowerData) -> None:
    """Refuse to go on with other showers than those that a checkpoint was trained on.

    Raises
    ------
    TrainingError
    """
    version = state.get("data_hash_version", 1)
    if state["data_hash"] != {1: data.old_hash, HASH_VERSION: data.hash}[version]:
        raise TrainingError(
            f"{path} was trained on other showers than those that {[str(p) for p in data.paths]} hold now: put them "
            "back as they were (files are compared byte by byte, the detector's layers too), or name another folder"
        )
    if version < HASH_VERSION:
        log.warning(
            "%s: was written when checkpoints knew showers by species and energies only: these are the same, but "
            "whether directions, entry points and deposits are is not known; the next checkpoint records it",
            path,
        )


def to_device(state: Any, device: torch.device | str) -> Any:
    """Containers of tensors, with these on a device."""
    if isinstance(state, dict):
        return {key: to_device(value, device) for key, value in state.items()}
    if isinstance(state, list):
        return [to_device(value, device) for value in state]
    return state.to(device) if isinstance(state, torch.Tensor) else state


def fingerprint(networks: nn.Module) -> str:
    """Digest of all parameters."""
    digest = hashlib.blake2b(digest_size=16)
    for value in networks.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
