"""What the numbers of a policy of 20 Hz actions mean. Wrong conventions cost success silently, so they are declared and
checked before anything moves.

A TOML file sets the fields of ``Conventions``; what it leaves out has the defaults. A server may declare its own under
"conventions" in the metadata that it sends first: then both must agree, and without a file the server's are used.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import numpy as np
from scipy.spatial.transform import Rotation

from qwenarm.errors import BadInput
from qwenarm.typed import is_number, typed
from qwenarm.types import Proprio

ROTATION_READERS: dict[str, Callable[[np.ndarray], Rotation]] = {
    "rotation_vector": Rotation.from_rotvec,
    "euler_xyz": lambda angles: Rotation.from_euler("xyz", angles),
    "quaternion_wxyz": lambda quat: Rotation.from_quat(quat, scalar_first=True),
    "quaternion_xyzw": Rotation.from_quat,
}
"""How a rotation can be written. Euler angles turn about the fixed axes x, y, z in this order."""
STATE_PARTS: dict[str, Callable[[Proprio], Any]] = {
    "tcp_pos": lambda arm: arm.tcp_pos,
    "tcp_rotation_vector": lambda arm: _turned(arm).as_rotvec(),
    "tcp_euler_xyz": lambda arm: _turned(arm).as_euler("xyz"),
    "tcp_quaternion_wxyz": lambda arm: arm.tcp_quat,
    "tcp_quaternion_xyzw": lambda arm: arm.tcp_quat[[1, 2, 3, 0]],
    "joints": lambda arm: arm.qpos,
    "tcp_axis_angle": lambda arm: _axis_angle(arm.tcp_quat),
    "gripper_width": lambda arm: [arm.gripper_width],
    "holding": lambda arm: [float(arm.holding)],
    "finger_positions": lambda arm: arm.finger_pos or (arm.gripper_width / 2, -arm.gripper_width / 2),
}
"""What a state can be made of, in m and rad. ``tcp_rotation_vector`` turns by half a turn at most; ``tcp_axis_angle``,
robosuite's, by up to a whole one, so that it does not jump for a hand that points down."""
ACTION_KINDS = ("ee_delta", "ee_pose", "joint", "osc")
ACTION_FRAMES = ("world", "hand")
MIN_ROTATION_AXIS_NORM = 1e-9
"""Length of a quaternion's vector part below which nothing is turned."""
MAX_DELTA_M, MAX_DELTA_RAD = 0.10, 1.0
"""No arm moves or turns further in 50 ms: a larger number has another unit than was declared."""
MAX_POSITION_M, MAX_JOINT_RAD = 2.0, 2.5 * math.pi
MAX_OSC_MAGNITUDE = 2.0
"""Largest number accepted in an OSC action. robosuite limits it to 1, which policies exceed a little."""
OWN_CHOICES = ("actions_played", "asynchronous", "smoothing")
"""Fields that may differ from what a server declares."""
MAX_IMAGE_SIDE = 4096
ACTION_DECIMALS = 6
"""Actions are rounded to this before they are played, so that the record holds exactly what was played."""


