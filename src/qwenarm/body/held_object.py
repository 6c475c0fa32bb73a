"""What the arm knows about the object in its hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldObject:
    """How the hand holds an object, as measured from the depth image before it was picked up.

    Attributes:
        width: Width of the object's footprint, in m.
        below: Distance from the tcp down to the object's underside, in m.
        offset: From the tcp to the object's middle, along and across the direction in which the fingers open, in m.
        is_estimate: Whether ``below`` may be wrong: then the hand feels its way down.
    """

    width: float
    below: float
    offset: tuple[float, float] = (0.0, 0.0)
    is_estimate: bool = False
