"""Prompts as tokens and pixels: the same numbers as from the checkpoint's own processor, in a fraction of its time.

The text is split at its image placeholders, which are tokens of their own, so that each piece can be tokenised alone
and constant pieces only once. A frame that fits the family's grid is only scaled and cut into patches. The processor
repeats a still image in time; here there is one copy. tests/mind/test_preprocessing.py compares everything with the
processor and the models, to the bit.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.limited import run_limited
from qwenarm.mind.checkpoints.load import IMAGE_SETTINGS_FILES, Checkpoint, first_line
from qwenarm.mind.checkpoints.processor import load_processor, load_tokenizer
from qwenarm.mind.coordinates import ResizedPixels
from qwenarm.mind.families import Family
from qwenarm.mind.prompt.chat_templates import chat_text, without_images
from qwenarm.types import Prompt

RGB_CHANNELS = 3
PATCH_SETTINGS: Mapping[str, str] = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}
"""Names of patch sizes in an image processor, with their names in a vision_config."""

TURN_START = "<|im_start|>"
ASSISTANT_TURN = f"{TURN_START}assistant\n"
TRIAL_PROMPT = Prompt(
    messages=(
        {"role": "system", "content": "You move an arm."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "front:"}, {"type": "image"}, {"type": "text", "text": "?"}],
        },
    ),
    tools=(
        {
            "type": "function",
            "function": {"name": "done", "description": "Ends.", "parameters": {"type": "object", "properties": {}}},
        },
    ),
)
"""A small prompt with everything that real ones have, to check that a checkpoint can handle it."""


class PromptEncoder:
    """Turns prompts into a checkpoint's input. Needs no weights.

    Args:
        checkpoint: Provides chat template, tokenizer and image settings.
        thinking: Lets a model think if its template leaves the choice.

    Attributes:
        family: The checkpoint's family, with the pixel limits of its own processor.
        opening: What the template writes at the start of every answer, such as "<think>"; empty for most.

    Raises:
        ModelUnavailable: Template, tokenizer, image settings and config.json do not fit together.
    """

    def __init__(self, checkpoint: Checkpoint, thinking: bool = False) -> None:
        self.checkpoint, self.template = checkpoint, checkpoint.template
        self.options = {"enable_thinking": thinking} if checkpoint.family.thinking_switch else {}
        self.processor = load_processor(checkpoint)
        self.tokenizer = self.processor.tokenizer
        self.fast_processor = _fast_processor(self.processor, checkpoint)
        _check_image_token(checkpoint, self.fast_processor)
        self.family = _with_pixel_limits(self.processor, checkpoint.family)
        trial = self._checked_trial()
        self.opening = trial.rpartition(ASSISTANT_TURN)[2] if ASSISTANT_TURN in trial else ""

    def text(self, prompt: Prompt) -> str:
        """Returns the prompt as the checkpoint's chat template writes it, with one placeholder per image."""
        return chat_text(self.processor, self.template, prompt, self.family, **self.options)

    def encode(self, prompt: Prompt) -> tuple[list[int], torch.Tensor | None, torch.Tensor | None]:
        """Returns the prompt's tokens, and the pixels and grids of its images (``FastProcessor.pixels``) or None."""
        pixels, grids = self.fast_processor.pixels(prompt.images) if prompt.images else (None, None)
        return self.fast_processor.ids(self.text(prompt), [] if grids is None else grids.tolist()), pixels, grids

    def _checked_trial(self) -> str:
        """Returns the trial prompt as text. It is written under limits, because a template may never end."""
        where = f"The chat template in {self.checkpoint.template_file} of {self.checkpoint.source!r}"
        try:
            text = run_limited(self._trial)
        except Exception as error:  # jinja2's errors, or whatever a wrong expression raises: the file is to blame
            raise ModelUnavailable(
                f"{where} cannot write a chat with a system message, a tool and an image: {first_line(error)}"
            ) from error
        if (count := text.count(self.fast_processor.placeholder)) != 1:
            raise ModelUnavailable(
                f"{where} writes {self.fast_processor.placeholder} {count} times for one image, not once."
            )
        return text

    def _trial(self) -> str:
        text = self.text(TRIAL_PROMPT)
        self.processor.tokenizer(text + string.printable)
        return text


