"""Reasons why a sentence that was understood cannot be judged or carried out."""

from __future__ import annotations

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import OBJECT_SHAPES

NOT_ON_A_BALL = "Nothing stays on a ball; put it in a container, or on a cube or a cylinder."


class Misfit(Exception):
    """A well-formed instruction about things that do not fit together.

    ``possible`` says that the words may mean something else that makes sense; otherwise the wish cannot be
    fulfilled.
    """

    def __init__(self, reason: str, possible: bool = False) -> None:
        super().__init__(reason)
        self.possible = possible


def unknown(name: str) -> str:
    """Returns the reason to refuse an instruction about something that does not exist in this world."""
    are = "are" if name.endswith("s") else "is"
    return f"There {are} no {name} in this world. Colours: {', '.join(COLOR_RGB)}. Things: {', '.join(OBJECT_SHAPES)}."
