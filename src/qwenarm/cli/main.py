"""A vision-language model looks at a simulated table, decides, and drives a robot arm.

`qwenarm COMMAND --help` explains a command and shows an example.
"""

# Everything heavy is imported inside the command that needs it, so that help and lists come at once.

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.text import Text
from tyro.conf import Positional, arg

from qwenarm.cli import diagnose as diagnosis
from qwenarm.cli.diagnose import out
from qwenarm.cli.options import (
    Altitude,
    ArmName,
    Cameras,
    Changed,
    ClockName,
    Level,
    Listed,
    Model,
    PolicyName,
    Seed,
    Task,
)
from qwenarm.errors import BadInput, QwenarmError

if TYPE_CHECKING:
    from qwenarm.types import Episode

app = tyro.extras.SubcommandApp()


@app.command
def run(
    instruction: Positional[Annotated[str, arg(help="in free words; without it the task's own")]] = "",
    task: Task = "put",
    level: Level = 1,
    seed: Seed = 0,
    arm: ArmName = "panda",
    policy: PolicyName = "vlm",
    model: Model = "bundled",
    altitude: Altitude = "step",
    clock: ClockName = "paused",
    out_folder: Annotated[Path | None, arg(name="out", help="results; default runs/TIME-TASK-SEED")] = None,
    film: Annotated[bool, arg(help="record an MP4")] = True,
    perturbations: Changed = "",
    cameras: Cameras = "",
) -> int:
    """Play one episode; write its film, its page and its trace.

    Example: qwenarm run "put the red cube in the blue bowl" --seed 3
    """
    from qwenarm.display.episode_page import write_page
    from qwenarm.display.film import FilmRecorder
    from qwenarm.display.terminal import LiveView
    from qwenarm.episode.rollout import play_alone
    from qwenarm.episode.trace import Trace
    from qwenarm.factory import RunConfig, assumed, check_playable, make_backend, perform
    from qwenarm.perturbations import parse

    config = RunConfig(
        task,
        level,
        arm,
        policy,
        model,
        altitude,
        instruction,
        perturbations=parse(perturbations),
        clock=clock,
        cameras=cameras,
    )
    check_playable(config, seed)  # before a model is loaded
    if (backend := make_backend(config)) and (doubt := assumed(backend.describe())):
        out.print(doubt, style="yellow")
    folder = out_folder or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{task.replace(':', '-')}-{seed}"
    trace = Trace(folder)
    recorder = FilmRecorder(folder / "film.mp4") if film else None
    watchers = [LiveView(out), *([recorder] if recorder else [])]
    try:
        episode, stop = play_alone(perform(config, seed, backend, watchers), backend)
    finally:
        if recorder:
            recorder.close()  # whatever happens, the file can be watched
    trace.append(episode)
    page = write_page(episode, folder / "page.html", recorder.path if recorder and recorder.written else None)
    for line in episode.setup.get("watchers that failed", ()):
        out.print(line, style="yellow")
    if recorder and recorder.written:
        out.print(f"film   {recorder.path}")
    out.print(f"page   {page}")
    if stop is not None:  # the model's failure or Ctrl-C; what led there is kept
        raise stop
    return 1 if episode.outcome == "crashed" else 0


@app.command(name="list")
def list_(what: Positional[Listed]) -> int:
    """List the names that other commands take.

    Example: qwenarm list tasks
    """
    from qwenarm.cli.tables import listing

    out.print(listing(what))
    return 0


@app.command
def show(
    task: Positional[Task],
    seed: Seed = 0,
    level: Level = 1,
    arm: ArmName = "panda",
    out_file: Annotated[Path | None, arg(name="out", help="PNG file; default runs/show-TASK-SEED.png")] = None,
    perturbations: Changed = "",
) -> int:
    """Draw a task's scene from every camera, with names and the oracle's points, into one PNG.

    Example: qwenarm show stack --seed 4 --level 2
    """
    from qwenarm.display.scene_sheet import write_sheet
    from qwenarm.factory import RunConfig, make_env
    from qwenarm.perturbations import parse

    env = make_env(RunConfig(task, level, arm, perturbations=parse(perturbations)))
    try:
        env.reset(seed=seed)
        path = write_sheet(env, out_file or Path("runs") / f"show-{task.replace(':', '-')}-{seed}.png")
        out.print(f'"{env.setup.instruction}"\nsheet  {path}')
    finally:
        env.close()
    return 0