class TextEncoder:
    """Turns prompts into the tokens of a checkpoint without eyes. Pictures are left out; see ``PromptEncoder``.

    Raises:
        ModelUnavailable: Template or tokenizer are broken.
    """

    def __init__(self, checkpoint: Checkpoint, thinking: bool = False) -> None:
        self.checkpoint, self.template, self.family = checkpoint, checkpoint.template, checkpoint.family
        self.options = {"enable_thinking": thinking} if checkpoint.family.thinking_switch else {}
        self.tokenizer = load_tokenizer(checkpoint)
        try:
            trial = run_limited(lambda: self.text(TRIAL_PROMPT))
        except Exception as error:  # jinja2's errors, or whatever a wrong expression raises: the file is to blame
            raise ModelUnavailable(
                f"The chat template in {checkpoint.template_file} of {checkpoint.source!r} cannot write a chat with a "
                f"system message and a tool: {first_line(error)}"
            ) from error
        self.opening = trial.rpartition(ASSISTANT_TURN)[2] if ASSISTANT_TURN in trial else ""

    def text(self, prompt: Prompt) -> str:
        """Returns the prompt as the checkpoint's chat template writes it."""
        return chat_text(self.tokenizer, self.template, without_images(prompt), self.family, **self.options)

    def encode(self, prompt: Prompt) -> tuple[list[int], None, None]:
        """Returns the prompt's tokens."""
        return self.tokenizer(self.text(prompt))["input_ids"], None, None


def first_message(ids: Sequence[int], tokenizer: Any) -> int:
    """Returns how many tokens of a prompt are its first message, which is the system's."""
    turn_start = tokenizer.convert_tokens_to_ids(TURN_START)
    starts = [index for index, token in enumerate(ids) if token == turn_start]
    return starts[1] if len(starts) > 1 else 0


