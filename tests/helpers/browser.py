# SPDX-License-Identifier: BSD-3-Clause
"""HTML pages as parsed by a headless browser."""

import html.parser
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest


class Page(html.parser.HTMLParser):
    """What a page links to, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.headings: list[str] = []
        self._in_heading = False

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        self._in_heading = tag in ("h1", "h2")

    def handle_data(self, data):
        if self._in_heading:
            self.headings.append(data.strip())
            self._in_heading = False


def chromium() -> str:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("needs Chromium to open the page: install the package chromium")
    return found


def check_in_browser(text: str, folder: Path) -> None:
    """Open a page, see that all its figures are decoded, and that there is something to see."""
    from PIL import Image

    # the page has no script; this one reports how many figures were decoded
    count = "[...document.images].filter(image => image.naturalWidth > 300).length"
    probe = f"<script>onload = () => {{ document.title = {count} }}</script>"
    page = folder / "page.html"
    page.write_text(text.replace("</body>", probe + "</body>"))
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={folder / 'profile'}"]  # fmt: skip
    browser = [chromium(), *quiet]
    run = partial(subprocess.run, capture_output=True, text=True, check=True, timeout=90)
    shown = run([*browser, "--dump-dom", page.as_uri()])
    assert f"<title>{text.count('<img ')}</title>" in shown.stdout
    picture = folder / "page.png"
    run([*browser, "--window-size=1200,3000", f"--screenshot={picture}", page.as_uri()])
    with Image.open(picture) as image:
        assert image.size == (1200, 3000)
        # text and figures, not a blank page or one colour
        assert len(image.convert("L").resize((300, 750)).getcolors()) > 50
