# SPDX-License-Identifier: BSD-3-Clause
"""Table ``[network]`` of a training's file: sizes of the networks."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastcalo.config.base import Model, about

_WIDEST = 65_536
_DENSE = "after 3DGAN, Khattak et al., Eur. Phys. J. C 82 (2022) 386"


class NetworkConfig(Model):
    """``[network]``: sizes of the networks; the keys depend on `arch`."""

    tag: ClassVar[str] = "arch"


class HitsNetworkConfig(NetworkConfig):
    """``[network]`` of ``arch = "hits"``."""

    variant: ClassVar[str] = 'arch = "hits"'

    layer_width: Annotated[
        int,
        about(
            "Width of the hidden layers of the layer model (stage layers)",
            unit="neurons",
            stages=("layers",),
            ge=1,
            le=_WIDEST,
        ),
    ] = 128
    hit_width: Annotated[
        int,
        about(
            "Width of the hidden layers of the hit model (stages hits and adversarial)",
            unit="neurons", stages=("hits", "adversarial"), ge=1, le=_WIDEST,
        ),
    ] = 192  # fmt: skip
    share_width: Annotated[
        int,
        about(
            "Width of the network that divides a layer's energy among its hits (stages hits and adversarial)",
            unit="neurons", stages=("hits", "adversarial"), ge=1, le=_WIDEST,
        ),
    ] = 48  # fmt: skip
    critic_width: Annotated[
        int,
        about(
            "Width of the hidden layers of the critic (stage adversarial)",
            unit="neurons",
            stages=("adversarial",),
            ge=1,
            le=_WIDEST,
        ),
    ] = 256


class DenseNetworkConfig(NetworkConfig):
    """``[network]`` of ``arch = "3dgan"``."""

    variant: ClassVar[str] = 'arch = "3dgan"'

    dense_channels: Annotated[
        int,
        about(
            "Channels of the convolutions where the grid of cells is halved once; the time of a step grows with the "
            "square",
            source=_DENSE,
            ge=2, le=4_096,
        ),
    ] = 32  # fmt: skip
    dense_latent: Annotated[
        int,
        about("Length of the generator's vector of random numbers", source=_DENSE, ge=1, le=_WIDEST),
    ] = 64
