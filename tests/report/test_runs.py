"""What is read of a run, and what is said of one that is not whole."""

import json
import os
from pathlib import Path

import pytest
from tests.report.made import evaluation, suite

from qwenarm.episode.trace import FILE
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import MANIFEST
from qwenarm.report.runs import CAUSES, newest_run, read_run, read_runs

SMALL = suite(("put",), 3, ("",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return evaluation(tmp_path / "run", SMALL, roles=("vlm", "oracle"))


def lines(folder: Path) -> list[bytes]:
    return (folder / FILE).read_bytes().splitlines(keepends=True)


def test_a_whole_run_has_no_problems_and_every_line(folder):
    run = read_run(folder)
    assert run.problems == () and len(run.records) == 6
    assert [record.line for record in run.records] == list(range(6))
    raw = (folder / FILE).read_bytes()
    for record in run.records:
        data = json.loads(raw[record.offset :].split(b"\n")[0])
        assert data["seed"] == record.key.seed and data["outcome"] == record.outcome


def test_a_half_written_last_line_is_told_and_not_counted(folder):
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[:-20])
    run = read_run(folder)
    assert len(run.records) == 5
    assert any("half-written" in problem for problem in run.problems)
    assert any("played 2 of 3" in problem for problem in run.problems)


def test_broken_double_and_foreign_lines_are_counted_in_sentences(folder):
    first, _, *rest = lines(folder)
    foreign = json.loads(first)
    del foreign["setup"]["key"]
    (folder / FILE).write_bytes(b"".join([b"{not json}\n", first, first, json.dumps(foreign).encode() + b"\n", *rest]))
    run = read_run(folder)
    told = "\n".join(run.problems)
    assert len(run.records) == 5
    for words in ("cannot be read", "a second time", "not played by `qwenarm eval`", "vlm has played 2 of 3"):
        assert words in told


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "No such file"),
        (lambda folder: folder.mkdir(), "No such file"),
        (lambda folder: (folder.mkdir(), (folder / FILE).touch()), "no episode"),
        (lambda folder: (folder.mkdir(), (folder / FILE).write_text('{"half')), "half-written"),
    ],
)
def test_a_run_without_episodes_is_bad_input(tmp_path, prepare, words):
    prepare(tmp_path / "none")
    with pytest.raises(BadInput, match=words):
        read_runs([tmp_path / "none"])


def test_manifests_that_are_missing_damaged_or_changed_are_told(folder):
    path = folder / MANIFEST
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
    keys = [json.loads(line)["setup"]["key"] for line in lines(folder)]
    found = {"key": keys[1], "cause": "perception", "also": ["plan"], "why": "It pointed at the bowl.", "tried": {}}
    told = [found, {"key": {"odd": 1}, "cause": "plan"}]
    (folder / CAUSES).write_text("".join(json.dumps(each) + "\n" for each in told))
    run = read_run(folder)
    assert [record.why for record in run.records[:3]] == ["", "perception", ""]
    assert str(run.records[1].cause) == "perception (or plan): It pointed at the bowl."
    assert any("1 lines cannot be read" in problem for problem in run.problems)


def test_the_newest_evaluation_is_the_one_that_was_written_to_last(tmp_path):
    old, new = (evaluation(tmp_path / name, SMALL, roles=("vlm",)) for name in ("b", "a"))
    os.utime(old / FILE, (1, 1))
    (tmp_path / "single-run").mkdir()
    (tmp_path / "single-run" / FILE).write_text("{}\n")
    assert newest_run(tmp_path) == new
    with pytest.raises(BadInput, match="no evaluation"):
        newest_run(tmp_path / "nowhere")


def test_runs_with_one_name_are_told_apart_by_their_parents(tmp_path):
    places = [evaluation(tmp_path / name / "run", SMALL, roles=("vlm",)) for name in ("one", "other")]
    assert [run.name for run in read_runs([*places, places[0]])] == ["one/run", "other/run"]
