# SPDX-License-Identifier: BSD-3-Clause
"""Binnings of the CaloChallenge: found beside the file or named, and refused if they don't describe its voxels."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from helpers.files.foreign_files import BINNING, VOXELS, calochallenge, write_h5
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo.errors import InputError
from fastcalo.io.showers.binning import read_binnings
from fastcalo.io.showers.reader import open_showers

OTHER = '<Bins><Bin name="pion" pid="211"><Layer id="0" r_edges="0,1" n_bin_alpha="3"/></Bin></Bins>'


@pytest.fixture
def showers(tmp_path):
    return write_h5(tmp_path / "a.hdf5", **calochallenge(3))


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


layer_descriptions = st.tuples(
    st.lists(st.floats(0.25, 50), max_size=4),  # widths of the rings
    st.integers(1, 5),  # angles
    st.integers(0, 3),  # gap in the numbers of layers before it
)


@given(st.lists(layer_descriptions, min_size=1, max_size=5).filter(lambda layers: any(w for w, _, _ in layers)))
def test_voxels_are_in_their_layers(tmp_path_factory, layers):
    path = tmp_path_factory.mktemp("xml") / "b.xml"
    rows, expected, ids, number = [], [], [], -1
    for widths, angles, gap in layers:
        number += 1 + gap
        edges = np.concatenate([[0], np.cumsum(widths)])
        rows.append(f'<Layer id="{number}" r_edges="{",".join(map(repr, edges.tolist()))}" n_bin_alpha="{angles}"/>')
        for k in range(angles):
            for inner, outer in pairwise(edges):
                r, alpha = (inner + outer) / 2, np.pi * (-1 + (2 * k + 1) / angles)
                around = angles == 1
                expected.append((len(ids), r, 0 if around else r * np.cos(alpha), 0 if around else r * np.sin(alpha)))
        ids += [number] if widths else []
    path.write_text(f'<Bins><Bin name="electron">{"".join(rows)}</Bin></Bins>')
    (binning,) = read_binnings(path)
    assert binning.pdg == 11
    assert binning.layer_ids == tuple(ids)
    assert binning.voxels.layers == len(ids)
    layer, radius, x, y = np.array(expected).T
    assert_array_equal(binning.voxels.layer, layer)
    assert_allclose(binning.voxels.radius, radius)
    assert_allclose(binning.voxels.x, x, atol=1e-9)
    assert_allclose(binning.voxels.y, y, atol=1e-9)


def test_the_only_one_that_fits_is_found_among_others(tmp_path, showers):
    write(tmp_path, "pion.xml", OTHER)
    write(tmp_path, "photon.xml", BINNING)
    write(tmp_path, "notes.xml", "<notes><a/></notes>")
    write(tmp_path, "broken.xml", "no XML at all")
    with open_showers(showers) as opened:
        assert opened.attributes["binning"].endswith("photon.xml")


def test_none_beside_the_file(tmp_path, showers):
    with pytest.raises(
        InputError, match=r"a.hdf5: no XML beside it describes 13 voxels \(none is a binning\).*'binning'"
    ):
        open_showers(showers)
    write(tmp_path, "pion.xml", OTHER)
    with pytest.raises(InputError, match=r"a.hdf5: no XML beside it describes 13 voxels \(.*pion.xml: 3 of 'pion'"):
        open_showers(showers)


def test_several_beside_the_file(tmp_path, showers):
    write(tmp_path, "one.xml", BINNING)
    two = write(tmp_path, "two.xml", BINNING.replace("photon", "electron"))
    with pytest.raises(InputError, match=r"more than one binning fits 13 voxels \(.*one.xml.*two.xml"):
        open_showers(showers)
    for options in ({"binning": two}, {"pdg": 11}):
        with open_showers(showers, **options) as opened:
            assert opened.pdg().tolist() == [11] * 3
            assert opened.attributes["binning"] == str(two)


def test_several_particles_in_one_file(tmp_path, showers):
    bins = re.search(r"<Bin .*</Bin>", BINNING, re.DOTALL)[0]
    xml = write(tmp_path, "b.xml", f"<Bins>{bins}{bins.replace('photon', 'pion')}</Bins>")
    with pytest.raises(InputError, match=r"more than one binning fits 13 voxels.*'photon'.*'pion'"):
        open_showers(showers, binning=xml)
    with open_showers(showers, binning=xml, pdg=211) as opened:
        assert opened.pdg().tolist() == [211] * 3
    with pytest.raises(InputError, match=r"has 13 voxels of particles with code 13, but .*b.xml does not describe"):
        open_showers(showers, binning=xml, pdg=13)


@pytest.mark.parametrize("count", [VOXELS - 1, VOXELS + 1])
def test_a_misfit_names_both_files_and_numbers(tmp_path, count):
    path = write_h5(tmp_path / "a.hdf5", **calochallenge(3, voxels=count))
    xml = write(tmp_path, "b.xml", BINNING)
    with pytest.raises(InputError, match=rf"a.hdf5: has {count} voxels, but .*b.xml .*13 of 'photon'"):
        open_showers(path, binning=xml)


def test_an_unknown_particle_needs_its_code(tmp_path, showers):
    anonymous = BINNING.replace('pid="22" ', "").replace("photon", "axion")
    xml = write(tmp_path, "b.xml", anonymous)
    with pytest.raises(InputError, match=r"b.xml: the particle 'axion' is not known.*option 'pdg'"):
        open_showers(showers)
    with open_showers(showers, pdg=-11) as opened:
        assert opened.pdg().tolist() == [-11] * 3
    xml.write_text(BINNING.replace('pid="22"', 'pid="-13"').replace("photon", "antimuon"))
    with open_showers(showers) as opened:
        assert opened.pdg().tolist() == [-13] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r = 0, 5", "is not XML"),
        (BINNING[:-20], "is not XML"),
        ("", "is not XML"),
        ("<Bins/>", "describes no voxels"),
        ("<Bins><Bin name='photon'/></Bins>", "describes no voxels"),
        (BINNING.replace("0,2,6", "0,6,2"), r"<Bin name='photon'>: layer 1: r_edges must rise"),
        (BINNING.replace("0,2,6", "0,2,2"), "layer 1: r_edges must rise"),
        (BINNING.replace("0,2,6", "-1,2,6"), "layer 1: r_edges must rise"),
        (BINNING.replace("0,2,6", "0,2,inf"), "layer 1: r_edges must rise"),
        (BINNING.replace("0,2,6", "0;2;6"), "layer '1' needs id, r_edges and n_bin_alpha"),
        (BINNING.replace("0,2,6", ""), "layer '1' needs id, r_edges and n_bin_alpha"),
        (BINNING.replace('n_bin_alpha="4"', 'n_bin_alpha="0"'), "n_bin_alpha be at least 1"),
        (BINNING.replace('n_bin_alpha="4"', ""), "layer '1' needs id"),
        (BINNING.replace('id="12"', ""), "layer None needs id"),
        (BINNING.replace("photon", "axion").replace('"22"', '"x"'), "pid should be a PDG code, not 'x'"),
        ('<Bins><Bin name="a"><Layer id="0" r_edges="0" n_bin_alpha="1"/></Bin></Bins>', "no layer has voxels"),
    ],
)
def test_files_that_describe_no_voxels(tmp_path, showers, text, message):
    xml = write(tmp_path, "b.xml", text)
    with pytest.raises(InputError, match=f"b.xml.*{message}"):
        open_showers(showers, binning=xml)


def test_a_binning_that_is_not_there(tmp_path, showers):
    with pytest.raises(InputError, match=r"none.xml: cannot be read: No such file"):
        open_showers(showers, binning=tmp_path / "none.xml")
    with pytest.raises(InputError, match="cannot be read"):
        open_showers(showers, binning=tmp_path)
