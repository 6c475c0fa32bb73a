"""What a server's listing tells of a model: its family, whether it thinks, and whether it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwenarm.errors import BadInput
from qwenarm.mind.coordinates import ResizedPixels
from qwenarm.mind.families import (
    DEFAULT_FAMILY,
    FAMILY_OF_HUB_ID,
    Family,
    family_in_name,
    family_named,
    match_hub_id,
)


def family_of(named: str | None, listed: Mapping[str, Any]) -> tuple[Family, str]:
    """The family, and how it is known.

    Args:
        named: the user's choice, or None.
        listed: the model's entry in the server's list.
    """
    if named is not None:
        return family_named(named), "given"
    if hub_id := _hub_id(listed):
        return family_named(FAMILY_OF_HUB_ID[hub_id]), f"the server's listing: {hub_id}"
    for name in _names(listed):
        if family := family_in_name(name):
            return family, f"its name: {name}"
    return family_named(DEFAULT_FAMILY), "assumed; say which with family=... if that is wrong"


def with_pixel_limits(family: Family, min_pixels: int | None, max_pixels: int | None) -> Family:
    """The family, counting as a server resizes images that was told these limits. Raises BadInput where they do not
    matter, or make no sense.
    """
    limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        return family
    if not isinstance(family.codec, ResizedPixels):
        raise BadInput(f"{family.title} counts alike in images of every size, so it takes no {' and '.join(given)}.")
    codec = replace(family.codec, **given)
    if not 0 < codec.min_pixels <= codec.max_pixels:
        raise BadInput("min_pixels and max_pixels of a server are positive, and the first is not larger.")
    return replace(family, codec=codec)


def always_thinks(listed: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint that always thinks."""
    hub_id = _hub_id(listed)
    return any("-thinking" in name.lower() for name in ([hub_id] if hub_id else _names(listed)))


def takes_images(listed: Mapping[str, Any]) -> bool:
    """Whether the model takes images, as far as the listing says so (as OpenRouter, llama.cpp and LM Studio do)."""
    architecture = listed.get("architecture")
    for told in (listed, architecture if isinstance(architecture, Mapping) else {}):
        if isinstance(kinds := told.get("input_modalities"), list):
            return "image" in kinds
    return listed.get("type") != "llm"


def _names(listed: Mapping[str, Any]) -> list[str]:
    return [str(listed[key]) for key in ("id", "root") if listed.get(key)]


def _hub_id(listed: Mapping[str, Any]) -> str | None:
    """The published checkpoint behind a listed name; vLLM and SGLang list it as "root"."""
    return next((found for name in _names(listed) if (found := match_hub_id(name))), None)
