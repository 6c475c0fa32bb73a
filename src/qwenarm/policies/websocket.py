"""A policy behind openpi's websocket protocol: ``--policy ws://HOST:PORT#conventions=FILE.toml``.

The server gets pictures, state and instruction and answers with a chunk of 20 Hz actions, which are played by one call
of ``skills/action_chunk.py``; then it is asked again. So an episode of such a policy is recorded, replayed, resumed and
reported like any other. It ends when the goal is reached, or after a minute: such a policy has no word for "done".
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed
from qwenarm.mind.model_spec import parse_model_spec
from qwenarm.policies import Context, PolicyEntry
from qwenarm.policies.chunk_player import ChunkPlayer
from qwenarm.policies.conventions import Conventions, agreed, read_conventions
from qwenarm.policies.numpy_msgpack import MAX_MESSAGE_BYTES, pack, unpack
from qwenarm.types import Completion, Prompt

TOKEN_VARIABLE = "QWENARM_POLICY_TOKEN"
"""The environment variable with the key that is sent to the server, as "Authorization: Api-Key ..."."""
TIMEOUT_S = 60.0
MAX_CHUNK_NUMBERS = 20_000
MAX_METADATA_CHARS = 200
"""Longest value of a server's metadata that is recorded."""
REMOTE_OPTIONS = {"conventions": str, "timeout_s": float, "tls": {"yes": True, "no": False}.__getitem__}


