"""Reasons for which a sentence that was understood is not judged, or not carried out."""

from __future__ import annotations

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import SHAPES

NOT_ON_A_BALL = "Nothing stays on a ball; put it in a container, or on a cube or a cylinder."


class Misfit(Exception):
    """Words that fit together about things that do not. possible: whether somebody could mean something else by them;
    otherwise the wish itself cannot be fulfilled.
    """

    def __init__(self, reason: str, possible: bool = False) -> None:
        super().__init__(reason)
        self.possible = possible


def unknown(name: str) -> str:
    """The reason for not doing anything with something that this world has not."""
    are = "are" if name.endswith("s") else "is"
    return f"There {are} no {name} in this world. Colours: {', '.join(COLORS)}. Things: {', '.join(SHAPES)}."
