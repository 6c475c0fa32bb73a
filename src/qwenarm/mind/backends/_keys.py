"""Keys of servers: where they come from, to whom they are sent, and how they are found in what is sent back."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from qwenarm.errors import BadInput, ModelUnavailable
from qwenarm.registry import is_trusted_server

OWN_KEY, COMMON_KEY = "QWENARM_API_KEY", "OPENAI_API_KEY"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
MIN_SECRET_CHARS = 8
"""A shorter key, such as "EMPTY", is no secret, and would be found in innocent text."""


def check_url(url: str) -> None:
    """Raises BadInput, without repeating a password, for a URL that holds more than the server's address."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked only when it is read
    except ValueError as error:
        raise ModelUnavailable(f"{url!r} is not a valid URL: {error}.") from error
    if parts.username or parts.password:
        raise BadInput(
            "User and password in a URL would appear in every report. Put them into the environment variable "
            f"{OWN_KEY} instead: 'Basic', a space, and their base64 form."
        )
    if parts.query:
        raise BadInput(f"A server's URL ends before its '?'; a key goes into the environment variable {OWN_KEY}.")


def key_for(url: str) -> str:
    """The user's key for this server; none for one that only recorded data names. The common variable may hold the key
    of another service, so it is not sent unencrypted to other machines.
    """
    if not is_trusted_server(url):
        return ""
    private = url.startswith(("https://", *(f"http://{host}{end}" for host in LOCAL_HOSTS for end in (":", "/"))))
    return (os.environ.get(OWN_KEY) or (os.environ.get(COMMON_KEY, "") if private else "")).strip()


def authorization(key: str) -> dict[str, str]:
    """The header for a key. A key that begins with "Basic " or "Bearer " is sent as it is. Raises BadInput, without
    repeating the key, for characters that cannot stand in a header.
    """
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise BadInput("The server's key has characters that no key can have; copy it again, without anything else.")
    return {"Authorization": key if key.startswith(("Basic ", "Bearer ")) else f"Bearer {key}"}


def secret_patterns(key: str) -> Iterator[re.Pattern[bytes]]:
    """Patterns that find the secrets of a key, as they are and as JSON may escape them."""
    token = key.removeprefix("Bearer ").removeprefix("Basic ").strip()
    secrets = [token]
    if key.startswith("Basic "):
        with suppress(ValueError):  # a key of another form is sent as it is
            secrets.append(base64.b64decode(token).decode("utf-8").partition(":")[2])
    for secret in secrets:
        if len(secret) >= MIN_SECRET_CHARS:
            yield re.compile("".join(map(_character_pattern, secret)).encode())


def _character_pattern(character: str) -> str:
    """Matches a character as it is and as JSON may escape it."""
    backslash = r"\\?" if character in '"\\/' else ""
    return rf"(?:{backslash}{re.escape(character)}|\\u(?i:{ord(character):04x}))"
