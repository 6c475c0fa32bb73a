"""Improving goes through its rounds, resumes, stops where it no longer helps, and leaves a page."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwenarm.cli.main import main
from qwenarm.errors import BadInput
from qwenarm.evaluation.evaluate import scores
from qwenarm.evaluation.ledger import Key, Row, rows
from qwenarm.train import improve as improving
from qwenarm.train.improve import ROUNDS_FILE, WATCHED_FOLDER, ImproveOptions, improve
from qwenarm.train.improve_page import PAGE_FILE, Round, write_page
from qwenarm.train.sft import SftOptions, fine_tune
from qwenarm.train.task_config import UNCHOSEN
from qwenarm.train.watch import FIRST_WATCHED_SEED
from qwenarm.types import Outcome, RunConfig


def made(number: int, rate: float, **causes: int) -> Round:
    return Round(number, f"m{number}", {"put": rate}, causes, 60.0, f"hash{number}")


def test_the_page_tells_success_with_intervals_the_cost_of_a_point_and_causes(tmp_path: Path):
    rounds = [made(0, 0.5, perception=20), made(1, 0.75, perception=6, plan=4), made(2, 0.7, plan=12)]
    text = write_page(tmp_path, tmp_path, rounds, scenes=40).read_text()
    assert "50% (35–65), n = 40" in text and "75% (60–86), n = 40" in text
    assert "<td>75 %</td><td>1</td><td>0.0</td><td>6</td><td>4</td>" in text
    assert "<td>70 %</td><td>1</td><td>–</td>" in text, "a loss has no price"
    assert "--model m1" in text and "in 3 minutes" in text


def test_a_round_is_read_as_it_was_written():
    assert Round.from_json(json.loads(json.dumps(made(1, 0.5, plan=2).as_json()))) == made(1, 0.5, plan=2)


@pytest.mark.parametrize("line", ["{}", "[]", '{"number": 1}', "no"])
def test_damaged_rounds_are_named(tmp_path: Path, line: str):
    (tmp_path / ROUNDS_FILE).write_text(line + "\n")
    with pytest.raises(BadInput, match=r"rounds\.jsonl is damaged"):
        improve(ImproveOptions(RunConfig(), ("put",), tmp_path))


@pytest.mark.parametrize(("rates", "rounds"), [([1, 3, 3, 9], 3), ([1, 2, 3, 4, 5], 5), ([1, 10, 3], 2), ([10, 1], 1)])
def test_it_stops_where_a_round_no_longer_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rates: list[int], rounds: int
):
    def watched(options: ImproveOptions, number: int, model: str, tell: object) -> Iterator[Row]:
        seen.append(model)
        for i in range(10):
            key = Key("watched", "put", 1, FIRST_WATCHED_SEED + i, "panda", "all", "", "paused", model)
            yield Row(key, "vlm", Outcome.SUCCESS if i < rates[number] else Outcome.FAILURE, 0.0)

    seen: list[str] = []
    monkeypatch.setattr(improving, "_watch", watched)
    monkeypatch.setattr(improving, "_causes", lambda *_: {})
    monkeypatch.setattr(improving, "write_page", lambda *_, **__: None)
    monkeypatch.setattr(improving, "collect_all", lambda *_: iter([1]))
    monkeypatch.setattr(improving, "fine_tune", lambda options, tell: options.out / "checkpoint")
    options = ImproveOptions(RunConfig(), ("put",), tmp_path, watched=10)
    best = improve(options)
    assert len(seen) == rounds
    assert str(best) == seen[rates.index(max(rates[:rounds]))]
    assert improve(options) == best
    assert len(seen) == rounds, "a finished run is only read again"


def test_every_watched_scene_is_planned_once_with_the_combinations_of_its_task(tmp_path: Path):
    combos = {"put": "seen", "tests.train.test_collect:ELSEWHERE": "all", "stack": "seen"}
    options = ImproveOptions(RunConfig(combos=UNCHOSEN), tuple(combos), tmp_path, watched=2)
    plans = improving._plans(options, "bundled")
    played = Counter((job.key.task, job.key.combos) for plan in plans for job in plan.jobs({"vlm": "hash"}))
    assert played == dict.fromkeys(combos.items(), 2)
    assert len({plan.frozen for plan in plans}) == 1, "one ledger holds them all"


@pytest.mark.render
def test_the_command_works(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def in_small_steps(options: SftOptions, told: Callable[..., None]) -> Path:
        return fine_tune(replace(options, batch=4), told)

    monkeypatch.setattr(improving, "fine_tune", in_small_steps)
    monkeypatch.setattr(improving, "_finished", lambda done: len(done) > 1)  # though the one scene is won at once
    assert main(["improve", "--quick", "--task", "put", "--out", str(tmp_path)]) == 0
    assert "Success after each round" in (tmp_path / PAGE_FILE).read_text()
    played = list(rows(tmp_path / WATCHED_FOLDER))
    assert {row.key.seed for row in played} == {FIRST_WATCHED_SEED} and len({row.key.policy for row in played}) == 2
    told = [json.loads(line)["rates"]["put"] for line in (tmp_path / ROUNDS_FILE).read_text().splitlines()]
    assert sum(score.rate.k for score in scores(played)) == sum(told), "the ledger says the same as the rounds"
    said = capsys.readouterr().out
    table = said[said.index("success") :].splitlines()
    assert [line.split()[0] for line in table[:3]] == ["success", "before", "round"]
    assert f"{told[0]:.0%} (" in said and ", n = 1" in said


def test_numbers_that_make_no_sense_are_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="at least 1"):
        improve(ImproveOptions(RunConfig(), ("put",), tmp_path, rounds=0))
