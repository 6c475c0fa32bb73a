"""A policy server as GR00T's: msgpack over ZeroMQ, NumPy's file format for arrays, endpoints by name."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
import zmq

MODALITIES = {
    "video": (["image", "wrist_image"], 1),
    "state": (["x", "y", "z", "roll", "pitch", "yaw", "gripper"], 1),
    "action": (["x", "y", "z", "roll", "pitch", "yaw", "gripper"], 16),
    "language": (["annotation.human.action.task_description"], 1),
}
"""Keys and number of time steps, as of GR00T's checkpoint for LIBERO."""


def write(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return {"__ndarray_class__": True, "as_npy": file.getvalue()}
    raise TypeError(type(value))


def read(value: Any) -> Any:
    return np.load(io.BytesIO(value["as_npy"]), allow_pickle=False) if "__ndarray_class__" in value else value


def config(keys: list[str], steps: int) -> dict[str, Any]:
    return {"__ModalityConfig_class__": True, "as_json": {"delta_indices": list(range(steps)), "modality_keys": keys}}


@contextmanager
def groot_server(act: Callable[[dict], Any], token: str = "", **modalities: Any) -> Iterator[str]:
    """Yields the address. act: returns the map of actions, (1, T, D) each, or raises what is reported as an error."""
    context, stop = zmq.Context(), threading.Event()
    socket = context.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    told = {name: config(*about) for name, about in {**MODALITIES, **modalities}.items()}

    def answer(request: dict[str, Any]) -> Any:
        if token and request.get("api_token") != token:
            return {"error": "Unauthorized: Invalid API token"}
        if request["endpoint"] == "get_modality_config":
            return told
        assert request["endpoint"] == "get_action" and set(request["data"]) == {"observation", "options"}
        return [act(request["data"]["observation"]), {}]

    def serve() -> None:
        while not stop.is_set():
            if not socket.poll(20):
                continue
            try:
                reply = answer(msgpack.unpackb(socket.recv(), object_hook=read))
            except Exception as error:
                reply = {"error": str(error)}
            socket.send(reply if isinstance(reply, bytes) else msgpack.packb(reply, default=write))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"zmq://127.0.0.1:{port}"
    stop.set()
    thread.join()
    socket.close(linger=0)
    context.term()