class FastProcessor:
    """Does the work of ``processor``, one of transformers, for text and still images."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer, self.images = processor.tokenizer, processor.image_processor
        self.placeholder, self.image_token = processor.image_token, processor.image_token_id
        self._tokens = lru_cache(maxsize=256)(self._tokenise)
        self._scaled = self._scaled_brightness()

    def ids(self, text: str, grids: Sequence[Sequence[int]]) -> list[int]:
        """Returns a prompt's tokens.

        Args:
            text: Has one placeholder per image, which becomes one token per merged group of patches.
            grids: The patches of each image in time, height and width.
        """
        first, *pieces = text.split(self.placeholder)
        ids = list(self._tokens(first))
        for piece, grid in zip(pieces, grids, strict=True):
            ids += [self.image_token] * (int(np.prod(grid)) // self.images.merge_size**2)
            ids += self._tokens(piece)
        return ids

    def pixels(self, frames: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cuts (H, W, 3) uint8 frames into patches.

        Returns:
            The patches of all frames (patches, values) float32, and (frames, 3) int64, their number in time, height
            and width.
        """
        read = [self._on_grid(frame) if self._fits_grid(frame.shape[:2]) else self._resized(frame) for frame in frames]
        values, grids = zip(*read, strict=True)
        return torch.from_numpy(np.concatenate(values)), torch.tensor(grids)

    def _tokenise(self, piece: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(piece)["input_ids"])

    def _fits_grid(self, size: tuple[int, int]) -> bool:
        """Returns whether the processor leaves the size (H, W) of an image unchanged."""
        cell = self.images.patch_size * self.images.merge_size
        low, high = self.images.size["shortest_edge"], self.images.size["longest_edge"]
        return size[0] % cell == 0 and size[1] % cell == 0 and low <= size[0] * size[1] <= high

    def _on_grid(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        patches, grid = self._cut(frame)
        values = [np.take(scaled, patches[:, channel]) for channel, scaled in enumerate(self._scaled)]
        return np.stack(values, axis=1).reshape(len(patches), -1), grid

    def _cut(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Cuts (H, W, 3) into (patches, 3, patch, patch), those to be merged side by side, and gives the grid."""
        side, merge = self.images.patch_size, self.images.merge_size
        rows, columns = frame.shape[0] // side, frame.shape[1] // side
        cells = frame.reshape(rows // merge, merge, side, columns // merge, merge, side, RGB_CHANNELS)
        return cells.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, RGB_CHANNELS, side, side), [1, rows, columns]

    def _resized(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        processed = self.images(images=[Image.fromarray(frame)], return_tensors="np")
        return self._still(processed["pixel_values"]), processed["image_grid_thw"][0].tolist()

    def _still(self, patches: np.ndarray) -> np.ndarray:
        """Returns the processor's patches without their repetition in time: (patches, values)."""
        in_time = patches.reshape(len(patches), RGB_CHANNELS, self.images.temporal_patch_size, -1)
        return in_time[:, :, 0].reshape(len(patches), -1)

    def _scaled_brightness(self) -> np.ndarray:
        """Returns (3, 256) float32: what the processor makes of each brightness in each channel."""
        cell = self.images.patch_size * self.images.merge_size
        shades = np.arange(cell * cell, dtype=np.uint32).reshape(cell, cell) % 256
        image = np.repeat(shades.astype(np.uint8)[:, :, None], RGB_CHANNELS, axis=2)
        values = self.images(images=[Image.fromarray(image)], do_resize=False, return_tensors="np")["pixel_values"]
        patches, _ = self._cut(image)
        values = self._still(values).reshape(patches.shape)
        scaled = np.empty((RGB_CHANNELS, 256), np.float32)
        for channel in range(RGB_CHANNELS):
            scaled[channel, patches[:, channel]] = values[:, channel]
        return scaled


def _fast_processor(processor: Any, checkpoint: Checkpoint) -> FastProcessor:
    """Wraps a processor. Raises ModelUnavailable if its image settings or patches do not fit the vision tower."""
    file = next(name for name in IMAGE_SETTINGS_FILES if (checkpoint.folder / name).is_file())
    images, vision = processor.image_processor, checkpoint.config["vision_config"]
    for name, vision_name in PATCH_SETTINGS.items():
        size, vision_size = getattr(images, name, None), vision.get(vision_name)
        if vision_size is not None and size != vision_size:
            raise ModelUnavailable(
                f"{checkpoint.source!r} contradicts itself: {name} is {size} in its {file}, but {vision_name} is "
                f"{vision_size} in the vision_config of its config.json."
            )
    try:
        fast = FastProcessor(processor)
        cell = images.patch_size * images.merge_size
        fast.pixels([np.zeros((cell, 2 * cell, RGB_CHANNELS), np.uint8)])
    except Exception as error:  # of many kinds: other models' processors have other inputs and outputs
        raise ModelUnavailable(
            f"{file} of {checkpoint.source!r} is not for a Qwen-VL model: its {type(images).__name__} cannot cut an "
            f"image into patches: {first_line(error)}"
        ) from error
    return fast


def _check_image_token(checkpoint: Checkpoint, processor: FastProcessor) -> None:
    """Raises ModelUnavailable unless the tokenizer writes images as the token that the model looks for."""
    expected = checkpoint.config["image_token_id"]
    if processor.image_token != expected:
        raise ModelUnavailable(
            f"{checkpoint.source!r} contradicts itself: its tokenizer writes an image ({processor.placeholder}) as "
            f"token {processor.image_token}, but image_token_id is {expected} in its config.json."
        )


def _with_pixel_limits(processor: Any, family: Family) -> Family:
    """Returns the family with the pixel limits of this checkpoint's processor."""
    if not isinstance(family.codec, ResizedPixels):
        return family
    size = processor.image_processor.size
    limits = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    return replace(family, codec=replace(family.codec, **limits))


def mrope_positions(ids: Sequence[int], image_token: int, grids: Sequence[Sequence[int]], merge: int) -> np.ndarray:
    """Returns positions of a prompt's tokens in time, height and width (M-RoPE, as in Qwen2-VL, arXiv:2409.12191).

    Text has equal positions along all three. The tokens of an image lie in a plane; the text after it continues
    after the longer side of the plane.

    Args:
        ids: The tokens, with ``image_token`` for every token of an image.
        image_token: That id.
        grids: The patches of each image in time, height and width.
        merge: Patches per token along each side.

    Returns:
        (3, tokens) int64.
    """
    parts, done, start = [], 0, 0
    for _, height, width in grids:
        cells = np.indices((1, height // merge, width // merge)).reshape(3, -1)
        words = ids.index(image_token, done) - done
        parts += [_text_positions(start, words), cells + start + words]
        done += words + cells.shape[1]
        start += words + max(height, width) // merge
    return np.concatenate([*parts, _text_positions(start, len(ids) - done)], axis=1)


def _text_positions(start: int, words: int) -> np.ndarray:
    return np.broadcast_to(np.arange(start, start + words), (3, words))
