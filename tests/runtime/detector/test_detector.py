# SPDX-License-Identifier: BSD-3-Clause
import copy
import json
import pickle
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastcalo.detector.description
from fastcalo.detector.description import DEFAULT_DETECTOR, load_detector, parse_detector
from fastcalo.errors import DetectorError, InputError

SHIPPED = Path(fastcalo.detector.description.__file__).parent / "clic-like.toml"
DETECTOR = load_detector()


def changed(key, value):
    """The shipped description with one value replaced, or taken out where the value is None."""
    description = copy.deepcopy(tomllib.loads(SHIPPED.read_text()))
    *path, last = key.split(".")
    table = description
    for part in path:
        table = table[int(part)] if isinstance(table, list) else table[part]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return description


# --- the shipped description


def test_clic_like_is_the_default():
    assert DEFAULT_DETECTOR == DETECTOR.name == "clic-like"
    assert load_detector("clic-like") == DETECTOR == load_detector(SHIPPED)
    assert DETECTOR.field_tesla == 4.0


def test_the_sections_of_clic_like():
    ecal, hcal = DETECTOR.sections
    assert (ecal.name, ecal.shape, ecal.cell_mm, ecal.threshold) == ("ECAL", (25, 25, 25), 5.1, 2e-5)
    assert (hcal.name, hcal.shape, hcal.cell_mm, hcal.threshold) == ("HCAL", (25, 25, 60), 30.0, 5e-5)
    assert DETECTOR.section("HCAL") is hcal
    # 2.4 mm of tungsten, and half-way through 0.5 mm of silicon; the next layer begins after a gap of 0.5 mm
    assert_allclose(ecal.sensor_z[[0, 1, 16, 17, 24]], [2.65, 6.05, 57.05, 62.85, 103.45])
    assert_allclose(hcal.sensor_z[[0, 59]], [160.5, 160.5 + 59 * 24.7])
    assert_allclose([ecal.back_mm, hcal.back_mm], [104.2, 1622.0])


def test_an_unknown_section_is_refused():
    with pytest.raises(InputError, match=r"no section 'MUON'; it has \['ECAL', 'HCAL'\]"):
        DETECTOR.section("MUON")


# --- hashes


def test_the_hash_does_not_see_comments_spaces_and_order(tmp_path):
    lines = SHIPPED.read_text().splitlines()
    shuffled = tmp_path / "shuffled.toml"
    head = "name   =  'clic-like' # the same\n"
    blocks = "\n".join(line for line in lines if not line.startswith("name")).split("\n[")
    shuffled.write_text(head + "".join("\n[" + block + "\n" for block in reversed(blocks[1:])))
    again = load_detector(shuffled)
    assert again == DETECTOR
    assert (again.hash, again.stack_hash) == (DETECTOR.hash, DETECTOR.stack_hash)


def test_whole_numbers_and_split_runs_mean_the_same():
    runs = [{"count": 7, "absorber_mm": 2.4}, {"count": 10, "absorber_mm": 2.4}, {"count": 8, "absorber_mm": 4.8}]
    assert parse_detector(changed("section.ECAL.layers", runs), "x").hash == DETECTOR.hash
    assert parse_detector(changed("section.HCAL.cell_mm", 30), "x").hash == DETECTOR.hash


@pytest.mark.parametrize(
    ("key", "value", "stack_changes"),
    [
        ("section.ECAL.cell_mm", 5.0, True),
        ("section.ECAL.threshold_gev", 3e-5, True),
        ("section.HCAL.absorber", "G4_Cu", True),
        ("section.HCAL.front_mm", 141.0, True),
        ("section.ECAL.layers.0.absorber_mm", 2.5, True),
        ("section.HCAL.window", [27, 25], True),
        ("name", "other", False),
        ("solenoid.field_tesla", 3.8, False),
        ("barrel.staves", 16, False),
        ("endcap.inner_radius_mm", 240.0, False),
        ("section.ECAL.system", 1, False),
        ("geant4.physics_list", "QGSP_BERT", False),
        ("geant4.production_cut_mm", 0.7, False),
        ("geant4.kinetic_energy_gev", [0.1, 100], False),
        ("geant4.max_angle_degrees", 56, False),
    ],
)
def test_what_the_hashes_see(key, value, stack_changes):
    other = parse_detector(changed(key, value), "x")
    assert other.hash != DETECTOR.hash
    assert (other.stack_hash != DETECTOR.stack_hash) == stack_changes


def test_the_description_makes_the_detector_again():
    through_json = json.loads(json.dumps(DETECTOR.description))
    assert parse_detector(through_json, "x") == DETECTOR
    assert json.loads(json.dumps(DETECTOR.stack)) == DETECTOR.stack


def test_hashes_do_not_move():
    # models carry the stack's hash: what changes it makes every model of old unusable
    assert DETECTOR.stack_hash == "0fce82d8dd341cc06c0f88fd7adfa31c8f517fd340f8c56f3619eea95dad5409"


def test_pickle():
    DETECTOR.layout.origin.sum()
    again = pickle.loads(pickle.dumps(DETECTOR))  # noqa: S301 - what this test has pickled itself
    assert again == DETECTOR
    assert_array_equal(again.layout.axes, DETECTOR.layout.axes)


