"""Whether a server can listen where the user wants it."""

from __future__ import annotations

import socket

from qwenarm.errors import BadInput


def check_listening(host: str, port: int) -> None:
    """Raises BadInput if no server can listen there: no such port or interface, it is taken, or it is not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
        raise BadInput(f"Cannot listen on {host}:{port}: {reason}; choose another port.") from error
