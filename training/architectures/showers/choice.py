# SPDX-License-Identifier: BSD-3-Clause
"""Choice between candidates of a layer: which of some sets of hits looks more like full simulation.

Hits of a layer are drawn independently of each other, given the layer before, and so how they lie to each other is only
nearly right. With ``candidates = 2`` each layer is drawn twice and one of both is kept, each with a chance in
proportion to its ratio of densities, full simulation's over the model's: importance resampling (Rubin, Bayesian
Statistics 3 (1988) 395). A network learns the logarithm of that ratio from true layers and drawn ones behind
the same true layers, by telling which of a pair is the true one (Ma & Collins, arXiv:1809.01812). It sees means over
the hits of a layer; its first term weighs them by the root of their number, as a sum of independent terms does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..hit_lists.conditions import folded_offsets
from ..hit_lists.hit_networks import log_mean_energy
from ..nets import linear_layers, mlp
from .conditions import Geometry, ShowerConditions, along_across
from .neighbours import Near

FEATURES = 29
ALONG, SPREAD, ACROSS = 13, 15, 16
"""Features that are not plain means: see `features`."""
RADII = (1.0, 2.5, 5.0, 9.0)
"""In cells: parts of the hits within the first three, and of those beyond the last one."""
FAR = 5.0
"""In cells: beyond, most hits are of neutrons."""
SOFT_RADIUS = 10.0
"""Cells beyond which positions count less and less."""
LEAST_SQUARE = 1e-4
"""Of the spread, in squares of three cells: a single hit has only what rounding leaves, whose root is not small."""
SMALL_LAYER = 8
"""Hits of a layer up to which more candidates cost little."""
NOT_DRAWN = -1e4
"""Score of a candidate without hits."""
OF_LAYER = 6
"""Inputs that a layer has of its own, behind those of the shower."""
WIDTHS = (48, 32)
"""Neurons of what knows the layer, and of what sees the candidates."""


def columns_of_hits(c: ShowerConditions, row_H: Tensor, d_H2: Tensor, near: Near) -> Tensor:
    """What is averaged over the hits of a layer, [H, FEATURES]; `d_H2` in cells from the line of flight."""
    a, b = along_across(c.along_B2[row_H], torch.zeros_like(d_H2), *d_H2.unbind(1))
    a, b = a / (1 + a.abs() / SOFT_RADIUS) / 3, b / (1 + b.abs() / SOFT_RADIUS) / 3
    square = (d_H2 * d_H2).sum(1)
    beside, before = near.beside_H, near.before_H
    lone, alone = (beside < 0.5).float(), (before < 0.5).float()
    length, far = near.length_H, (square > FAR**2).float()
    in_row = (length > 2.5).float()
    within = [(square < radius**2).float() for radius in RADII]
    return torch.stack(
        [
            near.edge_H, near.corner_H, lone, (beside > 2.5).float(),
            before / 3, alone, (before > 3.5).float(), lone * alone,
            torch.log(square + 0.1) / 2, *within[:3], 1 - within[3],
            a, b.abs(), a * a + b * b, b,
            near.step_H2.square().sum(1).sqrt(), beside * before / 9,
            length / 8, in_row, 1 / (1 + beside), alone / (1 + beside), far * alone, far * beside / 3,
            far * before / 3, alone * beside / 3, far * in_row, (length == 1).float(),
        ],
        1,
    )  # fmt: skip


def features(columns_H: Tensor, group_H: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Features of each group of hits [groups, FEATURES], and numbers of hits [groups].

    Means, but for the root mean square distance from the mean position, and the distance of that from the plane of
    incidence, which is the same on both sides.
    """
    number = torch.bincount(group_H, minlength=groups).float()
    total = columns_H.new_zeros(groups, FEATURES).index_add(0, group_H, columns_H)
    mean = total / number.clamp_min(1)[:, None]
    square = mean[:, SPREAD] - mean[:, ALONG].square() - mean[:, ACROSS].square()
    spread, across = square.clamp_min(LEAST_SQUARE).sqrt()[:, None], mean[:, ACROSS].abs()[:, None]
    return torch.cat([mean[:, :SPREAD], spread, across, mean[:, ACROSS + 1 :]], 1), number


