"""Commands that make and show demonstrations: collect, data."""

# Everything heavy is imported inside the command that needs it, so that help comes at once.

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from qwenarm.cli.options import Altitude, ArmName, Cameras, Combinations, arg, out
from qwenarm.errors import BadInput
from qwenarm.registry import split_names

Folders = Positional[
    Annotated[tuple[Path, ...], arg(metavar="[FOLDER ...]", help="folders that `qwenarm collect` has filled")]
]
SHOWN_COLUMNS = ("task", "level", "perturbations", "policy", "mistakes", "episodes", "won", "decisions", "MB")
"""The columns of `data show`. The first four name a kind of episodes; the numbers follow."""


def collect(
    task: Annotated[str, arg(metavar="TASKS", help="tasks such as put,stack, also module:NAME")] = "put",
    level: Annotated[str, arg(metavar="LEVELS", help="levels such as 1,2")] = "1",
    episodes: Annotated[int, arg(help="episodes of every task, level and set of perturbations")] = 100,
    first_seed: Annotated[int, arg(help="seed of the first scene; keep below 1000000, where evaluations begin")] = 0,
    perturbations: Annotated[
        str,
        arg(
            metavar="NAME:STRENGTH",
            help="also perturbed scenes: look:2,words:1 (one by one), look:2+words:1 (both at once); default: none",
        ),
    ] = "",
    policy: Annotated[
        str,
        arg(metavar="POLICY", help="who plays: oracle, or vlm (the model plays, and the oracle says what was right)"),
    ] = "oracle",
    model: Annotated[
        str,
        arg(
            metavar="MODEL",
            help="the model that prompts are written for; its weights are needed only with --policy vlm",
        ),
    ] = "bundled",
    mistakes: Annotated[
        float, arg(help="share of the oracle's calls spoilt on purpose, 0 to 1, to show how to recover")
    ] = 0.0,
    arm: ArmName = "panda",
    altitude: Altitude = "step",
    cameras: Cameras = "",
    combos: Combinations = "",
    workers: Annotated[int, arg(help="number of processes")] = 1,
    out_folder: Annotated[Path, arg(name="out", help="folder of the archives; existing ones are kept")] = Path(
        "runs/data"
    ),
    quick: Annotated[bool, arg(help="two episodes of everything, a try in seconds")] = False,
) -> int:
    """Collect demonstrations: each prompt as a model is asked, with the oracle's answer. Stop at any time.

    Example: qwenarm collect --task put,stack,sort --episodes 500 --mistakes 0.1 --workers 2

    Example: qwenarm collect --task put --policy vlm --model runs/sft/checkpoint
    """
    from qwenarm.display.progress import telling
    from qwenarm.train.collect import collect_all, plan_jobs
    from qwenarm.types import RunConfig

    config = RunConfig(arm=arm, policy=policy, model=model, altitude=altitude, combos=combos, cameras=cameras)
    sets = ["", *(text.replace("+", ",") for text in split_names(perturbations, "--perturbations"))]
    levels = [_whole(text, "--level") for text in split_names(level, "--level")]
    tasks = split_names(task, "--task")
    jobs = plan_jobs(config, tasks, levels, sets, 2 if quick else episodes, first_seed, mistakes)
    total = done = 0
    with telling(out) as tell:
        for samples in collect_all(jobs, out_folder, workers):
            total, done = total + samples, done + 1
            tell(f"{total} decisions", done, len(jobs))
    out.print(f"new decisions: {total}; archives: {done} new, {len(jobs) - done} were there before")
    out.print_places({"data": out_folder})
    return 0


def data(
    what: Positional[Annotated[Literal["show", "check"], arg(help="count them, or look for faults in them")]],
    folders: Folders = (Path("runs/data"),),
) -> int:
    """Show what demonstrations there are, or check every picture, answer and point of them.

    Example: qwenarm data check runs/data
    """
    from qwenarm.display.tables import fitted_table
    from qwenarm.train.dataset import problems, read_shards

    shards = read_shards(folders)
    if what == "check":
        found = [f"{shard.path}: {problem}" for shard in shards for problem in problems(shard)]
        out.warn(found)
        decisions = sum(len(shard.lines) for shard in shards)
        out.print(f"archives: {len(shards)}, decisions: {decisions}, problems: {len(found)}")
        return 1 if found else 0
    sums: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for shard in shards:
        head = shard.head
        key = (head["task"], str(head["level"]), head["perturbations"], head["policy"], f"{head['mistakes']:g}")
        numbers = (head["episodes"], head["succeeded"], len(shard.lines), shard.path.stat().st_size)
        sums[key] = [a + b for a, b in zip(sums[key], numbers, strict=True)]
    rows = [
        [task, level, perturbations or "none", policy, mistakes, *map(str, counts), f"{size / 1e6:.1f}"]
        for (task, level, perturbations, policy, mistakes), (*counts, size) in sorted(sums.items())
    ]
    out.print(fitted_table(SHOWN_COLUMNS, rows, out.width, SHOWN_COLUMNS[4:], names=4))
    return 0


def _whole(text: str, option: str) -> int:
    if not text.isdigit():
        raise BadInput(f"{option} takes whole numbers, not {text!r}.")
    return int(text)
