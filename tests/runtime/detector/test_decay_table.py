# SPDX-License-Identifier: BSD-3-Clause
"""The table of decays against other people's: the `particle` package, EvtGen's decay files, and Geant4."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastcalo import particles
from fastcalo.simulation.decay_table import decay_table

TABLE = decay_table()

# Branching fractions of the files DECAY_BELLE2.DEC and DECAY_LHCB.DEC of EvtGen, as DecayLanguage 1.1.2 ships them,
# with photons more added to the channel without; Geant4 11.4 for charged kaons and pions, of which those files state
# nothing.
EVTGEN = {
    310: {(-211, 211): 0.69304, (111, 111): 0.30622},
    130: {
        (-12, 11, 211): 0.20434,
        (-211, -11, 12): 0.20434,
        (-14, 13, 211): 0.13531,
        (-211, -13, 14): 0.13531,
        (111, 111, 111): 0.19480,
        (-211, 111, 211): 0.12527,
    },
    3122: {(-211, 2212): 0.63955, (111, 2112): 0.35772},
    3222: {(111, 2212): 0.51545, (211, 2112): 0.48330, (22, 2212): 0.00123},
    3112: {(-211, 2112): 0.99848, (-12, 11, 2112): 0.00102},
    3212: {(22, 3122): 1.0},
    3322: {(111, 3122): 0.99524, (22, 3122): 0.00116, (22, 3212): 0.00333},
    3312: {(-211, 3122): 0.99887},
    3334: {(-321, 3122): 0.67595, (-211, 3322): 0.23395, (111, 3312): 0.08483},
    111: {(22, 22): 1.0},
    311: {(130,): 0.5, (310,): 0.5},
}
GEANT4 = {
    321: {
        (-13, 14): 0.6355,
        (111, 211): 0.2066,
        (-211, 211, 211): 0.0559,
        (-11, 12, 111): 0.0507,
        (-13, 14, 111): 0.0335,
        (111, 111, 211): 0.01761,
    },
    211: {(-13, 14): 1.0},
    13: {(-12, 11, 14): 1.0},
}
# Geant4's names of particles
NAMES = {
    "kaon0S": 310, "lambda": 3122, "kaon0L": 130, "kaon+": 321, "pi+": 211, "pi0": 111, "sigma+": 3222, "sigma-": 3112,
    "sigma0": 3212, "xi0": 3322, "xi-": 3312, "omega-": 3334, "mu-": 13, "kaon0": 311, "pi-": -211, "kaon-": -321,
    "gamma": 22, "e-": 11, "e+": -11, "mu+": -13, "nu_e": 12, "anti_nu_e": -12, "nu_mu": 14, "anti_nu_mu": -14,
    "proton": 2212, "neutron": 2112,
}  # fmt: skip
DUMP = """
import geant4_pybind as g4
physics = g4.G4DecayPhysics()
physics.ConstructParticle()
for name in {names}:
    particle = g4.G4ParticleTable.GetParticleTable().FindParticle(name)
    print("PARTICLE", name, particle.GetPDGMass() / g4.GeV, particle.GetPDGLifeTime() / g4.ns, flush=True)
    particle.GetDecayTable().DumpInfo()
"""


def channels_of(pdg: int) -> dict[tuple[int, ...], float]:
    """Branching ratios by the daughters' codes, in rising order."""
    row = int(TABLE.row(np.array([pdg]))[0])
    chosen = np.flatnonzero((TABLE.upto > row) & (TABLE.upto <= row + 1))
    parts = np.diff(np.concatenate([[row], TABLE.upto[chosen]]))
    made = [tuple(sorted(code for code in codes if code)) for codes in TABLE.daughters[chosen].tolist()]
    return dict(zip(made, parts.tolist(), strict=True))


def ctau_of(pdg: int) -> float:
    return float(TABLE.ctau[TABLE.row(np.array([pdg]))][0])


def assert_alike(pdg: int, others: dict[tuple[int, ...], float], tolerance: float) -> None:
    """Branching ratios, scaled to one as ours, and no frequent channel that is missing."""
    ours, total = channels_of(pdg), sum(others.values())
    for made, part in others.items():
        assert ours.get(made, 0.0) == pytest.approx(part / total, abs=tolerance), (pdg, made)
    for made, part in ours.items():
        assert made in others or part < tolerance, (pdg, made)


def test_lifetimes_are_those_of_the_particle_package():
    from particle import Particle

    for code in TABLE.pdg.tolist():
        if abs(code) != 311:
            assert ctau_of(code) == pytest.approx(Particle.from_pdgid(code).ctau, rel=1.5e-3), code


def test_masses_of_parents_and_daughters_are_those_of_the_particle_package():
    from particle import Particle

    codes = np.unique(np.concatenate([TABLE.pdg, TABLE.daughters[TABLE.daughters != 0]]))
    neutrinos = (12, 14)
    for code, mass in zip(codes.tolist(), particles.mass(codes).tolist(), strict=True):
        assert mass == pytest.approx(0.0 if abs(code) in neutrinos else Particle.from_pdgid(code).mass / 1000, abs=1e-9)


@pytest.mark.parametrize("pdg", [*EVTGEN, *GEANT4])
def test_branching_ratios_are_those_of_evtgen(pdg):
    # the Review of 2024 has new numbers of the Omega-, by a percent
    assert_alike(pdg, (EVTGEN | GEANT4)[pdg], 0.01 if pdg == 3334 else 0.003)


def test_no_species_is_left_without_a_comparison():
    assert {abs(code) for code in TABLE.pdg.tolist()} == set(EVTGEN) | set(GEANT4)


@pytest.mark.usefixtures("geant4")
def test_geant4_decays_by_the_same_table():
    names = list(NAMES)[:14]
    script = DUMP.format(names=names)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    masses, lives, found = {}, {}, {}
    pdg = 0
    for line in result.stdout.splitlines():
        words = line.split()
        if words[:1] == ["PARTICLE"]:
            pdg = NAMES[words[1]]
            masses[pdg], lives[pdg], found[pdg] = float(words[2]), float(words[3]), {}
        elif "BR:" in words:
            part = float(words[words.index("BR:") + 1])
            made = tuple(sorted(NAMES[name] for name in line.rpartition(" : ")[2].split()))
            # pairs of electrons in place of a photon: ours is the decay to photons
            found[pdg][(22, 22) if made == (-11, 11, 22) else made] = (
                found[pdg].get((22, 22), 0.0) + part if pdg == 111 else part
            )
    assert set(found) == set(EVTGEN) | set(GEANT4)
    for code, others in found.items():
        assert masses[code] == pytest.approx(particles.mass([code])[0], rel=1e-4)
        if code != 311:
            assert lives[code] * 299.792458 == pytest.approx(ctau_of(code), rel=0.011)
        assert_alike(code, others, 0.01)