def test_describe_names_what_matters():
    rows = dict(DETECTOR.describe())
    assert "17 x 2.4 mm + 8 x 4.8 mm" in rows["ECAL"]
    assert "modules 0-11: 12 flat staves" in rows["barrel"]
    assert rows["stack hash"] == DETECTOR.stack_hash


# --- modules


def test_frames_are_right_handed_and_lead_outwards():
    axes, origin = DETECTOR.layout.axes, DETECTOR.layout.origin
    assert len(DETECTOR.layout) == 14
    assert_allclose(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2], atol=1e-15)
    assert_allclose(np.einsum("mij,mkj->mik", axes, axes), np.tile(np.eye(3), (14, 1, 1)), atol=1e-15)
    assert_allclose(np.einsum("mj,mj->m", origin, axes[:, 2]), [1500.0] * 12 + [2000.0] * 2)


def test_staves_by_hand():
    # stave 3 stands at azimuth 90 degrees: its x axis runs along -x, its y axis along the beam
    local = np.array([[10.0, 20.0, 30.0]])
    assert_allclose(DETECTOR.layout.to_global([3], local), [[-10, 1530, 20]], atol=1e-12)
    assert_allclose(DETECTOR.layout.to_global([12], local), [[10, 20, 2030]])
    assert_allclose(DETECTOR.layout.to_global([13], local), [[-10, 20, -2030]])


points = st.floats(-5000, 5000)


@given(st.integers(0, 13), st.tuples(points, points, points))
def test_local_and_global_undo_each_other(module, point):
    layout = DETECTOR.layout
    assert_allclose(layout.to_local([module], layout.to_global([module], np.array([point]))), [point], atol=1e-9)


def test_unknown_modules_and_layers_are_refused():
    with pytest.raises(InputError, match="modules are numbered 0 to 13, but got 0 to 14"):
        DETECTOR.cell_centre("ECAL", [0, 14], [0, 0], [0, 0], [0, 0])
    with pytest.raises(InputError, match="modules are numbered"):
        DETECTOR.encode("ECAL", [-1], [0], [0], [0])
    for layer in (-1, 25):
        with pytest.raises(InputError, match="layers of ECAL are numbered 0 to 24"):
            DETECTOR.cell_centre("ECAL", [0], [0], [0], [layer])
        with pytest.raises(InputError, match="layers of ECAL are numbered 0 to 24"):
            DETECTOR.encode("ECAL", [0], [0], [0], [layer])


# --- cells


def test_cell_centres_by_hand():
    centre = DETECTOR.cell_centre("ECAL", [0, 3, 12, 13], [0, 2, 1, 1], [0, -3, 0, 0], [0, 1, 24, 0])
    assert_allclose(
        centre,
        [[1502.65, 0, 0], [-10.2, 1506.05, -15.3], [5.1, 0, 2103.45], [-5.1, 0, -2002.65]],
        atol=1e-9,
    )


cells = st.fixed_dictionaries(
    {
        "module": st.integers(0, 13),
        "layer": st.integers(0, 24),
        "x": st.integers(-32768, 32767),
        "y": st.integers(-32768, 32767),
    }
)


@given(st.sampled_from(["ECAL", "HCAL"]), st.lists(cells, max_size=5))
def test_cell_ids_decode_to_what_they_were_made_of(section, rows):
    columns = {key: np.array([row[key] for row in rows], dtype=np.int64) for key in ("module", "layer", "x", "y")}
    cell_id = DETECTOR.encode(section, columns["module"], columns["x"], columns["y"], columns["layer"])
    assert cell_id.dtype == np.uint64
    decoded = DETECTOR.decode(section, cell_id)
    assert set(decoded) == set(columns)
    for key, values in columns.items():
        assert_array_equal(decoded[key], values)


def test_cells_of_another_section_are_not_decoded():
    cell_id = DETECTOR.encode("HCAL", [1], [2], [3], [4])
    with pytest.raises(InputError, match="system 22 is not one of ECAL"):
        DETECTOR.decode("ECAL", cell_id)


def test_a_cell_out_of_range_is_refused_by_name():
    with pytest.raises(InputError, match="'y' holds -32768 to 32767, but got 40000"):
        DETECTOR.encode("ECAL", [0], [0], [40000], [0])


