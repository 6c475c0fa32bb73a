"""What differs between the Qwen-VL families, in one table.

The family of a checkpoint follows from ``config.model_type`` and its chat template, never from its name: fine-tunes are
named freely. A new family is a new row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from qwenarm.errors import ModelUnavailable, UnknownName
from qwenarm.mind.coordinates import Codec, Relative, ResizedPixels

Dialect = Literal["json", "xml"]
"""How a tool call is spelled: {"name": ..., "arguments": ...} or <function=...><parameter=...> inside of <tool_call>.
"""


@dataclass(frozen=True)
class Family:
    """One family: how it counts along an image, what frames suit it, and how it spells a tool call."""

    name: str
    title: str
    model_types: tuple[str, ...]
    """``config.model_type`` of its checkpoints, as transformers registers them."""
    codec: Codec
    grid: int
    """Frames whose sides are multiples of this many pixels (patch size x merge size) reach the model unresized."""
    dialect: Dialect
    processor: str
    """The class in transformers that turns its chats and images into tensors."""
    thinking_switch: bool
    """The chat template takes ``enable_thinking``."""
    source: str
    """Where these facts come from."""


FAMILIES: tuple[Family, ...] = (
    Family(
        name="qwen2_5_vl",
        title="Qwen2.5-VL",
        model_types=("qwen2_5_vl",),
        codec=ResizedPixels(factor=28, min_pixels=56 * 56, max_pixels=28 * 28 * 16384),
        grid=28,
        dialect="json",
        processor="Qwen2_5_VLProcessor",
        thinking_switch=False,
        source="patch 14, merge 2, pixel limits: preprocessor_config.json on the Hub; absolute pixels of the resized "
        "image: github.com/QwenLM/Qwen3-VL issues 940 and 782; tool calls: the checkpoint's chat template",
    ),
    Family(
        name="qwen3_vl",
        title="Qwen3-VL, dense and mixture of experts, Instruct and Thinking",
        model_types=("qwen3_vl", "qwen3_vl_moe"),
        codec=Relative(1000),
        grid=32,
        dialect="json",
        processor="Qwen3VLProcessor",
        thinking_switch=False,
        source="patch 16, merge 2: config.json on the Hub; 0..1000: github.com/QwenLM/Qwen3-VL issues 1427 and 1486; "
        "tool calls: the checkpoint's chat template",
    ),
    Family(
        name="qwen3_5",
        title="Qwen3.5, Qwen3.6 and Qwen3.8, dense and mixture of experts",
        model_types=("qwen3_5", "qwen3_5_moe"),
        codec=Relative(1000),
        grid=32,
        dialect="xml",
        processor="Qwen3VLProcessor",
        thinking_switch=True,
        source="loads with Qwen3VLProcessor (transformers.models.auto.processing_auto); XML tool calls and "
        "enable_thinking: the chat template; 0..1000: secondary sources only",
    ),
)

_SIZES_3 = ("2B", "4B", "8B", "32B", "30B-A3B", "235B-A22B")
_SIZES_3_5 = ("0.8B", "2B", "4B", "9B", "27B", "35B-A3B")
PUBLISHED: dict[str, str] = {
    **{f"Qwen/Qwen2.5-VL-{size}-Instruct": "qwen2_5_vl" for size in ("3B", "7B", "32B", "72B")},
    **{f"Qwen/Qwen3-VL-{size}-{kind}": "qwen3_vl" for size in _SIZES_3 for kind in ("Instruct", "Thinking")},
    **{f"Qwen/Qwen3.5-{size}": "qwen3_5" for size in _SIZES_3_5},
    "Qwen/Qwen3.8-27B": "qwen3_5",
}
"""Hub id -> family, for servers, which list ids and no types. An exact table on purpose; it need not be complete."""

DEFAULT = "qwen3_vl"
"""Assumed where nothing can be read: a server that lists a model under a name of its own."""


def family_named(name: str) -> Family:
    """The row of that name. Raises UnknownName with the valid ones."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise UnknownName("model family", name, [family.name for family in FAMILIES])


def family_of(model_type: str, chat_template: str | None = None) -> Family:
    """The family of a checkpoint, from its ``config.model_type``.

    The chat template, where there is one, has the last word on how calls are spelled: later members of a family share
    the architecture of earlier ones, and fine-tunes bring a template of their own. Raises ModelUnavailable for an
    unknown type.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family if chat_template is None else _as_templated(family, chat_template)
    known = ", ".join(kind for family in FAMILIES for kind in family.model_types)
    raise ModelUnavailable(f"Checkpoints of type {model_type!r} are not Qwen-VL models. Known types: {known}.")


def _as_templated(family: Family, template: str) -> Family:
    dialect: Dialect = family.dialect
    if "<tool_call>" in template:
        dialect = "xml" if "<function=" in template else "json"
    return replace(family, dialect=dialect, thinking_switch="enable_thinking" in template)
