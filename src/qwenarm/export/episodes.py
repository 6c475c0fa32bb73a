"""Reads the episodes of a trace, checks them for damage, and plays them again period by period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from qwenarm.body.observations import extrinsics, intrinsics
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.episode.jsonl import MAX_REASON_CHARS, Damage
from qwenarm.episode.replay import replay
from qwenarm.episode.trace import EPISODES_FILE, read_at, scan
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, QwenarmError, UnknownName, shortened
from qwenarm.factory import make_env
from qwenarm.registry import load
from qwenarm.types import Episode, ImagePoint, Outcome, SkillCall

T = TypeVar("T")


def episodes(folder: Path, successes_only: bool, problems: list[str]) -> Iterator[Episode]:
    """Returns the episodes of a trace, read one by one; those that cannot be read are skipped.

    Args:
        folder: A folder with an ``episodes.jsonl``.
        successes_only: Whether failed episodes are skipped.
        problems: A list to which a sentence about each damaged episode is added.

    Raises:
        BadInput: There is no trace.
    """
    if not (folder / EPISODES_FILE).is_file():
        raise BadInput(f"Cannot read episodes from {folder}: expected a folder with {EPISODES_FILE}.")
    return _read_one_by_one(folder, successes_only, problems)


def _read_one_by_one(folder: Path, successes_only: bool, problems: list[str]) -> Iterator[Episode]:
    for line, head in scan(folder, problems):
        if successes_only and head.outcome is not Outcome.SUCCESS:
            continue
        try:
            yield read_at(folder, line.offset)
        except BadInput as error:
            problems.append(f"{head.run.config.task} {head.run.seed} by {head.run.config.policy}: {error}")


def converted(found: Iterable[Episode], convert: Callable[[Episode], T], problems: list[str]) -> Iterator[T]:
    """Yields what ``convert`` makes of each episode, except of those that cannot be converted.

    ``problems`` gets a sentence for each of these.
    """
    for episode in found:
        try:
            made = convert(episode)
        except (BadInput, UnknownName, *Damage) as error:
            why = str(error) if isinstance(error, QwenarmError) else f"{type(error).__name__}: {error}"
            told = shortened(why, MAX_REASON_CHARS).rstrip(".")
            problems.append(f"{episode.task} {episode.seed} by {episode.policy}: It cannot be exported ({told}).")
        else:
            yield made


def played_again(found: Iterable[Episode], problems: list[str]) -> Iterator[Episode]:
    """Yields the episodes that go as recorded when they are played again, outcome included.

    ``problems`` gets a sentence for each of the others.
    """

    def confirmed(episode: Episode) -> Episode:
        play_again(episode)
        return episode

    return converted(found, confirmed, problems)


def play_again(episode: Episode, watchers: Sequence[Watcher] = ()) -> None:
    """Plays an episode again, without its model.

    Raises:
        BadInput: It cannot be played here, or what happens differs from what is recorded.
        UnknownName: It names something that does not exist here.
    """
    with closing(make_env(episode.run.config)) as env:
        again = replay(env, episode, watchers)
    if not again.same or again.differences:
        why = "; ".join((*again.changes, *again.differences)) or "its recorded calls are not all there was"
        raise BadInput(f"the replay does not go as recorded: {shortened(why, MAX_REASON_CHARS)}")


def damages(folder: Path) -> list[str]:
    """A sentence for each damaged episode or picture of a trace. Raises BadInput when there is no trace."""
    problems: list[str] = []
    for _ in episodes(folder, False, problems):
        pass
    for path in sorted((folder / "frames").glob("*.png")):
        try:
            with Image.open(path) as picture:
                picture.verify()
        except Damage as error:
            problems.append(f"{path}: {error}")
    return problems


@dataclass(frozen=True)
class CameraGeometry:
    """What a camera measures besides colour.

    Attributes:
        depth: (H, W) float32, m along the optical axis.
        intrinsics: (3, 3) float32 pinhole matrix, pixels.
        extrinsics: (4, 4) float32: from the camera's frame (x right, y down, z forward, m) to the world's.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray


