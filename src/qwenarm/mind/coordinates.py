"""How models write points: one codec for each convention. Nothing else in the project knows these numbers.

Encoding a point as whole numbers and decoding it moves it by at most half a unit in each direction, for every codec,
frame size and aspect ratio (tests/mind/test_coordinates.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Size = tuple[int, int]
"""(H, W) of a frame in pixels, as everywhere in the project."""

MAX_OVERSHOOT_SHARE = 0.02
"""Points that lie outside the image by at most this fraction of its size are moved onto the border."""


class Codec(Protocol):
    """How a family counts along an image."""

    def span(self, size: Size) -> tuple[int, int]:
        """Returns the numbers (x, y) of the lower right corner of a frame of this size."""
        ...


@dataclass(frozen=True)
class Relative:
    """From 0 at the upper left to ``full`` at the lower right, for any frame size (Qwen3-VL and later)."""

    full: int = 1000

    def span(self, size: Size) -> tuple[int, int]:
        return self.full, self.full


@dataclass(frozen=True)
class ResizedPixels:
    """Pixels of the image *after* the model's own resizing (Qwen2.5-VL; QwenLM/Qwen3-VL issues 940 and 782)."""

    factor: int
    min_pixels: int
    max_pixels: int

    def span(self, size: Size) -> tuple[int, int]:
        height, width = smart_resize(size, self.factor, self.min_pixels, self.max_pixels)
        return width, height


def encode(codec: Codec, uv: tuple[float, float], size: Size) -> tuple[int, int]:
    """Converts fractions (u, v) in [0, 1] of a frame of ``size`` to the whole numbers (x, y) of the codec."""
    full_x, full_y = codec.span(size)
    return round(uv[0] * full_x), round(uv[1] * full_y)


def decode(codec: Codec, xy: tuple[float, float], size: Size) -> tuple[float, float]:
    """Converts numbers (x, y) of the codec to fractions (u, v), which may lie outside [0, 1]."""
    full_x, full_y = codec.span(size)
    return xy[0] / full_x, xy[1] / full_y


def smart_resize(size: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """Returns the (H, W) to which Qwen's image processor resizes a frame: multiples of ``factor`` within the pixel
    limits.

    Follows ``transformers.models.qwen2_vl``: both sides are rounded to the grid; if the area then exceeds a limit,
    both are first scaled by the same factor and rounded inwards. Raises ValueError for sides that differ by more
    than 200 : 1.
    """
    height, width = size
    if max(size) > 200 * min(size):
        raise ValueError(
            f"A frame of {width} x {height} pixels is too narrow: the sides may differ by at most 200 : 1."
        )
    rounded = round(height / factor) * factor, round(width / factor) * factor
    area = rounded[0] * rounded[1]
    if area > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        return tuple(max(factor, math.floor(side / shrink / factor) * factor) for side in size)  # type: ignore[return-value]
    if area < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        return tuple(math.ceil(side * grow / factor) * factor for side in size)  # type: ignore[return-value]
    return rounded


def snap(size: Size, grid: int) -> Size:
    """Returns the nearest (H, W) whose sides are multiples of ``grid`` pixels, which a model does not resize."""
    height, width = (max(grid, round(side / grid) * grid) for side in size)
    return height, width
