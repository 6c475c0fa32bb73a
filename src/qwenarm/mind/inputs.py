"""Prompts become tokens and pixels: the numbers that the checkpoint's own processor makes, at a fraction of its time.

The text is cut at the images' placeholders, which are tokens of their own, so each piece is tokenised alone, and the
constant one only once. A frame on the family's grid is only scaled and cut into patches. Of a still picture, which the
processor repeats in time, there is one moment. All of it is tested against the processor and the models
(tests/mind/test_inputs.py), to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

CHANNELS = 3


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
