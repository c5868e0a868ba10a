# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastcalo.detector.cell_id import CellEncoding
from fastcalo.errors import DetectorError, InputError

ENCODING = CellEncoding.parse("system:5,module:5,layer:8,x:32:-16,y:-16")


def test_offsets_follow_unless_given():
    assert [(f.name, f.offset, f.width, f.signed) for f in ENCODING.fields] == [
        ("system", 0, 5, False),
        ("module", 5, 5, False),
        ("layer", 10, 8, False),
        ("x", 32, 16, True),
        ("y", 48, 16, True),
    ]


def test_bits_by_hand():
    packed = ENCODING.encode(system=20, module=3, layer=[0, 24], x=[1, -1], y=[-2, 2])
    assert packed.dtype == np.uint64
    assert [hex(cell) for cell in packed.tolist()] == ["0xfffe000100000074", "0x2ffff00006074"]


@st.composite
def encodings(draw):
    parts, offset = [], 0
    for i in range(draw(st.integers(1, 6))):
        skip = draw(st.integers(0, 20))
        free = min(63, 64 - offset - skip)
        if free < 1:
            break
        width, sign = draw(st.integers(1, free)), draw(st.sampled_from(["", "-"]))
        offset += skip
        parts.append(f"f{i}:{offset}:{sign}{width}" if skip else f"f{i}:{sign}{width}")
        offset += width
    return CellEncoding.parse(",".join(parts))


@given(encodings(), st.data())
def test_decoding_gives_back_what_was_encoded(encoding, data):
    values = {
        field.name: data.draw(st.lists(st.integers(field.lowest, field.highest), min_size=4, max_size=4))
        for field in encoding.fields
    }
    decoded = encoding.decode(encoding.encode(**values))
    assert list(decoded) == list(encoding.names)
    for name, value in values.items():
        assert decoded[name].dtype == np.int64
        assert_array_equal(decoded[name], value)


@given(st.tuples(*[st.integers(field.lowest, field.highest) for field in ENCODING.fields]))
def test_different_cells_have_different_ids(values):
    other = list(values)
    other[3] ^= 1
    names = ENCODING.names
    first, second = (ENCODING.encode(**dict(zip(names, v, strict=True))) for v in (values, other))
    assert first != second


@pytest.mark.parametrize(
    ("name", "value"), [("system", 32), ("module", -1), ("layer", 256), ("x", 32768), ("y", -32769), ("x", 2**40)]
)
def test_values_that_do_not_fit_are_refused_by_name(name, value):
    values = dict.fromkeys(ENCODING.names, np.zeros(3, dtype=np.int64)) | {name: np.array([0, value, 0])}
    with pytest.raises(InputError, match=rf"'{name}' holds .* but got {value}"):
        ENCODING.encode(**values)


def test_fields_must_be_those_of_the_encoding():
    with pytest.raises(InputError, match="made of"):
        ENCODING.encode(system=1, module=1, layer=1, x=1)
    with pytest.raises(InputError, match="made of"):
        ENCODING.encode(system=1, module=1, layer=1, x=1, y=1, z=1)
    with pytest.raises(InputError, match="'x' takes integers"):
        ENCODING.encode(system=1, module=1, layer=1, x=0.5, y=1)


def test_empty_columns():
    empty = ENCODING.encode(system=1, module=[], layer=[], x=[], y=[])
    assert empty.shape == (0,)
    assert ENCODING.decode(empty)["x"].shape == (0,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("system", "neither name:width"),
        ("system:a", "neither name:width"),
        ("system:1:2:3", "neither name:width"),
        ("", "neither name:width"),
        (":5", "names no field"),
        ("system:0", "1 to 63"),
        ("system:64", "1 to 63"),
        ("system:60:5", "beyond the 64"),
        ("system:-1:5", "beyond the 64"),
        ("system:32,x:32,y:1", "beyond the 64"),
        ("system:5,x:4:8", "another field has"),
        ("system:5,system:5", "comes twice"),
    ],
)
def test_bad_encodings(text, problem):
    with pytest.raises(DetectorError, match=problem):
        CellEncoding.parse(text)
