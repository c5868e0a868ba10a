# SPDX-License-Identifier: BSD-3-Clause
"""The picture of the architecture, and that links of documents lead somewhere."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [path for path in sorted(found) if "_build" not in path.parts and "generated" not in path.parts]


@pytest.fixture(scope="module")
def picture() -> ET.Element:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "development"))
        module = import_module("draw_architecture")
    return ET.fromstring(module.draw(ROOT))


def test_the_picture_shows_every_folder(picture: ET.Element) -> None:
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    boxes = {name for text in texts for name in text.split(", ")}
    for band in ("fastcalo", "training", "export", "integration"):
        assert any(text.startswith(f"{band}/") for text in texts), band
    for band in ("fastcalo", "training", "export"):
        folders = [path.parent for path in (ROOT / band).glob("*/__init__.py")]
        names = {folder.name for folder in folders if not folder.is_symlink()}
        assert names <= boxes, band


def test_boxes_of_the_picture_do_not_overlap(picture: ET.Element) -> None:
    boxes = [
        tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        for box in picture.iter(f"{SVG}rect")
        if box.attrib["fill"] == "#ffffff"
    ]
    assert len(boxes) > 20
    for k, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x <= 980 - width
        for other_x, other_y, other_width, other_height in boxes[k + 1 :]:
            apart = x + width < other_x or other_x + other_width < x
            assert apart or y + height < other_y or other_y + other_height < y


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(document: Path) -> None:
    made = {"architecture.svg"}
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path = target.partition("#")[0]
        if path and "://" not in path and path not in made:
            assert (document.parent / path).exists(), target


def test_what_is_to_be_touched_exists() -> None:
    """Files that the page of extensions names are there."""
    text = (ROOT / "docs" / "development" / "extending.md").read_text()
    named = [path for path in re.findall(r"`([\w/.-]+/[\w.-]*)`", text) if "NAME" not in path]
    places = [ROOT, ROOT / "tests"]
    assert len(named) > 15
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_names_stand_in_the_files_that_the_page_gives_for_them() -> None:
    text = (ROOT / "docs" / "development" / "extending.md").read_text()
    pairs = re.findall(r"`(\w+)`\s(?:of|in)\s`([\w/]+\.pyi?)`", text)
    assert len(pairs) > 8
    for name, path in pairs:
        assert re.search(rf"^(class |def |){name}\b", (ROOT / path).read_text(), re.MULTILINE), f"{name} of {path}"


def test_every_folder_of_tests_is_in_the_table() -> None:
    text = (ROOT / "docs" / "development" / "testing.md").read_text()
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == folders
