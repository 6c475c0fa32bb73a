"""What visitors do to a run while it is played: its pace, their hands in the scene, and corrected instructions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.episode.endings import is_ended
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import QwenarmError
from qwenarm.tasks.language.read_correction import read_correction
from qwenarm.types import Completion, Decision, Episode, Observation, Outcome, Prompt, SkillCall, SkillResult, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv
    from qwenarm.mind.backends import Backend

MIN_SPEED, MAX_SPEED = 0.25, 4.0
"""Multiples of real time."""
MAX_LAG_S = 0.25
"""A run that is later than this does not catch up."""
PULL_FREQUENCY_RAD_PER_S = 9.0
"""Stiffness of the pull on an object, as the natural frequency of a critically damped spring."""
MAX_PULL_M = 0.12
"""The pull grows with the distance to the pointer up to here, so that it stays gentle."""
SLIP_PERIODS = 8
"""Control periods for which the fingers open when a visitor lets the object slip."""
EXTRA_TURNS = 6
"""Turns that an episode has more after a correction."""
GRAVITY_M_PER_S2 = 9.81
BY_A_VISITOR = "By a visitor, "
"""How the part of an episode's detail about visitors begins."""
TOO_LATE = "This correction came too late: nothing is being played any more. Press “Do it” to have it done."
TOLD_ALREADY = "It has been told so already."


def took_part(episode: Episode) -> bool:
    """Whether visitors changed or ended an episode, so that its seed alone does not repeat it."""
    return BY_A_VISITOR in episode.detail or episode.outcome is Outcome.STOPPED


class RunStopped(KeyboardInterrupt):
    """A visitor has stopped the run, or began another one. The text becomes the episode's detail."""

    def __init__(self) -> None:
        super().__init__("It was stopped on the live page.")


@dataclass(frozen=True)
class Correction:
    """An instruction in mid-run. speech: how it was heard, {} if it was typed."""

    text: str
    speech: Mapping[str, str] = field(default_factory=dict)


