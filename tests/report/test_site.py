"""The site: all of it is there, all of it is inside, every number agrees, and no rate stands without its interval."""

import csv
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.display.test_episode_page import EVIL
from tests.report.made import edited, evaluation, rates, suite

from qwenarm import report as reports
from qwenarm.episode.trace import EPISODES_FILE, to_line
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.ledger import MANIFEST_FILE, read_manifest
from qwenarm.report import site as sites
from qwenarm.report import write_report
from qwenarm.report.exports import EXPORT_FILES, LATEX_ESCAPES, printed
from qwenarm.report.numbers import compare_runs


class Links(HTMLParser):
    """What a page points to, its anchors, and what the reader reads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.tags: list[str] = []
        self.pictures = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.pictures += tag == "img" and found.get("src", "").endswith(".png")
        self.targets += [found[name] for name in ("href", "src") if name in found]
        self.anchors |= {found["id"]} if "id" in found else set()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("runs")
    played = suite(("put", "stack"), 4, ("", "look:2", "light:1"), (1, 2))
    first = evaluation(home / "first", played)
    evaluation(first, played, roles=("vlm",), clock="latency:2.0", succeeds=lambda key, role: key.seed % 3 == 0)
    second = evaluation(home / "second", played, lambda key, role: key.task == "put", ("vlm",), model="other")
    return [first, second]


@pytest.fixture(scope="module")
def site(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(runs, tmp_path_factory.mktemp("site")).index.parent


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes most of the time that a report takes."""
    monkeypatch.setattr(reports, "write_exports", lambda report, out: None)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_every_link_leads_somewhere_inside(site):
    links = {path: Links(path) for path in site.rglob("*.html")}
    assert len(links) > 100
    for path, found in links.items():
        for target in found.targets:
            if target.startswith("data:"):
                continue
            assert not re.match(r"[a-z]+:|/", target), f"{path} points outside: {target}"
            name, _, anchor = unquote(target).partition("#")
            there = (path.parent / name).resolve() if name else path
            assert there.is_file() and there.is_relative_to(site), f"{path} points to {target}"
            assert not anchor or anchor in links[there].anchors, f"{path} points to {target}"


def test_all_parts_are_there(site):
    found = Links(site / "index.html")
    anchors = {"leaderboard", "families", "models", "latency", "progress", "failures", "cost", "episodes", "cite"}
    assert anchors <= found.anchors and found.tags.count("svg") > 10
    assert all((site / name).stat().st_size > 200 for name in EXPORT_FILES)


def test_every_episode_has_its_page_and_its_row(site, runs):
    rows = table(site / "episodes.csv")
    assert len(rows) == sum(len((run / EPISODES_FILE).read_text().splitlines()) for run in runs)
    assert len(list(site.glob("episodes/*/*.html"))) == len(rows)


UNTOLD = r"<style>.*?</style>|<script>.*?</script>|<svg.*?</svg>|<section id=.reading.*?</section>|<i>\d+ %</i>|<[^>]+>"
"""Of a page: what is drawn, the scale beneath it, how to read it, and the tags."""


def test_no_rate_stands_without_its_interval(site):
    for path in (site / "report.md", site / "index.html"):
        text = " ".join(re.sub(UNTOLD, " ", path.read_text(), flags=re.DOTALL).split())
        told = re.findall(r"(\d+) % *(.{12})", text)
        bare = [each for each in told if not re.match(r"\(\d+–\d+\)|Wilson|bootstrap|interval", each[1])]
        assert len(told) > 20 and not bare, f"{path}: {bare[:5]}"


def test_all_files_tell_the_same_numbers(site):
    episodes, leaders, cells = (table(site / f"{name}.csv") for name in ("episodes", "leaderboard", "cells"))
    for row in leaders:
        mine = [each for each in episodes if each["entrant"] == row["entrant"] and not each["perturbations"]]
        assert rates(mine) == (int(row["k"]), int(row["n"]))
        assert f"{row['k']}/{row['n']} · " in (site / "report.md").read_text()
    for row in cells:
        where = ("entrant", "task", "level", "perturbations")
        mine = [each for each in episodes if all(each[name] == row[name] for name in where)]
        assert rates(mine) == (int(row["k"]), int(row["n"]))
        assert float(row["low"]) <= float(row["rate"]) <= float(row["high"])
        assert bool(row["perturbations"]) == bool(row["pairs"])


def test_the_citation_has_the_manifest_s_hash(site, runs):
    for text in ((site / "index.html").read_text(), (site / "report.md").read_text()):
        assert all(f"manifest sha256 {read_manifest(run)['sha256']}" in text for run in runs)


def test_models_are_compared_on_the_page_as_by_compare(site, runs):
    problems, table_ = compare_runs(*runs, who_a="paused")
    assert not problems
    told = list(printed(table_, 100).columns[1].cells)
    assert told[0] == "16" and all(int(pairs) > 0 for pairs in told)
    rows = [row for row in table(site / "comparisons.csv") if row["a"] == "bundled · paused" and row["b"] == "other"]
    assert [row["pairs"] for row in rows] == told


