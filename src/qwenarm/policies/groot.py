"""A policy behind GR00T's ZeroMQ protocol: ``--policy zmq://HOST:PORT#conventions=FILE.toml``.

The protocol of ``gr00t/policy/server_client.py`` (Isaac-GR00T N1.6 and later): msgpack over a REQ socket, arrays in
NumPy's file format, and nothing is ever unpickled. The server says which keys its checkpoint expects, but not what its
numbers mean, so a file of conventions is always needed. All else is as in ``websocket.py``.
"""

from __future__ import annotations

import functools
import io
import math
import os
import time
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from qwenarm.errors import BadInput, ModelUnavailable, PromptFailed, import_optional
from qwenarm.policies import PolicyEntry
from qwenarm.policies.conventions import Conventions
from qwenarm.policies.numpy_msgpack import MAX_MESSAGE_BYTES, NUMBER_KINDS
from qwenarm.policies.websocket import REMOTE_OPTIONS, TIMEOUT_S, TOKEN_VARIABLE, WebsocketPolicy


class GrootServer:
    """The connection to a server. After a time-out it is dropped, so a late answer never meets a newer observation.

    Args:
        url: As in "zmq://localhost:5555".
        timeout_s: How long an answer may take.

    Attributes:
        metadata: The keys and time steps of each modality ("video", "state", "action", "language").

    Raises:
        BadInput: pyzmq is not installed.
        ModelUnavailable: Nobody answers there.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._zmq = import_optional("zmq", "Policies behind zmq:// need pyzmq: pip install 'qwenarm[zmq]'.")
        self.url, self.timeout_s = url, timeout_s
        self._socket: Any = None
        try:
            told = self._call({"endpoint": "get_modality_config"})
        except PromptFailed as error:
            raise ModelUnavailable(f"No policy answers at {url}: {error}") from error
        self.metadata: Mapping[str, Any] = told if isinstance(told, dict) else {}

    def infer(self, observation: Mapping[str, Any]) -> tuple[dict[Any, Any], float]:
        """The actions for an observation by key, (T, D) each, and the seconds that they took.

        Args:
            observation: By key: pictures (H, W, 3), parts of the state (D,), and the instruction.

        Raises:
            PromptFailed: It took too long, or the server reports an error.
        """
        began = time.monotonic()
        answer = self._call({"endpoint": "get_action", "data": {"observation": batch(observation), "options": None}})
        actions = answer[0] if isinstance(answer, list) and answer else answer
        if not isinstance(actions, dict):
            raise PromptFailed(f"{self.url} answered with {type(actions).__name__}, not with a map of actions.")
        unbatched = {
            key: value[0] for key, value in actions.items() if isinstance(value, np.ndarray) and value.ndim == 3
        }
        return unbatched, time.monotonic() - began

    def close(self) -> None:
        """Drops the connection; the next request opens another one."""
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _call(self, request: dict[str, Any]) -> Any:
        if token := os.environ.get(TOKEN_VARIABLE):
            request["api_token"] = token
        try:
            socket = self._connected()
            socket.send(msgpack.packb(request, default=_array_to_map))
            answer = msgpack.unpackb(socket.recv(), object_hook=_map_to_value)
        except self._zmq.Again as error:
            self.close()
            raise PromptFailed(f"{self.url} did not answer within {self.timeout_s:g} s.") from error
        except Exception as error:  # msgpack has many, and the hook raises what NumPy raises
            self.close()
            raise PromptFailed(f"{self.url}: an answer could not be read ({type(error).__name__}: {error}).") from error
        if isinstance(answer, dict) and "error" in answer:
            raise PromptFailed(f"{self.url} reports: {str(answer['error'])[:300]}.")
        return answer

    def _connected(self) -> Any:
        if self._socket is None:
            zmq = self._zmq
            self._socket = zmq.Context.instance().socket(zmq.REQ)
            for option in (zmq.RCVTIMEO, zmq.SNDTIMEO):
                self._socket.setsockopt(option, int(1000 * self.timeout_s))
            self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.connect(self.url.replace("zmq:", "tcp:", 1))
        return self._socket


def batch(observation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An observation by modality, as a batch of one with one time step."""
    batched: dict[str, dict[str, Any]] = {"video": {}, "state": {}, "language": {}}
    for key, value in observation.items():
        if isinstance(value, str):
            batched["language"][key] = [[value]]
        else:
            batched["video" if value.ndim == 3 else "state"][key] = value[None, None]
    return batched


def check_keys(conventions: Conventions, modalities: Mapping[str, Any], url: str) -> None:
    """Raises BadInput when the server wants other keys than the conventions name, or more than the present moment."""
    ours = {
        "video": set(conventions.cameras.values()),
        "state": set(conventions.state_keys or [conventions.state_key]),
        "action": set(conventions.action_keys or [conventions.actions_key]),
        "language": {conventions.prompt_key},
    }
    for modality, keys in ours.items():
        config = modalities.get(modality)
        if not isinstance(config, dict):
            raise BadInput(f"{url} does not say what its {modality} keys are.")
        theirs = set(map(str, config.get("modality_keys", ())))
        if keys != theirs:
            told = f"{', '.join(sorted(theirs))}; your conventions name {', '.join(sorted(keys))}"
            raise BadInput(f"{url}: its {modality} keys are {told}.")
        steps = len(config.get("delta_indices", ()))
        if modality != "action" and steps != 1:
            raise BadInput(f"{url}: it wants {steps} time steps of {modality}; only the present one can be sent.")


@functools.cache
def connected(url: str, timeout_s: float) -> GrootServer:
    """One connection for all episodes of this process."""
    return GrootServer(url, timeout_s)


def make_entry(address: str) -> PolicyEntry:
    """Returns the entry of the policy behind ``zmq://HOST:PORT``; the registry passes what follows "zmq:"."""
    if not address.startswith("//"):
        raise BadInput(f"'zmq:{address}' is no address; a GR00T server's is zmq://HOST:PORT.")

    def make(context: Any) -> WebsocketPolicy:
        options = {name: kind for name, kind in REMOTE_OPTIONS.items() if name != "tls"}
        policy = WebsocketPolicy(f"zmq:{address}", context.config.clock, connected, options)
        check_keys(policy.conventions, policy.server.metadata, policy.url)
        policy.conventions.check_control(context.config.control)
        return policy

    return PolicyEntry(make, plays_actions=True)


def _array_to_map(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in NUMBER_KINDS:
        raise TypeError(f"{type(value).__name__} cannot be sent.")
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": file.getvalue()}


def _map_to_value(value: dict[Any, Any]) -> Any:
    if "__ModalityConfig_class__" in value:
        return value["as_json"]
    return _read_npy(value["as_npy"]) if "__ndarray_class__" in value else value


def _read_npy(data: bytes) -> np.ndarray:
    """An array of numbers in NumPy's file format. Raises ValueError for anything else; nothing is allocated for it."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not version 1.0 of NumPy's file format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in NUMBER_KINDS or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{len(data)} bytes are no numbers {dtype} of shape {shape}")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran_order else "C")
