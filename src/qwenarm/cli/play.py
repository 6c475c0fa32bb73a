"""Commands that play or show one episode: run, show, prompt, replay, list."""

# Everything heavy is imported inside the command that needs it, so that help and lists come at once.

from __future__ import annotations

import sys
from contextlib import closing
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
    Level,
    Listed,
    Model,
    Perturbed,
    PolicyName,
    RecognizerName,
    Seed,
    Task,
    arg,
    out,
)
from qwenarm.errors import BadInput
from qwenarm.registry import names_to_allow, only_allowed

if TYPE_CHECKING:
    from qwenarm.episode.watchers import Watcher
    from qwenarm.types import Episode
    from qwenarm.voice import Spoken


def run(
    instruction: Positional[
        Annotated[
            tuple[str, ...],
            arg(metavar="[WORD ...]", help="what to do, in your own words, without quotes; default: a task's"),
        ]
    ] = (),
    task: Annotated[
        str,
        arg(
            metavar="TASK",
            help="a task, instead of your own words: see `qwenarm list tasks`, or module:NAME; default: put",
        ),
    ] = "",
    level: Level = 1,
    seed: Seed = 0,
    arm: ArmName = "panda",
    policy: PolicyName = "vlm",
    model: Model = "bundled",
    altitude: Altitude = "step",
    clock: ClockName = "paused",
    out_folder: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="new folder for the results; default: runs/TIME-TASK-SEED")
    ] = None,
    film: Annotated[bool, arg(help="record a film")] = True,
    film_speed: Annotated[int, arg(metavar="{1,2,4}", help="speed of the film; 1 is as fast as the arm")] = 2,
    film_size: Annotated[Literal["720p", "1080p"], arg(help="size of the film")] = "720p",
    film_camera: Annotated[str, arg(metavar="CAMERA", help="camera of the film; see `qwenarm list cameras`")] = "wide",
    film_format: Annotated[Literal["mp4", "gif"], arg(help="format of the film")] = "mp4",
    perturbations: Perturbed = "",
    cameras: Cameras = "",
    control: ControlName = "",
    anyway: Annotated[bool, arg(help="play your words even if nobody can judge the result")] = False,
    journal: Annotated[
        Path | None,
        arg(metavar="PATH", help="folder for a recording that `qwenarm demo --watch PATH` shows, even live"),
    ] = None,
    say: Annotated[Path | None, arg(metavar="PATH", help="WAV file with the spoken instruction")] = None,
    listen: Annotated[bool, arg(help="record the instruction with the microphone, until you are silent")] = False,
    recognizer: RecognizerName = "pocketsphinx",
) -> int:
    """Play one episode and write its film, page and trace.

    Example: qwenarm run put the red cube in the blue bowl --seed 3

    Example: qwenarm run --task sort --level 2 --policy oracle
    """
    from qwenarm.api.episodes import Film, play_into
    from qwenarm.display.terminal import LiveView
    from qwenarm.factory import assumed
    from qwenarm.perturbations import parse
    from qwenarm.types import RunConfig

    if instruction and not "".join(instruction).strip():
        raise BadInput("The instruction is empty: say what should be done, or leave it out for the task's own words.")
    if task and (instruction or say or listen):
        raise BadInput(f"Your own words make their own scene: leave out either them or --task {task}.")
    if bool(instruction) + (say is not None) + listen > 1:
        raise BadInput("The instruction is typed, or in a file (--say), or spoken now (--listen): choose one of them.")
    spoken = _hear(say, recognizer) if say or listen else None
    config = RunConfig(
        task or "put",
        level,
        arm,
        policy,
        model,
        altitude,
        _corrected(spoken.heard) if spoken else " ".join(instruction),
        perturbations=parse(perturbations),
        clock=clock,
        cameras=cameras,
        control=control,
    )
    filmed = film and Film(film_speed, film_size, film_camera, film_format)
    watchers: list[Watcher] = [LiveView(out)]
    if journal is not None:
        require_live_page()
        from qwenarm.live.recorder import record_into

        watchers.append(record_into(journal, config))
    episode, stopped = play_into(config, seed, out_folder, filmed, watchers, anyway=anyway, spoken=spoken)
    out.warn(filter(None, (assumed(episode.run.policy, episode.instruction), *episode.run.watcher_failures)))
    out.print_places({**({"film": episode.film} if episode.film else {}), "page": episode.page})
    if stopped is not None:  # a failed model or Ctrl-C, told after what was played is written
        raise stopped
    return 1 if episode.outcome == "crashed" else 0


def _hear(file: Path | None, recognizer: str) -> Spoken:
    """What is said in a file or, without one, into the microphone. It is shown before anything moves."""
    from qwenarm.voice import open_recognizer, recognize
    from qwenarm.voice.sound import listen, read_wav

    sound = read_wav(file) if file else None  # a wrong file is told before a recogniser is loaded
    opened = open_recognizer(recognizer)
    if sound is None:
        out.print("Speak now.", style="bold")
        sound = listen()
    spoken = recognize(sound, opened)
    out.print(f"heard: {spoken.heard}   ({spoken.sound.name}, {spoken.recognizer})", style="dim")
    return spoken


