"""Play one episode: ``qwenarm.run``, ``make_env`` and ``load_model``."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenarm.episode.locks import lock
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, UnknownName, last_line
from qwenarm.mind.backends import Backend
from qwenarm.policies.function import Calls
from qwenarm.typed import typed_arguments
from qwenarm.types import Episode, Observation, RunConfig, Turn

if TYPE_CHECKING:
    from qwenarm.display.film import FilmRecorder
    from qwenarm.env import ArmEnv
    from qwenarm.voice import Spoken

PolicyFunction = Callable[[Observation, tuple[Turn, ...]], Calls]
"""The simplest policy: (observation, history) -> calls."""


@dataclass(frozen=True)
class Film:
    """How an episode is filmed: speed 1, 2 or 4; size "720p" or "1080p"; the camera; format "mp4" or "gif"."""

    speed: int = 2
    size: str = "720p"
    camera: str = "wide"
    format: str = "mp4"


@dataclass(frozen=True, repr=False)
class PlayedEpisode(Episode):
    """An episode with its files. In a notebook it shows its film, outcome and every turn."""

    folder: Path = Path()
    page: Path = Path()
    film: Path | None = None

    def __repr__(self) -> str:
        """Returns the outcome, after a crash with its reason, and the page, not the pictures of every turn."""
        reason = last_line(self.detail)
        ending = f"{self.outcome} ({reason})" if reason else str(self.outcome)
        return f"<PlayedEpisode {self.instruction!r}: {ending}, turns: {len(self.turns)}, page: {self.page}>"

    def _repr_html_(self) -> str:
        page = html.escape(self.page.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width:100%;height:45em;border:0" sandbox="allow-scripts"></iframe>'


@typed_arguments
def run(
    instruction: str = "",
    *,
    task: str = "",
    level: int = 1,
    seed: int = 0,
    arm: str = "panda",
    policy: str | PolicyFunction = "vlm",
    model: str | Path | Backend = "bundled",
    altitude: str = "step",
    perturbations: str = "",
    clock: str = "paused",
    cameras: str = "",
    control: str = "",
    anyway: bool = False,
    film: bool | Film = True,
    folder: Path | str | None = None,
    watchers: Sequence[Watcher] = (),
) -> PlayedEpisode:
    """Plays one episode and writes its trace, page and film.

    Args:
        instruction: your own words, which make their own scene; "" for the task's.
        task: a task's name, or ``module:NAME``; see ``tasks()``. By default put; words make their own scene.
        level: of difficulty, from 1.
        seed: the same seed gives the same scene.
        arm: a robot arm's name, or ``module:NAME``.
        policy: a name, ``module:NAME``, or a function ``(observation, history) -> calls``.
        model: a name, folder, Hub id or URL, or what ``load_model`` returned.
        altitude: "step" (one call per look), "plan" (all calls) or "chunk" (20 Hz motions).
        perturbations: with strengths, such as "look:2,words:1".
        clock: what the world does while the policy thinks: "paused", "latency:SECONDS" or "wall".
        cameras: shown to the model, separated by commas; "" for those of its preset.
        control: "osc" for LIBERO's own arm and controller, with its tasks and policies of 20 Hz actions.
        anyway: whether to play an instruction even if its success cannot be judged.
        film: whether an MP4 is written, or which film.
        folder: for the files; by default runs/TIME-TASK-SEED.
        watchers: told of every event while the episode is played.

    Returns:
        The episode. Whatever goes wrong in it is an outcome with a name, such as ``Outcome.CRASHED``.

    Raises:
        UnknownName, BadInput: a name or value that does not exist; the message lists the valid ones.
        ModelUnavailable: the model cannot be loaded, or its server fails. What was played is kept.

    Example:
        >>> episode = qa.run("put the red cube in the blue bowl", seed=3)
        >>> episode.outcome, len(episode.turns)
    """
    from qwenarm.perturbations import parse

    if instruction and task:
        raise BadInput(f"Your own words make their own scene: leave out either them or the task {task!r}.")
    model = folder_name(model) if isinstance(model, Path) else model
    config = RunConfig(
        task=task or "put",
        level=level,
        arm=arm,
        policy=policy_name(policy),
        model=model if isinstance(model, str) else model.name,
        altitude=altitude,
        words=instruction,
        perturbations=parse(perturbations),
        clock=clock,
        cameras=cameras,
        control=control,
    )
    backend = None if isinstance(model, str) else model
    episode, stopped = play_into(config, seed, folder, film, watchers, backend, anyway)
    if stopped is not None:
        raise stopped
    return episode


def play_into(
    config: RunConfig,
    seed: int,
    folder: Path | str | None = None,
    film: bool | Film = True,
    watchers: Sequence[Watcher] = (),
    backend: Backend | None = None,
    anyway: bool = False,
    spoken: Spoken | None = None,
) -> tuple[PlayedEpisode, BaseException | None]:
    """Plays one episode and writes its trace, page and film. Unlike ``run``, it returns what stopped the episode.

    Args:
        config: what is played.
        seed: of the scene.
        folder: for the files; by default runs/TIME-TASK-SEED.
        film: whether an MP4 is written, or which film.
        watchers: told of every event while the episode is played.
        backend: the model; by default the one that ``config`` names is loaded.
        anyway: whether to play an instruction even if its success cannot be judged.
        spoken: how the instruction was heard, if it was spoken; the recording is kept in the folder.

    Returns:
        The episode, and the failure of its model or the Ctrl-C that ended it, otherwise None.
    """
    from qwenarm.display.episode_page import write_page
    from qwenarm.episode.drive import play_alone
    from qwenarm.episode.trace import RECORDING_FILE, Trace
    from qwenarm.factory import make_backend, make_env, make_policy, perform, prepare

    if folder:
        _refuse_another_run(Path(folder))
    wanted = Film() if film is True else film
    if wanted:
        _recorder(Path(), wanted)  # what it refuses is told before anything is made
    setup = prepare(config, seed, anyway)  # before a model is loaded
    backend = backend or make_backend(config)
    make_policy(config, make_env(config), seed, backend)  # what it refuses is told before a folder is made
    trace = Trace(Path(folder) if folder else new_folder(f"{config.task.replace(':', '-')}-{seed}"))
    with _claimed(trace.folder):
        recorder = _recorder(trace.folder, wanted) if wanted else None
        try:
            episode, stopped = play_alone(
                perform(config, seed, backend, [*watchers, *([recorder] if recorder else [])], setup=setup), backend
            )
        finally:
            if recorder:
                recorder.close()  # even after an error the file can be watched
        if spoken:
            (trace.folder / RECORDING_FILE).write_bytes(spoken.sound.wav)
            episode = replace(episode, run=replace(episode.run, speech=spoken.record()))
        trace.append(episode)
        filmed = recorder.path if recorder and recorder.written else None
        speed, shown = (recorder.speed, filmed) if recorder and recorder.path.suffix == ".mp4" else (1, None)
        page = write_page(episode, trace.folder / "page.html", shown, speed)  # a page shows no GIF
    known = {field.name: getattr(episode, field.name) for field in fields(Episode)}
    return PlayedEpisode(**known, folder=trace.folder, page=page, film=filmed), stopped


def _refuse_another_run(folder: Path) -> None:
    """Raises BadInput if there is a run in the folder."""
    from qwenarm.episode.trace import EPISODES_FILE

    if (folder / EPISODES_FILE).exists():
        raise BadInput(f"There is a run in {folder} already; name another folder for this one.")


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keeps a folder for one run, until it ends or its process dies. Raises BadInput if another one has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not lock(descriptor):
            raise BadInput(f"Another run is writing to {folder}; name another folder for this one.")
        _refuse_another_run(folder)  # that ended a moment ago
        yield
    finally:
        os.close(descriptor)


def _recorder(folder: Path, film: Film) -> FilmRecorder:
    from qwenarm.display.film import FILM_SIZES_PX, FilmRecorder

    if film.size not in FILM_SIZES_PX:
        raise UnknownName("film size", film.size, FILM_SIZES_PX)
    return FilmRecorder(
        folder / f"film.{film.format}", speed=film.speed, size=FILM_SIZES_PX[film.size], camera=film.camera
    )


def new_folder(name: str) -> Path:
    """Creates and returns a new folder runs/TIME-NAME."""
    stem = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    for number in count(1):
        folder = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise BadInput(f"Cannot write to {folder}: {error.strerror}.") from error
        return folder
    raise AssertionError("count never ends")


def make_env(task: str = "put", **options: Any) -> ArmEnv:
    """The Gymnasium environment of a task.

    Args:
        task: a task's name, or ``module:NAME``.
        options: the other arguments of ``qwenarm.env.ArmEnv``, such as level, arm, control, cameras, frame_size.
            control="osc" is LIBERO's own environment, for its tasks.

    Example:
        >>> env = qa.make_env("put", control="ee_delta", cameras=("front",))
        >>> observation, info = env.reset(seed=0)
    """
    if options.get("control") == "osc":
        from qwenarm.libero.osc import OscEnv

        return OscEnv(task, **{name: value for name, value in options.items() if name != "control"})
    from qwenarm.env import ArmEnv

    return ArmEnv(task, **options)


@typed_arguments
def load_model(model: str | Path = "bundled", **options: Any) -> Backend:
    """Loads a model once, to be used in several runs.

    Args:
        model: "bundled", a Hub id, a folder, a server's URL, or ``module:NAME``.
        options: those of the backend, such as thinking=True; see docs/models.md and docs/servers.md.

    Example:
        >>> model = qa.load_model("bundled")
        >>> for seed in range(3):
        ...     print(qa.run(seed=seed, model=model, film=False).outcome)
    """
    from qwenarm.mind.open_model import open_model

    return open_model(folder_name(model) if isinstance(model, Path) else model, **options)


def folder_name(path: Path) -> str:
    """Returns the name of a model in this folder, which cannot be read as ORG/NAME of the Hub."""
    return os.path.join(".", path)


def policy_name(policy: str | PolicyFunction) -> str:
    """Returns the name of a policy; that of a function is ``module:NAME``.

    Raises:
        BadInput: The function has no name in its module, so no other process could find it.
    """
    if isinstance(policy, str):
        return policy
    name = getattr(policy, "__qualname__", "")
    if not name.isidentifier():
        raise BadInput(f"A policy function is defined at the top of a module, with def; {policy!r} is not.")
    return f"{policy.__module__}:{name}"
