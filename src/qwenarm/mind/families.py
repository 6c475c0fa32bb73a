"""Everything that differs between the Qwen-VL families, in one table.

A checkpoint's family is determined by ``config.model_type`` and its chat template, never by its name, because a
fine-tune can have any name. To add a family, add a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from qwenarm.errors import BadInput, ModelUnavailable, UnknownName
from qwenarm.mind.coordinates import Codec, Relative, ResizedPixels
from qwenarm.mind.model_sizes import MODEL_SIZES

Dialect = Literal["json", "xml"]
"""Format of a tool call inside <tool_call>: {"name": ..., "arguments": ...} or <function=...><parameter=...>."""


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. A temperature of 0 means greedy decoding; a top_k of 0 means no limit."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    """Both penalties are sent to servers only."""

    def chosen(self, **given: float | None) -> Sampling:
        """Returns a copy with the user's values; None changes nothing. Raises BadInput if one is out of range."""
        sampling = replace(self, **{name: value for name, value in given.items() if value is not None})
        for name, least, most in (
            ("temperature", 0.0, 100.0),
            ("top_p", 1e-6, 1.0),
            ("top_k", 0, 1 << 31),
            ("presence_penalty", -2.0, 2.0),
            ("repetition_penalty", 1e-3, 100.0),
        ):
            if not least <= getattr(sampling, name) <= most:
                raise BadInput(f"{name} is at least {least:g} and at most {most:g}, not {getattr(sampling, name)}.")
        return sampling


GREEDY_SAMPLING = Sampling()


@dataclass(frozen=True)
class Family:
    """A model family: its image coordinates, the grid of its frame sizes, and its tool call format."""

    name: str
    title: str
    model_types: tuple[str, ...]
    """Values of ``config.model_type``, as registered in transformers."""
    codec: Codec
    grid: int
    """Pixels (patch size x merge size). A frame whose sides are multiples of this is not resized."""
    dialect: Dialect
    name_pattern: str
    """A regular expression that matches part of its checkpoints' names in lower case."""
    processor: str
    """Name of the processor class in transformers."""
    thinking_switch: bool
    """Whether the chat template has the variable ``enable_thinking``."""
    published: Sampling
    """The publisher's recommendation for answers without thinking. It is used only if the user sets a temperature:
    calls need no variety, so the default is greedy decoding."""
    thinking: Sampling | None
    """The publisher's recommendation for answers with thinking; None if the family has no thinking models. It is always
    used, because greedily decoded thoughts tend to repeat themselves."""
    source: str
    """The sources of the facts in this row."""

    def sampling(self, thinks: bool, temperature: float | None = None) -> Sampling:
        """Returns the sampling parameters; ``temperature`` is the user's choice, None for the default."""
        base = self.thinking if thinks and self.thinking else self.published
        if temperature is None:
            return base if thinks and self.thinking else GREEDY_SAMPLING
        return replace(base, temperature=temperature) if temperature > 0 else GREEDY_SAMPLING


MODEL_FAMILIES: tuple[Family, ...] = (
    Family(
        name="qwen2_5_vl",
        title="Qwen2.5-VL",
        model_types=("qwen2_5_vl",),
        codec=ResizedPixels(factor=28, min_pixels=56 * 56, max_pixels=28 * 28 * 16384),
        grid=28,
        dialect="json",
        name_pattern=r"qwen[-_ ]?2[._]?5[-_ ]?vl",
        processor="Qwen2_5_VLProcessor",
        thinking_switch=False,
        published=Sampling(temperature=1e-6),
        thinking=None,
        source="patch 14, merge 2, pixel limits: preprocessor_config.json on the Hub; absolute pixels of the resized "
        "image: github.com/QwenLM/Qwen3-VL issues 940 and 782; tool calls in JSON: cookbooks/mobile_agent.ipynb there "
        "(the chat template itself knows no tools); sampling: generation_config.json on the Hub",
    ),
    Family(
        name="qwen3_vl",
        title="Qwen3-VL, dense and mixture of experts, Instruct and Thinking",
        model_types=("qwen3_vl", "qwen3_vl_moe"),
        codec=Relative(1000),
        grid=32,
        dialect="json",
        name_pattern=r"qwen[-_ ]?3[-_ ]?vl",
        processor="Qwen3VLProcessor",
        thinking_switch=False,
        published=Sampling(temperature=0.7, top_p=0.8, top_k=20, presence_penalty=1.5),
        thinking=Sampling(temperature=1.0, top_p=0.95, top_k=20),
        source="patch 16, merge 2: config.json on the Hub; 0..1000: github.com/QwenLM/Qwen3-VL issues 1427 and 1486 "
        "(Alibaba Cloud's documentation says 0..999, issue 1741); tool calls: the checkpoint's chat template; "
        "sampling: README.md of github.com/QwenLM/Qwen3-VL, the thinking temperature from unsloth.ai/docs "
        "(the README of October 2025 has 0.8)",
    ),
    Family(
        name="qwen3_5",
        title="Qwen3.5, Qwen3.6 and Qwen3.8, dense and mixture of experts",
        model_types=("qwen3_5", "qwen3_5_moe"),
        codec=Relative(1000),
        grid=32,
        dialect="xml",
        name_pattern=r"qwen[-_ ]?3[._][568]",
        processor="Qwen3VLProcessor",
        thinking_switch=True,
        published=Sampling(temperature=0.7, top_p=0.8, top_k=20, presence_penalty=1.5),
        thinking=Sampling(temperature=0.6, top_p=0.95, top_k=20),
        source="loads with Qwen3VLProcessor (transformers.models.auto.processing_auto); XML tool calls and "
        "enable_thinking: the chat template; 0..1000: github.com/QwenLM/Qwen3.8-Flash-Next issue 4; sampling: the "
        "model cards of Qwen3.5 (those for vision)",
    ),
)