@dataclass(frozen=True)
class Conventions:
    """The names, shapes, units and signs that a policy server expects and sends.

    Attributes:
        cameras: Our camera -> the key of its picture.
        image_size: (H, W) of the pictures, (H, W, 3) uint8.
        state_key: The key of the state.
        state: Its parts in order, see ``STATE_PARTS``.
        state_keys: For a server that wants the state in several arrays: the key of each, and how many numbers it has.
        prompt_key: The key of the instruction.
        actions_key: The key of the actions in the answer, (T, D).
        action_keys: For a server that sends an action in several arrays: the key of each, and how many numbers it has.
        mirrored: Whether pictures are sent with left and right exchanged. LIBERO's policies were trained on such ones.
        action: "ee_delta" (shift and turn of the hand in 50 ms), "ee_pose" (where it shall be), "joint" (angles) or
            "osc" (as robosuite's OSC_POSE takes them, for ``--control osc``; ``rotation`` and ``frame`` say nothing).
        rotation: How the turn or the orientation is written, see ``ROTATION_READERS``. A delta has no quaternion.
        frame: The axes of a delta: "world" or "hand".
        low: What -1 means in each number of an action but the gripper's, in m and rad; () if they are m and rad
            already. For a normalisation by mean and deviation it is their difference, for one by quantiles the 1 %.
        high: What +1 means; mean plus deviation, or the 99 % quantile.
        gripper_closed: What the last number is for closed fingers.
        gripper_open: What it is for open fingers.
        actions_played: How many actions of an answer are played before the next one is asked for.
        asynchronous: Whether the next one is computed while this one plays; see ``chunk_player.py``.
        smoothing: Whether an asynchronous chunk fades into the next one where both have an action for a period. Not
            for "ee_pose", whose quaternions have no mean.
    """

    cameras: Mapping[str, str] = field(default_factory=lambda: {"front": "observation/image"})
    image_size: tuple[int, int] = (224, 224)
    mirrored: bool = False
    state_key: str = "observation/state"
    state: tuple[str, ...] = ("tcp_pos", "tcp_rotation_vector", "finger_positions")
    state_keys: Mapping[str, int] = field(default_factory=dict)
    prompt_key: str = "prompt"
    actions_key: str = "actions"
    action_keys: Mapping[str, int] = field(default_factory=dict)
    action: str = "ee_delta"
    rotation: str = "rotation_vector"
    frame: str = "world"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    gripper_closed: float = -1.0
    gripper_open: float = 1.0
    actions_played: int = 10
    asynchronous: bool = False
    smoothing: bool = False

    def __post_init__(self) -> None:
        _choice("action", self.action, ACTION_KINDS)
        _choice("rotation", self.rotation, ROTATION_READERS)
        _choice("frame", self.frame, ACTION_FRAMES)
        for part in self.state:
            _choice("state", part, STATE_PARTS)
        if len(self.low) != len(self.high) or any(low >= high for low, high in zip(self.low, self.high, strict=False)):
            raise BadInput("conventions: low and high have as many numbers, and each low is below its high.")
        if self.action == "ee_delta" and self.rotation.startswith("quaternion"):
            raise BadInput("conventions: a delta is turned by a rotation_vector or euler_xyz, not by a quaternion.")
        if self.smoothing and (self.action == "ee_pose" or not self.asynchronous):
            raise BadInput("conventions: smoothing is for asynchronous chunks of ee_delta, joint or osc.")
        if self.action != "joint":  # an arm's joints are counted when it plays
            self._check_counts(self.action_size(0))
        if len(self.image_size) != 2 or not all(0 < side <= MAX_IMAGE_SIDE for side in self.image_size):
            raise BadInput(f"conventions: image_size is height and width, 1 to {MAX_IMAGE_SIDE} pixels.")
        if self.gripper_closed == self.gripper_open or self.actions_played < 1:
            raise BadInput("conventions: gripper_closed differs from gripper_open, and actions_played is 1 or more.")

    def action_size(self, joints: int) -> int:
        """How many numbers an action has but the gripper's, for an arm with so many joints."""
        quaternion = self.action == "ee_pose" and self.rotation.startswith("quaternion")
        return joints if self.action == "joint" else 7 if quaternion else 6

    def _check_counts(self, size: int) -> None:
        if self.low and len(self.low) != size:
            raise BadInput(
                f"conventions: low and high have {len(self.low)} numbers, and an action of {self.action} has {size} "
                "and the gripper's."
            )
        if self.action_keys and (count := sum(self.action_keys.values())) != size + 1:
            raise BadInput(
                f"conventions: action_keys have {count} numbers, and an action of {self.action} has {size} and the "
                "gripper's."
            )

    def observed(self, proprio: Proprio) -> list[float]:
        """The state as the server expects it."""
        return np.concatenate([STATE_PARTS[part](proprio) for part in self.state]).astype(float).tolist()

    def sent_state(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """The state (D,) by key. Raises BadInput when ``state_keys`` have another number of numbers."""
        if not self.state_keys:
            return {self.state_key: state}
        sizes = list(self.state_keys.values())
        if sum(sizes) != len(state):
            raise BadInput(f"conventions: state_keys have {sum(sizes)} numbers, and the state has {len(state)}.")
        return dict(zip(self.state_keys, np.split(state, np.cumsum(sizes)[:-1]), strict=True))

    def received_actions(self, answer: Mapping[Any, Any]) -> np.ndarray | None:
        """The actions (T, D) in an answer; None if they are not there, or not with the sizes of ``action_keys``."""
        if not self.action_keys:
            actions = answer.get(self.actions_key)
            return actions if isinstance(actions, np.ndarray) else None
        parts = [answer.get(key) for key in self.action_keys]
        arrays = [part for part in parts if isinstance(part, np.ndarray) and part.ndim == 2]
        if [part.shape[1] for part in arrays] != list(self.action_keys.values()) or len({*map(len, arrays)}) != 1:
            return None
        return np.concatenate(arrays, axis=1)

    def check_control(self, control: str) -> None:
        """Raises BadInput unless these actions are for the control that plays them, see ``RunConfig``."""
        if (self.action == "osc") != (control == "osc"):
            told = "it needs --control osc" if self.action == "osc" else "--control osc plays 'osc' alone"
            raise BadInput(f"conventions: action is {self.action!r}: {told}.")

    @property
    def skill(self) -> str:
        """The skill that plays these actions; see ``skills/action_chunk.py``."""
        in_hand = "_HAND" if self.action == "ee_delta" and self.frame == "hand" else ""
        return f"action_chunk:{self.action.upper()}{in_hand}"

    def played(self, actions: np.ndarray, joints: int) -> list[list[float]]:
        """The actions of an answer as rows for ``skill``, in m and rad.

        Args:
            actions: (T, D) as the server sent them.
            joints: How many the arm has.

        Raises:
            BadInput: Their number or size contradicts the conventions.
        """
        size = self.action_size(joints)
        self._check_counts(size)
        if actions.ndim != 2 or not len(actions) or actions.shape[1] != size + 1:
            raise BadInput(f"actions of {self.action} have the shape (T, {size + 1}), not {actions.shape}")
        moves, gripper = actions[:, :-1].astype(float), actions[:, -1]
        if not np.isfinite(actions).all():
            raise BadInput("an action is not finite")
        if self.low:
            low, high = np.array(self.low), np.array(self.high)
            moves = low + (moves + 1) / 2 * (high - low)
        if self.action in ("ee_delta", "ee_pose"):
            moves = np.concatenate([moves[:, :3], self._turns(moves[:, 3:])], axis=1)
        self._check_sizes(moves)
        opening = (gripper.astype(float) - self.gripper_closed) / (self.gripper_open - self.gripper_closed)
        return np.column_stack([moves, np.clip(opening, 0, 1)]).round(ACTION_DECIMALS).tolist()

    def _turns(self, turns: np.ndarray) -> np.ndarray:
        """(T, 3) rotation vectors for a delta, (T, 4) wxyz for a pose."""
        lengths = np.linalg.norm(turns, axis=1)
        if self.rotation.startswith("quaternion") and not (np.abs(lengths - 1) < 0.1).all():
            raise BadInput(f"a quaternion has the length {lengths.max():.2g}, not 1")
        rotation = ROTATION_READERS[self.rotation](turns)
        return rotation.as_rotvec() if self.action == "ee_delta" else rotation.as_quat(scalar_first=True)

    def _check_sizes(self, moves: np.ndarray) -> None:
        limits = {
            "ee_delta": [MAX_DELTA_M] * 3 + [MAX_DELTA_RAD] * 3,
            "ee_pose": [MAX_POSITION_M] * 3 + [1.01] * 4,
            "joint": [MAX_JOINT_RAD] * moves.shape[1],
            "osc": [MAX_OSC_MAGNITUDE] * 6,
        }[self.action]
        beyond = np.argwhere(np.abs(moves) > limits)
        if len(beyond):
            row, column = beyond[0]
            raise BadInput(
                f"number {column} of an action is {moves[row, column]:.3g}, more than an arm does with {self.action} "
                f"({limits[column]:.3g}): check action, low, high and units"
            )


def read_conventions(path: str) -> Conventions:
    """The conventions of a TOML file. Raises BadInput when it cannot be read or a field is wrong."""
    try:
        told = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"Cannot read conventions from {path}: {error}.") from error
    return make_conventions(told, path)


