# SPDX-License-Identifier: BSD-3-Clause
"""Units that a file shows or states, and energies that no unit makes possible."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.root_files import write_rntuple, write_tree
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import particles
from fastcalo.errors import InputError
from fastcalo.io.particles.reader import open_events
from fastcalo.io.particles.schemas import SchemaOverrides

CODES = np.array([211, 11, 2212, 321, 22])
MASSES = particles.mass(CODES)
MOMENTA = np.array([0.12, 0.5, 2.0, 5.0, 1.0])


def columns(per_gev: float, *, energy: bool = False, mass: bool = False, kind: type = np.float64) -> dict[str, object]:
    found: dict[str, object] = {"pdg": [CODES.tolist()]}
    zero = np.zeros(len(CODES))
    values = {"px": MOMENTA, "py": zero, "pz": zero}
    values |= {"energy": np.sqrt(MOMENTA**2 + MASSES**2)} if energy else {}
    values |= {"mass": MASSES} if mass else {}
    return found | {name: ak.values_astype(ak.Array([(v * per_gev).tolist()]), kind) for name, v in values.items()}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("given", ["mass", "energy"])
@pytest.mark.parametrize(("unit", "per_gev"), [("keV", 1e6), ("MeV", 1e3), ("GeV", 1.0), ("TeV", 1e-3)])
def test_masses_and_energies_show_the_unit(tmp_path, unit, per_gev, given, kind):
    reader = open_events(write_tree(tmp_path / "a.root", columns(per_gev, **{given: True}, kind=kind)))
    assert reader.schema.momentum_unit == unit
    assert reader.schema.momentum_known == ("the masses" if given == "mass" else "energies and momenta")
    assert len(reader.notes) == (unit != "GeV")
    events = next(reader.iterate())
    assert_allclose(events.momentum[:, 0], MOMENTA, rtol=1e-6)
    assert_allclose(events.mass, MASSES, rtol=1e-6)


def test_the_user_comes_before_the_masses_which_are_reported(tmp_path):
    path = write_tree(tmp_path / "a.root", columns(1e3, mass=True))
    reader = open_events(path, SchemaOverrides(momentum_unit="GeV"))
    assert reader.notes[0] == "momenta are taken for GeV as asked, but the masses are those of MeV"
    events = next(reader.iterate())
    assert_allclose(events.momentum[:, 0], 1e3 * MOMENTA)
    # and so masses are not those of GeV
    assert reader.notes[1].startswith("masses are taken for MeV")
    assert_allclose(events.mass, MASSES)


def test_masses_of_resonances_and_zeros_decide_nothing(tmp_path):
    found = {"pdg": [[23, 22, 99]], "mass": [[91.0, 0.0, 500.0]], **{f"p{axis}": [[1.0, 1.0, 1.0]] for axis in "xyz"}}
    reader = open_events(write_tree(tmp_path / "a.root", found))
    assert (reader.schema.momentum_unit, reader.notes) == ("GeV", ())
    empty = {"pdg": [[22]], "mass": [[0.0]], **{f"p{axis}": [[1.0]] for axis in "xyz"}}
    assert open_events(write_tree(tmp_path / "b.root", empty)).schema.momentum_known == ""


def titled(path, titles: dict[str, str]):
    """A tree whose branches have titles, as makeClass and NanoAOD write them."""
    values = {"pdg": np.array([22]), "px": np.array([1500.0]), "py": np.zeros(1), "pz": np.zeros(1), "vx": np.ones(1),
              "vy": np.zeros(1), "vz": np.zeros(1)}  # fmt: skip
    with uproot.recreate(path) as file:
        tree = file.mktree("events", {name: v.dtype for name, v in values.items()})
        for branch in tree._cascading._branch_data:
            if branch["fName"] in titles:
                branch["fTitle"] = titles[branch["fName"]]
        tree._cascading.write_anew(file.file.sink)
        tree.extend(values)
    return path


def test_titles_of_branches_state_the_units(tmp_path):
    path = titled(tmp_path / "a.root", {"px": "px of the particle [MeV]", "vx": "production vertex (cm)"})
    with uproot.open(path) as file:
        assert file["events"]["px"].title == "px of the particle [MeV]"
    reader = open_events(path)
    assert (reader.schema.momentum_unit, reader.schema.length_unit) == ("MeV", "cm")
    assert len(reader.notes) == 2
    events = next(reader.iterate())
    assert_allclose(events.momentum, [[1.5, 0, 0]])
    assert_array_equal(events.vertex, [[10, 0, 0]])


@pytest.mark.parametrize(("momenta", "what"), [([20e3], "2e\\+04 GeV"), ([9e3] * 30, "2.7e\\+05 GeV together")])
@pytest.mark.parametrize("write", [write_tree, write_rntuple])
def test_energies_that_no_accelerator_makes_ask_for_the_unit(tmp_path, momenta, what, write):
    n = len(momenta)
    found = {"pdg": [[22] * n], "px": [momenta], "py": [[0.0] * n], "pz": [[0.0] * n]}
    path = write(tmp_path / "a.root", found)
    with pytest.raises(InputError, match=rf"event 0 of run 0 .*{what}.*--momentum-unit MeV"):
        list(open_events(path).iterate())
    for unit, scale in (("MeV", 1e-3), ("GeV", 1.0)):
        (events,) = open_events(path, SchemaOverrides(momentum_unit=unit)).iterate()
        assert_allclose(events.momentum[:, 0], scale * np.array(momenta))


def test_masses_allow_high_energies_and_what_is_not_final_has_any(tmp_path):
    found = {"pdg": [[211, 211, 211]], "mass": [[0.13957] * 3], "px": [[50e3, 1, 1]]}
    found |= {"py": [[0.0] * 3], "pz": [[0.0] * 3]}
    assert next(open_events(write_tree(tmp_path / "a.root", found)).iterate()).momentum[0, 0] == 50e3
    beam = {"pdg": [[2212, 22]], "status": [[4, 1]], "px": [[50e3, 1]], "py": [[0.0, 0]], "pz": [[0.0, 0]]}
    assert next(open_events(write_tree(tmp_path / "b.root", beam)).iterate()).n_particles == 2


# a unit of momenta, and another of masses or energies


def mixed(path, momentum: str, mass: str | None, energy: str | None = None, *, at=MOMENTA, wrong=1.0, repeat=1):
    """Particles with momenta, masses and energies in units of their own, in `repeat` times as many per event."""
    zero = np.zeros(len(CODES))
    per_gev = {"keV": 1e6, "MeV": 1e3, "GeV": 1.0, "TeV": 1e-3}
    found = {"pdg": CODES, "px": zero, "py": at * per_gev[momentum], "pz": zero}
    found |= {"mass": MASSES * wrong * per_gev[mass]} if mass else {}
    # E = (p^2 + m^2)^(1/2)
    found |= {"energy": (at**2 + MASSES**2) ** 0.5 * per_gev[energy]} if energy else {}
    return write_tree(path, {name: [np.tile(values, repeat).tolist()] for name, values in found.items()})


@pytest.mark.parametrize("energy", ["MeV", "GeV"])
@pytest.mark.parametrize("mass", ["MeV", "GeV"])
@pytest.mark.parametrize("momentum", ["MeV", "GeV"])
def test_energies_show_the_unit_of_momenta_whatever_that_of_masses(tmp_path, momentum, mass, energy):
    reader = open_events(mixed(tmp_path / "a.root", momentum, mass, energy))
    assert (reader.schema.momentum_unit, reader.schema.mass_unit or momentum) == (momentum, mass)
    assert reader.schema.momentum_known == ("the masses" if mass == momentum else "energies and momenta")
    (events,) = reader.iterate()
    assert_allclose(events.momentum[:, 1], MOMENTA, rtol=1e-12)
    assert_allclose(events.mass, MASSES, rtol=1e-6)
    # a pion of 0.12 GeV/c: (0.12^2 + 0.13957^2)^(1/2) - 0.13957
    assert_allclose(events.kinetic_energy[0], 0.0444942, rtol=1e-4)
    assert any("masses are taken for" in note for note in reader.notes) == (mass != momentum)


def test_energies_without_masses_in_another_unit_than_momenta(tmp_path):
    reader = open_events(mixed(tmp_path / "a.root", "GeV", None, "MeV"))
    assert (reader.schema.momentum_unit, reader.schema.mass_unit) == ("GeV", "MeV")
    assert "energies are taken for MeV, momenta for GeV" in reader.notes[0]
    assert_allclose(next(reader.iterate()).momentum[:, 1], MOMENTA)


def test_an_energy_that_is_that_of_a_mass_at_another_scale_shows_nothing(tmp_path):
    # E = 0.511 GeV is as many keV times 1000 as an electron's mass: as if it were at rest
    found = {"pdg": [[11] * 3], "px": [[0.511] * 3], "py": [[0.0] * 3], "pz": [[0.0] * 3], "energy": [[0.511] * 3]}
    reader = open_events(write_tree(tmp_path / "a.root", found))
    assert (reader.schema.momentum_unit, reader.schema.momentum_known) == ("GeV", "")


def test_masses_that_are_none_give_way_to_energies_that_fit_the_momenta(tmp_path):
    reader = open_events(mixed(tmp_path / "a.root", "MeV", "GeV", "MeV", wrong=7.0))
    assert "holds no masses" in reader.notes[-1]
    (events,) = reader.iterate()
    assert_allclose(events.mass, MASSES, rtol=1e-6)
    assert_allclose(events.momentum[:, 1], MOMENTA, rtol=1e-12)
    # without energies nothing shows what is right: taken as they are, and reported
    reader = open_events(mixed(tmp_path / "b.root", "GeV", "GeV", wrong=7.0))
    assert "--branch mass=none" in reader.notes[0]
    assert_allclose(next(reader.iterate()).mass, 7 * MASSES)


@pytest.mark.parametrize(("momentum", "mass", "repeat"), [("GeV", "MeV", 1), ("GeV", "MeV", 4), ("MeV", "GeV", 4)])
def test_momenta_that_the_unit_of_the_masses_makes_impossible_ask(tmp_path, momentum, mass, repeat):
    path = mixed(tmp_path / "a.root", momentum, mass, repeat=repeat)
    with pytest.raises(InputError, match=r"a\.root: tree 'events': half of the final.*--momentum-unit (MeV|GeV)"):
        open_events(path)
    (events,) = open_events(path, SchemaOverrides(momentum_unit=momentum)).iterate()
    assert_allclose(events.momentum[: len(CODES), 1], MOMENTA, rtol=1e-12)
    assert_allclose(events.mass[: len(CODES)], MASSES, rtol=1e-6)


def test_momenta_in_mev_without_masses_ask(tmp_path):
    # half above 1 GeV: 1000 of what is assumed to be GeV
    with pytest.raises(InputError, match=r"less than 1e\+03 GeV, if momenta are in GeV, which no branch states.*MeV"):
        open_events(mixed(tmp_path / "a.root", "MeV", None))
    collision = mixed(tmp_path / "b.root", "MeV", None, at=MOMENTA / 5, repeat=4)
    with pytest.raises(InputError, match="--momentum-unit GeV or --momentum-unit MeV"):
        open_events(collision)
    (events,) = open_events(collision, SchemaOverrides(momentum_unit="MeV")).iterate()
    assert_allclose(events.momentum[:5, 1], MOMENTA / 5)


def test_names_of_momenta_decide_where_masses_are_in_another_unit(tmp_path):
    found = {"pdg": [CODES.tolist()], "mass": [(1e3 * MASSES).tolist()], "px_gev": [MOMENTA.tolist()]}
    found |= {f"p{axis}_gev": [[0.0] * len(CODES)] for axis in "yz"}
    reader = open_events(write_tree(tmp_path / "a.root", found))
    assert (reader.schema.momentum_unit, reader.schema.mass_unit) == ("GeV", "MeV")
    (events,) = reader.iterate()
    assert_allclose(events.momentum[:, 0], MOMENTA)
    assert_allclose(events.mass, MASSES)
    found["mass_gev"] = found.pop("mass")
    with pytest.raises(InputError, match="state GeV, but the masses are those of MeV: name the unit of the momenta"):
        open_events(write_tree(tmp_path / "b.root", found))


def test_a_further_file_with_masses_in_another_unit_is_refused(tmp_path):
    files = [mixed(tmp_path / f"{mass}.root", "GeV", mass, "GeV") for mass in ("GeV", "MeV")]
    with pytest.raises(InputError, match=r"MeV.root.*masses and energies are not in the units of those of .*GeV.root"):
        open_events(files)
