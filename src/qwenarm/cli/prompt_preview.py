"""The first prompt that a model reads of a task: text, frames and token counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from qwenarm.episode.rollout import observe
from qwenarm.errors import BadInput, UnknownName
from qwenarm.factory import make_env, make_policy
from qwenarm.mind.backends import Backend
from qwenarm.mind.checkpoints.load import BUNDLED_MODEL, is_cached, locate
from qwenarm.mind.checkpoints.memory import gb, need_of_size
from qwenarm.mind.checkpoints.processor import load_processor
from qwenarm.mind.coordinates import Size
from qwenarm.mind.families import FAMILY_OF_HUB_ID, MODEL_FAMILIES, Family, family_named
from qwenarm.mind.inference.preprocessing import PromptEncoder, TextEncoder
from qwenarm.mind.model_sizes import size_of
from qwenarm.mind.model_spec import LOCAL_OPTIONS, parse_model_spec
from qwenarm.mind.open_model import LOCAL_BACKEND, backend_entry, open_model
from qwenarm.mind.prompt.chat_templates import chat_text, family_template, without_images
from qwenarm.mind.prompt.presets import QWEN_PRESET, Preset
from qwenarm.mind.prompt.qwen_vocabulary import count_tokens
from qwenarm.policies import policy_entry
from qwenarm.registry import is_foreign, load
from qwenarm.types import Prompt, RunConfig

IMAGE_PLACEHOLDER = "<|image_pad|>"


@dataclass(frozen=True)
class PromptPreview:
    """A prompt as a model reads it.

    Attributes:
        text: the prompt; each image placeholder is followed by its number of tokens.
        frames: (camera, RGB (H, W, 3) uint8) in the order in which they are shown.
        sizes: (height, width) to which the model's processor scales each frame.
        text_tokens: number of tokens of the text.
        image_tokens: number of tokens of each frame.
        source: whose chat template and vocabulary were used.
    """

    text: str
    frames: tuple[tuple[str, np.ndarray], ...]
    sizes: tuple[Size, ...]
    text_tokens: int
    image_tokens: tuple[int, ...]
    source: str

    def summary(self) -> str:
        """The token counts, one line each."""
        rows = [
            f"{name}  {rgb.shape[1]} x {rgb.shape[0]} pixels{_read_as(rgb.shape[:2], size)}, {count} tokens"
            for (name, rgb), size, count in zip(self.frames, self.sizes, self.image_tokens, strict=True)
        ]
        total = self.text_tokens + sum(self.image_tokens)
        return "\n".join(
            [*rows, f"text  {self.text_tokens} tokens", f"total  {total} tokens", f"counted with  {self.source}"]
        )


@dataclass(frozen=True)
class _Model:
    """The part of a backend that a policy needs before it decides, and how it reads a prompt.

    read: Prompt -> (text, number of text tokens, [((height, width) as read, number of tokens) per frame]).
    """

    family: Family
    preset: Preset
    thinking: bool
    read: Callable[[Prompt], tuple[str, int, list[tuple[Size, int]]]]
    source: str
    name: str = ""


def read_prompt(config: RunConfig, seed: int, thinking: bool = False) -> PromptPreview:
    """Builds the prompt of the first decision. Weights are neither read nor downloaded.

    Args:
        config: what is played; its model is "bundled", a checkpoint's folder, a Hub id, or the name of a family.
        seed: of the scene.
        thinking: build the prompt for a model that thinks first.

    Raises:
        ModelUnavailable, UnknownName, BadInput: with the valid choices.
    """
    name = config.model.partition("#")[0]
    if is_foreign(name):
        model = _of_backend(open_model(config.model))
    elif backend_entry(name) is not load("models", LOCAL_BACKEND):
        raise UnknownName("model to write a prompt for", name, _previewed())
    else:
        name, chosen = parse_model_spec(config.model, LOCAL_OPTIONS)
        model = _model(name, thinking or bool(chosen.get("thinking")), bool(chosen.get("images", True)))
    entry = policy_entry(config.policy)
    if not entry.needs_model:
        raise BadInput(f"The policy {config.policy!r} asks no model, so it has no prompt.")
    env = make_env(config)
    try:
        env.reset(seed=seed)
        policy = make_policy(config, env, seed, model)  # type: ignore[arg-type]
        prompt = next(policy.decide(observe(env, policy), ()))
    finally:
        env.close()
    text, words, seen = model.read(prompt)
    names = [part["text"].strip().rstrip(":") for part in prompt.messages[1]["content"] if part["type"] == "text"]
    frames = tuple(zip(names, prompt.images, strict=False))[: len(seen)]  # none for a model without eyes
    sizes, counts = tuple(size for size, _ in seen), tuple(count for _, count in seen)
    return PromptPreview(_counted(text, counts), frames, sizes, words, counts, model.source)


def save_frames(reading: PromptPreview, folder: Path) -> list[Path]:
    """Writes the frames as CAMERA.png. Raises BadInput if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.png" for name, _ in reading.frames]
        for path, (_, rgb) in zip(paths, reading.frames, strict=True):
            Image.fromarray(rgb).save(path)
    except OSError as error:
        raise BadInput(f"Cannot write into {folder}: {error.strerror}.") from error
    return paths


