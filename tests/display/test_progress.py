"""What the terminal shows of an evaluation: how far it is, how well it goes and how sure that is; then the scores."""

import re
from collections import Counter
from io import StringIO

import pytest
from rich.console import Console

from qwenarm.display import progress
from qwenarm.display.progress import duration, running_rate, score_table, show_evaluation, tell_death, telling
from qwenarm.display.terminal import SafeConsole
from qwenarm.errors import BadInput
from qwenarm.evaluation.evaluate import Score, evaluate, plan
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.evaluation.ledger import rows
from qwenarm.evaluation.stats import success_rate
from qwenarm.evaluation.suites import FIRST_SEED, Cell
from qwenarm.types import RunConfig

WHAT = plan(RunConfig(policy="oracle"), tasks="put", seeds=2, controls="idle")


def shown(folder, terminal, width=120):
    """All that is printed."""
    text = StringIO()
    show_evaluation(SafeConsole(file=text, force_terminal=terminal, width=width), WHAT, folder, workers=1, batch=1)
    return text.getvalue()


def test_a_terminal_gets_a_bar_with_rate_interval_and_time_and_then_the_scores(tmp_path):
    text = shown(tmp_path, True)
    for part in ("4/4", "oracle 100% (34-100)", "left", "95 % interval"):
        assert part in text, part


def test_a_narrow_terminal_is_told_how_far_it_is_and_how_well_it_goes(tmp_path):
    text = shown(tmp_path, True, width=40)
    assert "4/4 oracle 100% (34-100) 0:00:0" in re.sub(r"\x1b\[[\d;]*m", "", text) and "…" not in text


def test_a_file_gets_a_line_per_episode_and_is_told_what_stands_already(tmp_path):
    first = shown(tmp_path, False)
    assert first.count("oracle: success") == 2 and f"put {FIRST_SEED}, idle: out of turns" in first
    again = shown(tmp_path, False)
    assert "4 of 4 episodes are already in the ledger" in again and "oracle: success" not in again


def test_a_file_is_told_how_far_it_is_and_how_long_it_takes(tmp_path):
    lines = [line for line in shown(tmp_path, False).splitlines() if " left " in line]
    assert [line.split(",")[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert lines[-1].startswith("4/4, 0:00 left")
    assert [duration(seconds) for seconds in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]


def test_the_end_has_a_total_per_policy_and_says_what_comes_next(tmp_path):
    text = shown(tmp_path, False)
    assert "all     oracle 100.0% (34.2% to 100.0%), n 2" in text and "all     idle 0.0%" in text
    assert f"next    qwenarm report {tmp_path}" in text


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_the_scores_can_be_read_at_any_width(width):
    cells = [Cell("put", 1, ""), Cell("rearrange", 2, "look:2,words:1")]
    outcomes = ["success", "failure", "out of turns", "gave up", "unreadable answers"]
    scored = [Score(role, cell, success_rate(outcomes)) for role in ("vlm", "vlm-state_text") for cell in cells]
    text = StringIO()
    Console(file=text, width=width).print(score_table(scored, width))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    joined = " ".join(text.getvalue().split())
    assert joined.count("20.0%") == 4 and joined.count("3.6% to 62.4%") == 4 and joined.count("look:2,words:1") == 2
    assert not any(line.endswith(("3.6%", "20.0")) for line in lines), "no number is broken"


def test_a_batch_of_none_is_told_before_anything_is_written(tmp_path):
    text = StringIO()
    with pytest.raises(BadInput, match="--batch"):
        show_evaluation(SafeConsole(file=text), WHAT, tmp_path / "e", workers=1, batch=0)
    assert text.getvalue() == "" and not (tmp_path / "e").exists()


def test_brackets_and_colons_are_printed_as_they_are(tmp_path):
    folder, text = tmp_path / "my[test]:cat:", StringIO()
    console = SafeConsole(file=text, width=40)
    show_evaluation(console, WHAT, folder, workers=1, batch=1)
    tell_death(console, WorkerDied("[/x] :cat:"))
    assert f"ledger  {folder}" in text.getvalue() and "a worker died ([/x] :cat:);" in text.getvalue()
    text = StringIO()
    with telling(Console(file=text, force_terminal=True, width=100)) as tell:
        tell("[/x] [bold]films", 1, 2)
    assert "[/x] [bold]films" in text.getvalue()


def test_a_file_is_told_now_and_then_how_far_a_long_job_is(monkeypatch):
    times, text = iter([0.0, 1.0, 20.0, 20.0, 21.0]), StringIO()
    monkeypatch.setattr(progress, "perf_counter", lambda: next(times))
    with telling(Console(file=text, force_terminal=False)) as tell:
        for done in range(3):
            tell("round 1: [steps]", done, 9)
    assert text.getvalue() == "1/9   round 1: [steps]\n"


def test_the_running_rate_is_that_of_the_policy_and_not_of_its_controls(tmp_path):
    list(evaluate(WHAT, tmp_path))
    rates = [Counter(row.outcome for row in rows(tmp_path) if row.role == role) for role in ("oracle", "idle", "vlm")]
    oracle, idle, nobody = map(running_rate, rates, ("oracle", "idle", "vlm"))
    assert oracle.startswith("oracle 100%") and idle.startswith("idle 0%") and nobody == ""
