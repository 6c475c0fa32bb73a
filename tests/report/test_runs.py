"""What is read of a run, and what is said of one that is not whole."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tests.report.made import TEMPLATE, evaluation, suite

from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE as CAUSES
from qwenarm.episode.trace import EPISODES_FILE, pack, read_at, scan
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import MANIFEST_FILE, Key
from qwenarm.report.runs import newest_run, read_run, read_runs

SMALL = suite(("put",), 3, ("",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evaluation(tmp_path / "run", SMALL, roles=("vlm", "oracle"))


def foreign() -> str:
    """A line that no evaluation has written."""
    run = replace(TEMPLATE.run, suite="")
    return pack(replace(TEMPLATE, run=run)).line


def lines(folder: Path) -> list[bytes]:
    return (folder / EPISODES_FILE).read_bytes().splitlines(keepends=True)


def test_a_whole_run_has_no_problems_and_every_line(folder):
    run = read_run(folder)
    assert run.problems == () and len(run.records) == 6
    assert [record.line for record in run.records] == list(range(6))
    for record in run.records:
        episode = read_at(folder, record.offset)
        assert Key.of(episode.run) == record.key and episode.outcome == record.outcome


def test_a_half_written_last_line_is_not_counted(folder):
    whole = (folder / EPISODES_FILE).read_bytes()
    (folder / EPISODES_FILE).write_bytes(whole[:-20])
    run = read_run(folder)
    assert len(run.records) == 5
    (problem,) = run.problems
    assert "played 2 of 3" in problem


def test_broken_double_and_foreign_lines_are_counted_in_sentences(folder):
    first, _, *rest = lines(folder)
    (folder / EPISODES_FILE).write_bytes(b"".join([b"{not json}\n", first, first, foreign().encode(), *rest]))
    run = read_run(folder)
    told = "\n".join(run.problems)
    assert len(run.records) == 5
    for words in (
        "line 1 cannot be read",
        "1 episode in the ledger for the second",
        "not played by `qwenarm eval`",
        "vlm has played 2 of 3",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "There is no episodes.jsonl"),
        (lambda folder: folder.mkdir(), "There is no episodes.jsonl"),
        (lambda folder: (folder.mkdir(), (folder / EPISODES_FILE).touch()), "no episode"),
        (lambda folder: (folder.mkdir(), (folder / EPISODES_FILE).write_text('{"half')), "no episode"),
    ],
)
def test_a_run_without_episodes_is_bad_input(tmp_path, prepare, words):
    prepare(tmp_path / "none")
    with pytest.raises(BadInput, match=words):
        read_runs([tmp_path / "none"])


def test_manifests_that_are_missing_damaged_or_changed_are_told(folder):
    path = folder / MANIFEST_FILE
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "renderer": "another"}))
    assert any("changed after it was written" in problem for problem in read_run(folder).problems)
    path.write_text("{")
    assert any("damaged" in problem for problem in read_run(folder).problems)
    path.write_text(json.dumps({"sha256": "x", "runs": [{"blocks": 3}]}))
    assert any("does not say what was asked for" in problem for problem in read_run(folder).problems)
    path.unlink()
    assert any("has no manifest.json" in problem for problem in read_run(folder).problems)
    assert len(read_run(folder).records) == 6


def test_causes_belong_to_their_keys(folder):
    keys = [asdict(Key.of(head.run)) for _, head in scan(folder)]
    found = {"key": keys[1], "cause": "perception", "also": ["plan"], "why": "It pointed at the bowl.", "tried": {}}
    told = [found, {**found, "key": {"odd": 1}}]
    (folder / CAUSES).write_text("".join(json.dumps(each) + "\n" for each in told))
    run = read_run(folder)
    assert [record.why for record in run.records[:3]] == ["", "perception", ""]
    assert str(run.records[1].cause) == "perception (or plan): It pointed at the bowl."
    assert any("line 2 cannot be read" in problem for problem in run.problems)


def test_the_newest_evaluation_is_the_one_that_was_written_to_last(tmp_path):
    old, new = (evaluation(tmp_path / name, SMALL, roles=("vlm",)) for name in ("b", "a"))
    os.utime(old / EPISODES_FILE, (1, 1))
    (tmp_path / "single-run").mkdir()
    (tmp_path / "single-run" / EPISODES_FILE).write_text(foreign())
    assert newest_run(tmp_path) == new
    with pytest.raises(BadInput, match="no evaluation"):
        newest_run(tmp_path / "nowhere")


def test_runs_with_one_name_are_told_apart_by_their_parents(tmp_path):
    places = [evaluation(tmp_path / name / "run", SMALL, roles=("vlm",)) for name in ("one", "other")]
    assert [run.name for run in read_runs([*places, places[0]])] == ["one/run", "other/run"]
