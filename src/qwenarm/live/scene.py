"""The 3-D scene of the page: a viser server that is sent meshes once and poses as they come; the browser draws.

Two runs can stand side by side: the one that is played now and, moved aside, the one that it is compared with.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Any

import numpy as np
import viser

from qwenarm.live.journal import JournalEvent, read_asset

UPDATE_PERIOD_S = 0.025
"""Poses are sent this often while something moves."""
DELAY_S = 0.1
"""Simulated seconds by which the picture may lag behind the run, at single speed: room to interpolate."""
BESIDE_OFFSET_M = 1.35
"""Distance in y between two arms side by side."""
CAMERA_POSITION, CAMERA_TARGET = (1.2, -0.65, 0.7), (0.36, 0.0, 0.16)
CAMERA_POSITION_TWO = (1.75, 0.0, 0.95)
"""Where the view stands at the start, in metres; the second is for two arms."""
FOLLOWING_OFFSET_M, FOLLOWING_TIME_S = (0.5, -0.42, 0.3), 0.3
"""Way from the gripper to the camera that follows it; time in which the camera catches up with most of a step."""
BACKGROUND_RGB = (24, 26, 31)
DRAG_LIFT_M = 0.06
"""What is dragged is carried so far above where it was grabbed: over the walls of containers."""
MAX_DRAG_M = 1.5
"""Nothing is dragged further than this from the middle of the scene, in x and in y."""

SCENE_KEY_HEADER = "X-Scene-Key"

Pull = Callable[[str, tuple[float, float, float] | None], None]


class Track:
    """The poses of one run over simulated time, with linear interpolation.

    Args:
        poses: (bodies, 7) at the start: position in metres, quaternion wxyz.
    """

    def __init__(self, poses: np.ndarray) -> None:
        self.poses, self.time_s, self.last_s = poses, 0.0, 0.0
        self._ahead: deque[tuple[float, dict[int, np.ndarray]]] = deque()

    def add(self, time_s: float, poses: Mapping[str, Any]) -> None:
        """Adds poses, by the index of their body, at a later time."""
        changed = {int(i): np.array(pose, dtype=float) for i, pose in poses.items()}
        if all(0 <= i < len(self.poses) and pose.shape == (7,) for i, pose in changed.items()):
            self._ahead.append((time_s, changed))
            self.last_s = time_s

    def move_to(self, time_s: float) -> dict[int, np.ndarray]:
        """The poses at this time of all bodies that have moved since the last call."""
        moved: dict[int, np.ndarray] = {}
        while self._ahead and self._ahead[0][0] <= time_s:
            self.time_s, changed = self._ahead.popleft()
            moved |= changed
            for i, pose in changed.items():
                self.poses[i] = pose
        if self._ahead and time_s > self.time_s:
            end_s, changed = self._ahead[0]
            share = (time_s - self.time_s) / (end_s - self.time_s)
            moved |= {i: _between(self.poses[i], pose, share) for i, pose in changed.items()}
        return moved


def _between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """A pose on the way from one to another; for small turns the normalised quaternion is good enough."""
    if start[3:] @ end[3:] < 0:
        end = np.concatenate([end[:3], -end[3:]])
    pose = start + share * (end - start)
    pose[3:] /= np.linalg.norm(pose[3:]) or 1.0
    return pose


class RobotView:
    """One run in the scene, below a frame of its own that can be moved aside."""

    def __init__(self, server: viser.ViserServer, root: str, folder: Path, pull: Pull | None) -> None:
        self.server, self.root, self.folder, self.pull = server, root, folder, pull
        self.frame = server.scene.add_frame(root, show_axes=False)
        self._handles: dict[str, tuple[str, viser.GlbHandle]] = {}
        self._order: list[viser.GlbHandle] = []
        self.track, self._gripper = Track(np.zeros((0, 7))), 0

    @property
    def gripper(self) -> np.ndarray | None:
        """(3,) m: where the gripper is drawn, in the frame of the scene."""
        if not 0 <= self._gripper < len(self._order):
            return None
        return np.add(self._order[self._gripper].position, self.frame.position)

    def show(self, event: JournalEvent, offset_m: float) -> None:
        """Shows the bodies of an event "started" at their poses. Meshes that are there already are kept."""
        self.frame.position = (0.0, offset_m, 0.0)
        bodies = [body for body in event["bodies"] if read_asset(self.folder, body["mesh"])]
        for name in self._handles.keys() - {body["name"] for body in bodies}:
            self._handles.pop(name)[1].remove()
        self._order = [self._handle(body) for body in bodies]
        self._gripper = int(event.get("gripper", -1))
        self.track = Track(np.array([body["pose"] for body in bodies], dtype=float).reshape(-1, 7))
        self.place(dict(enumerate(self.track.poses)))

    def place(self, poses: Mapping[int, np.ndarray]) -> None:
        """Sends poses, by the index of their body."""
        for i, pose in poses.items():
            self._order[i].position = tuple(pose[:3])
            self._order[i].wxyz = tuple(pose[3:])

    def clear(self) -> None:
        """Takes everything away."""
        for _, handle in self._handles.values():
            handle.remove()
        self._handles.clear()
        self._order.clear()
        self.track = Track(np.zeros((0, 7)))

    def _handle(self, body: dict[str, Any]) -> viser.GlbHandle:
        mesh, there = self._handles.get(body["name"], ("", None))
        if there is not None and mesh == body["mesh"]:
            return there
        if there is not None:
            there.remove()
        path = f"{self.root}/{body['name'].replace('/', '_')}"
        handle = self.server.scene.add_glb(path, read_asset(self.folder, body["mesh"]) or b"")
        if body["graspable"] and self.pull is not None:
            self._make_draggable(handle, body["name"], self.pull)
        self._handles[body["name"]] = (body["mesh"], handle)
        return handle

    def _make_draggable(self, handle: viser.GlbHandle, name: str, pull: Pull) -> None:
        held, height = np.zeros(3), 0.0  # m: from the object to where it is held, and at which height

        @handle.on_drag
        async def _(event: viser.SceneNodeDragEvent[Any]) -> None:
            nonlocal held, height
            if event.phase == "start":
                held = np.subtract(event.start_position, handle.position)
                height = event.start_position[2] + DRAG_LIFT_M
            x, y, z = under_pointer(event.client.camera.position, event.end_position, height) - held
            pull(name, None if event.phase == "end" else (x, y, z))


def under_pointer(eye: Sequence[float] | np.ndarray, pointer: Sequence[float], height: float) -> np.ndarray:
    """(3,) m: where the ray from the eye through the pointer comes down to a height, or the pointer if it does not.

    viser moves the pointer on a plane that faces the eye, along which nobody could draw an object nearer: it would be
    pressed onto the table.
    """
    ray = np.subtract(pointer, eye)
    share = (height - eye[2]) / ray[2] if ray[2] else -1.0
    reached = eye + share * ray if share > 0 else np.array(pointer)
    return np.append(np.clip(reached[:2], -MAX_DRAG_M, MAX_DRAG_M), reached[2])


class LiveScene:
    """Shows the events of a journal.

    Args:
        folder: The journal's folder.
        pull: Told of an object that a visitor drags: its name, and where to, in metres, or None when it is let go.
    """

    def __init__(self, folder: Path, pull: Pull) -> None:
        with redirect_stdout(StringIO()):  # the page's own address is all that a presenter needs
            self.server = viser.ViserServer("127.0.0.1", 0, verbose=False)
        self.key = token_urlsafe(16)
        _admit_only(self.key, self.server)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=True)
        self.server.initial_camera.position, self.server.initial_camera.look_at = CAMERA_POSITION, CAMERA_TARGET
        self.server.scene.world_axes.visible = False
        self.server.scene.set_background_image(np.full((4, 4, 3), BACKGROUND_RGB, np.uint8))
        self.main = RobotView(self.server, "/main", folder, pull)
        self.other = RobotView(self.server, "/other", folder, None)
        self.speed, self.time_s = 1.0, 0.0
        self.follows = False
        self._eye: np.ndarray | None = None

    def show(self, event: JournalEvent, before: Sequence[JournalEvent] = ()) -> None:
        """Shows a run that starts.

        Args:
            event: "started".
            before: The events of the run that it is compared with, which is shown beside it, in step.
        """
        with self.server.atomic():
            if before:
                self.other.show(before[0], -BESIDE_OFFSET_M / 2)
            else:
                self.other.clear()
            for each in before:
                if each["kind"] == "poses":
                    self.other.track.add(each["t"], each["poses"])
            self.main.show(event, BESIDE_OFFSET_M / 2 if before else 0.0)
        self.time_s, self.speed = 0.0, float(event.get("speed", 1.0))
        self._aim(bool(before))

    def move(self, seconds: float) -> None:
        """Advances what is shown by so many seconds of wall-clock time, no further than the run has come."""
        track, lag_s = self.main.track, DELAY_S * max(1.0, self.speed)
        self.time_s = min(track.last_s, max(self.time_s + seconds * self.speed, track.last_s - 2 * lag_s))
        moved = track.move_to(self.time_s)
        others = self.other.track.move_to(self.time_s)
        if moved or others:
            with self.server.atomic():
                self.main.place(moved)
                self.other.place(others)
        if self.follows:
            self._follow(seconds)

    def follow(self, on: bool) -> None:
        """Lets everybody's camera ride beside the gripper of the run that is played, or puts it back."""
        self.follows, self._eye = on, None
        if not on:
            self._turn_cameras()

    def _follow(self, seconds: float) -> None:
        goal = self.main.gripper
        if goal is None:
            return
        before = goal if self._eye is None else self._eye
        self._eye = eye = before + (goal - before) * (1 - np.exp(-seconds / FOLLOWING_TIME_S))
        for client in self.server.get_clients().values():
            client.camera.position = eye + FOLLOWING_OFFSET_M  # viser sends nothing if it has not moved
            client.camera.look_at = eye

    def finish(self) -> None:
        """Shows the end of the run that is played, and of the one beside it."""
        with self.server.atomic():
            for arm in (self.main, self.other):
                arm.place(arm.track.move_to(float("inf")))

    def _aim(self, two: bool) -> None:
        """Turns the cameras to one arm or to two."""
        position = CAMERA_POSITION_TWO if two else CAMERA_POSITION
        if position == tuple(self.server.initial_camera.position):
            return
        self.server.initial_camera.position = position
        self._turn_cameras()

    def _turn_cameras(self) -> None:
        for client in self.server.get_clients().values():
            client.camera.position, client.camera.look_at = self.server.initial_camera.position, CAMERA_TARGET

    @property
    def access(self) -> tuple[int, str]:
        """The port of the viser server, and the key without which it admits nobody."""
        return self.port, self.key

    @property
    def port(self) -> int:
        """Where the viser server listens, on the loopback interface alone."""
        return self.server.get_port()

    def close(self) -> None:
        """Stops the server."""
        with redirect_stdout(StringIO()):
            self.server.stop()


def _admit_only(key: str, server: viser.ViserServer) -> None:
    """Lets a viser server admit only connections that name a key.

    It would admit every web page of every browser on this machine, which may connect to the loopback interface, and let
    it drag things or open a public tunnel.
    """
    sockets = server._websock_server  # viser has no hook of its own for this

    def admit(connection: Any) -> None:
        request = sockets._live_connections[connection.client_id].request
        if request is None or not compare_digest(request.headers.get(SCENE_KEY_HEADER, ""), key):
            sockets._live_connections.pop(connection.client_id)
            sockets._client_state_from_id.pop(connection.client_id)
            raise PermissionError("a connection without the key of the scene")

    sockets._client_connect_cb.insert(0, admit)
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)  # turned away or closed: no news
