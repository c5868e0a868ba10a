# SPDX-License-Identifier: BSD-3-Clause
"""Hits of refused particles, added to those of the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import uproot
from helpers.files.hit_files import Content
from helpers.files.root_files import plain, write_tree
from helpers.models.small_engine import StraightEngine
from helpers.models.tiny_model import write_tiny_model

from fastcalo import FastSimulation, convert, load_detector
from fastcalo.errors import InputError, OutputError
from fastcalo.event.events import Reason
from fastcalo.io.root_files import PROVENANCE
from fastcalo.production.merge import merge

DETECTOR = load_detector()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Events; what a model makes of them, and refuses; what another engine makes of that, and of everything."""
    folder = tmp_path_factory.mktemp("merging")
    names = ("events", "hits", "rejected", "rest", "all")
    paths = {name: folder / f"{name}.root" for name in names}
    columns = plain(n_events=40, per_event=6, seed=3)
    write_tree(paths["events"], columns)
    model = FastSimulation(DETECTOR, write_tiny_model(folder / "tiny.onnx"))
    convert(paths["events"], paths["hits"], model, rejected=paths["rejected"], seed=1)
    convert(paths["rejected"], paths["rest"], StraightEngine(DETECTOR), seed=1)
    merge(paths["hits"], paths["rest"], paths["all"])
    return paths


def read(path: Path):
    return uproot.open(path)["Events"].arrays()


def provenance(path: Path) -> dict:
    return json.loads(str(uproot.open(path)[PROVENANCE]))


def test_energies_add_up_cell_by_cell(files):
    parts, whole = [read(files["hits"]), read(files["rest"])], read(files["all"])
    for section in ("ECAL", "HCAL"):
        for entry in range(len(whole)):
            expected: dict[int, float] = {}
            for part in parts:
                for cell, energy in zip(
                    part[f"{section}_cell_id"][entry], part[f"{section}_energy"][entry], strict=True
                ):
                    expected[cell] = expected.get(cell, 0.0) + float(energy)
            found = dict(zip(whole[f"{section}_cell_id"][entry], whole[f"{section}_energy"][entry], strict=True))
            assert len(found) == whole[f"n{section}"][entry]
            assert found == pytest.approx(expected, rel=1e-6)
    assert sum(len(part["ECAL_energy"][k]) for part in parts for k in range(40)) > 100


def test_particles_are_counted_as_if_one_engine_had_seen_them(files):
    parts, whole = [read(files["hits"]), read(files["rest"])], read(files["all"])
    total = sum(np.asarray(whole[f"particles_{r.name.lower()}"]) for r in Reason)
    assert total.tolist() == sum(np.asarray(parts[0][f"particles_{r.name.lower()}"]) for r in Reason).tolist()
    simulated = [np.asarray(part["particles_simulated"]) for part in (*parts, whole)]
    assert (simulated[0] + simulated[1]).tolist() == simulated[2].tolist()
    assert simulated[1].sum() > 0
    # pions were refused for want of a model, and are no more
    assert np.sum(parts[0]["particles_unknown_species"]) > 0 == np.sum(whole["particles_unknown_species"])


def test_accounts_close(files):
    accounts = provenance(files["all"])["accounts"]
    for key in ("count", "energy"):
        parts = sum(counts[key] for counts in accounts["reasons"].values())
        assert parts == pytest.approx(accounts["particles"][key])
    assert accounts["particles"] == provenance(files["hits"])["accounts"]["particles"]
    tree = read(files["all"])
    assert accounts["sections"]["ECAL"]["count"] == np.sum(tree["nECAL"])


def test_the_file_states_what_it_was_made_of_and_can_replace_any_other(files):
    from fastcalo.validation.hits.compare import compare

    written = provenance(files["all"])
    assert [part["engine"] for part in written["merged"]] == ["FastSimulation", "StraightEngine"]
    assert written["inputs"][0]["path"].endswith("events.root")
    assert compare(files["hits"], files["all"]).differences == ()


def test_hits_that_are_not_of_the_refused_particles_are_refused(files, tmp_path):
    convert(files["events"], tmp_path / "again.root", StraightEngine(DETECTOR))
    with pytest.raises(InputError, match=r"again\.root: entry \d+ has \d+ particles, but \d+ were refused.*--rejected"):
        merge(files["hits"], tmp_path / "again.root", tmp_path / "out.root")
    assert not (tmp_path / "out.root").exists()


def spoilt(tmp_path: Path, name: str, change) -> Path:
    content = Content(n_events=5)
    change(content)
    return content.write(tmp_path / f"{name}.root")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.permute(np.arange(5)[::-1]), "another order"),
        (lambda c: c.lists.pop("HCAL"), "HCAL"),
        (lambda c: c.provenance["detector"].update(hash="other"), "detector"),
        (lambda c: setattr(c, "provenance", None), "does not state how it was made"),
        (lambda c: c.provenance["units"].update(energy="MeV"), "MeV"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, words):
    one = spoilt(tmp_path, "one", lambda c: c.provenance["accounts"].update(ACCOUNTS))
    other = spoilt(tmp_path, "other", lambda c: (c.provenance["accounts"].update(ACCOUNTS), change(c)))
    with pytest.raises(InputError, match=words) as caught:
        merge(one, other, tmp_path / "out.root")
    assert "other.root" in str(caught.value)
    assert not (tmp_path / "out.root").exists()


ACCOUNTS = {
    "events": 5,
    "particles": {"count": 10, "energy": 1.0},
    "reasons": {reason.name.lower(): {"count": 0, "energy": 0.0} for reason in Reason},
}


def test_another_number_of_events_is_refused(files, tmp_path):
    write_tree(tmp_path / "few.root", plain(n_events=5))
    convert(tmp_path / "few.root", tmp_path / "short.root", StraightEngine(DETECTOR))
    with pytest.raises(InputError, match=r"has 40 events, but .*short\.root has 5"):
        merge(files["hits"], tmp_path / "short.root", tmp_path / "out.root")


def test_inputs_and_files_that_exist_are_not_written_over(files, tmp_path):
    with pytest.raises(OutputError, match="it is an input"):
        merge(files["hits"], files["rest"], files["hits"], overwrite=True)
    (tmp_path / "out.root").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        merge(files["hits"], files["rest"], tmp_path / "out.root")
    assert (tmp_path / "out.root").read_text() == "mine"
