"""A policy server as openpi's: it sends its metadata, then a chunk of actions for every observation."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

try:  # the real codec, where it is installed (make test-doors)
    from openpi_client.msgpack_numpy import packb, unpackb
except ImportError:
    from qwenarm.policies.numpy_msgpack import pack as packb
    from qwenarm.policies.numpy_msgpack import unpack as unpackb

Infer = Callable[[dict[str, Any]], Any]


@contextmanager
def policy_server(infer: Infer, metadata: dict[str, Any], port: int = 0) -> Iterator[str]:
    """Yields the address. infer: returns actions, (T, D), or raises what is sent as the text of an error."""

    def handle(connection: ServerConnection) -> None:
        connection.send(packb(metadata))
        try:
            for message in connection:
                connection.send(packb({"actions": infer(unpackb(message)), "server_timing": {"infer_ms": 1.0}}))
        except ConnectionClosed:
            return
        except Exception as error:
            connection.send(f"Traceback (most recent call last):\n{type(error).__name__}: {error}")
            connection.close(1011)

    with serve(handle, "127.0.0.1", port, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def sinking(observation: dict[str, Any]) -> np.ndarray:
    """Goes down by 1 cm a period with open fingers."""
    assert observation["observation/image"].shape == (224, 224, 3)
    return np.tile(np.array([0, 0, -0.01, 0, 0, 0, 1], np.float32), (16, 1))


if __name__ == "__main__":
    with policy_server(sinking, {"conventions": {"action": "ee_delta", "low": [], "high": []}}) as url:
        print(url, flush=True)
        time.sleep(float(sys.argv[1]))
