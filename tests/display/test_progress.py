"""What the terminal shows of an evaluation: how far it is, how well it goes and how sure that is; then the scores."""

from collections import Counter
from io import StringIO

from rich.console import Console

from qwenarm.display.progress import running_rate, show_evaluation, tell_death, telling
from qwenarm.evaluation.evaluate import evaluate, plan
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.evaluation.ledger import rows
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.types import RunConfig

WHAT = plan(RunConfig(policy="oracle"), tasks="put", seeds=2, controls="idle")


def shown(folder, terminal):
    """All that is printed."""
    text = StringIO()
    show_evaluation(Console(file=text, force_terminal=terminal, width=120), WHAT, folder, workers=1, batch=1)
    return text.getvalue()


def test_a_terminal_gets_a_bar_with_rate_interval_and_time_and_then_the_scores(tmp_path):
    text = shown(tmp_path, True)
    for part in ("4/4", "oracle 100% (34-100)", "left", "95 % interval"):
        assert part in text, part


def test_a_file_gets_a_line_per_episode_and_is_told_what_stands_already(tmp_path):
    first = shown(tmp_path, False)
    assert first.count("oracle: success") == 2 and f"put {FIRST_SEED}, idle: out of turns" in first
    again = shown(tmp_path, False)
    assert "4 of 4 episodes are already in the ledger" in again and "oracle: success" not in again


def test_brackets_and_colons_are_printed_as_they_are(tmp_path):
    folder, text = tmp_path / "my[test]:cat:", StringIO()
    console = Console(file=text, width=400)
    show_evaluation(console, WHAT, folder, workers=1, batch=1)
    tell_death(console, WorkerDied("[/x] :cat:"))
    assert f"ledger  {folder}" in text.getvalue() and "a worker died ([/x] :cat:);" in text.getvalue()
    text = StringIO()
    with telling(Console(file=text, force_terminal=True, width=100)) as tell:
        tell("[/x] [bold]films", 1, 2)
    assert "[/x] [bold]films" in text.getvalue()


def test_the_running_rate_is_that_of_the_policy_and_not_of_its_controls(tmp_path):
    list(evaluate(WHAT, tmp_path))
    rates = [Counter(row.outcome for row in rows(tmp_path) if row.role == role) for role in ("oracle", "idle", "vlm")]
    oracle, idle, nobody = map(running_rate, rates, ("oracle", "idle", "vlm"))
    assert oracle.startswith("oracle 100%") and idle.startswith("idle 0%") and nobody == ""
