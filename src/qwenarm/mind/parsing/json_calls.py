"""Finds calls in a JSON value, in all the shapes that models use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qwenarm.mind.parsing.tolerant_json import Malformed, read_value

NAME_KEYS = ("name", "skill", "tool", "tool_name", "function", "function_name", "action")
WRAPPER_KEYS = ("function", "tool_call", "tool_calls", "call", "calls", "action", "actions", "plan")
SCHEMA_KEYS = {"name", "description", "type", "strict"}
"""An object with these keys and no others describes a tool; it does not call it."""
ARGUMENT_KEYS = ("arguments", "args", "parameters", "params", "input", "action_input")

NOTE_SHAPE = "call in another shape"


@dataclass(frozen=True)
class RawCall:
    """A call as the model wrote it, not yet checked."""

    name: str
    args: Any


def as_calls(value: Any, names: Sequence[str], note: Callable[[str], None]) -> list[RawCall]:
    """Returns the calls in a JSON value, which may be one call or a list of them; [] if there are none.

    Args:
        value: The parsed JSON.
        names: The names of the skills.
        note: Called with each repair.
    """
    if isinstance(value, list):
        calls = [call for item in value for call in as_calls(item, names, note)]
        if calls:
            note(NOTE_SHAPE)
        return calls
    if not isinstance(value, dict):
        return []
    call = _named_call(value, names)
    if call is None or call.name.strip().lower() not in names:
        for key in WRAPPER_KEYS:  # {"type": "function", "function": {"name": ..., "arguments": "..."}}
            if isinstance(value.get(key), dict | list):
                return as_calls(value[key], names, note)
    call = call or _keyed_call(value, names)
    if call is None or _is_schema(call.args) or ("description" in value and value.keys() <= SCHEMA_KEYS):
        return []
    if not ("name" in value and "arguments" in value and isinstance(value["arguments"], dict)) and call.args:
        note(NOTE_SHAPE)
    return [call]


def _named_call(value: dict[str, Any], names: Sequence[str]) -> RawCall | None:
    """Returns the call in {"name": "pick", "arguments": {...}} and its variants, also with flattened arguments."""
    for key in NAME_KEYS:
        name = value.get(key)
        if not isinstance(name, str):
            continue
        for slot in ARGUMENT_KEYS:
            if slot in value:
                return RawCall(name, unquoted(value[slot]))
        if name.strip().lower() in names:
            return RawCall(name, {other: item for other, item in value.items() if other not in (key, "type", "id")})
        if key == "name" and len(value) == 1:
            return RawCall(name, {})
    return None


def _is_schema(args: Any) -> bool:
    """Returns whether the arguments are a tool's schema: a model that repeats its tools does not call them."""
    return isinstance(args, dict) and args.get("type") == "object" and "properties" in args


def _keyed_call(value: dict[str, Any], names: Sequence[str]) -> RawCall | None:
    """Returns the call in {"pick": {"at": ...}}."""
    if len(value) == 1:
        ((name, args),) = value.items()
        if name in names:
            return RawCall(name, args)
    return None


def unquoted(args: Any) -> Any:
    """Returns the arguments, parsed if they are a string of JSON, as some servers send them."""
    if not isinstance(args, str):
        return {} if args is None else args
    if not args.strip():
        return {}
    try:
        value, end, _ = read_value(args.strip(), 0)
    except Malformed:
        return args
    return args if args.strip()[end:].strip() else value
