"""A browser shows the report without errors: light and dark, wide and narrow, with everything where it belongs."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.report.made import evaluation, suite

from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE as CAUSES
from qwenarm.evaluation.ledger import Key, rows
from qwenarm.policies import controls
from qwenarm.report import write_report

pytestmark = pytest.mark.browser

INSIDE = """[...document.querySelectorAll('figure.plotted svg')].every(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('circle, rect, text, polyline')].every(mark => {
    const box = mark.getBoundingClientRect();
    return box.left >= frame.left - 6 && box.right <= frame.right + 6
        && box.top >= frame.top - 2 && box.bottom <= frame.bottom + 2;
  });
})"""
"""Whether every mark is within its plot; a dot at 0 or 100 % may reach out by its radius."""
CONTRAST = """(() => {
  const light = css => { const [r, g, b] = css.match(/[\\d.]+/g).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = getComputedStyle(document.body).backgroundColor;
  return ['h1', '.words', '.caption', 'td small', 'nav a'].map(name => {
    const [a, b] = [getComputedStyle(document.querySelector(name)).color, behind].map(light).sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
})()"""
"""Ratios of text to ground, by the formula of WCAG 2.1 (1.4.3)."""
FIRST = "[...document.querySelector('table.episodes').tBodies[0].rows].map(row => Number(row.cells[2].textContent))"


def attributed(folder: Path) -> None:
    """Every failure of the model has a cause, some of them several."""
    failed = [asdict(row.key) for row in rows(folder) if row.role == "vlm"]
    causes = ("perception", "plan", "perception+plan")
    found = ({"key": key, "cause": causes[i % 3], "also": ["control"], "why": ""} for i, key in enumerate(failed))
    lines = map(json.dumps, found)
    (folder / CAUSES).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, three clocks, perturbations, causes, and a model with a very long name."""
    home = tmp_path_factory.mktemp("runs")
    played = suite(("put", "stack", "sort"), 3, ("", "look:2", "camera:1"))
    first = evaluation(home / "first", played, roles=("vlm", *controls()))

    def late(key: Key, role: str) -> bool:
        return key.seed % (2 if key.clock == "latency:0.5" else 3) == 0

    for clock in ("latency:0.5", "latency:2.0"):
        evaluation(first, played, late, ("vlm", "oracle"), clock)
    attributed(first)
    long_name = evaluation(home / "second", played, late, ("vlm",), model="./checkpoints/" + "a-very-long-name-" * 6)
    return write_report([first, long_name], tmp_path_factory.mktemp("site")).index


def opened(browser: Any, path: Path, scheme: str = "light", width: int = 1280) -> tuple[Any, list[str]]:
    """A tab, and a list that grows with whatever goes wrong in it."""
    complaints: list[str] = []
    tab = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    tab.goto(path.as_uri())
    return tab, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_front_page_fits_and_can_be_read(browser, index, scheme, width):
    tab, complaints = opened(browser, index, scheme, width)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    fits = "[...document.querySelectorAll('#cost .scroll')].every(each => each.scrollWidth <= each.clientWidth)"
    assert width < 1280 or tab.evaluate(fits)
    assert tab.evaluate(INSIDE)
    assert min(tab.evaluate(CONTRAST)) >= 4.5
    if shots := os.environ.get("QWENARM_SCREENSHOTS"):
        tab.screenshot(path=f"{shots}/report-{scheme}-{width}.png", full_page=True)
    assert complaints == []
    tab.close()


def test_a_cell_leads_to_its_episodes_and_they_to_their_pages(browser, index):
    tab, complaints = opened(browser, index)
    tab.click("table.matrix tbody td a >> nth=1")
    assert tab.url.endswith("#put-1-camera-1") and tab.locator(":target").inner_text() == "put, level 1"
    tab.click("table.episodes a >> nth=0")
    assert tab.evaluate("[...document.images].every(image => image.naturalWidth === 320)")
    assert tab.evaluate("document.images.length") > 0 and complaints == []
    tab.click("nav.eyebrow a >> nth=0")
    assert tab.url == index.as_uri()
    tab.close()


def test_a_list_is_searched_and_filtered_by_keyboard(browser, index):
    tab, complaints = opened(browser, next((index.parent / "episodes").glob("00-*.html")), width=390)
    total = tab.locator("table.episodes tbody tr:visible").count()
    tab.get_by_label("perturbation").select_option("look:2")
    tab.get_by_label("Search").fill("STACK level")
    rows = tab.locator("table.episodes tbody tr:visible")
    assert 0 < rows.count() < total and tab.locator(".tools output").inner_text() == f"{rows.count()} of {total}"
    assert all("stack" in text and "look:2" in text for text in rows.all_inner_texts())
    tab.get_by_label("Search").fill("nothing like this")
    assert rows.count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0 and complaints == []
    tab.close()


def test_two_models_stand_side_by_side(browser, index):
    tab, complaints = opened(browser, index)
    tab.click("#models table.data a >> nth=0")
    tab.get_by_label("succeeds", exact=True).select_option("only B")
    endings = tab.locator("table.episodes tbody tr:visible td:nth-child(7)").all_inner_texts()
    assert endings and set(endings) == {"success"}
    tab.click("table.episodes tbody tr:visible td:nth-child(6) a >> nth=0")
    assert tab.locator(".badge >> nth=0").inner_text() == "failure" and complaints == []
    tab.close()


def test_a_head_sorts_its_column_both_ways_also_by_keyboard(browser, index):
    tab, complaints = opened(browser, next((index.parent / "episodes").glob("*.html")))
    head = tab.locator("table.episodes thead button", has_text="seed")
    head.click()
    up = tab.evaluate(FIRST)
    head.press("Enter")
    down = tab.evaluate(FIRST)
    assert up == sorted(up) and down == sorted(down, reverse=True) and len(set(up)) > 1
    assert complaints == []
    tab.close()
