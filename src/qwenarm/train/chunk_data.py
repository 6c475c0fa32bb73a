"""Collects demonstrations for action chunks: where the hand should go in the next 0.8 s, at 20 Hz.

Each scene is played twice. The oracle plays it with its skills, and every target of the arm is kept. Then its way is
gone again at another pace, with the hand straying from it now and then where it touches nothing, and pictures are taken
at random moments. Their right answer is what leads back to the way, so that a learner sees what its own errors lead to
(after DART, Laskey et al. 2017, arXiv:1703.09327). In some episodes the fingers first close beside the thing, so that
it sees how to try again.

A learner can play first: after a random number of chunks the oracle takes over, and only its part is shown (after
DAgger, Ross et al. 2011, arXiv:1011.0686).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from qwenarm.body.cameras import project
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.body.simulation import Body
from qwenarm.episode.drive import answered
from qwenarm.episode.rollout import play, settle
from qwenarm.episode.versions import versions
from qwenarm.episode.watchers import Watcher
from qwenarm.factory import counting_periods, make_env, make_policy
from qwenarm.policies import Context, oracle
from qwenarm.policies.conventions import Conventions
from qwenarm.skills.failure import SkillFailure
from qwenarm.train.chunk_way import at_steady_pace, finger_changes, with_miss
from qwenarm.train.dataset import stored, write_archive
from qwenarm.train.task_config import described
from qwenarm.types import Control, Decision, Observation, Outcome, RunConfig, RunInfo, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.backends import Backend
    from qwenarm.mind.vlm_policy import Deciding, Policy

CHUNK_ACTIONS = 16
"""Control periods in a chunk: 0.8 s."""
CHUNK_CAMERAS = ("front", "wrist")
CONVENTIONS = Conventions(
    cameras={name: name for name in CHUNK_CAMERAS},
    image_size=(192, 256),
    state=("tcp_pos", "joints", "gripper_width", "holding"),
    actions_played=8,
    asynchronous=True,
)
"""What state and actions mean, but for the actions' quantiles, which the training data gives."""
START_GAP_PERIODS = 5
"""Mean number of control periods between the moments at which pictures are taken."""
STRAY_PERIODS, STRAY_SHARE = (10, 24), 0.6
"""How long the hand strays, from and to, and the share of the stretches without contact in which it does."""
STRAY_STD_M, STRAY_STD_RAD = np.array([0.02, 0.02, 0.012]), 0.12
"""Standard deviation of how far, along x, y, z and about the vertical."""
CONTACT_PERIODS = 5
"""The hand does not stray so shortly before and after its fingers close or open."""
RETURN_PERIODS = 8
"""A right answer is back on the way after so many control periods."""
MISS_SHARE, MISS_M, MISS_HEIGHT_M = 0.4, (0.035, 0.06), 0.01
"""Share of the episodes in which the fingers first close beside the thing, and how far from it and above it."""
LEARNER_CHUNKS = (2, 24)
"""How many chunks a learner plays before the oracle takes over, from and to."""


@dataclass(frozen=True)
class ChunkSample:
    """What is seen at one moment, and what to do then.

    Attributes:
        images: (H, W, 3) uint8 by camera of ``CONVENTIONS``.
        state: As in ``CONVENTIONS``.
        instruction: At that moment.
        actions: (CHUNK_ACTIONS, 7) shift m, turn rad, and the opening of the fingers from -1 (closed) to 1.
        aim: Where the tcp is when the fingers next close or open: x, y, z in m, then u, v in the first picture. Empty
            if they never do.
        step: Control periods since the start.
    """

    images: tuple[np.ndarray, ...]
    state: list[float]
    instruction: str
    actions: np.ndarray
    aim: list[float]
    step: int


class TargetRecorder(Watcher):
    """Keeps where the arm was sent in each control period."""

    def __init__(self) -> None:
        self.targets: list[Control] = []

    def stepped(self, body: Body) -> None:
        self.targets.append(Control(body.target.qpos.copy(), body.target.gripper))


