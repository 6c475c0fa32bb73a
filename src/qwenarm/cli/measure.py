"""Commands that measure: eval, report, compare, attribute, probe."""

# Everything heavy is imported inside the command that needs it, so that help comes at once.

from __future__ import annotations

import json
import re
import shlex
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from qwenarm.cli.demo import require_live_page
from qwenarm.cli.options import (
    Allowed,
    Altitude,
    ArmName,
    Cameras,
    ClockName,
    ControlName,
    EpisodeBatch,
    Model,
    PlayingWorkers,
    PolicyName,
    arg,
    out,
)
from qwenarm.cli.tables import accuracy_table, causes_table
from qwenarm.errors import BadInput
from qwenarm.registry import names_to_allow, only_allowed, split_names

if TYPE_CHECKING:
    from qwenarm.diagnosis.probe import PointingAnswer
    from qwenarm.evaluation.workers import MakeWatchers


def eval_(
    suite: Annotated[
        str, arg(metavar="SUITE", help="quick, standard, full or a JSON file; default: none, the tasks of --task")
    ] = "",
    task: Annotated[
        str, arg(metavar="TASKS", help="tasks to play, such as put,stack; default: all of the suite, or put,stack,sort")
    ] = "",
    level: Annotated[
        int | None, arg(metavar="INT", help="play only this level; default: all of the suite, or 1")
    ] = None,
    seeds: Annotated[
        int | None,
        arg(metavar="INT", help="scenes per task, the same ones every time; default: those of the suite, or 20"),
    ] = None,
    perturbations: Annotated[
        str | None,
        arg(
            metavar="NAME:STRENGTH",
            help="also play perturbed scenes: look:2,words:1 (one by one), look:2+words:1 (both at once), or none; "
            "default: those of the suite, or none",
        ),
    ] = None,
    controls: Annotated[
        str,
        arg(
            metavar="CONTROLS",
            help="other policies on the same scenes: all, none, or names such as oracle,blind; "
            "default: all with a suite and a model, else none",
        ),
    ] = "",
    arm: ArmName = "panda",
    policy: PolicyName = "vlm",
    model: Model = "bundled",
    altitude: Altitude = "step",
    combos: Annotated[
        str,
        arg(
            metavar="{all,seen,unseen}",
            help="colour and shape pairs: all, seen (in training by the bundled model), or unseen",
        ),
    ] = "all",
    cameras: Cameras = "",
    clock: ClockName = "paused",
    control: ControlName = "",
    workers: PlayingWorkers = 1,
    batch: EpisodeBatch = 8,
    ray: Annotated[
        str, arg(metavar="ADDRESS", help="run the workers on this Ray cluster: auto, HOST:PORT or local; default: none")
    ] = "",
    out_folder: Annotated[
        Path | None,
        arg(
            name="out",
            metavar="PATH",
            help="folder of the ledger, continued if it exists; default: runs/SUITE or runs/eval-POLICY",
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        arg(
            metavar="PATH",
            help="folder for a recording that `qwenarm demo --watch PATH` shows, one episode after the other",
        ),
    ] = None,
    allow: Allowed = "",
) -> int:
    """Measure success rates with 95 % Wilson intervals. Stop at any time; the same command continues.

    Example: qwenarm eval --suite quick --workers 2

    Example: qwenarm eval --task put,stack --seeds 100 --policy oracle
    """
    from qwenarm.api.evaluations import plan_evaluation
    from qwenarm.display.progress import show_evaluation
    from qwenarm.types import RunConfig

    config = RunConfig(
        arm=arm,
        policy=policy,
        model=model,
        altitude=altitude,
        combos=combos,
        clock=clock,
        cameras=cameras,
        control=control,
    )
    words = (task, arm, policy, model, cameras, controls, perturbations or "", allow)
    with only_allowed(names_to_allow(*words)):  # the file of a suite may name code, too
        planned, folder = plan_evaluation(config, task, suite, level, seeds, perturbations, controls, out_folder)
    how = {"workers": workers, "batch": batch, "ray": ray, **({"watch": _recorded(journal, ray)} if journal else {})}
    show_evaluation(out, planned, folder, **how)
    return 0


def _recorded(journal: Path, ray: str) -> MakeWatchers:
    """Records episodes into a journal, which is made."""
    if ray:
        raise BadInput("--journal records what this machine plays: leave out --ray.")
    require_live_page()
    from qwenarm.live.journal import Journal
    from qwenarm.live.recorder import record_when_free

    Journal(journal)
    return partial(record_when_free, journal)


def report(
    runs: Positional[
        Annotated[
            tuple[Path, ...], arg(metavar="[RUN ...]", help="folders written by `qwenarm eval`; default: the newest")
        ]
    ] = (),
    out_folder: Annotated[
        Path | None,
        arg(
            name="out", metavar="PATH", help="folder of the site; default: RUN/report, or runs/report for several runs"
        ),
    ] = None,
    pages: Annotated[
        Literal["auto", "all", "none"],
        arg(help="which episodes get a page; auto: all, but only the failures of more than 2,000"),
    ] = "auto",
    films: Annotated[int, arg(help="failures of each model to replay and film")] = 0,
    allow: Allowed = "",
) -> int:
    """Write a static site about one or several evaluations: tables, plots, comparisons, every episode.

    Example: qwenarm report

    Example: qwenarm report runs/quick-v1 runs/eval-vlm --films 3
    """
    from qwenarm.display.progress import telling
    from qwenarm.report import write_report
    from qwenarm.report.runs import newest_run

    folders = runs or (newest_run(Path("runs")),)
    folder = out_folder or (folders[0] / "report" if len(folders) == 1 else Path("runs") / "report")
    with only_allowed(names_to_allow(allow)), telling(out) as tell:
        written = write_report(folders, folder, pages, films, tell)
    out.warn(written.problems)
    out.print(f"{written.episodes} episodes, {written.pages} with a page")
    out.print_places({"report": written.index})
    return 0


def attribute(
    run: Positional[
        Annotated[Path | None, arg(metavar="[RUN]", help="a folder written by `qwenarm eval`; default: the newest")]
    ] = None,
    roles: Annotated[
        str,
        arg(
            metavar="POLICIES",
            help="policies whose failures are attributed, such as vlm,blind; "
            "default: the model, or all if there is none",
        ),
    ] = "",
    workers: PlayingWorkers = 1,
    batch: EpisodeBatch = 8,
    allow: Allowed = "",
) -> int:
    """Find out why each failed episode failed: perception, plan, format, control, safety or time.

    Each failure is replayed with one part at a time replaced by the oracle's. The first replacement that turns it into
    a success names the cause. Stop at any time; the same command continues. `qwenarm report` shows the causes.

    Example: qwenarm attribute --workers 2

    Example: qwenarm attribute runs/quick-v1 --roles vlm,oracle
    """
    from qwenarm.diagnosis.attribute import ATTRIBUTION_FILE, findings
    from qwenarm.diagnosis.attribute import attribute as attributed
    from qwenarm.display.progress import tell_death, telling
    from qwenarm.evaluation.jobs import WorkerDied
    from qwenarm.report.runs import newest_run

    run = run or newest_run(Path("runs"))
    told = attributed(run, split_names(roles, "--roles"), batch, workers)
    with only_allowed(names_to_allow(roles, allow)), closing(told), telling(out) as tell:
        for each in told:
            if isinstance(each, WorkerDied):
                tell_death(out, each)
                continue
            if out.is_terminal:
                tell(f"{each.done} of {each.total} failed episodes", each.done, each.total)
            else:
                out.print(f"{each.done}/{each.total}   {each}", style="dim", markup=False, soft_wrap=True)
    problems: list[str] = []
    found = findings(run, problems)
    out.warn(problems)
    out.print(causes_table(found, out.width) if found else "No episode has failed.")
    out.print_places({"causes": run / ATTRIBUTION_FILE, "next": shlex.join(["qwenarm", "report", str(run)])})
    return 0


def probe(
    model: Annotated[
        str, arg(metavar="MODEL", help="bundled, a Hub id, a folder, a server's URL; see `qwenarm list models`")
    ] = "bundled",
    task: Annotated[
        str, arg(metavar="TASKS", help="tasks whose scenes are used, such as put,stack")
    ] = "put,stack,sort",
    level: Annotated[int, arg(help="level of these tasks")] = 1,
    seeds: Annotated[int, arg(help="scenes per task")] = 20,
    cameras: Annotated[
        str,
        arg(
            metavar="CAMERAS", help="cameras to test one by one, such as front,overhead; default: those the model sees"
        ),
    ] = "",
    batch: Annotated[int, arg(help="questions answered together")] = 8,
    out_file: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="JSON file; default: runs/probe-MODEL.json")
    ] = None,
) -> int:
    """Measure pointing alone: does the model's point lie on the named object? No arm moves.

    For every object of every scene the model makes a first decision: to pick it, or to place something there.

    Example: qwenarm probe --model http://localhost:8000 --seeds 10
    """
    from qwenarm.diagnosis import probe as probing
    from qwenarm.display.progress import telling
    from qwenarm.mind.open_model import open_model

    tasks, views = split_names(task, "--task"), split_names(cameras, "--cameras")
    if seeds < 1 or batch < 1 or not tasks:
        raise BadInput("--seeds and --batch must be at least 1, and --task needs a name.")
    cells = [(name, level) for name in tasks]
    probing.check(cells, views)
    name = re.sub(r"[^\w.-]+", "-", model).strip("-")
    path = out_file or Path("runs") / f"probe-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("a").close()  # a place that cannot be written to is told before the work, not after it
    answers: list[PointingAnswer] = []
    try:
        backend = open_model(model)
        scenes = len(cells) * seeds * len(views or backend.preset.cameras)
        with telling(out) as tell:
            for answer in probing.probe(backend, cells, seeds, views, batch):
                answers.append(answer)
                begun = len({(a.question.camera, a.question.task, a.question.seed) for a in answers})
                hits = sum(a.kind == probing.POINT_HIT for a in answers)
                tell(f"{hits} of {len(answers)} points hit", begun, scenes)
    except BaseException:
        if not path.stat().st_size:  # nothing was measured: no empty file is left
            path.unlink()
        raise
    found = probing.accuracies(answers)
    out.print(accuracy_table(found, out.width))
    path.write_text(json.dumps(probing.record(backend, answers, found), indent=1) + "\n", encoding="utf-8")
    out.print("asked as the first decision on a plain instruction")
    out.print_places({"answers": path})
    return 0


def compare(
    a: Positional[Annotated[Path, arg(metavar="RUN_A", help="folder written by `qwenarm eval`")]],
    b: Positional[Annotated[Path, arg(metavar="RUN_B", help="another such folder, or the same")]],
    who_a: Annotated[
        str,
        arg(
            metavar="POLICY",
            help="a policy in A, such as oracle or part of a model's name; default: its only model or policy",
        ),
    ] = "",
    who_b: Annotated[str, arg(metavar="POLICY", help="the same for B")] = "",
) -> int:
    """Compare two evaluations seed by seed: differences with 95 % intervals and exact McNemar tests.

    Example: qwenarm compare runs/eval-vlm runs/eval-other

    Example: qwenarm compare runs/quick-v1 runs/quick-v1 --who-a bundled --who-b oracle
    """
    from qwenarm.report.exports import printed
    from qwenarm.report.numbers import compare_runs

    problems, table = compare_runs(a, b, who_a, who_b)
    out.warn(problems)
    out.print(printed(table, out.width))
    return 0
