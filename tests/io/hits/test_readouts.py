# SPDX-License-Identifier: BSD-3-Clause
"""Detectors of DD4hep: hits stand in the collections, and under the cell IDs, that their reconstruction knows."""

from __future__ import annotations

import copy

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.files.edm4hep_files import write_generated
from numpy.testing import assert_array_equal

from fastcalo import FastSimulation, compare, convert, load_detector, open_hits
from fastcalo.detector.cell_id import CellEncoding
from fastcalo.detector.description import parse_detector
from fastcalo.errors import DetectorError, InputError

# encodings in the manner of k4geo's CLD
BARREL = {
    "collection": "ECalBarrelCollection",
    "part": "barrel",
    "encoding": "system:5,side:-2,module:8,stave:4,layer:9,submodule:4,x:32:-16,y:-16",
    "fields": {"system": 4, "side": 0, "module": "stave + 1", "stave": 0, "layer": "layer", "submodule": 0, "x": "x",
               "y": "-y"},
}  # fmt: skip
ENDCAP = {
    "collection": "ECalEndcapCollection",
    "part": "endcap",
    "encoding": "system:5,side:-2,module:8,stave:4,layer:9,submodule:4,x:32:-16,y:-16",
    "fields": {"system": 29, "side": "side", "module": 0, "stave": 0, "layer": "layer + 1", "submodule": 0, "x": "x",
               "y": "y"},
}  # fmt: skip


def described(*readouts):
    description = copy.deepcopy(load_detector().description)
    description["section"]["ECAL"]["readout"] = list(readouts)
    return parse_detector(description, "real.toml")


def test_cells_stand_in_the_collections_of_the_real_detector(tmp_path):
    detector = described(BARREL, ENDCAP)
    write_generated(tmp_path / "gen.root", 80)
    convert(tmp_path / "gen.root", tmp_path / "own.root", FastSimulation(detector, "em"), seed=1)
    engine = FastSimulation(detector, "em", contributions=True)
    convert(tmp_path / "gen.root", tmp_path / "e4.root", engine, seed=1, format="edm4hep")
    events = uproot.open(tmp_path / "e4.root")["events"].arrays()
    barrel, endcap = (events[f"ECal{part}Collection"] for part in ("Barrel", "Endcap"))
    assert "HCAL" in events.fields
    assert "ECAL" not in events.fields
    ids = ak.to_numpy(ak.flatten(barrel["cellID"]))
    fields = CellEncoding.parse(BARREL["encoding"]).decode(ids)
    assert set(fields["system"]) == {4}
    assert set(fields["side"]) == {0}
    azimuth = np.arctan2(*(ak.to_numpy(ak.flatten(barrel["position", axis])) for axis in "yx"))
    nearest = np.round(azimuth / (2 * np.pi / 12)).astype(int) % 12
    # showers stay in the module that their particle entered
    assert (fields["module"] - 1 == nearest).mean() > 0.9
    ids = ak.to_numpy(ak.flatten(endcap["cellID"]))
    fields = CellEncoding.parse(ENDCAP["encoding"]).decode(ids)
    assert set(fields["side"]) == {-1, 1}
    assert fields["layer"].min() >= 1
    assert_array_equal(np.sign(ak.to_numpy(ak.flatten(endcap["position", "z"]))), fields["side"])
    (metadata,) = uproot.open(tmp_path / "e4.root")["metadata"].arrays().to_list()
    assert "ECalBarrelCollection__CellIDEncoding" in metadata["GPStringKeys"]
    with open_hits(tmp_path / "own.root", detector) as own, open_hits(tmp_path / "e4.root", detector) as other:
        assert other.sections == own.sections
        a, b = own.read().sections["ECAL"], other.read(contributions=True).sections["ECAL"]
    for column in ("offsets", "cell_id", "energy", "position", "layer"):
        assert_array_equal(getattr(a, column), getattr(b, column))
    sums = np.add.reduceat(b.contributions.energy.astype(np.float64), b.contributions.offsets[:-1])
    np.testing.assert_allclose(sums, b.energy, rtol=1e-6)
    assert compare(tmp_path / "own.root", tmp_path / "e4.root", detector=detector).drop_in
    # without the description each collection is a section of its own
    with open_hits(tmp_path / "e4.root") as file:
        assert set(file.sections) == {"ECalBarrelCollection", "ECalEndcapCollection", "HCAL"}


def changed(readout, **values):
    return {**readout, **values}


@pytest.mark.parametrize(
    ("readouts", "message"),
    [
        ([BARREL], "barrel and endcaps must each stand in one readout"),
        ([changed(BARREL, part="all"), ENDCAP], "known by layer, x, y and module"),
        ([changed(BARREL, fields={**BARREL["fields"], "module": 3}), ENDCAP], "module or stave"),
        ([changed(BARREL, fields={**BARREL["fields"], "layer": "layers"}), ENDCAP], "neither a number nor one of"),
        ([changed(BARREL, fields={**BARREL["fields"], "tower": 3}), ENDCAP], "'tower' is no field"),
        ([changed(BARREL, encoding=BARREL["encoding"].replace("module:8", "module:3")), ENDCAP], "but 12 is needed"),
        ([changed(BARREL, encoding="system:80"), ENDCAP], "80 bits"),
    ],
)
def test_readouts_that_cannot_be_are_refused(readouts, message):
    with pytest.raises(DetectorError, match=message):
        described(*readouts)


def test_a_description_without_readouts_has_the_hash_of_before():
    assert "readout" not in load_detector().description["section"]["ECAL"]
    assert described(BARREL, ENDCAP).hash != load_detector().hash
    assert described(BARREL, ENDCAP).stack_hash == load_detector().stack_hash


def test_cell_ids_of_another_collection_are_refused():
    detector = described(BARREL, ENDCAP)
    barrel, endcap = detector.section("ECAL").readouts
    cells = {name: np.array([k]) for k, name in enumerate(("module", "layer", "x", "y"))}
    made = barrel.encode(cells, 12)
    assert {name: int(value[0]) for name, value in barrel.decode(made, 12).items()} == {
        "module": 0,
        "layer": 1,
        "x": 2,
        "y": 3,
    }
    with pytest.raises(InputError, match="'system' is not 29"):
        endcap.decode(made, 12)
