# SPDX-License-Identifier: BSD-3-Clause
"""A pretended device whose tensors hold CPU numbers, to detect tensors on the wrong device without a GPU.

The device of its tensors is ``meta``. Whatever takes one of them and one of the CPU is an error, as with CUDA; but for
a single number of the CPU, which CUDA takes too.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

AWAY = torch.device("meta")
_MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class MixedError(AssertionError):
    """Tensors of both devices met."""


class Away(Tensor):
    """A tensor on the other device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Away:
        away = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=AWAY, requires_grad=False,
        )  # fmt: skip
        away.held = held
        return away

    def __repr__(self) -> str:
        return f"Away({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Lists(TorchFunctionMode):
    """From lists and to them: what ``meta`` would not do, for want of numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == "meta":
            return func(*args, **{**kwargs, "device": "cpu"}).to(AWAY)
        if func is Tensor.tolist:
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


class Elsewhere(TorchDispatchMode):
    """While the block runs, there is the other device."""

    def __init__(self) -> None:
        super().__init__()
        self._lists = _Lists()

    def __enter__(self) -> Self:
        self._lists.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._lists.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    away = [x for x in tensors if isinstance(x, Away)]
    here = [x for x in tensors if not isinstance(x, Away) and x.dim()]
    if away and here and func not in _MOVES:
        raise MixedError(f"{func} of tensors on both devices: {[tuple(x.shape) for x in here]} are on the CPU")
    to = kwargs.get("device")
    goes_away = torch.device(to).type == "meta" if to is not None else bool(away)
    if to is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(lambda x: x.held if isinstance(x, Away) else x, (args, kwargs))
    out = func(*args, **kwargs)
    if func is torch.ops.aten.copy_.default:
        return tensors[0]
    # what is changed in place stays what it is
    same = {id(x.held): x for x in away}

    def wrapped(x: Any) -> Any:
        if not (goes_away and isinstance(x, Tensor)):
            return x
        return same[id(x)] if id(x) in same else Away(x)

    return tree_map(wrapped, out)
