"""A server's URL, and behind it the choices that are made for it: "http://host:8000#NAME,family=qwen3_5,thinking=yes"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qwenarm.errors import BadInput

READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("family", "preset", "constrain"), str),
    "tools": {"native": "native", "text": "text"}.__getitem__,
    "thinking": {"yes": True, "no": False}.__getitem__,
    **dict.fromkeys(("temperature", "timeout_s", "deadline_s"), float),
    **dict.fromkeys(("seed", "retries", "concurrency"), int),
}
"""The options of ``Remote`` that may stand there, and how each is read."""


def read_address(spec: str) -> tuple[str, dict[str, Any]]:
    """The URL, and the options for ``Remote``. What is no option is the model's name.

    Raises BadInput for an option that does not exist, and for a value that it cannot take.
    """
    url, _, fragment = spec.partition("#")
    options: dict[str, Any] = {}
    for part in filter(None, fragment.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            options["model"] = part
        elif key not in READERS:
            raise BadInput(f"{spec!r} has an option {key!r}. Valid: {', '.join(READERS)}.")
        else:
            options[key] = _read(spec, key, value)
    return url, options


def _read(spec: str, key: str, value: str) -> Any:
    try:
        return READERS[key](value)
    except (ValueError, KeyError) as error:
        raise BadInput(f"{value!r} in {spec!r} is no value for {key!r}.") from error
