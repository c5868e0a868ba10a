# SPDX-License-Identifier: BSD-3-Clause
"""EDM4hep files hold what Key4hep reads: by ROOT as its own classes, and equal to a tree of ours, field by field."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.edm4hep_files import WEIGHTS, write_generated
from helpers.files.podio_with_root import read_with_root
from helpers.models.small_engine import make_engine
from numpy.testing import assert_array_equal

import fastcalo
from fastcalo import FastSimulation, Reason, compare, convert, merge, open_hits
from fastcalo.errors import ConfigError, InputError, OutputError
from fastcalo.event.contributions import FAST_STEP_MM
from fastcalo.io.hits.edm4hep.particles import BIT_CREATED_IN_SIMULATION, BIT_DECAYED_IN_TRACKER, BIT_FAST
from fastcalo.io.podio.data_types import collection_id
from fastcalo.io.podio.frames import PodioFile

DEMO = "examples/demo/events.root"
SECTIONS = ("ECAL", "HCAL")
MEMBERS = ("PDG", "generatorStatus", "charge", "time", "mass", "helicity")
VECTORS = ("vertex", "endpoint", "momentum", "momentumAtEndpoint")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A generated file (gen.root), and its hits as a tree with contributions (own.root) and as EDM4hep (e4.root)."""
    folder = tmp_path_factory.mktemp("edm4hep")
    write_generated(folder / "gen.root", 60)
    engine = FastSimulation(contributions=True)
    convert(folder / "gen.root", folder / "own.root", engine, seed=1, contributions=True, step_size=25)
    convert(
        folder / "gen.root", folder / "e4.root", engine, seed=1, format="edm4hep", step_size=25,
        rejected=folder / "rejected.root",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def events(folder):
    return uproot.open(folder / "e4.root")["events"].arrays()


@pytest.mark.parametrize(
    ("name", "number"),
    # as files of podio have them
    [
        ("MCParticles", 0xA1CBA250),
        ("EventHeader", 0xD793AB91),
        ("ECalBarrelCollection", 0x407EB17B),
        ("ECalBarrelCollectionContributions", 0x047DDE9C),
    ],
)
def test_collections_have_the_numbers_of_podio(name, number):
    assert collection_id(name) == number


def test_particles_of_the_input_are_kept_whole(folder, events):
    given = uproot.open(folder / "gen.root")["events"].arrays()
    counts = ak.num(given["MCParticles"])
    kept = events["MCParticles"][ak.local_index(events["MCParticles"]) < counts]
    # decays end particles
    alive = (kept["simulatorStatus"] & (1 << BIT_DECAYED_IN_TRACKER)) == 0
    for name in MEMBERS:
        assert_array_equal(ak.flatten(kept[name]), ak.flatten(given["MCParticles"][name]))
    for name in VECTORS:
        for axis in "xyz":
            mine, its = kept[name, axis], given["MCParticles"][name, axis]
            assert_array_equal(ak.flatten(mine[alive]), ak.flatten(its[alive]))
    for relation in ("parents", "daughters"):
        for i in range(len(given)):
            for k in range(int(counts[i])):
                had = related(given[i], relation, k)
                assert related(events[i], relation, k)[: len(had)] == had


def related(event, relation: str, k: int) -> list[int]:
    particle = event["MCParticles"][k]
    targets = event[f"_MCParticles_{relation}"]["index"].to_list()
    return targets[particle[f"{relation}_begin"] : particle[f"{relation}_end"]]


def test_daughters_of_decays_stand_behind_and_know_their_parents(folder, events):
    counts = ak.num(uproot.open(folder / "gen.root")["events"]["MCParticles"].array())
    decayed = 0
    for i, event in enumerate(events):
        particles = event["MCParticles"].to_list()
        for k, particle in enumerate(particles):
            made = bool(particle["simulatorStatus"] & (1 << BIT_CREATED_IN_SIMULATION))
            assert made == (k >= counts[i])
            if made:
                (parent,) = related(event, "parents", k)
                assert k in related(event, "daughters", parent)
                assert particles[parent]["simulatorStatus"] & (1 << BIT_DECAYED_IN_TRACKER)
                assert particles[parent]["endpoint"] == particle["vertex"]
                # a pi0 lives for less than a float of single precision resolves
                assert particle["time"] >= particles[parent]["time"]
                decayed += 1
    assert decayed > 20


def test_particles_that_were_simulated_bear_the_bit_of_fast_simulation(events):
    by_bit = ak.sum((events["MCParticles"]["simulatorStatus"] >> BIT_FAST) & 1, axis=1)
    counted = [values[keys.index("particles_simulated")][0] for keys, values in zip(*parameters(events), strict=True)]
    assert_array_equal(by_bit, counted)
    assert sum(counted) > 50
    # what the input states is kept
    assert ak.sum((events["MCParticles"]["simulatorStatus"] >> 23) & 1) == len(events)


def parameters(events):
    return events["GPIntKeys"].to_list(), events["GPIntValues"].to_list()


def test_headers_and_weights_are_carried_over(folder, events):
    given = uproot.open(folder / "gen.root")["events"].arrays()
    for name in ("eventNumber", "runNumber", "timeStamp", "weight", "weights_begin", "weights_end"):
        assert_array_equal(ak.flatten(events["EventHeader"][name]), ak.flatten(given["EventHeader"][name]))
    assert_array_equal(ak.flatten(events["_EventHeader_weights"]), ak.flatten(given["_EventHeader_weights"]))
    (metadata,) = uproot.open(folder / "e4.root")["metadata"].arrays().to_list()
    stated = dict(zip(metadata["GPStringKeys"], metadata["GPStringValues"], strict=True))
    assert stated["EventWeightNames"] == WEIGHTS
    assert stated["ECAL__CellIDEncoding"] == [fastcalo.load_detector().section("ECAL").encoding.text]


def test_hits_and_contributions_are_those_of_our_tree(folder):
    with open_hits(folder / "own.root") as own, open_hits(folder / "e4.root") as other:
        assert other.n_events == own.n_events
        a, b = own.read(contributions=True), other.read(contributions=True)
        # in steps as well
        steps = list(other.iterate(7))
    assert sum(part.sections["ECAL"].n_hits for part in steps) == b.sections["ECAL"].n_hits
    assert_array_equal(a.particles, b.particles)
    assert_array_equal(a.event, b.event)
    for name in SECTIONS:
        x, y = a.sections[name], b.sections[name]
        for column in ("offsets", "cell_id", "energy", "position", "layer"):
            assert_array_equal(getattr(x, column), getattr(y, column))
        for column in ("offsets", "particle", "energy", "time", "step_length"):
            assert_array_equal(getattr(x.contributions, column), getattr(y.contributions, column))
        sums = np.add.reduceat(x.contributions.energy.astype(np.float64), x.contributions.offsets[:-1])
        np.testing.assert_allclose(sums, x.energy, rtol=1e-6)
        assert (x.contributions.step_length == FAST_STEP_MM).all()


def test_contributions_change_no_hits(folder, tmp_path):
    convert(folder / "gen.root", tmp_path / "plain.root", FastSimulation(), seed=1, step_size=25)
    with open_hits(tmp_path / "plain.root") as plain, open_hits(folder / "own.root") as own:
        a, b = plain.read(contributions=True), own.read()
    for name in SECTIONS:
        assert a.sections[name].contributions is None
        assert_array_equal(a.sections[name].energy, b.sections[name].energy)
        assert_array_equal(a.sections[name].cell_id, b.sections[name].cell_id)


def test_times_are_those_of_light_at_least(folder, events):
    with open_hits(folder / "e4.root") as file:
        for name, section in file.read(contributions=True).sections.items():
            made = section.contributions
            event = np.repeat(np.arange(60), np.diff(made.offsets[section.offsets]))
            particles = events["MCParticles"]
            start = np.stack([ak.to_numpy(ak.flatten(particles["vertex", axis])) for axis in "xyz"], axis=1)
            first = np.cumsum(ak.num(particles).to_numpy()) - ak.num(particles).to_numpy()
            row = first[event] + made.particle
            distance = np.linalg.norm(np.repeat(section.position, np.diff(made.offsets), axis=0) - start[row], axis=1)
            born = ak.to_numpy(ak.flatten(particles["time"]))[row]
            assert (made.time - born >= distance / 299.792458 * (1 - 1e-5)).all(), name
            assert (made.time < 200).all()


@pytest.mark.parametrize("kind", ["ttree", "edm4hep"])
def test_refused_particles_are_merged_with_their_contributions(folder, tmp_path, kind):
    first, rest = FastSimulation(models="em", contributions=True), FastSimulation(contributions=True)
    options = {"seed": 1, "format": kind, "contributions": True, "step_size": 25}
    convert(folder / "gen.root", tmp_path / "em.root", first, rejected=tmp_path / "rejected.root", **options)
    convert(tmp_path / "rejected.root", tmp_path / "rest.root", rest, **options)
    summary = merge(tmp_path / "em.root", tmp_path / "rest.root", tmp_path / "all.root")
    assert summary.events == 60
    whole = folder / {"ttree": "own.root", "edm4hep": "e4.root"}[kind]
    parts = [tmp_path / name for name in ("em.root", "rest.root", "all.root")]
    first, rest, both = (read_contributions(path) for path in parts)
    with open_hits(whole) as one, open_hits(parts[2]) as other:
        assert_array_equal(one.read().particles, other.read().particles)
    for name in SECTIONS:
        second = rest[name]
        if kind == "edm4hep":
            # a tree knows the particles by the rows of then, EDM4hep by its own
            second = second | {"particle": rows_of(parts[1])[second["event"], second["particle"]]}
        assert len(second["particle"]) > 100
        joined = {key: np.concatenate([first[name][key], second[key]]) for key in second}
        order = np.lexsort([joined[key] for key in ("particle", "cell", "event")])
        again = np.lexsort([both[name][key] for key in ("particle", "cell", "event")])
        for key in second:
            np.testing.assert_allclose(joined[key][order], both[name][key][again], rtol=1e-6)
    if kind == "edm4hep":
        one, other = (uproot.open(path)["events"].arrays() for path in (whole, tmp_path / "all.root"))
        for name in ("MCParticles", "_MCParticles_parents", "_MCParticles_daughters", "EventHeader"):
            assert ak.to_list(one[name]) == ak.to_list(other[name])


def read_contributions(path) -> dict[str, dict[str, np.ndarray]]:
    """Contributions of each section with their events and cells."""
    found = {}
    with open_hits(path) as file:
        for name, section in file.read(contributions=True).sections.items():
            made = section.contributions
            event = np.repeat(np.arange(len(section.offsets) - 1), np.diff(section.offsets))
            found[name] = {
                "event": event[made.hit],
                "cell": section.cell_id[made.hit],
                "particle": made.particle,
                "energy": made.energy,
                "time": made.time,
            }
    return found


def rows_of(path) -> np.ndarray:
    """Rows that a file states of its particles, int [n_events, most particles]."""
    keys, values = parameters(uproot.open(path)["events"].arrays(["GPIntKeys", "GPIntValues"]))
    rows = [v[k.index("fastcalo_row")] for k, v in zip(keys, values, strict=True)]
    return ak.to_numpy(ak.fill_none(ak.pad_none(ak.Array(rows), max(map(len, rows))), -1))


def test_formats_are_compared_by_what_they_hold_and_not_merged(folder, tmp_path):
    convert(folder / "gen.root", tmp_path / "plain.root", FastSimulation(), seed=1, step_size=25)
    with pytest.raises(InputError, match="only one is EDM4hep"):
        merge(tmp_path / "plain.root", folder / "e4.root", tmp_path / "all.root")
    assert compare(tmp_path / "plain.root", folder / "e4.root").drop_in


def test_an_engine_without_contributions_is_refused(folder, tmp_path):
    for engine in (FastSimulation(models="em"), make_engine()):
        with pytest.raises(ConfigError, match="contributions=True"):
            convert(folder / "gen.root", tmp_path / "x.root", engine, format="edm4hep")
    with pytest.raises(ConfigError, match="'rntuples' is none"):
        convert(folder / "gen.root", tmp_path / "x.root", format="rntuples")
    assert not list(tmp_path.iterdir())


def test_a_run_that_does_not_fit_leaves_nothing_behind(tmp_path):
    with uproot.recreate(tmp_path / "in.root") as file:
        one = ak.Array([[5.0]])
        file["events"] = {"pdg": ak.Array([[22]]), "px": one, "py": one, "pz": one, "run": [1 << 32], "event": [1]}
    with pytest.raises(OutputError, match="numbers runs from 0 to 4294967295"):
        convert(tmp_path / "in.root", tmp_path / "out.root", format="edm4hep")
    assert [path.name for path in tmp_path.iterdir()] == ["in.root"]


def test_relations_that_are_damaged_are_refused(tmp_path):
    made = write_generated(tmp_path / "gen.root", 5)
    made["MCParticles"].references["parents"].counts[-1] += 1
    with (tmp_path / "wrong.root").open("x+b") as file:
        podio = PodioFile(file, uproot.ZLIB(1))
        podio.add("events", {name: collection.kind for name, collection in made.items()})
        podio.write("events", 5, made, {})
        podio.finish()
    with pytest.raises(InputError, match=r"_MCParticles_parents.index.*damaged"):
        convert(tmp_path / "wrong.root", tmp_path / "out.root", format="edm4hep")


def test_an_empty_input_gives_a_file_without_events(tmp_path):
    write_generated(tmp_path / "gen.root", 0)
    convert(tmp_path / "gen.root", tmp_path / "out.root", format="edm4hep")
    with open_hits(tmp_path / "out.root") as file:
        assert file.n_events == 0


@pytest.mark.slow
@pytest.mark.root
def test_root_reads_all_fields_of_the_demo_as_the_classes_of_edm4hep(tmp_path):
    engine = FastSimulation(contributions=True)
    convert(DEMO, tmp_path / "own.root", engine, seed=1, contributions=True)
    convert(DEMO, tmp_path / "e4.root", engine, seed=1, format="edm4hep")
    found = read_with_root(tmp_path / "e4.root", tmp_path)
    tree = uproot.open(tmp_path / "own.root")["Events"].arrays()
    given = uproot.open(DEMO)["events"].arrays()
    assert found["podio_metadata.version"].tolist() == [1, 7, 0]
    assert found["podio_metadata.edm4hep"].tolist() == [1, 1, 0]
    assert found["podio_metadata.category"].tolist() == ["events", "metadata", "runs"]
    assert "edm4hep::SimCalorimeterHit" in json.loads(found["podio_metadata.definition"][0])["datatypes"]
    numbers = dict(zip(found["events.name"], found["events.collectionID"], strict=True))
    assert set(found["events.schemaVersion"]) == {6}
    assert not found["events.isSubset"].any()
    assert found["events.entries"] == 300
    for name in SECTIONS:
        check_section(found, tree, name, numbers)
    check_particles(found, tree, given)
    assert found["runs.GP.runNumber"].tolist() == [1]


def check_section(found, tree, name: str, numbers) -> None:
    """Hits, contributions and relations of a section as ROOT found them, against our tree."""

    def flat(branch):
        return ak.to_numpy(ak.flatten(tree[f"{name}{branch}"]))

    hits, made = f"events.{name}", f"events.{name}Contributions"
    assert_array_equal(found[f"{hits}.size"], tree[f"n{name}"])
    assert_array_equal(found[f"{hits}.cellID"].view(np.uint64), flat("_cell_id"))
    assert_array_equal(found[f"{hits}.energy"], flat("_energy"))
    assert_array_equal(found[f"{made}.size"], tree[f"n{name}Contribution"])
    hit = flat("Contribution_hit")
    counts = np.diff(np.searchsorted(global_place(hit, tree, name), np.arange(len(flat("_energy")) + 1)))
    for axis in "xyz":
        assert_array_equal(found[f"{hits}.position.{axis}"], flat(f"_{axis}"))
        assert_array_equal(found[f"{made}.stepPosition.{axis}"], np.repeat(flat(f"_{axis}"), counts))
    assert_array_equal(found[f"{made}.energy"], flat("Contribution_energy"))
    assert_array_equal(found[f"{made}.time"], flat("Contribution_time"))
    assert_array_equal(found[f"{made}.stepLength"], np.full(len(hit), -1.0))
    assert_array_equal(found[f"events._{name}Contributions_particle.index"], flat("Contribution_particle"))
    assert set(found[f"events._{name}Contributions_particle.collectionID"]) == {numbers["MCParticles"]}
    assert set(found[f"events._{name}_contributions.collectionID"]) == {numbers[f"{name}Contributions"]}
    assert_array_equal(found[f"{hits}.contributions_end"] - found[f"{hits}.contributions_begin"], counts)
    in_event = np.concatenate([np.arange(n) for n in tree[f"n{name}Contribution"]])
    assert_array_equal(found[f"events._{name}_contributions.index"], in_event)
    first = found["events.MCParticles.size"].cumsum() - found["events.MCParticles.size"]
    event = np.repeat(np.arange(300), ak.to_numpy(tree[f"n{name}Contribution"]))
    particle = first[event] + flat("Contribution_particle")
    assert_array_equal(found[f"{made}.PDG"], found["events.MCParticles.PDG"][particle])
    assert found[f"metadata.GP.{name}__CellIDEncoding"] == fastcalo.load_detector().section(name).encoding.text


def global_place(hit, tree, name: str) -> np.ndarray:
    n = ak.to_numpy(tree[f"n{name}"])
    return hit + np.repeat(np.cumsum(n) - n, ak.to_numpy(tree[f"n{name}Contribution"]))


def check_particles(found, tree, given) -> None:
    """Particles, headers and counters as ROOT found them, against the input and our tree."""
    sizes = found["events.MCParticles.size"]
    place = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
    own = place < np.repeat(ak.to_numpy(ak.num(given["MCParticles.PDG"])), sizes)
    for name in ("PDG", "generatorStatus", "charge", "time", "mass"):
        assert_array_equal(found[f"events.MCParticles.{name}"][own], ak.flatten(given[f"MCParticles.{name}"]))
    for name in ("vertex", "momentum"):
        for axis in "xyz":
            mine = found[f"events.MCParticles.{name}.{axis}"][own]
            assert_array_equal(mine, ak.flatten(given[f"MCParticles.{name}.{axis}"]))
    made = found["events.MCParticles.parents_end"] - found["events.MCParticles.parents_begin"]
    assert_array_equal(made, (~own).astype(int))
    assert_array_equal(found["events.EventHeader.eventNumber"], tree["event"])
    assert_array_equal(found["events.EventHeader.runNumber"], tree["run"])
    for reason in Reason:
        name = f"particles_{reason.name.lower()}"
        assert_array_equal(found[f"events.GP.{name}"], tree[name])
    bit = (found["events.MCParticles.simulatorStatus"] >> BIT_FAST) & 1
    assert_array_equal(np.bincount(np.repeat(np.arange(300), sizes), bit), tree["particles_simulated"])
