# SPDX-License-Identifier: BSD-3-Clause
"""Seeded damage to bytes, texts and tables."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2.5, 1e308, -0.0, float("inf"), float("nan"), 10**9, 2**63, 10**400, "", "x", "x" * 5000,
    "\x1b[2J", "é\u202e", [], [[]], {}, [1, "a"], {"a": 1}, [[[[[[1]]]]]],
)  # fmt: skip
"""Values that a clause, a key or an entry may be replaced by."""


def damage(image: bytes, rng: random.Random) -> bytes:
    """One kind of damage to bytes: flipped bits, overwritten, zeroed, lost, moved or foreign bytes."""
    kinds = (flip_bits, flip_bits, flip_bits, overwrite, zero_block, cut_off, cut_out, insert, swap_blocks)
    return rng.choice(kinds)(image, rng)


def flip_bits(image: bytes, rng: random.Random) -> bytes:
    out = bytearray(image)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(image: bytes, rng: random.Random) -> bytes:
    start, stop = _span(image, rng, 64)
    return image[:start] + rng.randbytes(stop - start) + image[stop:]


def zero_block(image: bytes, rng: random.Random) -> bytes:
    start, stop = _span(image, rng, 4096)
    return image[:start] + bytes(stop - start) + image[stop:]


def cut_off(image: bytes, rng: random.Random) -> bytes:
    return image[: rng.randrange(len(image))]


def cut_out(image: bytes, rng: random.Random) -> bytes:
    start, stop = _span(image, rng, 512)
    return image[:start] + image[stop:]


def insert(image: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(image))
    return image[:at] + rng.randbytes(rng.randrange(1, 64)) + image[at:]


def swap_blocks(image: bytes, rng: random.Random) -> bytes:
    size = max(1, min(256, len(image) // 4))
    a, b = sorted(rng.randrange(max(1, len(image) - size)) for _ in range(2))
    out = bytearray(image)
    out[a : a + size], out[b : b + size] = image[b : b + size], image[a : a + size]
    return bytes(out)


def edit_table(table: Any, rng: random.Random) -> Any:
    """Replace, remove or add something anywhere in nested tables and lists."""
    table = copy.deepcopy(table)
    places = list(_places(table))
    if not places:
        return rng.choice(ODD)
    holder, key = rng.choice(places)
    what = rng.random()
    if what < 0.15:
        del holder[key]
    elif what < 0.25 and isinstance(holder, dict):
        holder[rng.choice(("new", "", "x" * 300))] = rng.choice(ODD)
    elif what < 0.4 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * rng.choice((-1, 0, 2, 1e-9, 1e12)) + rng.choice((0, 1))
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD))
    return table


def edit_toml(text: str, rng: random.Random) -> bytes:
    """Replace a value, remove, double or move a line, or damage bytes."""
    lines = text.splitlines()
    assigned = [k for k, line in enumerate(lines) if "=" in line and not line.lstrip().startswith("#")]
    what, at = rng.random(), rng.choice(assigned)
    if what < 0.6:
        lines[at] = f"{lines[at].split('=')[0]}= {rng.choice(_TOML)}"
    elif what < 0.7:
        del lines[at]
    elif what < 0.75:
        lines.insert(at, lines[at])
    elif what < 0.8:
        lines.insert(rng.randrange(len(lines)), lines.pop(at))
    elif what < 0.85:
        lines[at] = lines[at].split("=")[0] + "= " + "[" * 2000 + "]" * 2000
    else:
        return damage(text.encode(), rng)
    return "\n".join(lines).encode()


_TOML = (
    "1", "0", "-1", "2.5", "1e308", "-1e-308", "inf", "nan", "true", '""', '"x"', "[]", "[1]", "[1, 2]", "[1.0, -2.0]",
    "{}", "{ a = 1 }", '["a"]', "1979-05-27", "1" + "0" * 400, "1000000000", "9223372036854775808",
    '"' + "x" * 5000 + '"',
    "[[1, 2], [3]]", "[nan, inf]", '"\\u001b[2J"',
)  # fmt: skip


def _span(image: bytes, rng: random.Random, longest: int) -> tuple[int, int]:
    start = rng.randrange(len(image))
    return start, min(len(image), start + rng.randrange(1, longest))


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)
