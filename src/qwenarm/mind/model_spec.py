"""What a model is called on the command line, and the options that may stand behind its name.

A server: "http://host:8000#NAME,family=qwen3_5,thinking=yes". A checkpoint: "Qwen/Qwen3.5-4B#thinking=yes,batch=4".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qwenarm.errors import BadInput

OptionReaders = Mapping[str, Callable[[str], Any]]
"""Option -> how its text is read. A reader raises ValueError or KeyError for a text that it cannot take."""

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
"""Options behind a URL, for ``OpenAIServer``. "model=" may be left out."""
LOCAL_OPTIONS: OptionReaders = {
    **dict.fromkeys(("thinking", "constrained", "fused"), _YES_NO),
    **dict.fromkeys(("temperature", "top_p"), float),
    **dict.fromkeys(("top_k", "seed", "batch", "threads"), int),
    **dict.fromkeys(("device", "dtype", "adapter"), str),
}
"""Options behind a checkpoint's name, for ``QwenVL``."""


def parse_model_spec(spec: str, readers: OptionReaders) -> tuple[str, dict[str, Any]]:
    """Splits a model's name from its options.

    Args:
        spec: "NAME" or "NAME#option=value,...".
        readers: of the options that the model may have.

    Returns:
        The name, and the options' values.

    Raises:
        BadInput: there is no such option, or it cannot take the value.
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