@dataclass(frozen=True)
class Period:
    """One control period (50 ms) of an episode: what was observed, and what the arm was then commanded.

    Attributes:
        joints: (n,) rad.
        gripper_width: m.
        tcp_pos: (3,) m, world.
        tcp_quat: (4,) wxyz.
        action: (7,) motion of the hand's target: shift in m (3), rotation vector in rad (3), both along the world's
            axes; the commanded opening of the fingers, 0 to 1. It is a row of ``action_chunk:EE_DELTA``.
        instruction: The instruction at this time.
        call: The skill call that was under way, in words.
        frames: Camera -> (H, W, 3) uint8.
        geometry: Camera -> depth and camera parameters, if they were asked for.
    """

    joints: np.ndarray
    gripper_width: float
    tcp_pos: np.ndarray
    tcp_quat: np.ndarray
    action: np.ndarray
    instruction: str
    call: str
    frames: Mapping[str, np.ndarray]
    geometry: Mapping[str, CameraGeometry] = field(default_factory=dict)


def periods(episode: Episode, cameras: Sequence[str], size: tuple[int, int], depth: bool = False) -> list[Period]:
    """Plays an episode again and observes every control period.

    Args:
        episode: An episode of a trace.
        cameras: The cameras whose pictures are drawn.
        size: (H, W) of the pictures.
        depth: Whether depth images and camera parameters are recorded as well.

    Raises:
        BadInput: It cannot be played here, or what happens differs from what is recorded.
        UnknownName: It names something that does not exist here.
    """
    if load("arms", episode.run.config.arm).partners:
        raise BadInput(f"{episode.run.config.arm} is two arms, and what is exported has the state of one.")
    recorder = _Recorder(cameras, size, depth)
    play_again(episode, [recorder])
    if not recorder.periods:
        raise BadInput("the arm did not move")
    return recorder.periods


def call_words(call: SkillCall) -> str:
    """A call in words: "pick red cube"."""
    told = (value.label if isinstance(value, ImagePoint) else value for value in call.args.values())
    return " ".join([call.name, *(str(value) for value in told if isinstance(value, str | float) and value != "")])


class _Recorder(Watcher):
    """Records what is observed before each control period, and what is commanded in it."""

    def __init__(self, cameras: Sequence[str], size: tuple[int, int], depth: bool) -> None:
        self.cameras, self.size, self.depth = cameras, size, depth
        self.periods: list[Period] = []
        self._call = ""

    def started(self, env: ArmEnv, policy_name: str, seed: int) -> None:
        self._env = env
        self._observe(env.body)

    def calling(self, call: SkillCall) -> None:
        self._call = call_words(call)

    def stepped(self, body: Body) -> None:
        proprio, frames, geometry, instruction, last = self._before
        (pos, quat), (next_pos, next_quat) = (body.kinematics.fk(each.qpos) for each in (last, body.target))
        turn = Rotation.from_quat(next_quat, scalar_first=True) * Rotation.from_quat(quat, scalar_first=True).inv()
        action = np.array([*(next_pos - pos), *turn.as_rotvec(), body.target.gripper / body.arm.max_gap])
        state = proprio.qpos, proprio.gripper_width, proprio.tcp_pos, proprio.tcp_quat
        self.periods.append(Period(*state, action, instruction, self._call, frames, geometry))
        self._observe(body)

    def _observe(self, body: Body) -> None:
        frames = {camera: body.frame(camera, self.size).rgb for camera in self.cameras}
        measured = self.cameras if self.depth else ()
        geometry = {camera: self._geometry(body, camera) for camera in measured}
        self._before = body.proprio(), frames, geometry, self._env.instruction, body.target

    def _geometry(self, body: Body, camera: str) -> CameraGeometry:
        matrix, pose = intrinsics(body, camera, self.size), extrinsics(body, camera)
        return CameraGeometry(body.depth(camera, self.size), matrix, pose)
