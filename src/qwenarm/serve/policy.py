"""Our agent as a policy server behind openpi's websocket protocol, so that other simulators can be driven by it.

The client is first sent a map: "conventions" and what the agent is. Then it sends an observation every 50 ms and is
sent the arm's next target:

* observation: "prompt" (the instruction), "images" {camera: (H, W, 3) uint8}, and what ``RemoteBody.sync`` lists.
  "reset": True starts a new episode, and so does another prompt or a new connection. An episode needs a depth image of
  each of the "depth_cameras" that the first map names: heights are measured, never guessed from the table's plane.
* answer: "actions" (1, n + 1) float: joint targets, rad, and the gap of the fingers, m. "done": whether the agent has
  ended the episode. "said": what it has decided and how it went, for people.

The world frame is ours (``types.py``): the robot's base at the origin, x forward, the table's top at z = 0.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from qwenarm.body.arms.parts import Arm
from qwenarm.episode.drive import Answers, answered
from qwenarm.episode.endings import ENDING_SKILL_OUTCOMES, is_ended
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.mind.vlm_policy import Policy
from qwenarm.policies.conventions import Conventions, as_plain
from qwenarm.policies.numpy_msgpack import MAX_MESSAGE_BYTES, pack, unpack
from qwenarm.serve.access import access_token, admitted
from qwenarm.serve.remote_body import RemoteBody, by_camera
from qwenarm.skills import run as run_skill
from qwenarm.skills.heightmap import OVERHEAD_CAMERA
from qwenarm.types import Completion, Frame, Observation, Prompt, SkillCall, SkillResult, Turn

SERVED_CONVENTIONS = Conventions(
    action="joint", gripper_closed=0.0, gripper_open=1.0, actions_played=1, state=("joints", "gripper_width")
)
"""What the answers mean. Only the gripper differs: its gap is in metres, because arms open to different widths."""
MAX_PROMPT_CHARS = 2000
"""A longer one would keep the model from the other connections."""
EPISODE_ENDED = object()
"""What ``next`` gives when the agent has ended the episode."""


class RemoteAgent:
    """Plays one episode after another in another simulator; there is one for each connection.

    Args:
        policy: The policy that decides.
        model: The model that answers its prompts.
        arm: The arm in the other simulator.
    """

    def __init__(self, policy: Policy, model: Answers, arm: Arm) -> None:
        self.policy, self.model, self.body = policy, model, RemoteBody(arm)
        self.depth_cameras = depth_cameras(policy)
        self._prompt: str | None = None
        self._acting: Iterator[None] = iter(())
        self._observation: Mapping[str, Any] = {}
        self.said, self.done = "", False

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The next target of the arm. Raises BadInput when something is missing in the observation."""
        prompt = observation.get("prompt")
        if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT_CHARS:
            raise BadInput(f'The observation has no text "prompt", of {MAX_PROMPT_CHARS} characters at most.')
        self.body.sync(observation)
        self._observation, self.said = observation, ""
        if prompt != self._prompt or observation.get("reset"):
            self.body.check_depth(self.depth_cameras)
            self._prompt = prompt
            self.body.begin()
            self._acting = self._act(prompt)
        self.done = next(self._acting, EPISODE_ENDED) is EPISODE_ENDED
        if self.done:
            self.body.step(self.body.hold())
        target = np.append(self.body.target.qpos, self.body.target.gripper)
        return {"actions": target[None], "done": self.done, "said": self.said}

    def _act(self, prompt: str) -> Generator[None, None, None]:
        """Decides and acts until the agent has ended the episode; pauses after every control."""
        turns: list[Turn] = []
        while True:
            obs = self._seen(prompt)
            heard = RememberedModel(self.model)
            decision = answered(self.policy.decide(obs, tuple(turns)), heard)
            results: list[SkillResult] = []
            for call in decision.calls:
                results.append((yield from self._call(call)))
                if not results[-1].ok or call.name in ENDING_SKILL_OUTCOMES:
                    break
            self.said = f"{decision.calls[len(results) - 1].name}: {results[-1]}" if results else decision.detail
            turns.append(Turn(len(turns), obs, decision, tuple(results), tuple(heard.completions)))
            if is_ended(decision, results):
                return
            self.body.step(self.body.hold())  # the next decision needs a new look
            yield

    def _call(self, call: SkillCall) -> Generator[None, None, SkillResult]:
        motion = iter(run_skill(self.body, call))
        while True:
            try:
                control = next(motion)
            except StopIteration as end:
                return end.value
            self.body.step(control)
            yield

    def _seen(self, prompt: str) -> Observation:
        """The last observation in the form that policies take. Raises BadInput when a picture is missing."""
        images = by_camera(self._observation, "images")
        frames = [self._frame(name, images.get(name)) for name in self.policy.cameras]
        return Observation(tuple(frames), self.body.proprio(), prompt, self.body.time_s)

    def _frame(self, camera: str, rgb: Any) -> Frame:
        is_picture = isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
        if not is_picture or not rgb.size:
            raise BadInput(f"The agent looks through the camera {camera!r}: send images[{camera!r}], (H, W, 3) uint8.")
        height, width = self.policy.frame_size
        if rgb.shape[:2] != (height, width):
            rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
        return Frame(rgb, camera)


