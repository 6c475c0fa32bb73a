"""Plays chunks of 20 Hz actions, wherever they come from: a server (``websocket.py``) or a head on a checkpoint.

One after the other, a chunk is asked for and then played while the next one is still unknown. With ``asynchronous``
conventions the next one is computed while this one plays::

    periods           0 . . . . . . . s . . . . . .
    this chunk        0 1 2 3 4 5 6 7 8 9             played up to s, then on while the next is computed
    the next chunk                    0 1 2 3 4 5     asked for at s, there two periods later: 0 and 1 are skipped

The delay is counted in control periods: the index in the playing chunk when the answer comes, minus the index when it
was asked for. So many actions of the new chunk are late, and are skipped. Where the playing chunk ends before the
answer comes, the arm holds still, which skips nothing. This is real-time chunking without its inpainting (Black et al.
2025, arXiv:2506.07339). With ``smoothing`` the actions that both chunks have for a period are averaged, as in the
temporal ensembling of ACT (Zhao et al. 2023, arXiv:2304.13705), so that there is no jerk where they meet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.errors import BadInput
from qwenarm.mind.vlm_policy import Deciding
from qwenarm.policies.conventions import Conventions, as_plain
from qwenarm.types import Decision, FormatError, Observation, Prompt, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.episode.drive import Answers

Rows = list[list[float]]
"""Actions as ``skills/action_chunk.py`` plays them, one control period each."""


@dataclass(frozen=True)
class SplicedChunk:
    """What one turn of an asynchronous policy plays.

    Attributes:
        rows: Actions for the delay, then those of the new chunk.
        skipped: Number of the new chunk's first actions that came too late.
    """

    rows: Rows
    skipped: int


def splice(playing: Rows, index: int, fresh: Rows, delay: int, played: int, is_delta: bool) -> SplicedChunk:
    """Goes from the playing chunk to a fresh one.

    Args:
        playing: The chunk that plays while the fresh one is computed.
        index: Its next action when the fresh one is asked for.
        fresh: The chunk that was asked for.
        delay: Control periods until it is there.
        played: Index of the fresh chunk at which the next one is asked for, unless it is passed already.
        is_delta: Whether actions are shifts, so that the arm holds still with zeros.
    """
    meanwhile = playing[index : index + delay]
    skipped = len(meanwhile)
    last = playing[-1]
    still = [*(0.0 for _ in last[:-1]), last[-1]] if is_delta else last
    meanwhile += [still] * (delay - skipped)
    return SplicedChunk(meanwhile + fresh[skipped : max(played, skipped)], skipped)


def faded(playing: Rows, index: int, fresh: Rows, played: int) -> Rows:
    """Returns the fresh chunk, into which the playing one fades over the periods for which both have an action.

    Args:
        playing: The chunk that plays.
        index: Its action for the period of the fresh one's first.
        fresh: The next chunk. Its last number, the gripper's, is not averaged: fingers close or do not.
        played: How many of its actions may be mixed; the chunk after it goes on from the others.
    """
    both = playing[index : index + min(played, len(fresh))]
    shares = np.linspace(1, 0, len(both) + 2)[1:-1]
    mixed = [
        [*(share * a + (1 - share) * b for a, b in zip(old[:-1], new[:-1], strict=True)), new[-1]]
        for share, old, new in zip(shares.tolist(), both, fresh, strict=False)
    ]
    return mixed + fresh[len(both) :]


class ChunkPlayer:
    """A policy that plays what ``backend`` answers, chunk by chunk. A prompt's text is the JSON of the instruction and
    the state; a completion's is the actions as JSON, (T, D).

    Args:
        name: Its name in the record.
        backend: What answers.
        conventions: What the numbers mean.
        clock: The world's, which says how late an answer is.
        facts: Additional facts for the record.
    """

    def __init__(
        self, name: str, backend: Answers, conventions: Conventions, clock: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self.backend, self.conventions = name, backend, conventions
        self.clock: Clock = parse_clock(clock)
        self.cameras, self.frame_size = tuple(conventions.cameras), conventions.image_size
        self.facts = facts or {}

    def describe(self) -> Mapping[str, Any]:
        return {"name": self.name, "conventions": as_plain(self.conventions), **self.facts}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        """One chunk. What contradicts the conventions is an unreadable answer, and nothing moves."""
        convention = self.conventions
        told = {convention.prompt_key: obs.instruction, convention.state_key: convention.observed(obs.proprio)}
        images = tuple(frame.rgb for frame in obs.frames if frame.camera in self.cameras)
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": json.dumps(told)}]
        completion = yield Prompt(({"role": "user", "content": content},), images)
        try:
            fresh = self._rows(completion.text, len(obs.proprio.qpos))
        except (BadInput, TypeError, ValueError) as error:
            return Decision((), raw=completion.text[:1000], error=FormatError.BROKEN, detail=str(error))
        rows, delay, skipped = fresh[: convention.actions_played], 0, 0
        if convention.asynchronous and (playing := self._playing(history)):
            delay = self.clock.thinking_periods([completion], history)
            index = max(history[-1].decision.skipped, convention.actions_played)
            is_delta = convention.action in ("ee_delta", "osc")
            fresh = faded(playing, index, fresh, convention.actions_played) if convention.smoothing else fresh
            spliced = splice(playing, index, fresh, delay, convention.actions_played, is_delta)
            rows, skipped = spliced.rows, spliced.skipped
        call = SkillCall(convention.skill, {"actions": rows})
        return Decision((call,), delay_periods=delay, skipped=skipped)

    def _rows(self, text: str, joints: int) -> Rows:
        return self.conventions.played(np.array(json.loads(text), dtype=float), joints)

    def _playing(self, history: Sequence[Turn]) -> Rows:
        """The whole chunk that plays at the end of the last turn; [] if there is none."""
        last = history[-1] if history else None
        if last is None or last.decision.error or not last.completions or not all(one.ok for one in last.results):
            return []
        return self._rows(last.completions[-1].text, len(last.observation.proprio.qpos))