class HandOver:
    """A policy that plays like a learner for some turns, and from then on like an expert, with open fingers unless they
    hold something. It gives up when a call of the expert's fails: its way would be no example.
    """

    def __init__(self, learner: Policy, expert: Policy, turns: int) -> None:
        self.learner, self.expert, self.turns = learner, expert, turns
        self.name, self.frame_size = learner.name, learner.frame_size
        self.cameras = tuple(dict.fromkeys([*learner.cameras, *expert.cameras]))

    def describe(self) -> Mapping[str, Any]:
        return {**self.learner.describe(), **self.expert.describe()}

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        if len(history) == self.turns and not obs.proprio.holding:
            return Decision((SkillCall("open_gripper"),))
        if len(history) > self.turns and not all(result.ok for result in history[-1].results):
            return Decision((SkillCall("give_up", {"reason": "the oracle's call failed"}),))
        policy = self.learner if len(history) < self.turns else self.expert
        return (yield from policy.decide(obs, history))


def collect_chunks(config: RunConfig, seeds: Sequence[int], path: Path, model: Backend | None = None) -> int:
    """Plays the scenes and writes the archive ``path``. A model plays first, if there is one; where it needs no help,
    there is nothing to show. Returns the number of samples.
    """
    samples, succeeded = list[tuple[int, ChunkSample]](), 0
    with closing(make_env(config)) as env:
        for seed in seeds:
            found = demonstrated(env, config, seed, model)
            samples += [(seed, sample) for sample in found or ()]
            succeeded += found is not None
    head = {
        **described(config), "cameras": CHUNK_CAMERAS, "mistakes": 0.0, "episodes": len(seeds),
        "succeeded": succeeded, "versions": versions(),
    }  # fmt: skip
    write_archive(path, head, lambda archive: [_line(archive, seed, sample) for seed, sample in samples])
    return len(samples)


def demonstrated(env: ArmEnv, config: RunConfig, seed: int, model: Backend | None) -> list[ChunkSample] | None:
    """One episode, or None if the oracle did not bring it to a good end, or its way cannot be gone again."""
    recorder, setup, learner_turns = TargetRecorder(), None, 0
    policy: Policy = oracle.make(Context(config, seed, env=env))
    if model:
        setup = counting_periods(env.build(seed))
        learner_turns = int(np.random.default_rng([seed, 89]).integers(*LEARNER_CHUNKS))
        policy = HandOver(make_policy(config, env, seed, model), policy, learner_turns)
    episode = answered(play(env, policy, RunInfo(config, seed), [recorder], setup=setup), model)
    if episode.outcome is not Outcome.SUCCESS:
        return None
    if len(episode.turns) <= learner_turns:
        return []
    learner_s = sum(turn.sim_time_s for turn in episode.turns[:learner_turns])
    try:
        found = list(look_again(env, seed, recorder.targets, round(learner_s / CONTROL_PERIOD_S)))
    except SkillFailure:  # the hand cannot go straight there
        return None
    settle(env.body)
    done = env.setup.goal is not None and env.setup.goal.success(env.body.state())
    return found if done else None


def look_again(env: ArmEnv, seed: int, targets: Sequence[Control], begin: int = 0) -> Iterator[ChunkSample]:
    """Goes the way of recorded targets again, straying now and then, and yields what is seen on it.

    Args:
        env: Is reset to the scene.
        seed: The scene's seed.
        targets: One for each control period.
        begin: How many of them a learner chose. They are repeated as they were, and nothing is shown of them.

    Raises:
        SkillFailure: The hand cannot go straight where it should.
    """
    env.reset(seed=seed)
    body, rng, way = env.body, np.random.default_rng([seed, 83]), [env.body.hold(), *targets]
    if misses := not begin and len(finger_changes(way)) > 0 and rng.random() < MISS_SHARE:
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(*MISS_M)
        way = with_miss(body, way, np.array([far * math.cos(angle), far * math.sin(angle), MISS_HEIGHT_M]))
    own = at_steady_pace(body, way[begin:])
    astray = np.concatenate([np.zeros((begin, 4)), stray(rng, len(own), finger_changes(own))])
    way = [*way[:begin], *own]
    poses, changes = [body.kinematics.fk(control.qpos) for control in way], finger_changes(way)
    if misses:  # nobody should learn to miss
        begin = int(changes[0]) + CONTACT_PERIODS
    end = int(changes[-1]) + CHUNK_ACTIONS if len(changes) else len(way)  # then it only goes home
    moment = begin + int(rng.integers(START_GAP_PERIODS))
    for now in range(len(way)):
        if now == moment < end:
            moment += int(rng.integers(1, 2 * START_GAP_PERIODS))
            has_taken_by_mistake = misses and now <= changes[1] and body.proprio().holding
            if not has_taken_by_mistake:
                yield _sample(env, way, poses, changes, now)
        if now + 1 < len(way):
            body.step(_beside(body, way[now + 1], poses[now + 1], astray[now + 1]))