class ChunkServer(Protocol):
    """Whatever answers an observation with actions."""

    @property
    def url(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...

    def infer(self, observation: Mapping[str, Any]) -> tuple[dict[Any, Any], float]:
        """The answer and the seconds that it took. Raises PromptFailed and ModelUnavailable."""
        ...


class PolicyServer:
    """The connection to a server. It keeps no state between two answers.

    The protocol numbers neither requests nor answers. So after a time-out the connection is dropped: an answer that
    comes late goes to nobody, and never to a newer observation.

    Args:
        url: As in "ws://localhost:8000".
        timeout_s: How long an answer may take.

    Attributes:
        metadata: What the server said about itself first.

    Raises:
        ModelUnavailable: Nobody answers there.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url, self.timeout_s = url, timeout_s
        self._connection: ClientConnection | None = None
        self.metadata: Mapping[str, Any] = {}
        self._introduction: bytes | str | None = None
        self._connected()

    def infer(self, observation: Mapping[str, Any]) -> tuple[dict[Any, Any], float]:
        """The answer to an observation, and the seconds that it took.

        Raises:
            PromptFailed: It took too long, or the server reports an error.
            ModelUnavailable: The server is gone.
        """
        data, began = pack(observation), time.monotonic()
        try:
            return unpack(self._exchange(data)), time.monotonic() - began
        except TimeoutError as error:
            self.close()
            raise PromptFailed(f"{self.url} did not answer within {self.timeout_s:g} s.") from error
        except (OSError, WebSocketException) as error:
            self.close()
            raise ModelUnavailable(f"{self.url} has closed the connection: {error}.") from error
        except BadInput as error:
            self.close()  # whatever state it is in
            raise PromptFailed(f"{self.url}: {error}") from error

    def close(self) -> None:
        """Drops the connection; the next observation opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.socket.close()  # close() would wait for an answer that may be under way

    def _exchange(self, data: bytes) -> bytes | str:
        connection = self._connected()
        with suppress(TimeoutError):
            connection.recv(timeout=0)
            raise BadInput("it has sent a message that was not asked for")  # nor is it the answer to what follows
        connection.send(data)
        return connection.recv(timeout=self.timeout_s)

    def _connected(self) -> ClientConnection:
        if self._connection is None:
            token = os.environ.get(TOKEN_VARIABLE)
            headers = {"Authorization": f"Api-Key {token}"} if token else None
            try:
                # A server that computes cannot answer pings, so none are sent.
                self._connection = connect(
                    self.url,
                    compression=None,
                    max_size=MAX_MESSAGE_BYTES,
                    ping_interval=None,
                    additional_headers=headers,
                )
                self._introduced(self._connection.recv(timeout=self.timeout_s))
            except (OSError, WebSocketException, BadInput) as error:
                self.close()
                raise ModelUnavailable(f"No policy answers at {self.url}: {error or type(error).__name__}.") from error
        return self._connection

    def _introduced(self, message: bytes | str) -> None:
        """Keeps what the server says first. After a lost connection it must say the same: it was checked once."""
        if self._introduction not in (None, message):
            raise BadInput("it describes itself differently than before")
        self.metadata, self._introduction = unpack(message), message


class PolicyModel:
    """The server as what answers prompts. A prompt's text is the JSON of the observation, without the pictures."""

    def __init__(self, server: ChunkServer, conventions: Conventions) -> None:
        self.server, self.conventions = server, conventions

    def generate(self, prompts: Sequence[Prompt]) -> list[Completion | PromptFailed]:
        """The actions as JSON, one answer for each prompt. Raises ModelUnavailable."""
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Completion | PromptFailed:
        convention = self.conventions
        told = json.loads(prompt.messages[0]["content"][-1]["text"])
        images = [np.ascontiguousarray(each[:, ::-1]) if convention.mirrored else each for each in prompt.images]
        observation: dict[str, Any] = dict(zip(convention.cameras.values(), images, strict=True))
        observation[convention.prompt_key] = told[convention.prompt_key]
        try:
            observation |= convention.sent_state(np.array(told[convention.state_key], np.float32))
            answer, seconds = self.server.infer(observation)
        except (BadInput, PromptFailed) as error:
            return PromptFailed(str(error))
        actions = convention.received_actions(answer)
        if actions is None or actions.size > MAX_CHUNK_NUMBERS:
            keys = ", ".join(map(str, answer))[:200]
            wanted = ", ".join(convention.action_keys or [convention.actions_key])
            size = f"an array of at most {MAX_CHUNK_NUMBERS} numbers"
            return PromptFailed(f"{self.server.url} sent no chunk of actions under {wanted!r}, {size}; it sent {keys}.")
        return Completion(json.dumps(actions.tolist()), seconds)


class WebsocketPolicy(ChunkPlayer):
    """Plays what a server answers, chunk by chunk.

    Args:
        name: The server's address and its options, as in "ws://localhost:8000#conventions=my.toml".
        clock: The world's.
        connect_to: Connects to a url with a time-out in seconds; by default with openpi's protocol.
        valid_options: The options that may stand in the name, and how each is read.

    Raises:
        ModelUnavailable: Nobody answers.
        BadInput: The conventions are missing, or the server's contradict ours.
    """

    def __init__(
        self,
        name: str,
        clock: str,
        connect_to: Callable[[str, float], ChunkServer] | None = None,
        valid_options: Mapping[str, Callable[[str], Any]] = REMOTE_OPTIONS,
    ) -> None:
        url, options = parse_model_spec(name, valid_options)
        self.url = url.replace("ws:", "wss:", 1) if options.get("tls") else url
        server = (connect_to or _server)(self.url, options.get("timeout_s", TIMEOUT_S))
        own = read_conventions(options["conventions"]) if "conventions" in options else None
        conventions = agreed(own, server.metadata.get("conventions"), url)
        metadata = {str(key): str(value) for key, value in server.metadata.items() if key != "conventions"}
        said = {key: value[:MAX_METADATA_CHARS] for key, value in metadata.items()}
        self.server = server
        super().__init__(name, PolicyModel(server, conventions), conventions, clock, {"server": said})


@functools.cache
def _server(url: str, timeout_s: float) -> PolicyServer:
    """One connection for all episodes of this process."""
    return PolicyServer(url, timeout_s)


def make_entry(address: str) -> PolicyEntry:
    """Returns the entry of the policy behind ``ws://HOST:PORT``; the registry passes what follows "ws:"."""
    if not address.startswith("//"):
        raise BadInput(f"'ws:{address}' is no address; a policy server's is ws://HOST:PORT.")

    def make(context: Context) -> WebsocketPolicy:
        policy = WebsocketPolicy(f"ws:{address}", context.config.clock)
        policy.conventions.check_control(context.config.control)
        return policy

    return PolicyEntry(make, plays_actions=True)