def make_conventions(told: Mapping[str, Any], source: str) -> Conventions:
    """Conventions from plain data. source: where it comes from, for the message of BadInput."""
    hints = get_type_hints(Conventions)
    values: dict[str, Any] = {}
    for name, value in told.items():
        if name not in hints:
            raise BadInput(f"{source}: there is no convention {name!r}. Valid: {', '.join(hints)}.")
        value = tuple(value) if get_origin(hints[name]) is tuple and isinstance(value, list) else value
        values[name] = float(value) if hints[name] is float and is_number(value) else value
    try:
        return typed(Conventions, **values)
    except TypeError as error:
        raise BadInput(f"{source}: {error}, which it cannot be.") from error


def agreed(own: Conventions | None, declared: Any, source: str) -> Conventions:
    """The conventions that hold between us and a server.

    Args:
        own: Those of the user's file, if there is one.
        declared: What the server says, a map of some or all fields; None if it says nothing.
        source: The server, for messages.

    Raises:
        BadInput: They disagree, or nobody has said any.
    """
    if declared is None:
        if own is None:
            raise BadInput(f"{source} does not say what its actions mean: name a file, {source}#conventions=FILE.toml.")
        return own
    if not isinstance(declared, Mapping):
        raise BadInput(f"{source}: its conventions are not a map.")
    theirs = make_conventions(declared, source)
    if own is None:
        return theirs
    for each in fields(Conventions):
        ours, said = getattr(own, each.name), getattr(theirs, each.name)
        if each.name in declared and each.name not in OWN_CHOICES and ours != said:
            raise BadInput(f"{source} says {each.name} = {said!r}, and your conventions say {ours!r}.")
    return own


def as_plain(conventions: Conventions) -> dict[str, Any]:
    """The conventions as plain data, for a message or a record."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(conventions).items()}


def _choice(name: str, value: str, valid: Any) -> None:
    if value not in valid:
        raise BadInput(f"conventions: {name} cannot be {value!r}. Valid: {', '.join(valid)}.")


def _axis_angle(quat: np.ndarray) -> np.ndarray:
    """(3,) rad: the axis of a quaternion wxyz times an angle from 0 to 2 pi, which depends on the quaternion's sign."""
    length = np.linalg.norm(quat[1:])
    if length < MIN_ROTATION_AXIS_NORM:
        return np.zeros(3)
    return quat[1:] / length * 2 * math.acos(min(max(quat[0], -1.0), 1.0))


def _turned(arm: Proprio) -> Rotation:
    return Rotation.from_quat(arm.tcp_quat, scalar_first=True)