class ChoiceNetwork(nn.Module):
    """Log ratio of densities of a layer's hits, full simulation's over the model's, but for what candidates share.

    Parameters
    ----------
    geometry : Geometry
    candidates : int
        Of each layer.
    of_large : int
        Of layers of more than `SMALL_LAYER` hits, where it is not zero; at most `candidates`.
    """

    mean_F: Tensor
    deviation_F: Tensor

    def __init__(self, geometry: Geometry, candidates: int = 2, of_large: int = 0) -> None:
        super().__init__()
        self.candidates, self.of_large = candidates, of_large or candidates
        wide, narrow = WIDTHS
        self.layer = nn.Parameter(torch.zeros(geometry.layers, wide))
        self.known = mlp([geometry.n_globals + OF_LAYER, wide, wide, FEATURES + narrow])
        self.seen = nn.Linear(2 * FEATURES, narrow, bias=False)
        self.score = mlp([narrow, narrow, 1])
        self.register_buffer("mean_F", torch.zeros(FEATURES))
        self.register_buffer("deviation_F", torch.ones(FEATURES))
        with torch.no_grad():
            # a network that has not learnt anything has no preference
            for last in (linear_layers(self.known)[-1], linear_layers(self.score)[-1]):
                last.weight.zero_()
                last.bias.zero_()

    def drawn(self, count: Tensor) -> Tensor:
        """How many candidates are drawn of layers of so many hits, int64 of the same shape."""
        return torch.where(count > SMALL_LAYER, self.of_large, self.candidates)

    def known_of_layers(self, c: ShowerConditions, energy_BL: Tensor, count_BL: Tensor) -> Tensor:
        """What is made of all that is known before hits are drawn, [B, L, FEATURES + WIDTHS[1]]."""
        root = (count_BL + 0.5).sqrt()
        before = torch.cat([torch.full_like(root[:, :1], 0.5**0.5), root[:, :-1]], 1)
        mean_energy = log_mean_energy(energy_BL, count_BL) / 2 - 0.5
        offsets = folded_offsets(c.offset_BL2).unbind(2)
        columns = [root / 3 - 1, before / 3 - 1, 1 / root, mean_energy, *offsets]
        globals_ = c.globals_BG[:, None].expand(-1, count_BL.shape[1], -1)
        first, *others = self.known
        x = first(torch.cat([globals_, torch.stack(columns, 2)], 2)) + self.layer
        known: Tensor = nn.Sequential(*others)(x)
        return known

    def forward(self, known: Tensor, feature: Tensor, number: Tensor) -> Tensor:
        """Scores of candidates of layers, [...].

        Parameters
        ----------
        known : float32 [..., FEATURES + WIDTHS[1]]
            Of `known_of_layers`.
        feature : float32 [..., FEATURES]
        number : float32 [...]
            Hits of each candidate.
        """
        tilt, code = known[..., :FEATURES], known[..., FEATURES:]
        z = (feature - self.mean_F) / self.deviation_F
        weighted = z * number.sqrt()[..., None]
        score: Tensor = self.score(F.silu(self.seen(torch.cat([z, weighted / 3], -1)) + code))[..., 0]
        return score + (tilt * weighted).sum(-1)

    def kept(self, known_BW: Tensor, feature_BKF: Tensor, number_BK: Tensor, uniform_B: Tensor) -> Tensor:
        """Which of the candidates of a layer is kept, int64 [B]."""
        score_BK = self(known_BW[:, None], feature_BKF, number_BK).masked_fill(number_BK == 0, NOT_DRAWN)
        upper_BK = torch.cumsum(torch.softmax(score_BK, 1), 1)
        # rounding may leave the sum below one, and none that is not drawn may be beyond it
        return (uniform_B[:, None] * upper_BK[:, -1:] > upper_BK[:, :-1]).sum(1)

    @torch.no_grad()
    def calibrate(self, feature: Tensor) -> None:
        """Bring features to a common scale: that of those of true layers, [..., FEATURES]."""
        flat = feature.reshape(-1, FEATURES)
        self.mean_F.copy_(flat.mean(0))
        self.deviation_F.copy_(flat.std(0) + 1e-3)
