"""Measures what an episode cost: motion, unintended contacts, drops, clamps, tokens, time.

Stored as ``RunInfo.metrics``:

    decisions        turns
    model_s          wall seconds that the model took (a share of its batch); all other measures are
                     independent of the wall clock
    sim_s            simulated seconds
    path_m           length of the tcp's path; of two arms, of both
    jerk_rms_m_s3    root mean squared jerk of the tcp: third differences over the control periods;
                     of two arms, the larger
    contacts         number of unintended contacts
    contact_peak_n   the largest force of one of them, in N
    drops            number of held objects that were lost although the fingers were not told to open
    clamps           controls that the safety layer changed, and collisions of the arm
    tokens_in, tokens_out, format_errors

A task's own measures, such as parcels in a wrong place, are in ``RunInfo.task_metrics``.

Contacts of the arm, or what it holds, with anything that the current call does not point at are unintended. What
stands on or in the target of a place belongs to the target. A held object may touch what it stood on until the grip was
firm. The hand should never touch the bare table. Everything is sampled at the end of each control period (20 Hz), so a
knock between two samples can be missed, and forces are those at the sampled instants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from qwenarm.body.cameras import ray
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.episode.watchers import Watcher
from qwenarm.types import ImagePoint, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

FRAME_ASPECT_RATIO = 4 / 3
"""Width divided by height of the frames in which policies point."""
FIRM_GRASP_PERIODS = 3
"""Number of control periods after which a grip counts as firm, and its loss as a loss: single contacts flicker."""
WORLD_BODY_ID = 0
"""Id of the body of table, floor and walls."""


class Metrics(Watcher):
    """Measures one episode."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.paths: list[list[np.ndarray]] = []  # of each arm's tcp
        self.contacts, self.peak_n = 0, 0.0

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self.body = env.body
        self.touch, self.grip = Touch(env.body), Grip()
        self.paths = [[each.tcp_pos] for each in env.body.manipulators]

    def calling(self, call: SkillCall) -> None:
        self.touch.expect(call)

    def stepped(self, body: Body) -> None:
        for path, manipulator in zip(self.paths, body.manipulators, strict=True):
            path.append(manipulator.tcp_pos)
        begun, force = self.touch.look()
        self.contacts += begun
        self.peak_n = max(self.peak_n, force)
        self.grip.look(self.touch.held, body.target.gripper)

    def metrics(self, turns: Sequence[Turn]) -> Mapping[str, float]:
        completions = [completion for turn in turns for completion in turn.completions]
        paths = [np.array(path) for path in self.paths]
        return {
            "decisions": len(turns),
            "model_s": sum(completion.seconds for completion in completions),
            "sim_s": self.body.time_s if self.body else 0.0,
            "path_m": sum(map(path_length, paths)),
            "jerk_rms_m_s3": max(map(jerk_rms, paths), default=0.0),
            "contacts": self.contacts,
            "contact_peak_n": self.peak_n,
            "drops": self.grip.drops if self.body else 0,
            "clamps": sum(sum(turn.clamps.values()) for turn in turns),
            "tokens_in": sum(completion.tokens_in for completion in completions),
            "tokens_out": sum(completion.tokens_out for completion in completions),
            "format_errors": sum(turn.decision.error is not None for turn in turns),
        }


