"""Writes an episode into the journal while it is played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qwenarm.display.captions import INTERRUPTED, call_text, decision_text, result_text, side_effects_text
from qwenarm.display.marks import marks
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import last_line
from qwenarm.live.journal import Journal
from qwenarm.live.meshes import body_meshes
from qwenarm.types import Decision, Episode, Observation, Outcome, RunConfig, SkillCall, SkillResult, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

MAX_TEXT_CHARS = 20_000
"""Characters of a text that the page is told; the trace keeps the whole."""
MAX_LISTED_CALLS = 50
POSE_DECIMALS = 4
"""Poses are kept to a tenth of a millimetre."""


class JournalWatcher(Watcher):
    """Writes the events of one episode. Of the poses only those that have changed are written.

    Args:
        journal: Where they are written.
        run: The number of the run.
        about: Further fields of the event "started".
    """

    def __init__(self, journal: Journal, run: int, about: dict[str, Any]) -> None:
        self.journal, self.run, self.about = journal, run, about
        self.turn, self._said = 0, ""
        self._executed: SkillCall | None = None
        """The call that is being executed."""

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        drawn = body_meshes(env.body.model)
        self._bodies = np.array([each.body for each in drawn])
        self._poses = self._current_poses(env.body)
        setup, can_be_held = env.setup, {p.spec.id for p in env.setup.scene.objects if p.spec.graspable}
        bodies = [
            {
                "name": each.name,
                "mesh": self.journal.keep(each.glb, "glb"),
                "pose": pose,
                "graspable": each.name in can_be_held,
            }
            for each, pose in zip(drawn, self._poses.tolist(), strict=True)
        ]
        self._write(
            "started",
            **self.about,
            policy=policy_name,
            seed=seed,
            arm=env.arm,
            task=env.task,
            instruction=setup.instruction,
            read_as=setup.read_as,
            unjudged=setup.unjudged,
            max_turns=setup.max_turns,
            bodies=bodies,
            gripper=self._gripper(env.body),
        )

    def looked(self, obs: Observation) -> None:
        self.turn, self._said = self.turn + 1, ""
        frames = [{"camera": frame.camera, "png": self.journal.keep_picture(frame.rgb)} for frame in obs.frames]
        self._write("looked", turn=self.turn, instruction=obs.instruction, frames=frames, time_s=obs.time_s)

    def saying(self, text: str) -> None:
        """The model's answer so far. Only what is new of it is written, from the character ``start`` on."""
        text = text[:MAX_TEXT_CHARS].rstrip("\ufffd")  # a character of which not all bytes are there
        if text == self._said:
            return
        pairs = enumerate(zip(self._said, text, strict=False))
        start = next((i for i, (a, b) in pairs if a != b), min(len(self._said), len(text)))
        self._said = text
        self._write("saying", turn=self.turn, start=start, text=text[start:])

    def decided(self, obs: Observation, decision: Decision, seconds: float) -> None:
        calls = decision.calls[:MAX_LISTED_CALLS]
        self._write(
            "decided",
            turn=self.turn,
            calls=[_clipped(call_text(call)) for call in calls],
            marks=[{"camera": frame.camera, **asdict(mark)} for frame in obs.frames for mark in marks(frame, calls)],
            thought=_clipped(decision.thought),
            said=_clipped(decision.raw),
            error=_clipped(decision_text(decision)) if decision.error else "",
            seconds=round(seconds, 3),
        )

    def calling(self, call: SkillCall) -> None:
        self._executed = call
        self._write("calling", turn=self.turn, call=_clipped(call_text(call)))

    def stepped(self, body: Body) -> None:
        poses = self._current_poses(body)
        moved = np.flatnonzero((poses != self._poses).any(axis=1))
        self._poses = poses
        changed = {str(i): poses[i].tolist() for i in moved.tolist()}
        self._write("poses", t=round(body.time_s, 3), poses=changed)

    def called(self, call: SkillCall, result: SkillResult) -> None:
        self._executed = None
        told, result_told = _clipped(call_text(call)), _clipped(result_text(result))
        self._write("called", turn=self.turn, call=told, ok=result.ok, result=result_told)

    def turned(self, turn: Turn) -> None:
        self._write("turned", turn=self.turn, progress=round(turn.progress, 3))

    def finished(self, episode: Episode) -> None:
        if self._executed is not None:
            self.called(self._executed, INTERRUPTED)
        stopped = episode.outcome is Outcome.STOPPED
        shown = episode.last_frames or (episode.turns[-1].observation.frames if episode.turns else ())
        self._write(
            "finished",
            outcome=str(episode.outcome),
            success=episode.outcome is Outcome.SUCCESS,
            instruction=episode.turns[-1].observation.instruction if episode.turns else episode.instruction,
            detail="" if stopped else _clipped(_detail(episode)),
            turns=len(episode.turns),
            progress=round(episode.progress, 3),
            thumbnail=self.journal.keep_picture(shown[0].rgb) if shown else "",
        )
        self.journal.release()

    def _gripper(self, body: Body) -> int:
        """The index of the drawn body that carries the point between the fingers."""
        model, drawn = body.model, self._bodies.tolist()
        carrier = int(model.site_bodyid[model.site(body.arm.tcp_site).id])
        while carrier and carrier not in drawn:
            carrier = int(model.body_parentid[carrier])
        return drawn.index(carrier) if carrier in drawn else 0

    def _current_poses(self, body: Body) -> np.ndarray:
        """(bodies, 7): position in metres, then the quaternion wxyz, in the world frame."""
        poses = np.hstack([body.data.xpos[self._bodies], body.data.xquat[self._bodies]])
        return np.round(poses, POSE_DECIMALS)

    def _write(self, kind: str, **fields: Any) -> None:
        self.journal.write(kind, self.run, **fields)


def record_into(folder: Path, config: RunConfig) -> JournalWatcher:
    """Records a run of another command, so that a live page can watch it.

    Args:
        folder: The journal's folder; it is made.
        config: What is played.
    """
    journal = Journal(folder)
    return JournalWatcher(journal, journal.last_run() + 1, {"model": config.model, "words": config.words})


def record_when_free(folder: Path, config: RunConfig) -> Sequence[JournalWatcher]:
    """Records one episode of many that several processes play at once: none while another one is being recorded, so
    that whoever watches sees whole episodes, one after the other.

    Args:
        folder: The journal's folder.
        config: What is played.

    Returns:
        The watcher that records it, or nothing.
    """
    journal = Journal(folder)
    run = journal.reserve()
    return [JournalWatcher(journal, run, {"model": config.model, "words": config.words})] if run else ()


def _detail(episode: Episode) -> str:
    """Why it crashed or could not be judged, and its side effects."""
    detail = last_line(episode.detail) if episode.outcome is Outcome.CRASHED else episode.detail
    effects = f"With side effects: {side_effects_text(episode.side_effects)}." if episode.side_effects else ""
    return " ".join(filter(None, [detail, effects]))


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]} …"