# --- bad descriptions


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("barrel", None, "barrel: missing"),
        ("section.ECAL.cell_mm", None, "section.ECAL.cell_mm: missing"),
        ("section.ECAL.cel_mm", 5.1, "section.ECAL.cel_mm: unknown key; the nearest known one is 'cell_mm'"),
        ("solenoyd", {}, "solenoyd: unknown key; the nearest known one is 'solenoid'"),
        ("section.ECAL.cell_mm", "5.1", "section.ECAL.cell_mm: must be a finite number, but is '5.1'"),
        ("section.ECAL.cell_mm", True, "must be a finite number, but is True"),
        ("section.ECAL.cell_mm", float("nan"), "must be a finite number"),
        ("section.ECAL.cell_mm", 0, "section.ECAL.cell_mm: must be greater than 0, but is 0"),
        ("section.ECAL.gap_mm", -1.0, "section.ECAL.gap_mm: must be at least 0"),
        ("section.ECAL.window", [25], r"section.ECAL.window: must hold more values, but is \[25\]"),
        ("section.ECAL.window", [25, 24], "section.ECAL.window: must be odd"),
        ("section.ECAL.window", [25, 2.5], r"section.ECAL.window\[1\]: must be a whole number, but is 2.5"),
        ("section.ECAL.absorber", "tungsten", "section.ECAL.absorber: must be one of Geant4's"),
        ("section.ECAL.absorber", "", "section.ECAL.absorber: must be one of Geant4's"),
        ("section.ECAL.layers", [], "section.ECAL.layers: must hold at least 1 value"),
        ("section.ECAL.layers", [17], r"section.ECAL.layers\[0\]: must be a table"),
        ("section.ECAL.layers.1.count", 0, r"section.ECAL.layers\[1\].count: must be at least 1"),
        ("section.ECAL.layers.1.absorber_mm", 0, r"section.ECAL.layers\[1\].absorber_mm: must be greater than 0"),
        ("section.ECAL.front_mm", 1.0, "section.ECAL.front_mm: the first section begins at the face"),
        ("section.HCAL.front_mm", 104.0, "section.HCAL.front_mm: begins at 104, but .* ends at 104.2"),
        ("section.ECAL.encoding", "system:5,module", "section.ECAL.encoding: 'module' is neither"),
        ("section.ECAL.encoding", "system:5,module:5,layer:8,x:-16", "section.ECAL.encoding: must have the fields"),
        ("section.ECAL.encoding", "system:5,module:5,layer:8,x:16,y:-16", "encoding: 'x' counts from the middle"),
        (
            "section.ECAL.encoding",
            "system:5,module:3,layer:8,x:-16,y:-16",
            "encoding: 'module' holds 7 .* 13 is needed",
        ),
        (
            "section.ECAL.encoding",
            "system:5,module:5,layer:4,x:-16,y:-16",
            "encoding: 'layer' holds 15 .* 24 is needed",
        ),
        ("section.ECAL.encoding", "system:5,module:5,layer:8,x:-16,y:-9", "encoding: 'y' holds 255 at most"),
        ("section.ECAL.system", 32, "section.ECAL.encoding: 'system' holds 31 at most, but 32 is needed"),
        ("section.E-CAL", {}, "section.E-CAL: a section's name"),
        ("section", {}, "section: must hold at least one section"),
        ("section", 3, "section: must be a table"),
        ("barrel.staves", 2, "barrel.staves: must be at least 3"),
        ("barrel.staves", 12.0, "barrel.staves: must be a whole number"),
        ("endcap.front_mm", 1999.0, "endcap.front_mm: must be at least 2000"),
        ("endcap.outer_radius_mm", 250.0, "endcap.outer_radius_mm: must be greater than 250"),
        ("name", 3, "name: must be a text"),
        ("geant4", 3, "geant4: must be a table"),
        ("geant4.physic_list", "FTFP_BERT", "geant4.physic_list: unknown key; the nearest known one is 'physics_list'"),
        ("geant4.physics_list", 1, "geant4.physics_list: must be a text"),
        ("geant4.production_cut_mm", 0, "geant4.production_cut_mm: must be greater than 0"),
        ("geant4.kinetic_energy_gev", 1, "geant4.kinetic_energy_gev: must be a list, but is 1"),
        ("geant4.kinetic_energy_gev", [0, 1], r"geant4.kinetic_energy_gev\[0\]: must be greater than 0"),
        ("geant4.kinetic_energy_gev", [1, "2"], r"geant4.kinetic_energy_gev\[1\]: must be a finite number"),
        ("geant4.kinetic_energy_gev", [2, 1], "geant4.kinetic_energy_gev: the first must be smaller"),
        ("geant4.max_angle_degrees", 90, "geant4.max_angle_degrees: must be at most 89.99"),
        ("geant4.max_angle_degrees", -1, "geant4.max_angle_degrees: must be at least 0"),
    ],
)
def test_bad_values_are_refused_with_file_and_key(key, value, problem):
    with pytest.raises(DetectorError, match=rf"^my\.toml: .*{problem}"):
        parse_detector(changed(key, value), "my.toml")


@pytest.mark.parametrize("key", ["geant4", "geant4.physics_list", "geant4.kinetic_energy_gev"])
def test_what_geant4_is_given_has_defaults(key):
    assert parse_detector(changed(key, None), "x") == DETECTOR


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(DetectorError, match=r"^no-such: No such file .*\['clic-like'\]"):
        load_detector("no-such")
    with pytest.raises(DetectorError, match="File name too long"):
        load_detector("x" * 5000)
    with pytest.raises(DetectorError, match="Is a directory"):
        load_detector(tmp_path)
    for content in (b"name = \n", b"\xff\xfe", b"[section]\n[section]\n"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(DetectorError, match=r"bad\.toml: is not valid TOML: "):
            load_detector(tmp_path / "bad.toml")