class Controls:
    """What the visitors want now. Written by one thread and read by the one that plays."""

    def __init__(self) -> None:
        self._changed = Condition()
        self.paused, self.stopped, self.speed = False, False, 1.0
        self.correction: Correction | None = None
        self.pulls: dict[str, tuple[float, float, float]] = {}
        """Where objects are dragged to, in m, by object."""
        self.slip = False
        self.open = False
        """Whether a run is being played that a correction may change."""

    def set(self, **wanted: Any) -> None:
        """Sets some of the attributes."""
        with self._changed:
            for name, value in wanted.items():
                setattr(self, name, value)
            self._changed.notify_all()

    def start(self) -> None:
        """Forgets what was wanted of the run before; the speed stays."""
        self.set(paused=False, stopped=False, open=False, correction=None, pulls={}, slip=False)

    def correct(self, correction: Correction) -> bool:
        """Keeps a correction for the end of the turn; returns False when no run can take one any more."""
        with self._changed:
            if self.open:
                self.correction = correction
            return self.open

    def close(self) -> Correction | None:
        """Takes no more corrections; returns one that came too late."""
        with self._changed:
            self.open, late, self.correction = False, self.correction, None
            return late

    def check(self) -> None:
        """Raises RunStopped if the run was stopped."""
        if self.stopped:
            raise RunStopped

    def wait(self, seconds: float) -> None:
        """Sleeps for so long, and then while it is paused. Raises RunStopped."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped, max(0.0, seconds))
            self._changed.wait_for(lambda: self.stopped or not self.paused)
            self.check()


class Stoppable:
    """Answers prompts until a visitor presses Stop."""

    def __init__(self, backend: Backend | None, controls: Controls) -> None:
        self.backend, self.controls = backend, controls

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        self.controls.check()
        assert self.backend is not None  # only a model's run asks
        return self.backend.generate(prompts)


class Interventions(Watcher):
    """Lets visitors take part in one episode.

    Args:
        controls: What they want.
        write: (kind, fields) is written into the journal.
    """

    def __init__(self, controls: Controls, write: Callable[..., None]) -> None:
        self.controls, self.write = controls, write
        self.touched: list[str] = []
        """One phrase for each object that was moved, and for each slip: it is no longer the same episode."""
        self.corrections: list[Correction] = []
        self._due = 0.0

    @property
    def told(self) -> str:
        """What visitors did, as a sentence; "" for nothing."""
        corrected = [f"the instruction was corrected to “{each.text}”" for each in self.corrections]
        return f"{BY_A_VISITOR}{', '.join([*self.touched, *corrected])}." if self.touched or corrected else ""

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.env = env
        self.controls.set(open=True)
        env.body.after_step.append(self._apply_hands)

    def looked(self, obs: Observation) -> None:
        self.controls.wait(0)

    def decided(self, obs: Observation, decision: Decision, seconds: float) -> None:
        self.controls.wait(0)
        self._due = time.perf_counter()

    def stepped(self, body: Body) -> None:
        now = time.perf_counter()
        self._due = max(self._due, now - MAX_LAG_S) + CONTROL_PERIOD_S / self.controls.speed
        self.controls.wait(self._due - now)

    def called(self, call: SkillCall, result: SkillResult) -> None:
        self.controls.wait(0)

    def turned(self, turn: Turn) -> None:
        if not is_ended(turn.decision, turn.results):  # otherwise nobody looks again
            self.correct()

    def finished(self, episode: Episode) -> None:
        if self.controls.close() is not None and episode.outcome is not Outcome.STOPPED:
            self.write("refused", text=TOO_LATE)

    def correct(self) -> None:
        """Makes a correction the instruction, and the goal if it can be read as one for the things on the table."""
        correction = self.controls.correction
        if correction is None:
            return
        text = correction.text
        self.controls.set(correction=None)
        setup = replace(self.env.setup, max_turns=self.env.setup.max_turns + EXTRA_TURNS)
        try:
            reading, goal = read_correction(text, setup.goal, setup.scene)
        except QwenarmError as error:
            judged = f"judged by the instruction before: {error}"
        else:
            judged = f"judged by the instruction before: {reading.why}"
            if goal is not None:
                setup, text, judged = replace(setup, goal=goal), reading.text, f"{reading}; judged by this"
        if text == self.env.instruction:
            self.write("refused", text=TOLD_ALREADY)
            return
        self.corrections.append(correction)
        self.env.setup, self.env.instruction = setup, text
        self.write("corrected", instruction=text, read_as=judged, speech=dict(correction.speech))

    def _apply_hands(self, body: Body) -> None:
        """Pulls the grabbed objects with a spring, and opens the fingers for a slip."""
        if self.controls.slip:
            self.controls.set(slip=False)
            body.forced_open_periods = SLIP_PERIODS
            self._note("the fingers were opened")
        names = {placement.spec.id for placement in body.scene.objects if placement.spec.graspable}
        for name in names:
            target = self.controls.pulls.get(name)
            index = body.model.body(name).id
            if target is None:
                body.data.xfrc_applied[index] = 0.0
            else:
                body.data.xfrc_applied[index, :3] = _spring(body, index, target - body.data.xpos[index])
                self._note(f"the {body.scene.spec(name).label} was moved")

    def _note(self, phrase: str) -> None:
        if phrase not in self.touched:
            self.touched.append(phrase)
            self.write("touched", text=phrase)


def _spring(body: Body, index: int, pull: np.ndarray) -> np.ndarray:
    """(3,) N on a body: a critically damped spring along a vector in metres, and its own weight."""
    length = float(np.linalg.norm(pull))
    if length > MAX_PULL_M:
        pull = pull * (MAX_PULL_M / length)
    mass = float(body.model.body_mass[index])
    dof = int(body.model.body_dofadr[index])
    velocity = body.data.qvel[dof : dof + 3]
    w = PULL_FREQUENCY_RAD_PER_S
    return mass * (w * w * pull - 2 * w * velocity + np.array([0.0, 0.0, GRAVITY_M_PER_S2]))
