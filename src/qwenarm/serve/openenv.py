"""The arm as an OpenEnv environment, for trainers that step it over a websocket: each action is one skill call.

``reset(seed=...)`` shows the task and the cameras, and lists the skills as functions in OpenAI's form. Every session
has an arm of its own. The reward is 0 until the episode ends, and then the progress towards the goal, 0 to 1. Any
OpenEnv client works; ``OpenEnvArm`` is the typed one.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from openenv.core import EnvClient  # pyright: ignore[reportMissingImports]
from openenv.core.client_types import StepResult  # pyright: ignore[reportMissingImports]
from openenv.core.env_server import (  # pyright: ignore[reportMissingImports]
    Action,
    Environment,
    Observation,
    State,
    create_app,
)
from PIL import Image

from qwenarm.episode.trace import PNG_URL_PREFIX, png, png_url
from qwenarm.serve.access import access_token, guarded
from qwenarm.serve.session import AgentSession, Shown
from qwenarm.types import RunConfig

T = TypeVar("T")


class ArmAction(Action):
    """One skill call; ``ArmObservation.tools`` of a reset says which there are."""

    name: str
    arguments: dict[str, Any] = {}  # noqa: RUF012  (pydantic copies it)


class ArmObservation(Observation):
    """What is shown after a reset or a call.

    Attributes:
        content: The parts of a chat message: {"type": "text", "text": ...} or {"type": "image", "image": a data URL}.
        ok: Whether the last call did what it should.
        tools: After a reset, the skills as functions in OpenAI's form.
    """

    content: list[dict[str, str]]
    ok: bool = True
    tools: list[dict[str, Any]] = []  # noqa: RUF012

    def images(self) -> list[np.ndarray]:
        """The pictures, (H, W, 3) uint8 each."""
        urls = (part["image"] for part in self.content if part["type"] == "image")
        data = (base64.b64decode(url.removeprefix(PNG_URL_PREFIX)) for url in urls)
        return [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in data]


class OpenEnvArm(EnvClient[ArmAction, ArmObservation, State]):
    """A client: ``with OpenEnvArm(base_url="http://127.0.0.1:8000").sync() as arm: arm.reset(seed=3)``."""

    def _step_payload(self, action: ArmAction) -> dict[str, Any]:
        return action.model_dump()

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ArmObservation]:
        facts = {"reward": payload.get("reward"), "done": payload.get("done", False)}
        return StepResult(observation=ArmObservation(**payload["observation"], **facts), **facts)

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


class ArmEnvironment(Environment[ArmAction, ArmObservation, State]):
    """One session: one arm, one episode after another. MuJoCo draws in one thread only, so all work is done in one.

    Args:
        session: A session in which no episode has begun.
        first_seed: The seed of the first reset that names none; each next one counts up.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, session: AgentSession, first_seed: int) -> None:
        super().__init__()
        self._session, self._seeds = session, count(first_seed)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **others: Any) -> ArmObservation:
        """Starts an episode; one that is under way is stored as stopped."""
        seed = next(self._seeds) if seed is None else seed
        self._state = State(episode_id=episode_id or str(seed), step_count=0)
        return self._in_thread(lambda: self._begin(seed))

    def step(self, action: ArmAction, timeout_s: float | None = None, **others: Any) -> ArmObservation:
        """Makes one call. Raises BadInput when no episode is under way."""
        shown = self._in_thread(lambda: self._session.call(action.name, action.arguments))
        self._state.step_count += 1
        episode = self._session.episode
        return observed(shown, episode.progress if shown.over and episode is not None else 0.0)

    @property
    def state(self) -> State:
        """The episode's id and how many calls were made in it."""
        return self._state

    def close(self) -> None:
        """Stores what was played."""
        self._in_thread(self._session.close)
        self._thread.shutdown()

    def _begin(self, seed: int) -> ArmObservation:
        self._session.close()
        shown = self._session.begin(seed)
        return observed(shown, 0.0).model_copy(update={"tools": list(self._session.tools())})

    def _in_thread(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()


def observed(shown: Shown, reward: float) -> ArmObservation:
    """What is shown as an observation, with pictures as PNG."""
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": png_url(png(part))}
        for part in shown.parts
    ]
    return ArmObservation(content=content, ok=shown.ok, done=shown.over, reward=reward)


def serve_openenv(config: RunConfig, seed: int, folder: Path, sessions: int, host: str, port: int) -> None:
    """Serves http://HOST:PORT until it is stopped.

    Args:
        config: Task, arm and scene of every episode.
        seed: Seed of each session's first episode, unless its client asks for another.
        folder: Where finished episodes are stored, a folder for each session.
        sessions: How many clients may connect at the same time.
        host: Address to listen on.
        port: Port to listen on.

    Raises:
        BadInput: Other machines could connect, and no token is set.
    """
    token, numbers = access_token(host), count()

    def environment() -> ArmEnvironment:
        return ArmEnvironment(AgentSession(config, "openenv", folder / f"session-{next(numbers):04d}"), seed)

    app = create_app(environment, ArmAction, ArmObservation, env_name="qwenarm", max_concurrent_envs=sessions)
    guard = guarded(app, token, web_pages=False)
    import_module("uvicorn").run(guard, host=host, port=port, log_level="warning")
