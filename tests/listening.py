"""Servers that tests start in processes of their own."""

import socket
import subprocess
import time
from typing import Any


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


START_LIMIT_S = 600
"""A busy machine may need minutes; only what never happens takes this long."""


def wait_until_listening(server: "subprocess.Popen[Any]", port: int) -> None:
    """Waits until something accepts connections. Fails if the server has ended."""
    until = time.monotonic() + START_LIMIT_S
    while True:
        assert server.poll() is None, "the server has ended"
        assert time.monotonic() < until, "the server does not listen"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