def path_length(path: np.ndarray) -> float:
    """Returns the length of a polyline (n, 3), in m."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) if len(path) > 1 else 0.0


def jerk_rms(path: np.ndarray) -> float:
    """Returns the root mean squared jerk in m/s^3 of positions (n, 3), one per control period; 0 if n < 4."""
    if len(path) < 4:
        return 0.0
    jerk = np.diff(path, n=3, axis=0) / CONTROL_PERIOD_S**3
    return float(np.sqrt((jerk**2).sum(axis=1).mean()))


class Grip:
    """Counts objects that slip out of fingers that were told to hold them."""

    def __init__(self) -> None:
        self.drops = 0
        self._thing, self._periods, self._missing = -1, 0, 0
        self._gap = 0.0

    def look(self, held: int, gap: float) -> None:
        """Updates the count after a control period. ``held`` is a body's id or -1, ``gap`` the fingers' target in m."""
        if held >= 0:
            same = held == self._thing
            self._periods, self._gap = (self._periods + 1, min(self._gap, gap)) if same else (1, gap)
            self._thing, self._missing = held, 0
        elif self._thing >= 0:
            self._missing += 1
            released = gap > self._gap + 1e-4
            lost = not released and min(self._periods, self._missing) >= FIRM_GRASP_PERIODS
            self.drops += lost
            if released or lost or self._periods < FIRM_GRASP_PERIODS:
                self._thing = -1


class Touch:
    """Finds contacts, and which of them the current call allows. ``held`` is the id of the held body, or -1.

    It uses plain lists and sets of body ids, because contacts are few and are checked in every control period.
    """

    def __init__(self, body: Body) -> None:
        self.body, model = body, body.model
        self.held = -1
        roots, self._body_of = model.body_rootid.tolist(), model.geom_bodyid.tolist()
        self._arm = [root in body.arm_roots for root in roots]
        self._objects = {placement.spec.id: model.body(placement.spec.id).id for placement in body.scene.objects}
        self._for_hand, self._for_held = set[int](), set[int]()
        self._before: set[tuple[bool, int]] = set()
        self._same, self._wrong = b"", list[int]()
        self._grasped_s = 0.0
        self._force = np.zeros(6)

    def expect(self, call: SkillCall) -> None:
        """Sets the call that determines what may be touched from now on."""
        self._same = b""
        self._for_hand = {self.held} - {-1}  # still between the fingers just after its release
        self._for_held = set()
        for value in call.args.values():
            target = self._pointed(value) if isinstance(value, ImagePoint) else -1
            if target > WORLD_BODY_ID:
                carried = self._carried_by(target) if call.name == "place" else []
                self._for_hand |= {target, *carried}
                self._for_held |= {target, *carried}
            elif target == WORLD_BODY_ID:
                self._for_held.add(WORLD_BODY_ID)

    def look(self) -> tuple[int, float]:
        """Returns the number of unintended contacts that began since the last look, and the largest force of the
        present ones.
        """
        geoms = self.body.data.contact.geom
        if self._same == (same := geoms.tobytes()):  # the same contacts as one period ago: only the forces differ
            return 0, self._largest() if self._wrong else 0.0
        self._same, pairs = same, [(self._body_of[a], self._body_of[b]) for a, b in geoms.tolist()]
        if not any(self._arm[a] or self._arm[b] for a, b in pairs):
            self.held, self._before, self._wrong = -1, set(), []
            return 0, 0.0
        held, self.held = self.held, self._held(pairs)
        if self.held != held:
            self._grasped_s = self.body.time_s
        if self.held >= 0 and self.body.time_s - self._grasped_s < FIRM_GRASP_PERIODS * CONTROL_PERIOD_S:
            for pair in pairs:
                if self.held in pair:
                    self._for_held.update(pair)  # what it stood on when it was grasped
        now, self._wrong = set[tuple[bool, int]](), []
        for contact, pair in enumerate(pairs):
            own, other = (self._arm[body] or body == self.held for body in pair)
            if own == other:
                continue
            body, met = pair if own else pair[::-1]
            by_hand = self._arm[body]
            if met not in (self._for_hand if by_hand else self._for_held):
                self._wrong.append(contact)
                now.add((by_hand, met))
        begun, self._before = len(now - self._before), now
        return begun, self._largest()

    def _largest(self) -> float:
        """Returns the largest force of the present unintended contacts, in N."""
        return max(map(self._newtons, self._wrong), default=0.0)

    def _newtons(self, contact: int) -> float:
        mujoco.mj_contactForce(self.body.model, self.body.data, contact, self._force)
        return float(np.linalg.norm(self._force[:3]))

    def _held(self, pairs: Sequence[tuple[int, int]]) -> int:
        """Returns the object that the gripper holds, or -1. ``pairs`` are the bodies of the contacts."""
        gripped = self.body.gripper.gripped(pairs, self.body.data.contact.frame[:, :3])
        return min(gripped.intersection(self._objects.values()), default=-1)

    def _pointed(self, point: ImagePoint) -> int:
        """Returns the body that is seen at a point, ignoring the arm, or -1 if there is none or no such camera."""
        if point.camera not in [camera.name for camera in self.body.scene.cameras]:
            return -1
        pos, mat, fovy = self.body.camera_pose(point.camera)
        way = ray(point.u, point.v, mat, fovy, FRAME_ASPECT_RATIO)
        geom, model = np.array([-1], dtype=np.int32), self.body.model
        for _ in range(model.nbody):
            along = mujoco.mj_ray(model, self.body.data, pos, way, None, 1, -1, geom)
            if along < 0:
                return -1
            found = int(model.geom_bodyid[geom[0]])
            if not self._arm[found]:
                return found
            pos = pos + (along + 1e-4) * way
        return -1

    def _carried_by(self, target: int) -> list[int]:
        """Returns the objects that stand on or in a body."""
        names = {body: name for name, body in self._objects.items()}
        if target not in names:
            return []
        state = self.body.state()
        return [i for name, i in self._objects.items() if i != target and state.on(name, names[target])]
