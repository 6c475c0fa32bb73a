"""Improving goes through its rounds, resumes, and stops where it no longer helps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qwenarm.cli.main import main
from qwenarm.errors import BadInput
from qwenarm.train import improve as improving
from qwenarm.train.improve import ImproveOptions, improve, page
from qwenarm.train.sft import SftOptions, fine_tune
from qwenarm.types import RunConfig


def row(number: int, rate: float) -> dict:
    return {"round": number, "model": f"m{number}", "rates": {"put": rate}, "mean": rate, "seconds": 60.0}


def test_the_page_tells_success_with_intervals_and_the_cost_of_a_point():
    text = page([row(0, 0.5), row(1, 0.75)], scenes=40)
    assert "| 0 | 50% (35-65) | 50% | 1 | - |" in text
    assert "| 1 | 75% (60-86) | 75% | 1 | 0.0 |" in text
    assert "round 1" in text.splitlines()[-1]


@pytest.mark.parametrize(("rates", "rounds"), [([0.1, 0.3, 0.3, 0.9], 3), ([0.1, 0.2, 0.3, 0.4, 0.5], 5)])
def test_it_stops_where_a_round_no_longer_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rates: list[float], rounds: int
):
    def watched(config: RunConfig, tasks: object, scenes: int) -> dict[str, float]:
        seen.append(config.model)
        return {"put": rates[len(seen) - 1]}

    seen: list[str] = []
    monkeypatch.setattr(improving, "watch", watched)
    monkeypatch.setattr(improving, "collect_all", lambda *_: iter([1]))
    monkeypatch.setattr(improving, "fine_tune", lambda *_: None)
    best = improve(ImproveOptions(RunConfig(), ("put",), tmp_path))
    assert len(seen) == rounds
    assert str(best) == seen[rates.index(max(rates[:rounds]))]
    assert improve(ImproveOptions(RunConfig(), ("put",), tmp_path)) == best
    assert len(seen) == rounds, "a finished run is only read again"


@pytest.mark.render
def test_the_command_works(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def in_small_steps(options: SftOptions, told: Callable[..., object]) -> None:
        fine_tune(replace(options, batch=4), told)

    monkeypatch.setattr(improving, "fine_tune", in_small_steps)
    assert main(["improve", "--quick", "--task", "put", "--out", str(tmp_path)]) == 0
    assert "Improvement" in (tmp_path / "improve.md").read_text()
    capsys.readouterr()


def test_numbers_that_make_no_sense_are_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="at least 1"):
        improve(ImproveOptions(RunConfig(), ("put",), tmp_path, rounds=0))
