# SPDX-License-Identifier: BSD-3-Clause
"""Masses and charges of particles by PDG code, for whole arrays.

Codes follow the Monte Carlo particle numbering scheme of the Particle Data Group (Review of Particle Physics).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ELECTRON_GEV = 0.51099895069e-3

# mass in GeV and charge in e, from S. Navas et al. (Particle Data Group), Phys. Rev. D 110 (2024) 030001, 2025 update;
# what most files hold is answered from here, without loading the table of all particles
_COMMON = {
    11: (_ELECTRON_GEV, -1.0),
    12: (0.0, 0.0),
    13: (0.1056583755, -1.0),
    14: (0.0, 0.0),
    16: (0.0, 0.0),
    211: (0.13957039, 1.0),
    321: (0.493677, 1.0),
    2112: (0.9395654219, 0.0),
    2212: (0.93827208943, 1.0),
}
_COMMON |= {-code: (mass, -charge) for code, (mass, charge) in _COMMON.items()}
_COMMON |= {22: (0.0, 0.0), 111: (0.1349768, 0.0), 130: (0.497611, 0.0), 310: (0.497611, 0.0)}

_NEUTRINOS = (12, 14, 16)
_UNKNOWN = (np.nan, np.nan)
_FIRST_NUCLEUS = 1_000_000_000


def mass(pdg: ArrayLike) -> NDArray[np.float64]:
    """Masses of particles.

    Parameters
    ----------
    pdg : int [n]

    Returns
    -------
    float64 [n]
        GeV; NaN for a code that is not known.
    """
    return _look_up(pdg, column=0)


def charge(pdg: ArrayLike) -> NDArray[np.float64]:
    """Electric charges of particles.

    Parameters
    ----------
    pdg : int [n]

    Returns
    -------
    float64 [n]
        In units of the positron's; NaN for a code that is not known.
    """
    return _look_up(pdg, column=1)


def is_invisible(pdg: ArrayLike) -> NDArray[np.bool_]:
    """Whether particles are neutrinos, which leave nothing in a calorimeter.

    Parameters
    ----------
    pdg : int [n]

    Returns
    -------
    bool [n]
    """
    return np.isin(np.abs(np.asarray(pdg, dtype=np.int64)), _NEUTRINOS)


def _look_up(pdg: ArrayLike, column: int) -> NDArray[np.float64]:
    codes, inverse = np.unique(np.asarray(pdg, dtype=np.int64), return_inverse=True)
    values = np.array([_properties(code)[column] for code in codes.tolist()], dtype=np.float64)
    return values[inverse]


@lru_cache(maxsize=4096)
def _properties(code: int) -> tuple[float, float]:
    if code in _COMMON:
        return _COMMON[code]
    from particle import InvalidParticle, Particle, ParticleNotFound

    try:
        found = Particle.from_pdgid(code)
    except (InvalidParticle, ParticleNotFound):
        return _UNKNOWN
    known_charge = np.nan if found.charge is None else float(found.charge)
    if found.mass is None:
        return np.nan, known_charge
    # the table holds masses of atoms, the beam holds nuclei; the electrons' binding is far below a part per million
    electrons = abs(known_charge) if abs(code) > _FIRST_NUCLEUS else 0.0
    return found.mass / 1e3 - electrons * _ELECTRON_GEV, known_charge


def name_of(pdg: int) -> str:
    """Name of a particle, such as ``pi+``; the code itself where there is none."""
    from particle import InvalidParticle, Particle, ParticleNotFound

    try:
        return str(Particle.from_pdgid(pdg).name)
    except (InvalidParticle, ParticleNotFound):
        return str(pdg)


def code_of(text: str) -> int | None:
    """PDG code of a particle that is given by it or by a name, such as ``22``, ``e-``, ``pi+`` or ``K_L0``.

    Parameters
    ----------
    text : str

    Returns
    -------
    int or None
        None where there is no such particle. A number is taken as it is.
    """
    from particle import Particle, ParticleNotFound
    from particle.exceptions import MatchingIDNotFound

    text = text.strip()
    try:
        return int(text)
    except ValueError:
        pass
    for find in (Particle.from_name, Particle.from_evtgen_name):
        try:
            return int(find(text).pdgid)
        except (MatchingIDNotFound, ParticleNotFound):
            continue
    return None