def memory_line(model: str) -> str:
    """The memory that a published model needs, in words; "" for others."""
    size = size_of(model.partition("#")[0])
    if size is None:
        return ""
    quarter = need_of_size(size, four_bit=True)
    return f"memory  {gb(need_of_size(size).total)} in bfloat16, {gb(quarter.total)} in 4-bit"


def _model(source: str, thinking: bool, images: bool) -> _Model:
    if source in [family.name for family in MODEL_FAMILIES]:
        model = _of_family(family_named(source), thinking)
    elif source in FAMILY_OF_HUB_ID and not is_cached(source):
        model = _of_family(family_named(FAMILY_OF_HUB_ID[source]), thinking or source.endswith("-Thinking"))
    elif not is_cached(source):
        raise UnknownName("model to write a prompt for", source, _previewed())
    else:
        model = _of_checkpoint(source, thinking, images)
    return model if images else replace(model, read=lambda prompt: model.read(without_images(prompt)))


def _previewed() -> list[str]:
    return [BUNDLED_MODEL, *(family.name for family in MODEL_FAMILIES), "a checkpoint's folder"]


def _of_backend(backend: Backend) -> _Model:
    """A backend of the user's own, of which only the family is known."""
    return replace(_of_family(backend.family, backend.thinking), preset=backend.preset)


def _of_checkpoint(source: str, thinking: bool, images: bool) -> _Model:
    checkpoint = locate(source, weights=False)
    blind = not (images or checkpoint.has_eyes)
    encoder = TextEncoder(checkpoint, thinking) if blind else PromptEncoder(checkpoint, thinking)

    def read(prompt: Prompt) -> tuple[str, int, list[tuple[Size, int]]]:
        ids, _, grids = encoder.encode(prompt)
        seen = []
        if isinstance(encoder, PromptEncoder) and grids is not None:
            side, merge = encoder.processor.image_processor.patch_size, encoder.processor.image_processor.merge_size
            seen = [((high * side, wide * side), high * wide // merge**2) for _, high, wide in grids.tolist()]
        return encoder.text(prompt), len(ids) - sum(count for _, count in seen), seen

    whose = f"the chat template and vocabulary of {checkpoint.source}"
    return _Model(encoder.family, checkpoint.preset, thinking, read, whose)


def _of_family(family: Family, thinking: bool) -> _Model:
    writer = load_processor(locate(BUNDLED_MODEL, weights=False)).tokenizer  # any one does: only the template matters
    template = family_template(family, thinking)
    options = {"enable_thinking": thinking} if family.thinking_switch else {}

    def read(prompt: Prompt) -> tuple[str, int, list[tuple[Size, int]]]:
        text = chat_text(writer, template, prompt, family, **options)
        sizes = [image.shape[:2] for image in prompt.images]
        seen = [(size, (size[0] // family.grid) * (size[1] // family.grid)) for size in sizes]
        return text, count_tokens(text.replace(IMAGE_PLACEHOLDER, ""))[0], seen

    known = count_tokens("")[1]
    source = f"the published chat template of {family.name}, as no checkpoint is at hand; tokens: {known}"
    return _Model(family, QWEN_PRESET, thinking, read, source)


def _read_as(rendered: Size, size: Size) -> str:
    return "" if size == rendered else f", read as {size[1]} x {size[0]}"


def _counted(text: str, counts: tuple[int, ...]) -> str:
    head, *rest = text.split(IMAGE_PLACEHOLDER)
    return head + "".join(f"{IMAGE_PLACEHOLDER} x {count}{part}" for count, part in zip(counts, rest, strict=True))
