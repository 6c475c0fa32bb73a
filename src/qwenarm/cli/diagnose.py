"""The commands that say why: `qwenarm attribute` and `qwenarm probe`."""

# Everything heavy is imported inside the command that needs it, as in cli.py.

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from qwenarm.errors import BadInput
from qwenarm.registry import split_names

if TYPE_CHECKING:
    from qwenarm.diagnosis.probe import Accuracy, Answer

# No markup and no emoji: names, folders and messages may hold brackets and colons.
out = Console(highlight=False, soft_wrap=False, markup=False, emoji=False)


def attribute(
    run: Positional[
        Annotated[Path | None, arg(metavar="RUN", help="a folder that `qwenarm eval` has filled; default: newest")]
    ] = None,
    roles: Annotated[str, arg(help="whose failures: vlm,blind; default: the model's, without one everybody's")] = "",
    workers: Annotated[int, arg(help="processes, each with its own model and renderer")] = 1,
    batch: Annotated[int, arg(help="episodes each plays in lockstep, their prompts answered together")] = 8,
) -> int:
    """Say of every failed episode which part failed: perception, plan, format, control, safety or time.

    Each is played again with one part after the other replaced by the oracle's; the first that helps is the cause. Stop
    it at any time; the same command goes on where it stopped, with as many workers as you like: they find the same.
    `qwenarm report` shows what is found.

    Example: qwenarm attribute --workers 2

    Example: qwenarm attribute runs/quick-v1 --roles vlm,oracle
    """
    from qwenarm.cli.progress import tell_death, telling
    from qwenarm.diagnosis.attribute import FILE, findings
    from qwenarm.diagnosis.attribute import attribute as attributed
    from qwenarm.evaluation.workers import Died
    from qwenarm.report.runs import newest_run

    run = run or newest_run(Path("runs"))
    with closing(attributed(run, split_names(roles, "--roles"), batch, workers)) as told, telling(out) as tell:
        for each in told:
            if isinstance(each, Died):
                tell_death(out, each)
                continue
            tell(f"{each.done} of {each.total} failed episodes", each.done, each.total)
            if not out.is_terminal:
                key = each.failed.key
                out.print(f"{key.task} {key.seed} {each.failed.role}: {each.line['cause']}", style="dim", markup=False)
    lines = findings(run)
    out.print(causes_table(lines) if lines else "No episode has failed.")
    out.print(f"causes  {run / FILE}")
    return 0


def causes_table(lines: list[dict[str, Any]]) -> Table:
    """How often each cause was named, by task; ties count for the first one."""
    from qwenarm.diagnosis.attribute import counted

    counts = counted(lines)
    total: Counter[str] = sum(counts.values(), Counter())
    names = sorted(total, key=lambda name: (-total[name], name))
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("task", "level", "failed", *names):
        table.add_column(column, justify="left" if column == "task" else "right")
    for (task, level), row in counts.items():
        table.add_row(task, str(level), str(sum(row.values())), *(str(row[name] or "–") for name in names))
    return table


def probe(
    model: Annotated[
        str, arg(help="bundled, a Hub id, a folder, a server's URL; see `qwenarm list models`")
    ] = "bundled",
    task: Annotated[str, arg(help="whose scenes, one or several")] = "put,stack,sort",
    level: Annotated[int, arg(help="of the tasks")] = 1,
    seeds: Annotated[int, arg(help="scenes of each task")] = 20,
    cameras: Annotated[str, arg(help="front,overhead: one after the other; default: what the model is shown")] = "",
    batch: Annotated[int, arg(help="questions asked together")] = 8,
    out_file: Annotated[Path | None, arg(name="out", help="JSON; default runs/probe-MODEL.json")] = None,
) -> int:
    """Measure pointing alone: does the model's point lie on what it was told of? No arm moves.

    It is asked for every thing of every scene in the form of its first decision: to pick it, or to place at it.

    Example: qwenarm probe --model http://localhost:8000 --seeds 10
    """
    from qwenarm.cli.progress import telling
    from qwenarm.diagnosis import probe as probing
    from qwenarm.mind.open_model import open_model

    tasks, views = split_names(task, "--task"), split_names(cameras, "--cameras")
    if seeds < 1 or batch < 1 or not tasks:
        raise BadInput("--seeds and --batch must be at least 1, and --task needs a name.")
    cells = [(name, level) for name in tasks]
    probing.check(cells, views)
    backend = open_model(model)
    answers: list[Answer] = []
    scenes = len(cells) * seeds * len(views or backend.preset.cameras)
    with telling(out) as tell:
        for answer in probing.probe(backend, cells, seeds, views, batch):
            answers.append(answer)
            begun = len({(a.question.camera, a.question.task, a.question.seed) for a in answers})
            hits = sum(a.kind == probing.HIT for a in answers)
            tell(f"{hits} of {len(answers)} points hit", begun, scenes)
    found = probing.accuracies(answers)
    out.print(accuracy_table(found))
    name = re.sub(r"[^\w.-]+", "-", model).strip("-")
    path = out_file or Path("runs") / f"probe-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(probing.record(backend, answers, found), indent=1) + "\n", encoding="utf-8")
    out.print(f"asked in its own form: the first decision on plain words\nanswers {path}")
    return 0


def accuracy_table(found: list[Accuracy]) -> Table:
    """One row per group: hits with their interval, the kinds of misses, the distances."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for column in ("hits", "95 % interval", "off", "other", "none", "px 50/90 %", "cm 50/90 %"):
        table.add_column(column, justify="right")
    for group in found:
        rate = f"{group.hits}/{group.n} {100 * group.hits / group.n:.0f} %" if group.n else "-"
        interval = f"{100 * group.low:.0f} to {100 * group.high:.0f} %"
        misses = (str(group.kinds[kind]) for kind in ("off", "other", "none"))
        spreads = (f"{each[0]:.1f} / {each[1]:.1f}" if each else "-" for each in (group.px, group.cm))
        table.add_row(group.name, rate, interval, *misses, *spreads)
    return table


def compare(
    a: Positional[Annotated[Path, arg(help="an evaluation's folder")]],
    b: Positional[Annotated[Path, arg(help="another one, or the same")]],
    who_a: Annotated[str, arg(help="whose episodes: words of its name; default: the only model, or the only one")] = "",
    who_b: Annotated[str, arg(help="the same for the other one")] = "",
) -> int:
    """Compare two evaluations pair by pair: differences with 95 % intervals, exact McNemar tests.

    Example: qwenarm compare runs/eval-vlm runs/eval-other

    Example: qwenarm compare runs/quick-v1 runs/quick-v1 --who-a bundled --who-b oracle
    """
    from qwenarm.report.comparing import compare_runs

    problems, table = compare_runs(a, b, who_a, who_b)
    for problem in problems:
        out.print(problem, style="yellow")
    out.print(table)
    return 0
