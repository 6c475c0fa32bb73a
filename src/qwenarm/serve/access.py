"""Who may connect: this machine alone, unless a token is set."""

from __future__ import annotations

import hmac
import os
from typing import Any

from qwenarm.errors import BadInput

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "QWENARM_TOKEN"
"""The environment variable that holds the token; an option would show it in the list of processes."""


def access_token(host: str) -> str:
    """The token that clients must send, "" for none.

    Raises:
        BadInput: Other machines could connect to this host, and no token is set.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if host not in LOOPBACK_HOSTS and not token:
        raise BadInput(f"Other machines can connect to {host}: set a token in {TOKEN_VARIABLE}, or use 127.0.0.1.")
    return token


def admitted(token: str, authorization: str | None) -> bool:
    """Whether the Authorization header of a request carries the token, as "Bearer TOKEN" or "Api-Key TOKEN"."""
    scheme, _, sent = (authorization or "").partition(" ")
    return not token or (
        scheme.lower() in ("bearer", "api-key") and hmac.compare_digest(sent.strip().encode(), token.encode())
    )


def guarded(app: Any, token: str, web_pages: bool = True) -> Any:
    """An ASGI application that answers only those who send the token.

    Args:
        app: The application.
        token: What clients must send, "" for nothing.
        web_pages: Whether a script of a web page may connect; browsers name its origin in every such request.
    """

    async def guard(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        sent = headers.get(b"authorization", b"").decode("latin-1")
        if scope["type"] == "lifespan" or (admitted(token, sent) and (web_pages or b"origin" not in headers)):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403
        else:
            await send({"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
            await send({"type": "http.response.body", "body": b"This server needs a token."})

    return guard
