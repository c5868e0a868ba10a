# SPDX-License-Identifier: BSD-3-Clause
"""Which branches are taken for what, and what the user may state of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcalo.errors import ConfigError, InputError
from fastcalo.io.particles.evidence import find_schema
from fastcalo.io.particles.schemas import ROLES, Schema, SchemaOverrides, load_overrides

EDM4HEP_TAILS = (
    "PDG",
    "generatorStatus",
    "mass",
    "momentum.x",
    "momentum.y",
    "momentum.z",
    "vertex.x",
    "vertex.y",
    "vertex.z",
)


def edm4hep(head: str = "MCParticles") -> list[str]:
    return [head, *(f"{head}.{tail}" for tail in EDM4HEP_TAILS)]


NANOAOD = [
    "run",
    "luminosityBlock",
    "event",
    "nGenPart",
    *(f"GenPart_{tail}" for tail in ("pt", "eta", "phi", "mass", "pdgId", "status", "statusFlags")),
    *(f"GenVtx_{axis}" for axis in "xyz"),
    *(f"GenJet_{tail}" for tail in ("pt", "eta", "phi", "mass")),
]
PLAIN = ["pdg", "px", "py", "pz", "vx", "vy", "vz"]


def test_edm4hep():
    schema = find_schema(["EventHeader", "EventHeader.eventNumber", "EventHeader.runNumber", *edm4hep()])
    assert schema.name == "EDM4hep"
    assert schema.momentum == ("px", "py", "pz")
    assert schema.branches == {
        "pdg": "MCParticles.PDG",
        "status": "MCParticles.generatorStatus",
        "mass": "MCParticles.mass",
        **{f"p{axis}": f"MCParticles.momentum.{axis}" for axis in "xyz"},
        **{f"v{axis}": f"MCParticles.vertex.{axis}" for axis in "xyz"},
        "run": "EventHeader.runNumber",
        "event": "EventHeader.eventNumber",
    }
    assert (schema.momentum_unit, schema.length_unit, schema.final_status) == ("GeV", "mm", (1,))


def test_edm4hep_prefers_the_usual_collection_and_takes_another_if_it_is_alone_or_asked_for():
    assert find_schema([*edm4hep("Beam"), *edm4hep()]).branches["px"] == "MCParticles.momentum.x"
    assert find_schema(edm4hep("Beam")).branches["px"] == "Beam.momentum.x"
    asked = SchemaOverrides({"pdg": "Beam.PDG"})
    assert find_schema([*edm4hep("Beam"), *edm4hep()], asked).branches["px"] == "Beam.momentum.x"


def test_nanoaod():
    schema = find_schema(NANOAOD)
    assert schema.name == "NanoAOD"
    assert schema.momentum == ("pt", "eta", "phi")
    assert schema.length_unit == "cm"
    assert schema.branches["pdg"] == "GenPart_pdgId"
    assert schema.branches["vz"] == "GenVtx_z"
    assert schema.branches["luminosity_block"] == "luminosityBlock"


def test_nanoaod_without_mass_and_vertex():
    schema = find_schema([name for name in NANOAOD if name != "GenPart_mass" and not name.startswith("GenVtx")])
    assert not {"mass", "vx"} & schema.branches.keys()
    described = dict(schema.describe())
    assert described["mass"] == "the PDG's"
    assert described["vertex"] == "the origin, for the file has none"


@pytest.mark.parametrize(
    "names",
    [
        PLAIN,
        ["PDG", "Px", "Py", "Pz"],
        ["pdgId", "p_x", "p_y", "p_z"],
        ["mc_pdg", "mc_px", "mc_py", "mc_pz"],
        ["particle.pdg_code", "particle.px", "particle.py", "particle.pz"],
        ["MCPart_pid", "MCPart_momentum_x", "MCPart_momentum_y", "MCPart_momentum_z"],
        ["gen_id", "gen_pt", "gen_eta", "gen_phi"],
    ],
)
def test_plain_spellings(names):
    schema = find_schema(names)
    assert schema.name == "plain"
    assert [schema.branches[role] for role in ("pdg", *schema.momentum)] == names[:4]


@pytest.mark.parametrize(
    ("extra", "role"),
    [
        ("mass", "mass"),
        ("m", "mass"),
        ("E", "energy"),
        ("energy", "energy"),
        ("status", "status"),
        ("vtx_x", "vx"),
        ("eventNumber", "event"),
        ("run_number", "run"),
        ("lumi", "luminosity_block"),
    ],
)
def test_plain_extras(extra, role):
    assert find_schema(["pdg", "px", "py", "pz", extra]).branches[role] == extra


def test_plain_takes_one_way_to_write_a_momentum_and_a_mass():
    schema = find_schema(["pdg", "px", "py", "pz", "pt", "eta", "phi", "energy", "mass"])
    assert schema.branches.keys() == {"pdg", "px", "py", "pz", "mass"}


def test_counters_are_not_taken_for_momenta():
    counted = [name for branch in ("true_pdg", "true_px", "true_py", "true_pz") for name in (f"n{branch}", branch)]
    assert find_schema(counted).branches["px"] == "true_px"


def test_prefixes_are_not_mixed():
    names = ["reco_px", "reco_py", "reco_pz", "true_pdg", "true_px", "true_py", "true_pz"]
    assert find_schema(names).branches["px"] == "true_px"
    both = ["reco_pdg", *names]
    assert find_schema(both).branches["px"] == "true_px"
    assert find_schema(both, SchemaOverrides({"pdg": "reco_pdg"})).branches["px"] == "reco_px"


def test_nothing_found_lists_the_branches():
    with pytest.raises(InputError, match=r"no particles found.*--branch.*ECAL_energy"):
        find_schema(["run", "event", "ECAL_energy"])
    with pytest.raises(InputError, match=r"none$"):
        find_schema([])


def test_overrides_replace_what_was_found():
    named = SchemaOverrides({"pdg": "mc_id"}, momentum_unit="MeV", final_status=(1, 201))
    schema = find_schema(["mc_id", "px", "py", "pz", "mass"], named)
    assert schema.branches["pdg"] == "mc_id"
    assert schema.branches["mass"] == "mass"
    assert schema.momentum_unit == "MeV"
    assert schema.final_status == (1, 201)


def test_a_chosen_way_to_write_drives_the_other_out():
    polar = SchemaOverrides({"pt": "a", "eta": "b", "phi": "c", "energy": "d"})
    schema = find_schema([*PLAIN, "mass", "a", "b", "c", "d"], polar)
    assert schema.momentum == ("pt", "eta", "phi")
    assert not {"px", "py", "pz", "mass"} & schema.branches.keys()


def test_a_named_branch_must_be_there():
    with pytest.raises(InputError, match=r"no branch 'mc_pgd' \(named for pdg\); the nearest are \['mc_pdg'"):
        find_schema(["mc_pdg", "mc_px"], SchemaOverrides({"pdg": "mc_pgd"}))


def test_half_a_momentum_is_not_enough():
    with pytest.raises(InputError, match="no particles found"):
        find_schema([*PLAIN, "a"], SchemaOverrides({"pt": "a"}))


@given(st.permutations(NANOAOD + edm4hep() + PLAIN))
def test_the_order_of_branches_does_not_matter(names):
    assert find_schema(names).name == "EDM4hep"


@given(st.lists(st.text(max_size=12), max_size=30))
def test_any_names_give_a_schema_or_an_error(names):
    try:
        schema = find_schema(names)
    except InputError:
        return
    assert {"pdg", *schema.momentum} <= schema.branches.keys() <= set(ROLES)
    assert set(schema.branches.values()) <= set(names)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"branches": {"pgd": "a"}}, r"'pgd' is nothing that a branch can stand for; the nearest are \['pdg'"),
        ({"branches": {"px": "a", "pt": "b"}}, "both px py pz and pt eta phi"),
        ({"branches": {"mass": "a", "energy": "b"}}, "both mass and energy"),
        ({"momentum_unit": "gev"}, r"unit 'gev' is not known; use one of \['keV', 'MeV', 'GeV', 'TeV'\]"),
        ({"length_unit": "inch"}, "unit 'inch'"),
        ({"final_status": ()}, "final_status names no value"),
    ],
)
def test_wrong_overrides_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        SchemaOverrides(**overrides)


def test_later_overrides_win():
    first = SchemaOverrides({"pdg": "a", "px": "b"}, tree="t", momentum_unit="MeV")
    merged = first.updated(SchemaOverrides({"pdg": "c"}, length_unit="cm"))
    assert merged == SchemaOverrides({"pdg": "c", "px": "b"}, "t", "MeV", "cm")


TOML = """
[schema]
tree = "particles"
pdg = "mc_id"
px = "mc_px"
vx = "mc_x"
units = { momentum = "MeV", length = "cm" }
final_status = [1, 2]
"""


def test_toml(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(TOML)
    branches = {"pdg": "mc_id", "px": "mc_px", "vx": "mc_x"}
    assert load_overrides(path) == SchemaOverrides(branches, "particles", "MeV", "cm", (1, 2))


def test_the_example_of_the_documentation_names_every_role(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "hits" / "formats.md").read_text(encoding="utf-8")
    path = tmp_path / "schema.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0])
    assert load_overrides(path).branches.keys() == set(ROLES) - {
        "pt",
        "eta",
        "phi",
        "energy",
        "luminosity_block",
        "repeat",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "schema: missing"),
        ("[shcema]\npdg = 'a'", "shcema: unknown key"),
        ("[schema]\npdgid = 'a'", "schema.pdgid: unknown key; the nearest known one is 'pdg'"),
        ("[schema]\nunits = { energy = 'GeV' }", "schema.units.energy: unknown key"),
        (
            "[schema]\nunits = { momentum = 'Gev' }",
            "schema.units.momentum: must be one of .* but is 'Gev'; the nearest known one is 'GeV'",
        ),
        ("[schema]\nunits = 'GeV'", "schema.units: must be a table, but is 'GeV'"),
        ("[schema]\npdg = 3", "schema.pdg: must be a text, but is 3"),
        ("[schema]\nfinal_status = 1", "schema.final_status: must be a list, but is 1"),
        ("[schema]\nfinal_status = ['1']", r"schema.final_status\[0\]: must be a whole number, but is '1'"),
        ("[schema]\nfinal_status = [true]", r"schema.final_status\[0\]: must be a whole number, but is True"),
        ("[schema]\nfinal_status = []", "schema.final_status: must hold at least 1 value"),
        ("[schema", "is not valid TOML"),
        ("[schema]\npx = 'a'\npt = 'b'", "both"),
    ],
)
def test_wrong_toml_is_refused_with_file_and_key(tmp_path, text, message):
    path = tmp_path / "schema.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_overrides(path)
    assert str(path) in str(caught.value)


def test_toml_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_overrides(tmp_path / "none.toml")


def test_description_names_everything():
    schema = Schema(
        "plain", {"pdg": "id", "pt": "a", "eta": "b", "phi": "c", "energy": "e", "status": "s", "event": "n"}
    )
    described = dict(schema.describe())
    assert described["pdg"] == "id"
    assert described["momentum"] == "a, b, c [GeV, assumed]"
    assert described["mass"] == "the PDG's"
    assert described["energy"].startswith("e [GeV]")
    assert described["final state"] == "s = 1"
    assert described["event"] == "n"
