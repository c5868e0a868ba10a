# SPDX-License-Identifier: BSD-3-Clause
"""Formats of hits: what each file holds is the same, and what reads one reads the other."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.command import run_command
from helpers.files.root_files import plain, write_tree
from numpy.testing import assert_array_equal

from fastcalo import FastSimulation, compare, convert, inspect, merge, open_events, open_hits
from fastcalo.errors import ConfigError, InputError, MissingDependencyError
from fastcalo.io.compression import Compression
from fastcalo.production.parts.join import join_parts
from fastcalo.production.parts.run import convert_in_parts

FORMATS = ("ttree", "rntuple", "parquet")
ENGINE = FastSimulation(models="em", threads=1, contributions=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    branches = plain(30, seed=2)
    # enough that they are not all of the same length, and some with the same numbers
    return write_tree(tmp_path_factory.mktemp("in") / "in.root", branches | {"event": np.arange(30) % 20})


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory) -> Path:
    """One conversion in all formats, with the particles that were refused and their hits."""
    folder = tmp_path_factory.mktemp("formats")
    for form in FORMATS:
        convert(source, folder / form, ENGINE, seed=1, format=form, contributions=True, compression="zstd:3",
                rejected=folder / f"{form}_rejected.root")  # fmt: skip
        convert(folder / f"{form}_rejected.root", folder / f"{form}_rest", ENGINE, format=form, contributions=True)
    return folder


def columns(path: Path) -> dict[str, list]:
    """What a file holds, read by its own library."""
    array = ak.from_parquet(path) if path.read_bytes()[:4] == b"PAR1" else uproot.open(path)["Events"].arrays()
    return {name: array[name].tolist() for name in array.fields}


def assert_same(one, other) -> None:
    """Compare nested dataclasses of arrays."""
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif isinstance(a, dict):
            assert a.keys() == b.keys()
            for name in a:
                assert_same(a[name], b[name])
        elif a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype, field.name
            assert_array_equal(a, b, err_msg=field.name)


@pytest.mark.parametrize("form", FORMATS[1:])
def test_names_values_and_types_are_those_of_the_tree(folder, form):
    assert columns(folder / form) == columns(folder / "ttree")
    with open_hits(folder / "ttree") as one, open_hits(folder / form) as other:
        assert one.n_events == other.n_events == 30
        assert one.file.identifiers(one.tree) == other.file.identifiers(other.tree)
        whole = one.read(contributions=True)
        assert whole.sections["ECAL"].n_hits > 1000
        assert_same(whole, other.read(contributions=True))
        for step in (7, "100 kB"):
            parts = list(other.iterate(step))
            assert len(parts) > 1
            assert sum(part.sections["ECAL"].n_hits for part in parts) == whole.sections["ECAL"].n_hits
        provenances = [{k: v for k, v in file.provenance.items() if k != "created"} for file in (one, other)]
        assert provenances[0] == provenances[1]


@pytest.mark.parametrize("form", FORMATS)
def test_all_that_reads_hits_reads_them(folder, form, source, tmp_path):
    merged = merge(folder / form, folder / f"{form}_rest", tmp_path / "merged")
    assert merged.events == 30
    with open_hits(tmp_path / "merged") as file:
        assert file.file.form == form
        assert file.provenance["accounts"]["events"] == 30
    assert compare(folder / form, folder / form).drop_in
    found = inspect(folder / form)
    assert "30" in str(found)
    convert_in_parts(
        open_events(source), tmp_path / "part", ENGINE, events_per_file=8, seed=1, format=form, contributions=True
    )
    join_parts(tmp_path, tmp_path / "joined")
    one, other = columns(tmp_path / "joined"), columns(folder / form)
    assert one["nECAL"] == other["nECAL"]
    assert one["particles_simulated"] == other["particles_simulated"]
    assert one.keys() == other.keys()


def test_two_formats_differ_in_nothing_but_their_kind(folder):
    result = compare(folder / "ttree", folder / "parquet")
    assert [line for line in result.differences if "branch" not in line] == [
        "tree 'Events': a TTree in FULL, but a Parquet in FAST"
    ]
    assert not any("branch" in line for line in result.differences)


ROOT_SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ROOT
reader = ROOT.RNTupleReader.Open("Events", sys.argv[1])
types = {str(f.GetFieldName()): str(f.GetTypeName()) for f in reader.GetDescriptor().GetTopLevelFields()}
frame = ROOT.RDataFrame("Events", sys.argv[1]).Define("total", "ROOT::VecOps::Sum(ECAL_energy)")
found = frame.AsNumpy(["total", "nECAL", "event"])
print(json.dumps([types, {name: values.tolist() for name, values in found.items()}]))
"""


