"""Points as a model writes them. One codec for each convention; nothing else in the project knows the numbers.

Law (tests/mind/test_coordinates.py): a point written as whole numbers and read back lies within half a unit of itself
in both directions, for every codec, frame size and aspect ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Size = tuple[int, int]
"""(H, W) of a frame in pixels, as everywhere in the project."""

TOLERANCE = 0.02
"""How far outside the image a point may lie, as a fraction of the image, and still be moved onto its border."""


class Codec(Protocol):
    """How a family counts along an image."""

    def span(self, size: Size) -> tuple[int, int]:
        """The numbers that mean the right and the lower border of a frame of this size: (x, y)."""
        ...


@dataclass(frozen=True)
class Relative:
    """0 at the left and upper border, ``full`` at the right and lower one, whatever the frame's size (Qwen3-VL and
    later).
    """

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
    """Fractions (u, v) in [0, 1] of a frame of ``size`` -> the whole numbers (x, y) of the codec."""
    full_x, full_y = codec.span(size)
    return round(uv[0] * full_x), round(uv[1] * full_y)


def decode(codec: Codec, xy: tuple[float, float], size: Size) -> tuple[float, float]:
    """Numbers (x, y) of the codec -> fractions (u, v). Not clamped: the caller decides about points outside of the
    image.
    """
    full_x, full_y = codec.span(size)
    return xy[0] / full_x, xy[1] / full_y


def smart_resize(size: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """The (H, W) to which Qwen's image processor resizes a frame: multiples of ``factor`` inside the pixel budget.

    The rule is that of ``transformers.models.qwen2_vl``: round both sides to the grid; if the area leaves the budget,
    scale both sides by the same square root first and round towards the inside. Raises ValueError for sides more than
    200 : 1.
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
    """The nearest (H, W) with sides that are multiples of ``grid`` pixels: such a frame is not resized by the model."""
    height, width = (max(grid, round(side / grid) * grid) for side in size)
    return height, width
