"""Progress on the terminal: a bar with the running success rate and the time left, then the table of scores."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from qwenarm.display.tables import fitted_table
from qwenarm.display.terminal import MIN_TERMINAL_CHARS_FOR_SECONDS, SafeConsole
from qwenarm.evaluation.evaluate import Begun, Plan, Score, evaluate, scores
from qwenarm.evaluation.jobs import WorkerDied
from qwenarm.evaluation.ledger import Row
from qwenarm.evaluation.stats import success_rate

LOG_PERIOD_S = 15.0
"""Least time between two lines about the progress of a long job in a log, in s."""


def show_evaluation(console: SafeConsole, plan: Plan, folder: Path, **how: Any) -> list[Row]:
    """Plays a plan with a progress bar and prints the scores, also after an error or Ctrl-C.

    Args:
        console: where to print.
        plan: what to play.
        folder: of the ledger.
        how: the other arguments of ``evaluate``.

    Returns:
        The row of every episode.
    """
    rows, outcomes, total = list[Row](), Counter[str](), 0
    began, played = perf_counter(), 0
    try:
        with closing(evaluate(plan, folder, **how)) as events, _bar(console) as bar:  # type: ignore[type-var]
            task = bar.add_task("loading", total=None, rate="")
            for event in events:
                if isinstance(event, Begun):
                    rows += event.rows
                    began, total = perf_counter(), event.total
                    outcomes.update(row.outcome for row in rows if row.role == plan.config.policy)
                    bar.update(task, total=event.total, completed=len(rows), description="episodes")
                    console.warn(event.warnings)
                    if rows:
                        console.print(f"{len(rows)} of {event.total} episodes are already in the ledger", style="dim")
                elif isinstance(event, WorkerDied):
                    tell_death(console, event)
                else:
                    rows.append(event)
                    played += 1
                    outcomes[event.outcome] += event.role == plan.config.policy
                    bar.update(task, advance=1, rate=running_rate(outcomes, plan.config.policy))
                    if not console.is_terminal:
                        left_s = (total - len(rows)) * (perf_counter() - began) / played
                        place = f"{len(rows)}/{total}, {duration(left_s)} left   "
                        console.print(Text(place + row_text(event), style="dim"), soft_wrap=True)
    finally:
        if total:
            console.print(score_table(scores(rows, plan), console.width), *totals(rows, plan.roles), sep="\n")
            console.print_places({"ledger": folder, "next": shlex.join(["qwenarm", "report", str(folder)])})
    return rows


def totals(rows: Iterable[Row], roles: Sequence[str]) -> list[Text]:
    """One line per policy with its success rate over all episodes, perturbed ones included."""
    lines = list[Text]()
    for role in roles:
        rate = success_rate(Counter(row.outcome for row in rows if row.role == role))
        if rate.n:
            words = f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}), n {rate.n}"
            lines.append(Text.assemble((f"all     {role} ", "bold"), words))
    return lines


def duration(seconds: float) -> str:
    """A duration as text, such as "0:07", "12:30" or "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    """The progress bar; nothing if the output is not a terminal."""
    texts = [TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[rate]}")]
    columns = (MofNCompleteColumn(), texts[1], TimeRemainingColumn())
    if console.width >= MIN_TERMINAL_CHARS_FOR_SECONDS:
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        columns = (texts[0], BarColumn(), *columns[:2], *times)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


@contextmanager
def telling(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for work in several parts, or now and then a line if the output is not a terminal.

    Yields a function of (description, done, total).
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    told_s = perf_counter()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told_s
        bar.update(task, description=what, completed=done, total=total)
        if not console.is_terminal and perf_counter() - told_s > LOG_PERIOD_S:
            told_s = perf_counter()
            console.print(Text(f"{done}/{total}   {what}", style="dim"), soft_wrap=True)

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield tell


def tell_death(console: SafeConsole, died: WorkerDied) -> None:
    """Prints that a worker died. Its episodes are played again, so this costs only time."""
    console.warn([f"a worker died ({died.reason}); its episodes will be played again"])


def running_rate(outcomes: Mapping[str, int], role: str) -> str:
    """The success rate so far with its interval, perturbed and unperturbed episodes together."""
    rate = success_rate(outcomes)
    return f"{role} {rate.value:.0%} ({100 * rate.low:.0f}-{100 * rate.high:.0f})" if rate.n else ""


def row_text(row: Row) -> str:
    """One episode in one line: "put 1000003, look:2, vlm: success"."""
    who = ", ".join(filter(None, [f"{row.key.task} {row.key.seed}", row.key.perturbations, row.role]))
    return f"{who}: {row.outcome}"


def score_table(scores: Iterable[Score], width: int = 120) -> RenderableType:
    """Success rates with intervals, and the other outcomes. Columns with one value in all rows are left out.

    Args:
        scores: One row each.
        width: Width of the terminal, in characters.
    """
    rows = [(score, _where(score)) for score in scores]
    told = [name for name in ("policy", "level", "perturbations") if len({where[name] for _, where in rows}) > 1]
    cells = list[list[str]]()
    for score, where in rows:
        rate = score.rate
        percent = f"{rate.value:.1%}" if rate.n else "-"
        others = ", ".join(f"{count} {name}" for name, count in rate.endings.items() if name != "success")
        numbers = [percent, f"{rate.low:.1%} to {rate.high:.1%}", str(rate.n)]
        cells.append([*(where[name] for name in ("task", *told)), *numbers, others])
    numbers = ("success", "95 % interval", "n")
    return fitted_table(("task", *told, *numbers, "other endings"), cells, width, numbers, names=1 + len(told))


def _where(score: Score) -> dict[str, str]:
    cell = score.cell
    return {
        "task": cell.task,
        "policy": score.role,
        "level": str(cell.level),
        "perturbations": cell.perturbations or "none",
    }
