"""What a server may answer, as a structural tag: the form in which vLLM and SGLang take a grammar.

A structural tag is a tree of formats, defined by xgrammar ("Structural Tag Usage" in its documentation), the default
constrained decoder of both servers. xgrammar does not accept the grammars of ``lark.py``. Only formats that exist
since its version 0.1.25 are used (vLLM 0.12 came with 0.1.27). An answer is a free thought, then calls, whose
constant parts are those that ``messages.call_text`` writes.

The length of strings is not limited, because xgrammar would take minutes to compile such counts for 150,000 tokens.
``max_tokens`` ends an answer in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from qwenarm.mind.families import Family
from qwenarm.mind.prompt.messages import call_text
from qwenarm.types import Prompt

Format = dict[str, Any]

CALL_BEGIN, CALL_END = "<tool_call>\n", "\n</tool_call>"
FREE_TEXT = r"([^<]|<[^t]|<t[^o])*"
"""Any text without "<tool_call>"; "<think>" is allowed."""
BARE_STRING = r'[^\s<{\["(][^<\n]*'
"""A string in the XML dialect, without quotes. One that begins like JSON is written as a JSON string."""
_PLACEHOLDER = re.compile(r'"?@(\d+)@"?')


def structural_tag(prompt: Prompt, family: Family) -> Format:
    """Returns what may answer the prompt: a thought, then calls of its tools, one per line.

    The numbers of a point are limited to the largest of the prompt's images, in the family's units.
    """
    span = largest_span(prompt, family)
    calls = [call for tool in prompt.tools for call in _ways(tool["function"], family, span)]
    tag = {"type": "tag", "begin": CALL_BEGIN, "content": _any_of(calls), "end": CALL_END}
    lines = {"type": "tags_with_separator", "tags": [tag], "separator": "\n", "at_least_one": True}
    lines["stop_after_first"] = prompt.max_calls == 1
    answer = {"type": "sequence", "elements": [{"type": "regex", "pattern": FREE_TEXT}, lines]}
    return {"type": "structural_tag", "format": answer}


def largest_span(prompt: Prompt, family: Family) -> tuple[int, int]:
    """The largest numbers (x, y) of a point in any of the prompt's images."""
    spans = [family.codec.span((image.shape[0], image.shape[1])) for image in prompt.images]
    return max((x for x, _ in spans), default=1000), max((y for _, y in spans), default=1000)


def _any_of(formats: Sequence[Format]) -> Format:
    return {"type": "or", "elements": list(formats)}


def _ways(function: Mapping[str, Any], family: Family, span: tuple[int, int]) -> Iterator[Format]:
    """Yields every way to call a tool: with and without its optional parameters."""
    properties, required = function["parameters"]["properties"], function["parameters"]["required"]
    optional = [name for name in properties if name not in required]
    for count in range(len(optional) + 1):
        for left_out in combinations(optional, count):
            shown = {name: schema for name, schema in properties.items() if name not in left_out}
            yield _call(function["name"], shown, family, span)


def _call(name: str, parameters: Mapping[str, Any], family: Family, span: tuple[int, int]) -> Format:
    """Returns a call as the family writes it, with a format in place of each value."""
    places = {key: f"@{index}@" for index, key in enumerate(parameters)}
    text = call_text(name, places, family).removeprefix(CALL_BEGIN).removesuffix(CALL_END)
    schemas, elements = list(parameters.values()), list[Format]()
    for index, piece in enumerate(_PLACEHOLDER.split(text)):
        is_place = index % 2 == 1
        elements.append(_value(schemas[int(piece)], family, span) if is_place else _constant(piece))
    return {"type": "sequence", "elements": elements}


def _constant(text: str) -> Format:
    return {"type": "const_string", "value": text}


def _value(schema: Mapping[str, Any], family: Family, span: tuple[int, int]) -> Format:
    """Returns the format of a parameter's value."""
    if schema["type"] == "string" and family.dialect == "xml":
        choices = [_constant(choice) for choice in schema.get("enum", ())]
        bare = {"type": "regex", "pattern": BARE_STRING}
        return _any_of(choices or [bare, {"type": "json_schema", "json_schema": {"type": "string"}}])
    return {"type": "json_schema", "json_schema": bounded(schema, span)}


def bounded(schema: Mapping[str, Any], span: tuple[int, int]) -> dict[str, Any]:
    """Returns a parameter's schema with the limits of the image for points, and without other keys."""
    kind = schema["type"]
    if kind == "string":
        return {"type": kind, "enum": schema["enum"]} if "enum" in schema else {"type": kind}
    if kind == "array":
        sides = [{"type": "integer", "minimum": 0, "maximum": side} for side in span]
        return {"type": kind, "prefixItems": sides, "items": False, "minItems": 2, "maxItems": 2}
    if kind == "object":
        properties = {name: bounded(part, span) for name, part in schema["properties"].items()}
        return {
            "type": kind,
            "properties": properties,
            "required": schema["required"],
            "additionalProperties": False,
        }
    return {"type": kind}
