"""Text in pictures: one font for Latin, Greek, Cyrillic and Chinese, and lines that wrap.

The font is Noto Sans CJK (SIL Open Font License 1.1), which the package ``noto-cjk-sans-otc`` brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from noto_cjk_sans_otc import FONT_PATH
from PIL import Image, ImageDraw, ImageFont

from qwenarm.display.printable import without_controls

SIMPLIFIED_CHINESE_FACE_INDEX = 2
"""Which face of the font's collection is used: they differ in the shapes of some Chinese characters."""
MISSING_GLYPH = "\uffff"
"""No font has a glyph for this character, so it is drawn as the box that stands for a missing one."""
FIRST_CJK_CODE_POINT = 0x2E80
"""Each character from this one on stands by itself, and a line may break beside it."""
REPLACEMENT_CHARACTER = "·"
"""Stands for a character that the font lacks, such as an emoji."""
TEXT_RGB, BACKGROUND_RGB, POINT_RGB = (238, 236, 230), (22, 23, 27), (255, 72, 88)

Color = tuple[int, int, int]


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font in a size in pixels."""
    return ImageFont.truetype(str(FONT_PATH), size, index=SIMPLIFIED_CHINESE_FACE_INDEX)


@lru_cache(maxsize=4096)
def _glyph(character: str) -> bytes:
    """What is drawn for a character."""
    return bytes(font(16).getmask(character))  # pyright: ignore[reportArgumentType]  # it is a sequence of bytes


def drawable(text: str) -> str:
    """One line without control characters, with ``REPLACEMENT_CHARACTER`` for each one that the font lacks."""
    line = without_controls(" ".join(text.split()))
    return "".join(c if _glyph(c) != _glyph(MISSING_GLYPH) else REPLACEMENT_CHARACTER for c in line)


def wrap(text: str, size: int, width: int, max_lines: int) -> list[str]:
    """Breaks a text into lines that fit into a width in pixels.

    Lines break at spaces and beside Chinese characters, and within a word only if it is longer than a line. What does
    not fit into ``max_lines`` is cut, with an ellipsis at the end.
    """
    lines, line = list[str](), ""
    pieces = list(_pieces(drawable(text)[: max_lines * width], size, width))  # no glyph is narrower than a pixel
    for position, piece in enumerate(pieces):
        if font(size).getlength((line + piece).rstrip()) <= width:
            line += piece
        elif len(lines) + 1 == max_lines:
            return [*lines, _cut(line + "".join(pieces[position:]), size, width)]
        else:
            lines.append(line.rstrip())
            line = piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(text: str, size: int, width: int) -> Iterator[str]:
    """What may not be broken: a word with the space after it, a Chinese character, a part of an overlong word."""
    piece = ""
    for character in text:
        breaks = piece[-1:] == " " or any(ord(c) >= FIRST_CJK_CODE_POINT for c in piece[-1:] + character)
        if piece and (breaks or font(size).getlength(piece) > 0.9 * width):
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece


def _cut(line: str, size: int, width: int) -> str:
    """A line that is too long, cut so that an ellipsis fits behind it."""
    while line and font(size).getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


def write_lines(
    picture: Image.Image, at: tuple[int, int], text: str, size: int, color: Color, width: int, max_lines: int = 1
) -> int:
    """Writes wrapped text into a picture.

    Args:
        picture: is drawn on.
        at: (x, y) of the upper left corner in pixels.
        text: what is written.
        size: of the font in pixels.
        color: RGB.
        width: of the lines, at most, in pixels.
        max_lines: what goes beyond them is cut.

    Returns:
        The y below the last line.
    """
    draw = ImageDraw.Draw(picture)
    x, y = at
    for line in wrap(text, size, width, max_lines):
        draw.text((x, y), line, color, font(size), anchor="la")
        y += round(1.35 * size)
    return y
