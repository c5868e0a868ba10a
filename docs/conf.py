# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the documentation: Sphinx with MyST, numpydoc and the theme furo."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import fastcalo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "development"))

project = "fastcalo"
author = "fastcalo developers"
copyright = f"2026, {author}"
release = version = fastcalo.__version__
source = "https://github.com/fastcalo/fastcalo"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
# `name` in a docstring is code, and a link where there is something of that name
default_role = "py:obj"

myst_enable_extensions = ["dollarmath", "smartquotes"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"fastcalo {release}"
html_static_path = ["_static"]
html_css_files = ["fastcalo.css"]
html_theme_options = {"source_repository": source, "source_branch": "main", "source_directory": "docs/"}


def link_sources(app: Any, docname: str, text: list[str]) -> None:
    """Have links to files of the repository that are no documents lead to the repository on the web."""
    del app
    up = r"\.\./" * (docname.count("/") + 1)
    text[0] = re.sub(rf"\]\({up}([^)]+)\)", rf"]({source}/blob/main/\1)", text[0])


def draw_architecture(app: Any) -> None:
    """Draw the picture of the architecture from the imports of the package."""
    del app
    from draw_architecture import draw

    picture = HERE / "development" / "architecture.svg"
    text = draw(HERE.parent)
    if not picture.exists() or picture.read_text(encoding="utf-8") != text:
        picture.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    """Register what is done before pages are read."""
    app.connect("builder-inited", draw_architecture)
    app.connect("source-read", link_sources)
