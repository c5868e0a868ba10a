# SPDX-License-Identifier: BSD-3-Clause
"""Which collection is taken for the truth, and the message where the evidence does not decide."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.files.root_files import write_tree

from fastcalo.errors import ConfigError, InputError
from fastcalo.io.particles.evidence import find_schema
from fastcalo.io.particles.reader import open_events
from fastcalo.io.particles.schemas import SchemaOverrides

EVENT = ["run", "event", "luminosityBlock"]


def names(head: str, *more: str) -> list[str]:
    return [f"{head}_{tail}" for tail in ("pdgId", "pt", "eta", "phi", "mass", *more)]


def edm4hep(head: str, *more: str) -> list[str]:
    return [f"{head}.{tail}" for tail in ("PDG", "momentum.x", "momentum.y", "momentum.z", "mass", *more)]


RECONSTRUCTED = edm4hep("ReconstructedParticles", "goodnessOfPID", "covMatrix.values", "clusters_begin")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("truth", "others", "collection"),
    [
        (edm4hep("Particle", "generatorStatus"), RECONSTRUCTED, "Particle"),
        (edm4hep("MCParticles", "generatorStatus"), edm4hep("MCParticlesSkimmed", "generatorStatus"), "MCParticles"),
        (edm4hep("MCParticles", "generatorStatus"), edm4hep("GeneratedParticles", "goodnessOfPID"), "MCParticles"),
        (names("genParticle", "status"), names("Electron", "dxy"), "genParticle"),
        (names("genParticle"), names("Electron", "cutBased"), "genParticle"),
        (names("GenPart", "status", "genPartIdxMother"), names("LHEPart", "status"), "GenPart"),
        (names("GenPart", "status", "genPartIdxMother"), names("GenDressedLepton"), "GenPart"),
        (names("GenPart", "status", "genPartIdxMother"), names("GenCands"), "GenPart"),
        (names("truth", "status", "parent"), names("trk", "chi2"), "truth"),
        (["mc_pdg", "mc_px", "mc_py", "mc_pz"], ["pdg", "px", "py", "pz"], "mc"),
    ],
)  # fmt: skip
def test_the_truth_is_taken_whatever_the_order_of_branches(truth, others, collection, first):
    branches = [*truth, *others] if first == 0 else [*others, *truth]
    schema = find_schema([*EVENT, *branches])
    assert schema.collection == collection
    assert set(schema.branches.values()) <= {*EVENT, *truth}


@pytest.mark.parametrize(
    "branches",
    [
        names("Electron", "dxy", "hoe"),
        [*names("Electron"), *names("Muon"), *names("Photon")],
        RECONSTRUCTED,
        ["MCleptonPDGid", "MClepton_px", "MClepton_py", "MClepton_pz"],
        names("TruthElectrons", "status", "barcode"),
        names("particle_flow", "chi2"),
        ["track.pid", "track.px", "track.py", "track.pz"],
    ],
)
def test_what_is_reconstructed_or_a_part_of_the_truth_is_not_taken_unasked(branches):
    with pytest.raises(InputError, match=r"none that are surely the true ones.*choose one, for example --collection "):
        find_schema([*EVENT, *branches])
    first = branches[0].replace(".PDG", "_").split("_")[0].removesuffix("PDGid").split(".")[0]
    first = {"particle": "particle_flow"}.get(first, first)
    assert find_schema([*EVENT, *branches], SchemaOverrides(collection=first)).collection.startswith(first)


def test_collections_of_equal_evidence_ask(tmp_path):
    columns = {}
    for head, count in (("genA", 2), ("genB", 3)):
        columns |= {f"{head}_pdg": [[22] * count] * 4}
        columns |= {f"{head}_p{axis}": [[1.0] * count] * 4 for axis in "xyz"}
    path = write_tree(tmp_path / "two.root", columns)
    with pytest.raises(InputError, match=r"'genA' \(2.0 particles per event\), 'genB' \(3.0 .*--collection genA"):
        open_events(path)
    assert open_events(path, collection="genB").schema.collection == "genB"
    # as one finds it in the names of branches
    assert open_events(path, collection="genB_").schema.collection == "genB"
    with pytest.raises(InputError, match=r"no collection of particles 'genC'; The collections.*'genA'"):
        open_events(path, collection="genC")


def test_roles_of_two_collections_are_not_mixed():
    lacking = [*EVENT, *names("GenPart", "status"), "GenCands_pdgId", "GenCands_pt"]
    with pytest.raises(InputError, match="collection of 'GenCands_pdgId' has no branches for"):
        find_schema(lacking, SchemaOverrides({"pdg": "GenCands_pdgId"}))
    named = {"pdg": "GenCands_pdgId", "pt": "GenCands_pt", "eta": "GenPart_eta", "phi": "GenPart_phi"}
    assert find_schema(lacking, SchemaOverrides(named)).branches["eta"] == "GenPart_eta"


def test_roles_can_be_given_up(tmp_path):
    branches = [*EVENT, *names("GenPart", "status", "vx", "vy", "vz")]
    left = SchemaOverrides(dict.fromkeys(("status", "vx", "vy", "vz", "event", "mass"), "none"))
    schema = find_schema(branches, left)
    assert schema.branches.keys() == {"pdg", "pt", "eta", "phi", "run", "luminosity_block"}
    assert schema.vertex == "the origin, for the file has none"
    with pytest.raises(ConfigError, match="pdg cannot be left out"):
        SchemaOverrides({"pdg": "none"})
    # one way to write momenta instead of the other
    both = ["pdg", "px", "py", "pz", "pt", "eta", "phi"]
    assert find_schema(both, SchemaOverrides({"px": "none"} | {k: k for k in ("pt", "eta", "phi")})).momentum[0] == "pt"
    columns = {"pdg": [22], "status": [3], "px": [1.0], "py": [0.0], "pz": [0.0]}
    path = write_tree(tmp_path / "a.root", columns)
    assert next(open_events(path, SchemaOverrides({"status": "none"})).iterate()).final.all()


def test_a_tree_with_the_event_names_comes_before_others_and_a_choice_before_nothing(tmp_path):
    with pytest.raises(InputError, match="surely the true ones") as caught:
        open_events(write_tree(tmp_path / "a.root", {name: np.array([1.0]) for name in names("Electron")}, "Events"))
    assert "a.root: tree 'Events'" in str(caught.value)
