"""Observers of an episode, and the clock that measures where the time goes.

Films, pages and the live view are watchers: they are told of every event and can never change an outcome. The time
they take is counted separately, as "film".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qwenarm.types import Decision, Episode, Observation, SkillCall, SkillResult, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv


class Watcher:
    """Notified of everything that happens in an episode. Subclasses override methods; by default they do nothing."""

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        """The scene is ready, and nothing has moved yet."""

    def looked(self, obs: Observation) -> None:
        """The policy is about to decide on this observation."""

    def decided(self, obs: Observation, decision: Decision, seconds: float) -> None:
        """The policy has decided; ``seconds`` is the time that the model took."""

    def calling(self, call: SkillCall) -> None:
        """This call is about to be executed."""

    def stepped(self, body: Body) -> None:
        """One control period (50 ms) has passed."""

    def called(self, call: SkillCall, result: SkillResult) -> None:
        """This call has been executed."""

    def turned(self, turn: Turn) -> None:
        """A turn is complete."""

    def metrics(self, turns: Sequence[Turn]) -> Mapping[str, float]:
        """Returns measures for the episode's record. Called once, when the episode is over."""
        return {}

    def finished(self, episode: Episode) -> None:
        """The episode is over and judged."""


class Tell:
    """Passes events on to the watchers and measures their time. A watcher that fails is dropped and reported."""

    def __init__(self, env: ArmEnv, watchers: Sequence[Watcher]) -> None:
        self.env, self.watchers = env, list(watchers)
        self.seconds = 0.0
        self.hidden: defaultdict[str, float] = defaultdict(float)
        """Seconds of physics and rendering that watchers caused."""
        self.failures: list[str] = []

    def __call__(self, event: str, *what: Any) -> list[Any]:
        """Returns the watchers' answers. It is called in every control period, so the code is kept flat."""
        if not self.watchers:
            return []
        began, body = perf_counter(), self.env.body.seconds
        physics, render = body["physics"], body["render"]
        answers = []
        for watcher in tuple(self.watchers):
            try:
                answers.append(getattr(watcher, event)(*what))
            except Exception as error:  # a film that fails must not change the outcome
                self.watchers.remove(watcher)
                self.failures.append(f"{type(watcher).__name__}.{event}: {type(error).__name__}: {error}")
        self.hidden["physics"] += body["physics"] - physics
        self.hidden["render"] += body["render"] - render
        self.seconds += perf_counter() - began
        return answers

    def own_seconds(self) -> dict[str, float]:
        """Returns wall seconds of physics and rendering in the episode so far, without those that watchers caused."""
        return {part: self.env.body.seconds[part] - self.hidden[part] for part in ("physics", "render")}

    def metrics(self, turns: Sequence[Turn]) -> dict[str, float]:
        """Returns the measures of all watchers."""
        return {name: value for some in self("metrics", turns) if some for name, value in some.items()}


class Stopwatch:
    """Splits the wall time of one turn into model, physics, render, skill, other and film."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.began, self.elsewhere, self.skills = perf_counter(), 0.0, 0.0
        self.start = self._parts()

    def _parts(self) -> dict[str, float]:
        """Returns the seconds so far: the episode's own physics and rendering, and those of the watchers."""
        return {**self.tell.own_seconds(), "film": self.tell.seconds}

    def _since(self, before: dict[str, float]) -> dict[str, float]:
        return {name: value - before[name] for name, value in self._parts().items()}

    @contextmanager
    def away(self) -> Iterator[None]:
        """Pauses while another episode, or the model, is running."""
        left = perf_counter()
        yield
        self.elsewhere += perf_counter() - left

    @contextmanager
    def skill(self) -> Iterator[None]:
        """Measures a skill: all its time that is not physics, rendering or film."""
        left, before = perf_counter(), self._parts()
        yield
        self.skills += perf_counter() - left - sum(self._since(before).values())

    def split(self, model: float) -> dict[str, float]:
        """Returns seconds by part. ``model`` is the time the backend reports for this episode's share of a batch."""
        parts = self._since(self.start)
        total = perf_counter() - self.began - self.elsewhere
        other = max(0.0, total - sum(parts.values()) - self.skills)
        return {"model": model, **parts, "skill": self.skills, "other": other}