@pytest.mark.slow
@pytest.mark.root
def test_root_reads_the_ntuple(folder):
    # in a process of its own: ROOT takes over signals, and changes how others import
    done = subprocess.run(
        [sys.executable, "-c", ROOT_SCRIPT, folder / "rntuple"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    types, found = json.loads(done.stdout)
    assert types["ECAL_energy"] == "std::vector<float>"
    assert types["ECAL_cell_id"] == "std::vector<std::uint64_t>"
    assert (types["event"], types["ECAL_layer"]) == ("std::int64_t", "std::vector<std::int16_t>")
    tree = columns(folder / "ttree")
    assert found["nECAL"] == tree["nECAL"]
    assert found["event"] == tree["event"]
    np.testing.assert_allclose(found["total"], [sum(event) for event in tree["ECAL_energy"]], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("form", ["ttree", "rntuple", "edm4hep"])
def test_parts_are_merged_by_hadd_of_root(source, form, tmp_path):
    # ROOT is not imported here: it takes over signals, and changes how others import
    package = find_spec("ROOT")
    if package is None or package.origin is None:
        pytest.skip("needs ROOT")
    (tmp_path / "parts").mkdir()
    convert_in_parts(
        open_events(source), tmp_path / "parts" / "hits.root", ENGINE, events_per_file=12, seed=1, format=form,
        contributions=True,
    )  # fmt: skip
    parts = sorted((tmp_path / "parts").glob("*.root"))
    with uproot.open(parts[0]) as file:
        if form != "ttree":
            ntuple = file["events" if form == "edm4hep" else "Events"]
            assert all(page.has_checksum for column in ntuple.page_link_list[0] for page in column.pages)
    hadd = Path(package.origin).with_name("bin") / "hadd"
    subprocess.run([hadd, tmp_path / "hadd.root", *parts], check=True, capture_output=True)
    join_parts(tmp_path / "parts", tmp_path / "joined.root")
    with open_hits(tmp_path / "hadd.root") as one, open_hits(tmp_path / "joined.root") as other:
        assert_same(one.read(contributions=True), other.read(contributions=True))
        provenances = [
            {key: value for key, value in file.provenance.items() if key != "created"} for file in (one, other)
        ]
        sums = [each["accounts"].pop("sections") for each in provenances]
        assert provenances[0] == provenances[1]
        assert sums[0]["ECAL"]["energy"] == pytest.approx(sums[1]["ECAL"]["energy"])
    assert compare(tmp_path / "hadd.root", tmp_path / "joined.root").drop_in


@pytest.mark.parametrize("form", FORMATS)
def test_levels_and_methods_change_the_size_only(source, folder, form, tmp_path):
    sizes = {}
    for text in ("none", "zlib:9", "lz4", "zstd:1"):
        path = tmp_path / text.replace(":", "-")
        convert(source, path, ENGINE, seed=1, format=form, contributions=True, compression=text)
        assert columns(path) == columns(folder / form)
        sizes[text] = path.stat().st_size
    # Parquet has dictionaries of values, which save what there is to save, also where nothing is packed
    assert sizes["none"] > 1.05 * max(sizes["lz4"], sizes["zlib:9"], sizes["zstd:1"])


@pytest.mark.parametrize("form", FORMATS[:2])
def test_zlib_is_the_same_without_isa_l(source, folder, form, tmp_path, monkeypatch):
    """Content, size and stated method do not depend on what compresses; ROOT reads both, as other tests show."""
    pytest.importorskip("isal.isal_zlib", reason="isal has no wheel for this machine")
    paths = tmp_path / "isal", tmp_path / "zlib"
    convert(source, paths[0], ENGINE, seed=1, format=form, contributions=True)
    monkeypatch.setitem(sys.modules, "isal", None)
    convert(source, paths[1], ENGINE, seed=1, format=form, contributions=True)
    assert paths[0].read_bytes() != paths[1].read_bytes()
    for path in paths:
        assert columns(path) == columns(folder / form)
        with uproot.open(path) as file:
            assert file.file.compression.code == uproot.ZLIB(1).code
    assert paths[0].stat().st_size == pytest.approx(paths[1].stat().st_size, rel=0.1)


def test_flipped_bits_of_a_basket_are_noticed(source, tmp_path):
    """The checksum of ZLIB, which ISA-L writes as well, is the only one in a ROOT file."""
    convert(source, tmp_path / "hits.root", ENGINE, seed=1)
    image = (tmp_path / "hits.root").read_bytes()
    with uproot.open(tmp_path / "hits.root") as file:
        branch = file["Events"]["ECAL_energy"]
        start, n = branch.member("fBasketSeek")[0], branch.member("fBasketBytes")[0]
    rng = np.random.default_rng(1)
    for place in rng.integers(start + n // 4, start + n, 30):
        damaged = bytearray(image)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged.root").write_bytes(damaged)
        with pytest.raises(InputError), open_hits(tmp_path / "damaged.root") as hits:
            hits.read()


def test_what_is_no_compression_is_refused():
    assert str(Compression.parse("ZSTD")) == "zstd:5"
    assert str(Compression.parse("none")) == "none"
    for text in ("zip", "zlib:0", "zstd:20", "lz4:x", "none:1", ""):
        with pytest.raises(ConfigError, match="compression"):
            Compression.parse(text)
    with pytest.raises(ConfigError, match="Parquet has no lzma"):
        Compression.parse("lzma").of_parquet()


def test_a_damaged_parquet_file_is_refused(folder, tmp_path):
    image = bytearray((folder / "parquet").read_bytes())
    path = tmp_path / "hits.parquet"

    def read() -> dict:
        with open_hits(path) as file:
            found = file.file.read(file.tree, list(file.file.branches(file.tree)), range(file.n_events))
        return {name: column.values.tobytes() for name, column in found.items()}

    path.write_bytes(image)
    whole, refused = read(), 0
    for start in range(1000, len(image) // 2, len(image) // 24):
        spoilt = bytearray(image)
        spoilt[start] ^= 4
        path.write_bytes(spoilt)
        try:
            # heads of pages have no checksum, but hold statistics that nobody asks for
            assert read() == whole
        except InputError as error:
            refused += "hits.parquet" in str(error)
    assert refused >= 10
    path.write_bytes(image[:-50])
    with pytest.raises(InputError, match=r"hits\.parquet cannot be read; it may be cut short"):
        open_hits(path)


def test_without_pyarrow_the_extra_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"parquet\]'"):
        convert(source, tmp_path / "hits.parquet", ENGINE, format="parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command(source, tmp_path):
    path = tmp_path / "hits.parquet"
    done = run_command("convert", source, "-o", path, "--format", "parquet", "--compression", "zstd:9", "--model", "em")
    assert done.returncode == 0, done.stderr
    assert len(ak.from_parquet(path)) == 30
    assert "Parquet file" in run_command("inspect", path).stdout
    assert run_command("convert", source, "-o", tmp_path / "x", "--compression", "zip").returncode == 1
