"""Prompts become tokens and pixels: the numbers that the checkpoint's own processor makes, at a fraction of its time.

The text is cut at the images' placeholders, which are tokens of their own, so each piece is tokenised alone, and the
constant one only once. A frame on the family's grid is only scaled and cut into patches. Of a still picture, which the
processor repeats in time, there is one moment. All of it is tested against the processor and the models
(tests/mind/test_inputs.py), to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from qwenarm.errors import ModelUnavailable
from qwenarm.mind.checkpoints.load import IMAGE_FILES, Checkpoint, first_line, load_processor
from qwenarm.mind.coordinates import ResizedPixels
from qwenarm.mind.families import Family
from qwenarm.mind.prompt.chat_templates import chat_text
from qwenarm.types import Prompt

CHANNELS = 3
PATCHES: Mapping[str, str] = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}
"""What an image processor calls the sides of its patches, and what a vision_config calls them."""

TURN = "<|im_start|>assistant\n"
PROBE = Prompt(
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
"""A prompt with all that those of the policies have, to see whether a checkpoint can be asked so."""


class Asker:
    """How a checkpoint is asked: prompts as its chat template writes them, as tokens and as pixels. No weights needed.

    family: the checkpoint's, counting pixels as its own processor resizes them. opening: what the template writes at
    the head of every answer, such as "<think>" of a thinking model; "" for most. thinking: for templates that let
    it be chosen. Raises ModelUnavailable where template, tokenizer, image settings and config.json do not go together.
    """

    def __init__(self, checkpoint: Checkpoint, thinking: bool = False) -> None:
        self.checkpoint, self.template = checkpoint, checkpoint.template
        self.options = {"enable_thinking": thinking} if checkpoint.family.thinking_switch else {}
        self.processor = load_processor(checkpoint)
        self.reader = _reader_of(self.processor, checkpoint)
        _check_placeholder(checkpoint, self.reader)
        self.family = _with_limits_of(self.processor, checkpoint.family)
        probed = self._probed()
        self.opening = probed.rpartition(TURN)[2] if TURN in probed else ""

    def text(self, prompt: Prompt) -> str:
        """The prompt as the checkpoint's chat template writes it, images as one placeholder each."""
        return chat_text(self.processor, self.template, prompt, self.family, **self.options)

    def read(self, prompt: Prompt) -> tuple[list[int], torch.Tensor | None, torch.Tensor | None]:
        """Its tokens; and the pixels and grids of its frames as ``Reader.pixels`` has them, None without frames."""
        pixels, grids = self.reader.pixels(prompt.images) if prompt.images else (None, None)
        return self.reader.ids(self.text(prompt), [] if grids is None else grids.tolist()), pixels, grids

    def _probed(self) -> str:
        """A small prompt as text, found to be written as the reader wants it."""
        where = f"The chat template in {self.checkpoint.template_file} of {self.checkpoint.source!r}"
        try:
            text = self.text(PROBE)
        except Exception as error:  # jinja2's own, and whatever a wrong expression raises; the file is to blame
            raise ModelUnavailable(
                f"{where} cannot write a chat with a system message, a tool and an image: {first_line(error)}"
            ) from error
        if (count := text.count(self.reader.placeholder)) != 1:
            raise ModelUnavailable(
                f"{where} writes {self.reader.placeholder} {count} times for one image, where it must stand once."
            )
        return text


