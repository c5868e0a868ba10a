"""Checkpoints of a stage: written atomically, read without unpickling."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastcalo.errors import TrainingError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and containers of them) under a temporary name, then rename."""
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    # torch's own writer tells a full disk by an error of its own kind
    image = io.BytesIO()
    torch.save(state, image)
    try:
        temporary.write_bytes(image.getbuffer())
        temporary.replace(path)
    except OSError as e:
        raise TrainingError(f"cannot write the checkpoint {path}: {e.strerror or e}") from e
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote.

    Raises
    ------
    TrainingError
        The file is missing, damaged, or holds more than plain data.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as e:
        raise TrainingError(f"cannot read the checkpoint {path}: {e.strerror or e}") from e
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as e:
        raise TrainingError(f"the checkpoint {path} is damaged ({e}); remove it to train that stage again") from e
    return state


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