def stray(rng: np.random.Generator, count: int, changes: np.ndarray) -> np.ndarray:
    """How far the hand is beside its way at each moment: smooth bumps between contacts, (count, 4) in m and rad."""
    astray, now = np.zeros((count, 4)), 0
    scale = np.append(STRAY_STD_M, STRAY_STD_RAD)
    while now < count:
        length = int(rng.integers(*STRAY_PERIODS))
        far = rng.normal(0, 1, 4).clip(-2, 2) * scale
        touched = ((changes > now - CONTACT_PERIODS) & (changes < now + length + CONTACT_PERIODS)).any()
        if rng.random() < STRAY_SHARE and not touched and now + length < count:
            bump = (1 - np.cos(np.linspace(0, 2 * np.pi, length))) / 2
            astray[now : now + length] = bump[:, None] * far
        now += length if not touched else 2
    return astray


def _beside(body: Body, target: Control, pose: tuple[np.ndarray, np.ndarray], astray: np.ndarray) -> Control:
    """The target, moved by (4,) m and rad."""
    if not astray.any():
        return target
    turned = Rotation.from_rotvec([0, 0, astray[3]]) * Rotation.from_quat(pose[1], scalar_first=True)
    return Control(body.ik(pose[0] + astray[:3], turned.as_quat(scalar_first=True), target.qpos).qpos, target.gripper)


def _sample(env: ArmEnv, way: Sequence[Control], poses: Sequence[Any], changes: np.ndarray, now: int) -> ChunkSample:
    body, size = env.body, CONVENTIONS.image_size
    images = tuple(body.frame(camera, size).rgb for camera in CHUNK_CAMERAS)
    ahead = [min(now + k, len(way) - 1) for k in range(CHUNK_ACTIONS + 1)]
    pos, quat = body.kinematics.fk(body.target.qpos)
    left = np.maximum(0, 1 - np.arange(CHUNK_ACTIONS + 1) / RETURN_PERIODS)[:, None]
    places = np.array([poses[k][0] for k in ahead])
    turns = Rotation.from_quat(np.array([poses[k][1] for k in ahead]), scalar_first=True)
    beside = (Rotation.from_quat(quat, scalar_first=True) * turns[0].inv()).as_rotvec()
    places = places + left * (pos - places[0])
    turns = Rotation.from_rotvec(left * beside) * turns
    opening = np.array([way[k].gripper for k in ahead[1:]]) / body.arm.max_gap
    actions = np.column_stack([np.diff(places, axis=0), (turns[1:] * turns[:-1].inv()).as_rotvec(), 2 * opening - 1])
    aim, later = list[float](), changes[changes >= now]
    if len(later):
        point = poses[later[0]][0]
        uv, _ = project(point, *body.camera_pose(CHUNK_CAMERAS[0]), size[1] / size[0])
        aim = [*point.tolist(), *uv.tolist()]
    state = CONVENTIONS.observed(body.proprio())
    return ChunkSample(images, state, env.instruction, actions, aim, now)


def _line(archive: zipfile.ZipFile, seed: int, sample: ChunkSample) -> dict[str, Any]:
    return {
        "seed": seed,
        "step": sample.step,
        "instruction": sample.instruction,
        "images": [stored(archive, image) for image in sample.images],
        "state": np.round(sample.state, 5).tolist(),
        "actions": sample.actions.round(5).tolist(),
        "aim": np.round(sample.aim, 4).tolist(),
    }
