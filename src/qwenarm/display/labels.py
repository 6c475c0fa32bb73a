"""Where the names of ringed points are written in a picture, so that they cover little and stay inside."""

from __future__ import annotations

from collections.abc import Sequence

from qwenarm.display.text import font

PLACEMENT_ROUNDS = 3
"""How often every name looks for its best place among the others."""
LINE_HEIGHT = 4 / 3
"""Height of a line, as a multiple of the size of its font."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def place_labels(
    named: Sequence[tuple[float, float, str]],
    size: tuple[float, float],
    reach: float,
    font_size: int,
    width_scale: float = 1.0,
) -> list[Box]:
    """Where each name is written: around its ring, wherever it covers least of the rings and the other names.

    Args:
        named: The x and y of each ring's middle in pixels of the picture, and its name.
        size: (H, W) of the picture in pixels.
        reach: Distance of a name from the middle of its ring in pixels.
        font_size: In pixels.
        width_scale: How much wider than in the font of ``text.py`` names are written.

    Returns:
        The box of each name, inside the picture unless it is larger than the picture.
    """
    rings = [(x - reach, y - reach, x + reach, y + reach) for x, y, _ in named]
    sizes = [(LINE_HEIGHT * font_size, width_scale * font(font_size).getlength(label)) for *_, label in named]
    places = [_around(ring, each, size) for ring, each in zip(rings, sizes, strict=True)]
    boxes = [around[0] for around in places]
    for _ in range(PLACEMENT_ROUNDS):
        for i, around in enumerate(places):
            others = [*rings, *boxes[:i], *boxes[i + 1 :]]
            boxes[i] = min(around, key=lambda box: sum(_overlap(box, other) for other in others))
    return boxes


def _around(ring: Box, size: tuple[float, float], picture: tuple[float, float]) -> list[Box]:
    """Boxes around a ring, moved into the picture; the best first: right, left, below, above, and the corners."""
    left, top, right, bottom = ring
    height, width = size
    beside = ((top + bottom - height) / 2, bottom - height / 2, top - height / 2)
    middle = (left + right - width) / 2
    corners = [(right, beside[0]), (left - width, beside[0]), (middle, bottom), (middle, top - height)]
    corners += [(x, y) for y in beside[1:] for x in (right, left - width)]
    moved = [(max(0.0, min(x, picture[1] - width)), max(0.0, min(y, picture[0] - height))) for x, y in corners]
    return [(x, y, x + width, y + height) for x, y in moved]


def _overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, in square pixels."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