@app.command
def prompt(
    task: Positional[Task],
    model: Annotated[
        str, arg(help="bundled, a checkpoint's folder, a Hub id, or a family such as qwen3_vl")
    ] = "bundled",
    level: Level = 1,
    seed: Seed = 0,
    altitude: Altitude = "step",
    cameras: Cameras = "",
    thinking: Annotated[bool, arg(help="as a model that thinks first is asked")] = False,
    save: Annotated[Path | None, arg(help="write the frames as PNG into this folder")] = None,
) -> int:
    """Print exactly what a model will read at its first look, with token counts; no weights are needed.

    Example: qwenarm prompt put --model qwen3_vl --seed 3
    """
    from qwenarm.cli.prompt_preview import memory_line, read_prompt, save_frames
    from qwenarm.factory import RunConfig

    reading = read_prompt(RunConfig(task, level, model=model, altitude=altitude, cameras=cameras), seed, thinking)
    out.out(reading.text)
    for line in filter(None, (*reading.summary().splitlines(), memory_line(model))):
        out.print(line, style="dim")
    for path in save_frames(reading, save) if save else ():
        out.print(f"frame  {path}")
    return 0


@app.command
def replay(
    episode: Positional[Annotated[Path, arg(help="a run's folder, or its episodes.jsonl")]],
    index: Annotated[int, arg(help="which episode of the trace; -1 is the last")] = -1,
    film: Annotated[Path | None, arg(help="film the replay into this MP4")] = None,
) -> int:
    """Execute the recorded calls again, without any model, and compare the final state bit for bit.

    Example: qwenarm replay runs/20261121-101500-put-3
    """
    from qwenarm.display.film import FilmRecorder
    from qwenarm.episode.replay import replay as play_again
    from qwenarm.factory import env_of

    recorded = _load(episode, index)
    env = env_of(recorded)
    try:
        again = play_again(env, recorded, [FilmRecorder(film)] if film else [])
    finally:
        env.close()
    for line in (*again.changes, *again.differences):
        out.print(line, style="yellow")
    out.print(f"recorded  {recorded.final_hash}\nreplayed  {again.final_hash}")
    out.print("the same, bit for bit" if again.same else "not the same", style="green" if again.same else "red")
    return 0 if again.same else 1


@app.command(name="eval")
def eval_(
    suite: Annotated[str, arg(help="quick, standard, full or a JSON file; without one the tasks of --task")] = "",
    task: Annotated[str, arg(help="one or several: put,stack; default: the suite's, or put,stack,sort")] = "",
    level: Annotated[int | None, arg(help="of the suite only this one; without a suite 1")] = None,
    seeds: Annotated[int | None, arg(help="per task, always the same first ones; without a suite 20")] = None,
    axes: Annotated[
        str | None,
        arg(help="perturbations beside the unchanged scenes: look:2,words:1; both at once: look:2+words:1; none"),
    ] = None,
    controls: Annotated[str, arg(help="all, none, or roles: oracle,blind; default: all beside a suite's vlm")] = "",
    arm: ArmName = "panda",
    policy: PolicyName = "vlm",
    model: Model = "bundled",
    altitude: Altitude = "step",
    combos: Annotated[
        str, arg(help="colour x shape pairs: all, seen (by the bundled model in training), unseen")
    ] = "all",
    cameras: Cameras = "",
    clock: ClockName = "paused",
    workers: Annotated[int, arg(help="processes, each with its own model and renderer")] = 1,
    batch: Annotated[int, arg(help="episodes each plays in lockstep, their prompts answered together")] = 8,
    ray: Annotated[str, arg(help="the workers run on this Ray cluster: auto, HOST:PORT, local")] = "",
    out_folder: Annotated[
        Path | None, arg(name="out", help="continued ledger; default runs/SUITE or runs/eval-POLICY")
    ] = None,
) -> int:
    """Success rates with 95 % Wilson intervals. Stop it at any time; the same command goes on where it stopped.

    Example: qwenarm eval --suite quick --workers 2

    Example: qwenarm eval --task put,stack --seeds 100 --policy oracle
    """
    from qwenarm.cli.progress import show_evaluation
    from qwenarm.evaluation.evaluate import plan
    from qwenarm.factory import RunConfig

    config = RunConfig(
        arm=arm, policy=policy, model=model, altitude=altitude, combos=combos, clock=clock, cameras=cameras
    )
    planned = plan(config, suite, task, level, seeds, axes, controls)
    folder = out_folder or Path("runs") / (planned.suite.name if suite else f"eval-{policy}")
    show_evaluation(out, planned, folder, workers=workers, batch=batch, ray=ray)
    return 0


