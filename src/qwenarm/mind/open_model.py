"""Opens a model by its name, which determines the backend."""

from __future__ import annotations

import re
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.mind.backends import Backend, BackendEntry
from qwenarm.mind.model_spec import parse_model_spec
from qwenarm.registry import is_foreign, list_names, literal, load

LOCAL_BACKEND = "local"
"""The backend for every name that no other backend claims: "bundled", a folder, or a Hub id."""
LIKE_A_SERVER = re.compile(r"[\w.-]+:\d+(/|$)")


def open_model(spec: str, **options: Any) -> Backend:
    """Opens a model.

    Args:
        spec: "bundled", a folder, a Hub id "org/name" or "org/name@revision", a URL, "scripted:FILE", or
            ``module:NAME``, optionally followed by "#option=value,...".
        options: Options of the backend; they take precedence over those in the spec.

    Raises:
        ModelUnavailable: The model cannot be loaded.
        BadInput: The backend does not know an option.
    """
    entry = backend_entry(spec.partition("#")[0])
    source, chosen = parse_model_spec(spec, entry.options)
    try:
        return entry.open(source, **{**chosen, **options})
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        reason = str(error).rpartition("() ")[2]
        raise BadInput(f"The model {spec!r} {reason}. Its options: {', '.join(entry.options)}.") from error


def backend_entry(source: str) -> BackendEntry:
    """Returns the backend for a model's name without options. Raises BadInput if the name cannot be a model."""
    for name in list_names("models"):
        if name != LOCAL_BACKEND and source.lower().startswith((entry := load("models", name)).prefixes):
            return entry
    if is_foreign(source):
        entry = load("models", source)
        if not isinstance(entry, BackendEntry):
            raise BadInput(f"{source!r} is a {type(entry).__name__}; a model's entry is a BackendEntry.")
        return entry
    if LIKE_A_SERVER.match(source):
        raise BadInput(f"{source!r} looks like a server; its name begins with http:// or https://.")
    return load("models", LOCAL_BACKEND)


def list_models() -> dict[str, str]:
    """Returns how models are named, and the published ones, with descriptions. Nothing heavy is imported."""
    from qwenarm.mind.checkpoints.memory import gb, need_of_size
    from qwenarm.mind.model_sizes import MODEL_SIZES

    ways = {way: doc for name in list_names("models") for way, doc in literal("models", name, "MODEL_NAMES").items()}
    sizes = {
        size.ids[0]: f"{size.parameters / 1e9:.1f} B parameters; {gb(need_of_size(size).total)} in bfloat16, "
        f"{gb(need_of_size(size, four_bit=True).total)} in 4-bit"
        for size in MODEL_SIZES
    }
    return ways | {"module:NAME": "a backend of your own, see docs/extending.md"} | sizes
