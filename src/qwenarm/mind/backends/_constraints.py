"""How a server keeps answers well-formed, and how to find out whether it does.

* "structured": this project's own grammar (``constrained/structural_tag.py``) for the raw text, with the tools in the
  system text. The server's tool parsers, which differ from version to version, are not used. For vLLM 0.12 and SGLang.
* "json_schema": the calls as one JSON object, by ``response_format``, with the tools in the system text. Many servers
  have that alone (llama.cpp, LM Studio). A model cannot think before the call, and writes JSON whatever it was trained
  to write.
* "required": ``tools`` with ``tool_choice: "required"``. Most servers then constrain the answer by the tools' schemas
  and parse it. Some of them make the model write the call in another form than it was trained on.
* "off": only ``tools``; the model writes what it wants.

Servers ignore what they do not know, so what they claim says little. ``trial`` asks for something that no model would
answer by itself: a server that answers it enforces the constraint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from qwenarm.mind.constrained.structural_tag import bounded, largest_span, structural_tag
from qwenarm.mind.families import Family
from qwenarm.types import Prompt

Constrain = Literal["auto", "structured", "json_schema", "required", "off"]
CONSTRAINT_KINDS: tuple[Constrain, ...] = get_args(Constrain)
TRIED_CONSTRAINTS: tuple[Constrain, ...] = ("json_schema", "required")
"""What "auto" tries on a server that cannot be asked for "structured"; the best first."""
TOOLS_IN_TEXT = ("structured", "json_schema")
"""Constraints of the raw text; a server that parses tool calls itself would get in their way."""

TRIAL_WORD = "kumquat"
TRIAL_TOKENS = 64


def constraint(kind: Constrain, prompt: Prompt, family: Family, server: str) -> dict[str, Any]:
    """The fields of a request that ask for a constraint. server: what the server says that it is."""
    if kind == "structured":
        return _structured(structural_tag(prompt, family), server)
    if kind == "json_schema":
        return _json_schema(answer_schema(prompt, family))
    return {"tool_choice": "required"} if kind == "required" else {}


def answer_schema(prompt: Prompt, family: Family) -> dict[str, Any]:
    """An answer as a JSON schema: {"call": {"name": ..., "arguments": {...}}}, or {"calls": [...]} for a plan."""
    span = largest_span(prompt, family)
    call = {"anyOf": [_call_schema(tool["function"], span) for tool in prompt.tools]}
    if prompt.max_calls == 1:
        return _object({"call": call})
    return _object({"calls": {"type": "array", "items": call, "minItems": 1, "maxItems": prompt.max_calls}})


def trial(kind: Constrain, server: str) -> dict[str, Any]:
    """A request, without its model, whose answer shows whether a constraint is enforced."""
    question = {"role": "user", "content": "Say hello in one word. Call no function."}
    body: dict[str, Any] = {"messages": [question], "max_tokens": TRIAL_TOKENS, "temperature": 0.0}
    if kind == "structured":
        tag = {"type": "structural_tag", "format": {"type": "const_string", "value": TRIAL_WORD}}
        return body | _structured(tag, server)
    if kind == "json_schema":
        return body | _json_schema(_object({"word": {"type": "string", "enum": [TRIAL_WORD]}}))
    function = {"name": TRIAL_WORD, "parameters": {"type": "object", "properties": {}, "required": []}}
    return body | {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}


def is_enforced(kind: Constrain, message: Mapping[str, Any]) -> bool:
    """Whether the answer to the ``trial`` is the one that only its constraint explains."""
    if kind == "required":
        calls = message.get("tool_calls") or []
        return [call["function"]["name"] for call in calls][:1] == [TRIAL_WORD]
    said = str(message.get("content") or "").strip()
    if kind == "structured":
        return said == TRIAL_WORD
    try:
        return json.loads(said) == {"word": TRIAL_WORD}
    except (ValueError, RecursionError):
        return False


def _structured(tag: dict[str, Any], server: str) -> dict[str, Any]:
    if server == "sglang":
        return {"response_format": tag}
    return {"structured_outputs": {"structural_tag": json.dumps(tag)}}


def _json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    }


def _call_schema(function: Mapping[str, Any], span: tuple[int, int]) -> dict[str, Any]:
    name = {"type": "string", "enum": [function["name"]]}
    parameters = function["parameters"]
    return _object({"name": name, "arguments": bounded({**parameters, "type": "object"}, span)})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
