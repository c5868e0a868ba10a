# SPDX-License-Identifier: BSD-3-Clause
"""Pages for the browser: an event to be turned, and the report of a conversion; both looked at in Chromium."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import chromium
from helpers.command import run_command
from helpers.models.small_engine import make_engine

from fastcalo import Reason, convert, open_hits
from fastcalo.errors import InputError, OutputError
from fastcalo.production.event_display import display

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "events.root"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Hits of the demo (hits.root), and the report of their conversion (report.html)."""
    folder = tmp_path_factory.mktemp("pages")
    convert(DEMO, folder / "hits.root", make_engine(), report=folder / "report.html")
    return folder


def shown(page: Path, probe: str = "") -> str:
    """The page as it is after its scripts ran, and one more."""
    copy = page.with_name("probed.html")
    copy.write_text(page.read_text().replace("</body>", f"<script>{probe}</script></body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={page.parent / 'profile'}"]  # fmt: skip
    run = subprocess.run(
        [chromium(), *flags, "--window-size=1200,800", f"--screenshot={page.with_suffix('.png')}", "--dump-dom",
         copy.as_uri()], capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return run.stdout


def content(page: Path):
    return json.loads(re.search(r'<script id="event" type="application/json">(.*?)</script>', page.read_text())[1])


def test_a_page_holds_the_hits_and_particles_of_its_event(folder):
    run_command("display", folder / "hits.root", "--event", "3", "-o", folder / "event.html")
    found = content(folder / "event.html")
    with open_hits(folder / "hits.root") as file:
        hits = file.read_event(3)
    for section in found["sections"]:
        mine = hits.sections[section["name"]]
        assert len(section["hits"]) == mine.n_hits > 0
        np.testing.assert_allclose([h[:3] for h in section["hits"]], mine.position, atol=0.06)
        np.testing.assert_allclose([h[3] for h in section["hits"]], mine.energy, rtol=1e-3)
    # a Z that decays to two electrons
    assert sum(p["kind"] == "electrons" for p in found["particles"]) == 2
    for particle in found["particles"]:
        np.testing.assert_allclose(particle["path"][0], 0, atol=1)
        assert np.hypot(*particle["path"][-1][:2]) > 1400 or abs(particle["path"][-1][2]) > 1900
    # nothing is fetched
    assert "http" not in (folder / "event.html").read_text()


@pytest.mark.slow
def test_the_slider_hides_hits_and_there_is_something_to_see(folder, tmp_path):
    from PIL import Image

    display(folder / "hits.root", tmp_path / "event.html", 3)
    move = """
        const slider = document.getElementById("threshold"), about = document.getElementById("about");
        const before = about.textContent;
        slider.value = 950; slider.dispatchEvent(new Event("input")); draw();
        document.title = before + " | " + about.textContent;
    """
    dom = shown(tmp_path / "event.html", move)
    before, total, after, _ = map(int, re.search(r"<title>(\d+) of (\d+) .*\| (\d+) of (\d+) ", dom).groups())
    assert before == total > after > 0
    with Image.open(tmp_path / "event.png") as image:
        assert len(image.convert("RGB").resize((300, 200)).getcolors(60_000)) > 100


def test_hits_are_drawn_alone_where_their_particles_are_gone(folder, tmp_path):
    with open_hits(folder / "hits.root") as file:
        assert file.particle_files == [str(DEMO)]
    source = tmp_path / "events.root"
    source.write_bytes(DEMO.read_bytes())
    convert(source, tmp_path / "hits.root", make_engine())
    source.unlink()
    display(tmp_path / "hits.root", tmp_path / "event.html")
    found = content(tmp_path / "event.html")
    assert found["particles"] == []
    assert found["note"].startswith("without particles: ")
    with pytest.raises(InputError, match="no such file"):
        display(tmp_path / "hits.root", tmp_path / "other.html", inputs=source)
    with pytest.raises(OutputError, match="exists already"):
        display(tmp_path / "hits.root", tmp_path / "event.html")


def test_an_event_that_is_not_there_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="has no event 300; it has 300"):
        display(folder / "hits.root", tmp_path / "event.html", 300)
    assert list(tmp_path.iterdir()) == []


def test_the_map_of_a_report_counts_every_final_particle(folder):
    text = (folder / "report.html").read_text()
    numbers = json.loads(re.search(r"<script type='application/json' id='numbers'>(.*?)</script>", text)[1])
    mapped = numbers["acceptance"]["species"]
    for reason in Reason:
        name = reason.name.lower()
        counted = sum(n for bins in mapped.values() for *_, r, n in bins if r == name)
        if reason not in (Reason.NOT_FINAL_STATE, Reason.DECAYED, Reason.BAD_NUMBERS):
            assert counted == numbers["reasons"][name]["count"]
    # what misses the calorimeter flies along the beam
    edges = numbers["acceptance"]["theta_deg"]
    missed = [edges[t] for bins in mapped.values() for t, _, _, r, _ in bins if r == "misses_calorimeter"]
    assert {0, 170} <= set(missed)
    assert "Acceptance" in text
    assert "gamma" in text


@pytest.mark.slow
def test_a_report_is_seen_in_the_browser(folder):
    from PIL import Image

    assert "Report of a conversion" in shown(folder / "report.html")
    with Image.open(folder / "report.png") as image:
        assert len(image.convert("L").resize((300, 200)).getcolors()) > 50
