# SPDX-License-Identifier: BSD-3-Clause
"""Table ``[network]`` of a training's file: sizes of the networks."""

from __future__ import annotations

from typing import ClassVar

from fastcalo.config.base import Model

WIDEST = 65_536
"""Largest width of a layer of neurons."""


class NetworkConfig(Model):
    """``[network]``: sizes of the networks; the keys depend on `arch`."""

    tag: ClassVar[str] = "arch"
