"""The player: a process that plays what it is told, one run after the other, and writes all of it into the journal.

A command is a dict with the field ``do``::

    show     config (fields of RunConfig), seed: only the scene
    play     the same, anyway, title, and speech: how the words were heard, {} if they were typed
    why      run, part: the same seed with a part replaced, beside the original
    model    run, model: the same seed with another model, beside the original
    cause    run: the attribution of a failed run
    replay   folder, index: the recorded calls of an old episode
    pause, stop, speed, correct, pull, slip: see ``interventions.Controls``

The newest command counts: it ends what is being played, and takes the place of one that still waits.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from qwenarm.diagnosis.find_cause import find_cause
from qwenarm.diagnosis.workers import case_of
from qwenarm.display.episode_page import write_page
from qwenarm.episode.drive import drive, play_alone
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import RECORDING_FILE, Trace, read
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.factory import ANYWAY_HINT, assumed, make_backend, make_env, perform, prepare
from qwenarm.live.counterfactuals import finding_text, models_verdict, replay_with, verdict
from qwenarm.live.interventions import (
    MAX_SPEED,
    MIN_SPEED,
    TOO_LATE,
    Controls,
    Correction,
    Interventions,
    Stoppable,
    took_part,
)
from qwenarm.live.journal import Journal, asset_name, read_asset, run_folder
from qwenarm.live.oracle_view import OracleView
from qwenarm.live.recorder import JournalWatcher
from qwenarm.live.requests import config_from, picked
from qwenarm.mind.backends import StreamingBackend
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE
from qwenarm.policies import policy_entry
from qwenarm.registry import only_allowed
from qwenarm.types import Episode, Outcome, RunConfig

if TYPE_CHECKING:
    from qwenarm.episode.rollout import Play
    from qwenarm.mind.backends import Backend

OPEN_MODELS = 2
"""Number of models that stay loaded."""

MAX_ERROR_CHARS = 600
"""Characters of an unforeseen error that the page is told."""

Command = dict[str, Any]


def serve_player(commands: Connection, folder: Path, model: str, seed: int) -> None:
    """The process: plays until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes the pipe
    player = Player(Journal(folder))
    Thread(target=player.listen, args=(commands,), daemon=True).start()
    player.work(model, seed)