class Reader:
    """Reads prompts for one checkpoint. processor: that of transformers, for text and images."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer, self.images = processor.tokenizer, processor.image_processor
        self.placeholder = processor.image_token
        self.image = processor.image_token_id
        self._piece = lru_cache(maxsize=256)(self._tokenised)
        self._levels = self._scaled_levels()

    def ids(self, text: str, grids: Sequence[Sequence[int]]) -> list[int]:
        """A prompt's tokens. grids: patches in time, height and width of each image; its placeholder in the text
        becomes one token per merged group of patches.
        """
        first, *pieces = text.split(self.placeholder)
        ids = list(self._piece(first))
        for piece, grid in zip(pieces, grids, strict=True):
            ids += [self.image] * (int(np.prod(grid)) // self.images.merge_size**2)
            ids += self._piece(piece)
        return ids

    def pixels(self, frames: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """(H, W, 3) uint8 frames -> (patches of all, values of one moment) float32, and (frames, 3) int64 patches in
        time, height and width.
        """
        read = [self._on_grid(frame) if self._fits(frame.shape[:2]) else self._resized(frame) for frame in frames]
        values, grids = zip(*read, strict=True)
        return torch.from_numpy(np.concatenate(values)), torch.tensor(grids)

    def _tokenised(self, piece: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(piece)["input_ids"])

    def _fits(self, size: tuple[int, int]) -> bool:
        """Whether the processor leaves an image of that (H, W) at its size."""
        cell = self.images.patch_size * self.images.merge_size
        low, high = self.images.size["shortest_edge"], self.images.size["longest_edge"]
        return size[0] % cell == 0 and size[1] % cell == 0 and low <= size[0] * size[1] <= high

    def _on_grid(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        patches, grid = self._cut(frame)
        values = [np.take(own, patches[:, channel]) for channel, own in enumerate(self._levels)]
        return np.stack(values, axis=1).reshape(len(patches), -1), grid

    def _cut(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """(H, W, 3) -> (patches, 3, patch, patch), those that will be merged next to each other; and the grid."""
        side, merge = self.images.patch_size, self.images.merge_size
        rows, columns = frame.shape[0] // side, frame.shape[1] // side
        cells = frame.reshape(rows // merge, merge, side, columns // merge, merge, side, CHANNELS)
        return cells.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, CHANNELS, side, side), [1, rows, columns]

    def _resized(self, frame: np.ndarray) -> tuple[np.ndarray, list[int]]:
        found = self.images(images=[Image.fromarray(frame)], return_tensors="np")
        patches = found["pixel_values"]
        still = patches.reshape(len(patches), CHANNELS, self.images.temporal_patch_size, -1)[:, :, 0]
        return still.reshape(len(patches), -1), found["image_grid_thw"][0].tolist()

    def _scaled_levels(self) -> np.ndarray:
        """(3, 256) float32: what the processor makes of each brightness in each channel, asked of itself."""
        cell = self.images.patch_size * self.images.merge_size
        shades = np.arange(cell * cell, dtype=np.uint32).reshape(cell, cell) % 256
        probe = np.repeat(shades.astype(np.uint8)[:, :, None], CHANNELS, axis=2)
        values = self.images(images=[Image.fromarray(probe)], do_resize=False, return_tensors="np")["pixel_values"]
        patches, _ = self._cut(probe)
        values = values.reshape(len(patches), CHANNELS, self.images.temporal_patch_size, *patches.shape[2:])[:, :, 0]
        levels = np.empty((CHANNELS, 256), np.float32)
        for channel in range(CHANNELS):
            levels[channel, patches[:, channel]] = values[:, channel]
        return levels


def _reader_of(processor: Any, checkpoint: Checkpoint) -> Reader:
    """Raises ModelUnavailable for image settings of another kind or with other patches than the vision tower's."""
    file = next(name for name in IMAGE_FILES if (checkpoint.folder / name).is_file())
    images, vision = processor.image_processor, checkpoint.config["vision_config"]
    for ours, theirs in PATCHES.items():
        cut, seen = getattr(images, ours, None), vision.get(theirs)
        if seen is not None and cut != seen:
            raise ModelUnavailable(
                f"{checkpoint.source!r} is mixed up: {ours} is {cut} by its {file}, and {theirs} is {seen} by the "
                "vision_config of its config.json."
            )
    try:
        reader = Reader(processor)
        cell = images.patch_size * images.merge_size
        reader.pixels([np.zeros((cell, 2 * cell, CHANNELS), np.uint8)])
    except Exception as error:  # of many kinds: a processor of another model wants and makes other things
        raise ModelUnavailable(
            f"{file} of {checkpoint.source!r} is not for a Qwen-VL model: its {type(images).__name__} cannot cut an "
            f"image as one needs it: {first_line(error)}"
        ) from error
    return reader


def _check_placeholder(checkpoint: Checkpoint, reader: Reader) -> None:
    """A checkpoint whose parts were mixed up would look for its frames in vain."""
    known = checkpoint.config["image_token_id"]
    if reader.image != known:
        raise ModelUnavailable(
            f"{checkpoint.source!r} is mixed up: its tokenizer writes a picture ({reader.placeholder}) as token "
            f"{reader.image}, its config.json says {known}."
        )


def _with_limits_of(processor: Any, family: Family) -> Family:
    """The family, counting pixels as this checkpoint's processor resizes them."""
    if not isinstance(family.codec, ResizedPixels):
        return family
    size = processor.image_processor.size
    limits = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    return replace(family, codec=replace(family.codec, **limits))


def positions(ids: Sequence[int], image: int, grids: Sequence[Sequence[int]], merge: int) -> np.ndarray:
    """(3, tokens) int64: where the tokens of a prompt stand in time, height and width (M-RoPE). Words count alike along
    all three. The cells of a picture, whose placeholders are ``image``, lie in a plane; what follows begins behind its
    longer side.
    """
    found, seen, start = [], 0, 0
    for _, height, width in grids:
        cells = np.indices((1, height // merge, width // merge)).reshape(3, -1)
        words = ids.index(image, seen) - seen
        found += [_alike(start, words), cells + start + words]
        seen += words + cells.shape[1]
        start += words + max(height, width) // merge
    return np.concatenate([*found, _alike(start, len(ids) - seen)], axis=1)


def _alike(start: int, words: int) -> np.ndarray:
    return np.broadcast_to(np.arange(start, start + words), (3, words))