_FAMILY_OF_TYPE = {kind: family.name for family in MODEL_FAMILIES for kind in family.model_types}
FAMILY_OF_HUB_ID: dict[str, str] = {
    hub_id: _FAMILY_OF_TYPE[size.model_type] for size in MODEL_SIZES for hub_id in size.ids
}
"""Family name by Hub id. Servers list ids but not model types."""
_QUANTISED_SUFFIX = re.compile(r"-(FP8|NVFP4|AWQ|GPTQ-Int[48]|bnb-4bit|GGUF)$", re.IGNORECASE)
"""Suffixes of the names of quantised checkpoints."""

DEFAULT_FAMILY = "qwen3_vl"
"""The family of text-only models, and of a server's model whose name is unknown."""
TEXT_MODEL_TYPES = ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe")
"""``config.model_type`` of text-only Qwen models, which get the scene in words."""


def match_hub_id(name: str) -> str | None:
    """Returns the Hub id of the model that a server lists under this name, or None.

    The name may be a path, or belong to a quantised copy or another publisher's copy.
    """
    own = _QUANTISED_SUFFIX.sub("", name.rstrip("/").rpartition("/")[2])
    return next((hub_id for hub_id in FAMILY_OF_HUB_ID if hub_id.rpartition("/")[2].lower() == own.lower()), None)


def family_in_name(name: str) -> Family | None:
    """Returns the family that a name mentions, as "qwen2.5vl:7b" and "me/Qwen2.5-VL-7B-robots" do, or None."""
    return next((family for family in MODEL_FAMILIES if re.search(family.name_pattern, name.lower())), None)


def family_named(name: str) -> Family:
    """Returns the family with that name. Raises UnknownName."""
    for family in MODEL_FAMILIES:
        if family.name == name:
            return family
    raise UnknownName("model family", name, [family.name for family in MODEL_FAMILIES])


def family_of(model_type: str, chat_template: str | None = None) -> Family:
    """Returns the family of a checkpoint.

    Args:
        model_type: The value in its config.json.
        chat_template: Determines the tool call format if given, because fine-tunes and later members of a family may
            have their own templates.

    Raises:
        ModelUnavailable: The type is unknown.
    """
    text_model = family_named(DEFAULT_FAMILY) if model_type in TEXT_MODEL_TYPES else None
    family = text_model or next((family for family in MODEL_FAMILIES if model_type in family.model_types), None)
    if family is not None:
        return family if chat_template is None else _as_templated(family, chat_template)
    known = ", ".join(kind for family in MODEL_FAMILIES for kind in family.model_types)
    blind = ", ".join(TEXT_MODEL_TYPES)
    raise ModelUnavailable(
        f"Checkpoints of type {model_type!r} are not Qwen-VL models. Known types: {known}; without images: {blind}."
    )


def _as_templated(family: Family, template: str) -> Family:
    dialect: Dialect = family.dialect
    if "<tool_call>" in template:
        dialect = "xml" if "<function=" in template else "json"
    return replace(family, dialect=dialect, thinking_switch="enable_thinking" in template)