def test_what_a_model_says_cannot_break_the_site(tmp_path):
    run = evaluation(tmp_path / "run", suite((EVIL,), 1, ("",)), model=EVIL)
    index = write_report([run], tmp_path / "site").index
    for path in index.parent.rglob("*.html"):
        found = Links(path)
        assert found.tags.count("script") == 1 and found.tags.count("img") == found.pictures
        assert not any(re.match("[a-z]+:(?!,)", target) for target in found.targets)
        assert "Content-Security-Policy" in path.read_text(encoding="utf-8")
    text = (index.parent / "report.md").read_text(encoding="utf-8")
    assert "alert" in text and "<" not in text, "Markdown may hold HTML, so there must be none"


@pytest.mark.parametrize("name", ["../private/x.png", "frames/../../private/x.png", "/etc/hostname", "frames/link.png"])
@pytest.mark.usefixtures("no_figures")
def test_no_path_leads_out_of_a_run(tmp_path, name):
    run = evaluation(tmp_path / "run", suite(("put",), 1, ("",)), roles=("vlm",))
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x.png").write_bytes(next((run / "frames").iterdir()).read_bytes())
    (run / "frames" / "link.png").symlink_to(tmp_path / "private" / "x.png")
    edited(run, lambda line: line["turns"][0]["observation"]["frames"][0].update(png=name))
    written = write_report([run], tmp_path / "site")
    assert written.pages == 0 and "No page for line 1" in written.problems[0]
    assert not any(path.name in ("x.png", "link.png") for path in (tmp_path / "site").rglob("*"))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values within JSON."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from leaves(each, (*path, key))


ODD = [None, "x", -1, float("inf"), float("nan"), [], {}, True, "\x1b[31m", 10**30, [1], {"a": 1}]


@pytest.mark.usefixtures("no_figures")
def test_one_wrong_value_in_a_line_costs_no_more_than_that_line(tmp_path):
    run = evaluation(tmp_path / "run", suite(("put",), 2, ("",)), roles=("vlm",))
    line, other = (run / EPISODES_FILE).read_text().splitlines()
    random = Random(0)
    places = list(leaves({name: v for name, v in json.loads(line).items() if name not in ("schema", "crc32")}))[1:]
    for place in random.sample(places, 30):
        edited = {name: value for name, value in json.loads(line).items() if name not in ("schema", "crc32")}
        inner = edited
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = random.choice(ODD)
        (run / EPISODES_FILE).write_text(f"{to_line(edited)}{other}\n")
        written = write_report([run], tmp_path / "site")
        assert written.episodes >= 1 and (written.pages == 2 or written.problems), place