def depth_cameras(policy: Policy) -> tuple[str, ...]:
    """The cameras whose depth images the skills need: those in which the agent points, and the one above the table."""
    return tuple(dict.fromkeys((*policy.cameras, OVERHEAD_CAMERA)))


class RememberedModel:
    """Keeps the answers of a model: from them a policy continues its plan."""

    def __init__(self, model: Answers) -> None:
        self.model, self.completions = model, list[Completion]()

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        """Answers the prompts, and keeps the answers."""
        answers = self.model.generate(prompts)
        self.completions += [answer for answer in answers if isinstance(answer, Completion)]
        return answers


class LockedModel:
    """Lets several connections share a model, which answers one of them at a time."""

    def __init__(self, model: Answers) -> None:
        self.model, self.lock = model, threading.Lock()

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        """Answers the prompts when no other connection is being answered."""
        with self.lock:
            return self.model.generate(prompts)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a message of websockets is worth a line: strangers who speak no websocket would fill the terminal."""
    return record.getMessage() != "opening handshake failed"


def serve_policy(policy: Policy, model: Answers, arm: Arm, host: str, port: int) -> None:
    """Serves ws://HOST:PORT until it is stopped.

    Raises:
        BadInput: Other machines could connect, and no token is set.
    """
    token, shared, connected = access_token(host), LockedModel(model), set[ServerConnection]()
    said = {key: value for key, value in policy.describe().items() if isinstance(value, str | int | float | bool)}
    cameras = {"cameras": list(policy.cameras), "depth_cameras": list(depth_cameras(policy))}
    metadata = pack({"conventions": as_plain(SERVED_CONVENTIONS), "arm": arm.name, **cameras, **said})

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(200, "OK\n")
        admit_this = admitted(token, request.headers.get("Authorization"))
        return None if admit_this else connection.respond(401, "This server needs a token.\n")

    def handle(connection: ServerConnection) -> None:
        agent = RemoteAgent(policy, shared, arm)
        connected.add(connection)
        try:
            connection.send(metadata)
            for message in connection:
                connection.send(pack(agent.infer(unpack(message))))
        except ConnectionClosed:
            return
        except QwenarmError as error:
            with suppress(ConnectionClosed):
                connection.send(str(error))
            connection.close(1011, "see the message before")
        finally:
            connected.discard(connection)

    options: dict[str, Any] = {"compression": None, "max_size": MAX_MESSAGE_BYTES, "ping_interval": None}
    options["origins"] = [None]  # no web page may connect
    options["logger"] = logging.getLogger(__name__)
    options["logger"].addFilter(_is_ours)
    with serve(handle, host, port, process_request=admit, **options) as server:
        try:
            server.serve_forever()
        finally:
            for connection in tuple(connected):  # or their threads would go on
                with suppress(OSError):
                    connection.socket.shutdown(SHUT_RDWR)
