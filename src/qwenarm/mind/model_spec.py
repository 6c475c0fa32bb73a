"""What a model is called on the command line, and behind it the choices that are made for it.

A server: "http://host:8000#NAME,family=qwen3_5,thinking=yes". A checkpoint: "Qwen/Qwen3.5-4B#thinking=yes,batch=4".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qwenarm.errors import BadInput

Readers = Mapping[str, Callable[[str], Any]]
_SWITCH = {"yes": True, "no": False}.__getitem__

SERVED: Readers = {
    "model": str,
    **dict.fromkeys(("family", "preset", "constrain"), str),
    "tools": {"native": "native", "text": "text"}.__getitem__,
    "thinking": _SWITCH,
    **dict.fromkeys(("temperature", "timeout_s", "deadline_s"), float),
    **dict.fromkeys(("seed", "retries", "concurrency"), int),
}
"""The options of ``Remote`` that may stand behind a URL, and how each is read. "model=" may be left out."""
LOADED: Readers = {
    **dict.fromkeys(("thinking", "constrained"), _SWITCH),
    "temperature": float,
    **dict.fromkeys(("seed", "batch", "threads"), int),
    **dict.fromkeys(("device", "dtype", "adapter"), str),
}
"""Those of ``QwenVL`` that may stand behind a checkpoint's name."""


def read_address(spec: str, readers: Readers) -> tuple[str, dict[str, Any]]:
    """What stands before the "#", and the options behind it.

    Raises BadInput for an option that does not exist, and for a value that it cannot take.
    """
    name, _, fragment = spec.partition("#")
    options: dict[str, Any] = {}
    for part in filter(None, fragment.split(",")):
        key, equals, value = part.partition("=")
        if not equals and "model" in readers:
            key, value = "model", part
        if key not in readers:
            raise BadInput(f"{spec!r} has an option {key!r}. Valid, as in option=value: {', '.join(readers)}.")
        options[key] = _read(spec, readers[key], key, value)
    return name, options


def _read(spec: str, reader: Callable[[str], Any], key: str, value: str) -> Any:
    try:
        return reader(value)
    except (ValueError, KeyError) as error:
        raise BadInput(f"{value!r} in {spec!r} is no value for {key!r}.") from error