def _corrected(heard: str) -> str:
    """What was heard or, on a terminal, what the user types instead."""
    if not (sys.stdin.isatty() and out.is_terminal):
        return heard
    return input("Press Enter to play this, or type what was meant: ").strip() or heard


def list_(
    what: Positional[Annotated[Literal[Listed, "all"], arg(help="what to list; all: names alone")]] = "all",
) -> int:
    """List tasks, arms, cameras, models, skills, policies or perturbations.

    Example: qwenarm list tasks
    """
    from qwenarm.cli.tables import listing, overview

    out.print(overview(out.width) if what == "all" else listing(what, out.width))
    return 0


def show(
    task: Positional[Task],
    seed: Seed = 0,
    level: Level = 1,
    arm: ArmName = "panda",
    out_file: Annotated[
        Path | None, arg(name="out", metavar="PATH", help="PNG file; default: runs/show-TASK-SEED.png")
    ] = None,
    perturbations: Perturbed = "",
) -> int:
    """Draw a scene from every camera into one PNG, with names and the points the oracle would choose.

    Example: qwenarm show stack --seed 4 --level 2
    """
    from qwenarm.display.scene_sheet import write_sheet
    from qwenarm.factory import make_env
    from qwenarm.perturbations import parse
    from qwenarm.types import RunConfig

    env = make_env(RunConfig(task, level, arm, perturbations=parse(perturbations)))
    try:
        env.reset(seed=seed)
        path = write_sheet(env, out_file or Path("runs") / f"show-{task.replace(':', '-')}-{seed}.png")
        out.print(env.setup.instruction, style="bold")
        out.print_places({"sheet": path})
    finally:
        env.close()
    return 0


def prompt(
    task: Positional[Task],
    model: Annotated[
        str, arg(metavar="MODEL", help="bundled, a checkpoint's folder, a Hub id, or a family such as qwen3_vl")
    ] = "bundled",
    level: Level = 1,
    seed: Seed = 0,
    policy: Annotated[
        str, arg(metavar="POLICY", help="who asks the model: vlm, or a control such as state_text")
    ] = "vlm",
    altitude: Altitude = "step",
    cameras: Cameras = "",
    thinking: Annotated[bool, arg(help="show the prompt of a model that thinks first")] = False,
    save: Annotated[Path | None, arg(metavar="PATH", help="folder for the frames, as PNG")] = None,
) -> int:
    """Print the exact first prompt that a model reads, with token counts. No weights are needed.

    Example: qwenarm prompt put --model qwen3_vl --seed 3
    """
    from qwenarm.cli.prompt_preview import memory_line, read_prompt, save_frames
    from qwenarm.types import RunConfig

    config = RunConfig(task, level, policy=policy, model=model, altitude=altitude, cameras=cameras)
    reading = read_prompt(config, seed, thinking)
    out.out(reading.text)
    for line in filter(None, (*reading.summary().splitlines(), memory_line(model))):
        out.print(line, style="dim")
    for path in save_frames(reading, save) if save else ():
        out.print_places({"frame": path})
    return 0


def replay(
    episode: Positional[Annotated[Path, arg(metavar="RUN", help="folder of a run or an evaluation")]],
    index: Annotated[int, arg(help="which of its episodes: 0 is the first, -1 the last")] = -1,
    film: Annotated[Path | None, arg(metavar="PATH", help="film of the replay, .mp4 or .gif; default: none")] = None,
    allow: Allowed = "",
) -> int:
    """Repeat a recorded episode without the model, and compare its end bit for bit.

    Example: qwenarm replay runs/20261121-101500-put-3
    """
    from qwenarm.display.film import film_again
    from qwenarm.episode.replay import replay as play_again
    from qwenarm.factory import make_env

    recorded = _load(episode, index)
    with only_allowed(names_to_allow(allow)), closing(make_env(recorded.run.config)) as env:
        again = film_again(env, recorded, film) if film else play_again(env, recorded)
    out.warn(filter(None, (*again.changes, *again.differences, again.stopped)))
    out.print(f"recorded  {recorded.final_hash}\nreplayed  {again.final_hash}")
    same = again.same and not again.differences
    exact = recorded.final_hash == again.final_hash
    told = f"the same{' up to the stop' if again.stopped else ''}{', bit for bit' if exact else ''}"
    out.print(told if same else "not the same", style="green" if same else "red")
    return 0 if same else 1


def _load(source: Path, index: int) -> Episode:
    from qwenarm.episode.trace import read

    reading = read(source)
    out.warn(reading.problems)
    if not -len(reading.episodes) <= index < len(reading.episodes):
        raise BadInput(f"There is no episode {index} in {source}: it holds {len(reading.episodes)}, numbered from 0.")
    return reading.episodes[index]
