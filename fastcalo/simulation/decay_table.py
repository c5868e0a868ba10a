# SPDX-License-Identifier: BSD-3-Clause
"""Lifetimes and decays of the particles that generators leave undecayed, and of those that they decay to.

From S. Navas et al. (Particle Data Group), Phys. Rev. D 110 (2024) 030001, summary tables of mesons, baryons and
leptons, and their update of 2025 for the lifetimes. `tests/runtime/detector/test_decay_table.py` compares lifetimes and
masses with those of the `particle` package, and branching ratios with EvtGen's decay files, which DecayLanguage ships,
and with Geant4's own table. Decays rarer than one in a thousand are left out, but for those of K0_L to two pions; what
is left is scaled to one. Decays with a photon more are contained in those without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST_DAUGHTERS = 3

_E, _MU, _NU_E, _NU_MU, _GAMMA = 11, 13, 12, 14, 22
_PI0, _PI, _K, _K_LONG, _K_SHORT, _K0 = 111, 211, 321, 130, 310, 311
_P, _N = 2212, 2112
_LAMBDA, _SIGMA_PLUS, _SIGMA0, _SIGMA_MINUS = 3122, 3222, 3212, 3112
_XI0, _XI_MINUS, _OMEGA = 3322, 3312, 3334

_Channels = tuple[tuple[float, tuple[int, ...]], ...]

# PDG code: c tau in mm, and branching ratios of the daughters
_TABLE: dict[int, tuple[float, _Channels]] = {
    _MU: (658_638.4, ((1.0, (_E, -_NU_E, _NU_MU)),)),
    _PI: (7804.5, ((0.999877, (-_MU, _NU_MU)), (0.000123, (-_E, _NU_E)))),
    # 1.2 % of the pairs of photons hold an electron and a positron in place of one of them: the same energy, at the
    # same place
    _PI0: (2.53e-5, ((1.0, (_GAMMA, _GAMMA)),)),
    _K: (
        3711.2,
        (
            (0.6356, (-_MU, _NU_MU)),
            (0.2067, (_PI, _PI0)),
            (0.05583, (_PI, _PI, -_PI)),
            (0.0507, (_PI0, -_E, _NU_E)),
            (0.03352, (_PI0, -_MU, _NU_MU)),
            (0.01760, (_PI, _PI0, _PI0)),
        ),
    ),
    _K_SHORT: (26.844, ((0.6920, (_PI, -_PI)), (0.3069, (_PI0, _PI0)))),
    _K_LONG: (
        15_332.0,
        (
            # of both charges, half each
            (0.4055 / 2, (_PI, _E, -_NU_E)),
            (0.4055 / 2, (-_PI, -_E, _NU_E)),
            (0.2704 / 2, (_PI, _MU, -_NU_MU)),
            (0.2704 / 2, (-_PI, -_MU, _NU_MU)),
            (0.1952, (_PI0, _PI0, _PI0)),
            (0.1254, (_PI, -_PI, _PI0)),
            (0.001967, (_PI, -_PI)),
            (0.000864, (_PI0, _PI0)),
        ),
    ),
    # a K0 that was not yet found to be one of the two
    _K0: (0.0, ((0.5, (_K_SHORT,)), (0.5, (_K_LONG,)))),
    _LAMBDA: (78.46, ((0.641, (_P, -_PI)), (0.359, (_N, _PI0)))),
    _SIGMA_PLUS: (24.04, ((0.5147, (_P, _PI0)), (0.4843, (_N, _PI)), (0.00104, (_P, _GAMMA)))),
    _SIGMA0: (2.22e-8, ((1.0, (_LAMBDA, _GAMMA)),)),
    _SIGMA_MINUS: (44.34, ((0.99848, (_N, -_PI)), (0.001017, (_N, _E, -_NU_E)))),
    _XI0: (86.93, ((0.99524, (_LAMBDA, _PI0)), (0.00117, (_LAMBDA, _GAMMA)), (0.00333, (_SIGMA0, _GAMMA)))),
    _XI_MINUS: (49.09, ((0.99887, (_LAMBDA, -_PI)),)),
    _OMEGA: (24.61, ((0.677, (_LAMBDA, -_K)), (0.243, (_XI0, -_PI)), (0.0855, (_XI_MINUS, _PI0)))),
}

# these are their own antiparticles
_NEUTRAL = (_GAMMA, _PI0, _K_LONG, _K_SHORT)


@dataclass(frozen=True, eq=False)
class DecayTable:
    """All decays, of antiparticles too, as arrays.

    Attributes
    ----------
    pdg : int64 [species]
        Rising.
    ctau : float64 [species]
        mm.
    upto : float64 [channels]
        Sum of the branching ratios of the species' channels up to this one, plus the species' row: rising throughout.
    daughters : int64 [channels, 3]
        PDG codes; 0 for none.
    """

    pdg: NDArray[np.int64]
    ctau: NDArray[np.float64]
    upto: NDArray[np.float64]
    daughters: NDArray[np.int64]

    def row(self, pdg: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of species [n], int64 [n]; -1 for those that do not decay."""
        at = np.minimum(np.searchsorted(self.pdg, pdg), len(self.pdg) - 1)
        return np.where(self.pdg[at] == pdg, at, -1)

    def channel(self, row: NDArray[np.int64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Channels [n] of species by their rows [n], drawn with numbers [n] between 0 and 1."""
        return np.searchsorted(self.upto, row + uniform, side="left")


@cache
def decay_table() -> DecayTable:
    """Return the table; made once."""
    rows = {code: (ctau, _scaled(channels)) for code, (ctau, channels) in _TABLE.items()}
    for code, (ctau, channels) in list(rows.items()):
        if code not in _NEUTRAL:
            rows[-code] = ctau, tuple((part, tuple(map(_antiparticle, made))) for part, made in channels)
    codes = sorted(rows)
    upto, daughters = [], []
    for k, code in enumerate(codes):
        channels = rows[code][1]
        sums = np.cumsum([part for part, _ in channels])
        # the last one is not to miss 1 by rounding
        upto += [*(k + sums[:-1]), k + 1.0]
        daughters += [(*made, *(0,) * (MOST_DAUGHTERS - len(made))) for _, made in channels]
    return DecayTable(
        pdg=np.array(codes),
        ctau=np.array([rows[code][0] for code in codes]),
        upto=np.array(upto),
        daughters=np.array(daughters),
    )


def _scaled(channels: _Channels) -> _Channels:
    total = sum(part for part, _ in channels)
    return tuple((part / total, made) for part, made in channels)


def _antiparticle(code: int) -> int:
    return code if code in _NEUTRAL else -code
