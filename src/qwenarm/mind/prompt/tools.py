"""Skills as the tools of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from qwenarm.types import Param, SkillSpec


@lru_cache(maxsize=32)
def tool_schemas(specs: tuple[SkillSpec, ...], cameras: tuple[str, ...], docs: bool) -> tuple[dict[str, Any], ...]:
    """Returns the skills as functions in OpenAI's format. ``docs`` adds the first line of their docstrings."""
    return tuple(_tool_schema(spec, cameras, docs) for spec in specs)


def _tool_schema(spec: SkillSpec, cameras: Sequence[str], docs: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": spec.name}
    if docs and spec.doc:
        function["description"] = spec.doc.strip().splitlines()[0]
    function["parameters"] = {
        "type": "object",
        "properties": {param.name: _param_schema(param, cameras, docs) for param in spec.params},
        "required": [param.name for param in spec.params if param.required],
    }
    return {"type": "function", "function": function}


def _param_schema(param: Param, cameras: Sequence[str], docs: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if param.kind == "point" else param.kind}
    if docs and param.doc:
        schema["description"] = param.doc
    if param.choices:
        schema["enum"] = list(param.choices)
    if param.kind == "point":
        keys: dict[str, Any] = {
            "label": {"type": "string"},
            "point_2d": {"type": "array", "items": {"type": "integer"}},
        }
        if len(cameras) > 1:
            keys["camera"] = {"type": "string", "enum": list(cameras)}
        schema["properties"] = keys
        schema["required"] = list(keys)
    return schema
