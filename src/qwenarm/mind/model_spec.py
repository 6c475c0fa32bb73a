"""Model names as given on the command line, with optional settings after a "#".

For a server: "http://host:8000#NAME,family=qwen3_5,thinking=yes". For a checkpoint: "Qwen/Qwen3.5-4B#thinking=yes".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qwenarm.errors import BadInput

OptionReaders = Mapping[str, Callable[[str], Any]]
"""For each option, the function that reads its value. It raises ValueError or KeyError if the value is invalid."""

URL_PREFIXES = ("http://", "https://")
_YES_NO = {"yes": True, "no": False}.__getitem__

SAMPLING_NUMBERS = ("temperature", "top_p", "presence_penalty", "repetition_penalty")

SERVER_OPTIONS: OptionReaders = {
    "model": str,
    **dict.fromkeys(("family", "preset", "constrain"), str),
    "tools": {"native": "native", "text": "text"}.__getitem__,
    **dict.fromkeys(("thinking", "images"), _YES_NO),
    **dict.fromkeys(SAMPLING_NUMBERS, float),
    "top_k": int,
    **dict.fromkeys(("timeout_s", "deadline_s"), float),
    **dict.fromkeys(("seed", "retries", "concurrency", "min_pixels", "max_pixels"), int),
}
"""Options of ``OpenAIServer``. The "model=" may be left out."""
LOCAL_OPTIONS: OptionReaders = {
    **dict.fromkeys(("thinking", "constrained", "fused", "images"), _YES_NO),
    **dict.fromkeys(("temperature", "top_p"), float),
    **dict.fromkeys(("top_k", "seed", "batch", "threads"), int),
    **dict.fromkeys(("device", "dtype", "adapter"), str),
}
"""Options of ``QwenVL``."""


def parse_model_spec(spec: str, readers: OptionReaders) -> tuple[str, dict[str, Any]]:
    """Splits a model's name from its options.

    Args:
        spec: "NAME" or "NAME#option=value,...".
        readers: The readers of the valid options.

    Returns:
        The name, and the options with their values.

    Raises:
        BadInput: An option is unknown, or its value is invalid.
    """
    name, _, fragment = spec.partition("#")
    options: dict[str, Any] = {}
    for part in filter(None, fragment.split(",")):
        key, equals, value = part.partition("=")
        if not equals and "model" in readers:
            key, value = "model", part
        if key not in readers:
            raise BadInput(f"{spec!r} has an unknown option {key!r}. Valid, as in option=value: {', '.join(readers)}.")
        try:
            options[key] = readers[key](value)
        except (ValueError, KeyError) as error:
            raise BadInput(f"The option {key!r} in {spec!r} cannot be {value!r}.") from error
    return name, options