@pytest.mark.parametrize(
    ("place", "odd"),
    [
        (("run", "config", "task"), "9" * 5000),
        (("run", "seed"), 10**400),
        (("run", "config", "level"), 10**400),
        (("turns", 0, "decision", "calls"), [{"name": "pick", "args": {"at": {"u": 10**400, "v": 0.5}}}]),
        (("turns", 0, "sim_time_s"), float("nan")),
        (("turns", 0, "completions"), [{"text": "x", "tokens_in": "many"}]),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
@pytest.mark.usefixtures("no_figures")
def test_values_beyond_measure_cost_no_more_than_their_line(tmp_path, place, odd):
    run = evaluation(tmp_path / "run", suite(("put",), 2, ("",)), roles=("vlm",))
    line, other = (run / EPISODES_FILE).read_text().splitlines()
    edited = {name: value for name, value in json.loads(line).items() if name not in ("schema", "crc32")}
    inner = edited
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = odd
    (run / EPISODES_FILE).write_text(f"{to_line(edited)}{other}\n")
    written = write_report([run], tmp_path / "site")
    assert written.pages == 2 or (written.pages == 1 and "line" in " ".join(written.problems))


@given(st.text(max_size=40))
def test_latex_is_shown_as_it_is(text):
    plain = re.sub(r"\\text\w+\{\}|\\[&%$#_{}]|\$-\$|\$\\cdot\$", "", text.translate(LATEX_ESCAPES))
    assert not re.search(r"[&%$#_{}^~\\]", plain)


def test_two_models_stand_side_by_side(site):
    (path,) = (site / "side-by-side").glob("00.html")
    text, found = path.read_text(), Links(path)
    shared = next(
        row for row in table(site / "comparisons.csv") if row["b"] == "other" and row["a"].startswith("bundled")
    )
    assert all(f">{ending}<" in text for ending in ("only A", "only B", "both", "neither"))
    pages = [target for target in found.targets if target.startswith("../episodes/")]
    assert len(pages) >= 2 * int(shared["pairs"])


def test_half_a_character_in_an_old_ledger_does_not_break_the_site(tmp_path):
    folder = evaluation(tmp_path / "run", suite(("put",), 1, ("",)), roles=("vlm",))
    edited(folder, lambda line: line.update(instruction="put the red \ud83d cube away"))
    written = write_report([folder], tmp_path / "site")
    assert written.pages == 1 and written.problems == []
    (shown,) = (tmp_path / "site").glob("episodes/*/*.html")
    assert "red ? cube" in shown.read_text(encoding="utf-8")
    assert "red ? cube" in (tmp_path / "site" / "episodes.csv").read_text(encoding="utf-8")


def test_pictures_are_the_trace_s_own(site, runs):
    page = next(site.glob("episodes/00-*/*.html"))
    pictures = [target for target in Links(page).targets if target.endswith(".png")]
    assert pictures
    for target in pictures:
        assert (page.parent / target).read_bytes() == (runs[0] / "frames" / Path(target).name).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_of_many_episodes_failures_and_samples_get_a_page_and_the_site_says_so(tmp_path, monkeypatch):
    run = evaluation(tmp_path / "run", suite(("put",), 6, ("",)))
    monkeypatch.setattr(sites, "MAX_EPISODES_WITH_PAGES", 10)
    written = write_report([run], tmp_path / "site")
    assert written.pages == (3 + 1) + 1 + 1  # the model's failures and a success; one of the oracle, one of idle
    assert "--pages all" in written.index.read_text()
    assert write_report([run], tmp_path / "all", which="all").pages == 18
    assert write_report([run], tmp_path / "none", which="none").pages == 0


@pytest.mark.usefixtures("no_figures")
def test_a_missing_picture_costs_one_page_and_is_told(tmp_path):
    run = evaluation(tmp_path / "run", suite(("put",), 2, ("",)), roles=("vlm",))
    for path in (run / "frames").iterdir():
        path.unlink()
    written = write_report([run], tmp_path / "site")
    assert written.pages == 0 and len(written.problems) == 2 and "No page for line 1" in written.problems[0]
    assert "No page for line 1" in written.index.read_text()


@pytest.mark.usefixtures("no_figures")
def test_runs_of_different_suites_and_code_are_told_apart(tmp_path, monkeypatch):
    first = evaluation(tmp_path / "first", suite(("put",), 3))
    monkeypatch.setattr("qwenarm.evaluation.ledger.source_sha256", lambda: "f" * 64)
    other = suite(("put", "sort"), 2)
    second = evaluation(tmp_path / "second", type(other)("other-v2", other.blocks))
    told = "\n".join(write_report([first, second], tmp_path / "site", which="none").problems)
    assert "differ in suite (first: made-v1; second: other-v2)" in told and "differ in source code" in told
    assert "Not everybody played the same unchanged scenes" in told and "in common: 2" in told


@pytest.mark.usefixtures("no_figures")
def test_what_nobody_played_is_neither_drawn_nor_compared(tmp_path):
    first = evaluation(tmp_path / "first", suite(("put", "sort"), 2, ("",)), roles=("vlm",))
    second = evaluation(tmp_path / "second", suite(("put",), 2, ("",)), roles=("vlm",), model="other")
    text = write_report([first, second], tmp_path / "site", which="none").index.read_text()
    drawn = [re.findall("<circle", strip) for strip in re.findall(r'<svg class="strip".*?</svg>', text, re.S)]
    assert list(map(len, drawn)) == [2, 1]  # put, sort
    _, compared = compare_runs(first, second)
    assert [row[0].text for row in compared.rows] == ["all, unchanged", "put"]


@pytest.mark.usefixtures("no_figures")
def test_two_policies_of_one_name_are_told(tmp_path):
    first = evaluation(tmp_path / "first", suite(("put",), 1, ("",)), roles=("vlm",))
    second = evaluation(tmp_path / "second", suite(("put",), 1, ("",)), roles=("vlm",))
    edited(second, lambda line: line["run"]["policy"].update(sha256="retrained"))
    before, after = (next(ledger.rows(folder)).key.policy[:8] for folder in (first, second))
    told = "\n".join(write_report([first, second], tmp_path / "site", which="none").problems)
    assert f"bundled · step is not one policy but 2 ({before} in first, {after} in second)" in told


def test_a_place_that_cannot_be_written_to_is_bad_input(tmp_path):
    run = evaluation(tmp_path / "run", suite(("put",), 1, ("",)), roles=("vlm",))
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="Cannot write the report"):
        write_report([run], tmp_path / "file" / "site")


@pytest.mark.usefixtures("no_figures")
def test_only_controls_make_a_report_too(tmp_path):
    run = evaluation(tmp_path / "run", suite(("put",), 2, ("",)), roles=("oracle",))
    index = write_report([run], tmp_path / "site").index.read_text()
    assert "<b>oracle</b> succeeds in" in index and "qwenarm attribute" in index
    assert reports.make_report(reports.read_runs([run])).models[0].role == "oracle"
    assert (run / MANIFEST_FILE).is_file()