@app.command
def report(
    runs: Positional[
        Annotated[tuple[Path, ...], arg(help="folders that `qwenarm eval` has filled; default: newest")]
    ] = (),
    out_folder: Annotated[
        Path | None, arg(name="out", help="the site; default RUN/report, or runs/report for several runs")
    ] = None,
    pages: Annotated[
        Literal["auto", "all", "none"], arg(help="of episodes; auto: all, of more than 2,000 the failures")
    ] = "auto",
    films: Annotated[int, arg(help="so many failures of each model are played again and filmed")] = 0,
) -> int:
    """Write a site on one or several evaluations, by default the newest: tables, plots, comparisons, every episode.

    Example: qwenarm report

    Example: qwenarm report runs/quick-v1 runs/eval-vlm --films 3
    """
    from qwenarm.cli.progress import telling
    from qwenarm.report import write_report
    from qwenarm.report.runs import newest_run

    folders = runs or (newest_run(Path("runs")),)
    folder = out_folder or (folders[0] / "report" if len(folders) == 1 else Path("runs") / "report")
    with telling(out) as tell:
        written = write_report(folders, folder, pages, films, tell)
    for problem in written.problems:
        out.print(problem, style="yellow")
    out.print(f"{written.episodes} episodes, {written.pages} with a page\nreport  {written.index}")
    return 0


app.command(diagnosis.compare)
app.command(diagnosis.attribute)
app.command(diagnosis.probe)


@app.command
def train(what: Positional[Literal["bundled"]]) -> int:
    """Train the bundled checkpoint from scratch on this simulator's own pictures; an interrupted run goes on.

    Example: qwenarm train bundled --processes 2

    Its own options: qwenarm train bundled --help
    """
    return _train([])


def _train(args: Sequence[str]) -> int:
    """The recipe has its own options, which only it can list without loading torch for every other command."""
    from qwenarm.train import bundled

    bundled.main(tyro.cli(bundled.Config, args=args, prog="qwenarm train bundled", description=bundled.__doc__))
    return 0


def _load(source: Path, index: int) -> Episode:
    from qwenarm.episode.trace import read

    reading = read(source)
    for problem in reading.problems:
        out.print(problem, style="yellow")
    if not -len(reading.episodes) <= index < len(reading.episodes):
        raise BadInput(f"There is no episode {index} in {source}: it holds {len(reading.episodes)}.")
    return reading.episodes[index]


def main(args: Sequence[str] | None = None) -> int:
    """Entry point. Exit codes: 0 fine, 1 a crash or a replay that differs, 2 the caller's error, 130 Ctrl-C."""
    words = list(sys.argv[1:] if args is None else args)
    if "" not in sys.path:
        sys.path.append("")  # so that "module:NAME" finds a task or arm in the folder where the user stands
    try:
        if words[:2] == ["train", "bundled"]:
            return _train(words[2:])
        return app.cli(args=words, prog="qwenarm", description=__doc__) or 0
    except QwenarmError as error:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error", "red"), f": {error}"))
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; what was finished is kept")
        return 130


if __name__ == "__main__":
    sys.exit(main())