class Player:
    """Plays commands. ``listen`` runs in a thread of its own, so that a run can be paused and changed.

    Args:
        journal: Where everything is written.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal, self.controls = journal, Controls()
        self._changed, self._closed = Condition(), False
        self._next: Command | None = None
        self.backends: dict[tuple[str, bool], Backend] = {}
        self.run = journal.last_run()

    def listen(self, commands: Connection) -> None:
        """Receives commands until the pipe is closed."""
        while True:
            try:
                command = commands.recv()
            except (EOFError, OSError):
                self.order(None)
                return
            if not self._control(command):
                self.order(command)

    def order(self, command: Command | None) -> None:
        """Makes a command the next one, and ends the one that is being played; None: there will be no more."""
        with self._changed:
            self._stop()
            self._next, self._closed = command, self._closed or command is None
            self._changed.notify_all()

    def _stop(self) -> None:
        """Ends what is being played, and forgets what waits."""
        with self._changed:
            self._next = None
            self.controls.set(stopped=True, paused=False)

    def _take(self) -> Command | None:
        """Waits for the next command. From then on Stop is meant for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next is not None)
            command, self._next = self._next, None
            if not self._closed:
                self.controls.start()
            return command

    def work(self, model: str, seed: int) -> None:
        """Plays commands until there are no more.

        Args:
            model: Loaded at once, so that the first run starts quickly.
            seed: The seed of the scene that is shown meanwhile.
        """
        try:
            self._show(RunConfig(model=model), seed)
            self._backend(RunConfig(model=model))
        except QwenarmError as error:
            self.journal.write("refused", text=str(error))
        self.journal.write("ready")
        while (command := self._take()) is not None:
            try:
                self._obey(command)
                continue
            except QwenarmError as error:
                text = str(error).removesuffix(ANYWAY_HINT)
                self.journal.write("refused", text=text, anyway=command["do"] == "play" and text != str(error))
            except KeyboardInterrupt:
                pass  # stopped before the first turn
            except Exception as error:
                traceback.print_exc()
                told = f"This failed: {type(error).__name__}: {error}"
                self.journal.write("refused", text=told[:MAX_ERROR_CHARS])
            self.journal.write("stopped", self.run)

    def _control(self, command: Command) -> bool:
        """Obeys a command that concerns the run that is being played; says whether it was one."""
        do, controls = command["do"], self.controls
        if do == "pause":
            controls.set(paused=bool(command["on"]))
        elif do == "stop":
            self._stop()
        elif do == "speed":
            controls.set(speed=min(max(float(command["speed"]), MIN_SPEED), MAX_SPEED))
        elif do == "correct":
            if not controls.correct(Correction(str(command["text"]), command.get("speech", {}))):
                self.journal.write("refused", self.run, text=TOO_LATE)
        elif do == "slip":
            controls.set(slip=True)
        elif do == "pull":
            pulls = {**controls.pulls, command["object"]: command["to"]}
            controls.set(pulls={name: to for name, to in pulls.items() if to is not None})
        else:
            return False
        if do in ("pause", "speed"):
            self.journal.write("pace", self.run, paused=controls.paused, speed=controls.speed)
        return True

    def _obey(self, command: Command) -> None:
        do = command["do"]
        if do == "show":
            self._show(config_from(command["config"]), int(command["seed"]))
        elif do == "play":
            config = config_from(command["config"])
            title, speech = str(command.get("title", "")), command.get("speech")
            self._play_new(config, int(command["seed"]), bool(command.get("anyway")), title, speech=speech)
        elif do == "why":
            self._play_why(int(command["run"]), str(command["part"]))
        elif do == "model":
            self._play_model(int(command["run"]), str(command["model"]))
        elif do == "cause":
            self._find_cause(int(command["run"]))
        elif do == "replay":
            self._replay(Path(command["folder"]), int(command["index"]))
        else:
            raise BadInput(f"There is no command {do!r}.")

    def _show(self, config: RunConfig, seed: int) -> None:
        with closing(make_env(config)) as env:
            env.reset(seed=seed)
            JournalWatcher(self.journal, 0, _about(config)).started(env, config.policy, seed)

    def _play_new(
        self,
        config: RunConfig,
        seed: int,
        anyway: bool,
        title: str,
        beside: int = 0,
        speech: Mapping[str, str] | None = None,
    ) -> Episode | None:
        setup = prepare(config, seed, anyway)
        backend = self._backend(config)
        run, watchers, interventions = self._begin(config, beside, title, speech)
        play = perform(config, seed, backend, watchers, setup=setup)
        episode, failed = self._play_alone(play, backend, watchers[0])
        if speech:
            episode = replace(episode, run=replace(episode.run, speech=speech))
        return self._finish(run, episode, failed, interventions)

    def _play_model(self, run_before: int, model: str) -> None:
        before = self._episode(run_before)
        config = replace(before.run.config, model=model)
        if not policy_entry(config.policy).needs_model:
            raise BadInput(f"The policy {config.policy!r} asks no model: choose one that does, such as vlm.")
        after = self._play_new(config, before.seed, True, f"with {model}", beside=run_before)
        if after is not None:
            self.journal.write("verdict", run_before, beside=self.run, text=models_verdict(before, after))

    def _play_why(self, run_before: int, part: str) -> None:
        before = self._episode(run_before)
        backend = self._backend(before.run.config)
        run, watchers, interventions = self._begin(before.run.config, run_before, part)
        play, notes = replay_with(part, before, backend, watchers)
        after = self._finish(run, *self._play_alone(play, backend, watchers[0]), interventions)
        if after is not None:
            self.journal.write("verdict", run_before, beside=run, text=verdict(part, before, after, notes))

    def _play_alone(
        self, play: Play, backend: Backend | None, journal: JournalWatcher
    ) -> tuple[Episode, BaseException | None]:
        """Plays an episode. The model's words are written while it says them, and Stop ends them."""
        if not isinstance(backend, StreamingBackend):
            return play_alone(play, backend)

        def say(text: str) -> None:
            self.controls.check()
            journal.saying(text)

        backend.on_text = say
        try:
            return play_alone(play, backend)
        finally:
            backend.on_text = None

    def _find_cause(self, run: int) -> None:
        episode = self._episode(run)
        if took_part(episode):
            raise BadInput("A visitor changed or stopped this run, so its seed does not repeat it. Play it untouched.")
        if episode.outcome is Outcome.SUCCESS:
            raise BadInput("This run succeeded: there is no failure to explain.")
        backend = self._backend(episode.run.config)
        case = case_of(episode, backend)
        self.journal.write("working", run, text="Replaying it with each part replaced …")
        (finding,) = drive([find_cause(case)], Stoppable(backend, self.controls))
        self.journal.write("verdict", run, text=finding_text(finding))

    def _replay(self, folder: Path, index: int) -> None:
        """Plays the recorded calls again, so that old episodes without a journal can be watched too."""
        episodes = read(folder).episodes
        if not -len(episodes) <= index < len(episodes):
            raise BadInput(f"There is no episode {index} in {folder}: it holds {len(episodes)}, numbered from 0.")
        episode = episodes[index]
        run, watchers, interventions = self._begin(episode.run.config, 0, "replay")
        with only_allowed(()), closing(make_env(episode.run.config)) as env:
            replay(env, episode, watchers)
        self._finish(run, episode, None, interventions)

    def _begin(
        self, config: RunConfig, beside: int, title: str, speech: Mapping[str, str] | None = None
    ) -> tuple[int, tuple[JournalWatcher, OracleView, Interventions], Interventions]:
        self.controls.check()
        self.run += 1
        run = self.run
        about = {
            **_about(config),
            "title": title,
            "beside": beside,
            "speed": self.controls.speed,
            "speech": dict(speech or {}),
        }

        def write(kind: str, **fields: Any) -> None:
            self.journal.write(kind, run, **fields)

        interventions = Interventions(self.controls, write)
        return run, (JournalWatcher(self.journal, run, about), OracleView(write), interventions), interventions

    def _finish(
        self, run: int, episode: Episode, failed: BaseException | None, interventions: Interventions
    ) -> Episode | None:
        """Stores a run; returns it unless it was stopped."""
        if interventions.told and episode.outcome is not Outcome.CRASHED:
            episode = replace(episode, detail=" ".join(filter(None, [episode.detail, interventions.told])))
        folder = run_folder(self.journal.folder, run)
        Trace(folder).append(episode)
        self._keep_recording(episode.run.speech, folder / RECORDING_FILE)
        for number, correction in enumerate(interventions.corrections, 1):
            self._keep_recording(correction.speech, folder / f"correction-{number}.wav")
        write_page(episode, folder / "page.html")
        stopped = isinstance(failed, KeyboardInterrupt)
        changed = bool(interventions.told or stopped)
        self.journal.write("stored", run, can_be_filmed=not changed)
        if failed is not None and not stopped:
            self.journal.write("refused", run, text=str(failed))
        return None if stopped or failed else episode

    def _keep_recording(self, speech: Mapping[str, str], path: Path) -> None:
        sound = read_asset(self.journal.folder, asset_name(speech.get("sha256", ""), "wav"))
        if sound is not None:
            path.write_bytes(sound)

    def _episode(self, run: int) -> Episode:
        """A finished run. Raises BadInput."""
        return read(run_folder(self.journal.folder, run)).episodes[-1]

    def _backend(self, config: RunConfig) -> Backend | None:
        """The model that a run asks; the ones that were used last stay loaded."""
        key = config.model, config.altitude == CHUNK_ALTITUDE
        if key not in self.backends and policy_entry(config.policy).needs_model:
            self.journal.write("loading", model=config.model)
        opened = self.backends.pop(key, None) or make_backend(config)
        if opened is None:
            return None
        self.backends[key] = opened
        while len(self.backends) > OPEN_MODELS:
            del self.backends[next(iter(self.backends))]
        return opened


def _about(config: RunConfig) -> dict[str, Any]:
    """What the event "started" tells of a configuration. caution: what a visitor should know before."""
    asks_model = policy_entry(config.policy).needs_model
    caution = assumed({"model": config.model}, config.words) if asks_model else ""
    return {"model": config.model, "words": config.words, "caution": caution, "picked": picked(config)}
