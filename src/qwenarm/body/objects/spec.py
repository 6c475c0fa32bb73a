"""The kinds of objects: names, shapes, sizes. For their MuJoCo geoms see ``geoms.py``.

Graspable: cube, cylinder, ball (40-52 mm; the Panda's fingers open 80 mm). Containers, open at the top: bowl (round),
tray (low, square), box (high, square). Fixtures belong to single tasks: covers (hollow, open at the bottom, lifted like
a cube), barriers (immovable walls), bays (fixed trays, raised ones on a plinth, that form a shelf), bins (fixed boxes)
and drawers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qwenarm.body.objects.markings import marking_words

PARCEL_PART_SIZE_M = {"parcel": (0.048, 0.044), "part": (0.046, 0.038)}
"""Width and height of the box, in m."""
GRASPABLE_SHAPES = ("cube", "cylinder", "ball")
CONTAINER_SHAPES = ("bowl", "tray", "box")
OBJECT_SHAPES = GRASPABLE_SHAPES + CONTAINER_SHAPES
PARCELS_AND_PARTS = tuple(PARCEL_PART_SIZE_M)
"""Shapes that are graspable, too; they differ by their marks."""
FIXTURE_SHAPES = ("cover", "barrier", "bay", "bin", "drawer", *PARCELS_AND_PARTS)
"""No instruction of the first tasks names them, and the bundled model has seen none: OBJECT_SHAPES lacks them."""
FIXED_SHAPES = ("barrier", "bay", "bin", "drawer")
"""Fixtures that do not move, except that a drawer slides in and out of its cabinet."""
HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "cylinder"),
        ("yellow", "cube"),
        ("blue", "ball"),
        ("green", "bowl"),
        ("purple", "cube"),
        ("black", "cylinder"),
        ("orange", "tray"),
        ("white", "box"),
    }
)
"""Pairs of colour and shape that the bundled model never sees in training: 8 of 48, with each colour once and each
shape at least once."""
WALL_THICKNESS_M = 0.006
"""Thickness of a container's walls and floor, in m."""
WALL_FOOT_GAP_M = 0.002
"""Height above the underside at which walls begin, in m. Only the floor touches the table: that saves contacts."""
CONTAINER_HALF_WIDTH_M = {"bowl": 0.070, "tray": 0.070, "box": 0.062, "bay": 0.070, "bin": 0.070, "drawer": 0.085}
CONTAINER_HEIGHT_M = {"bowl": 0.040, "tray": 0.022, "box": 0.055, "bay": 0.022, "bin": 0.048, "drawer": 0.035}
COVER_SIZE_M, COVER_WALL_M = (0.058, 0.056), 0.004
"""Width and height of a cover, and the thickness of its walls and top, in m. An object of 40 mm fits inside."""
BARRIER_SIZE_M = (0.20, 0.03, 0.12)
"""Length, thickness and height of a barrier, in m."""
FIXTURE_SIZE_M = {"cover": COVER_SIZE_M, "barrier": BARRIER_SIZE_M[::2], **PARCEL_PART_SIZE_M}
"""Width (of a barrier: length) and height, in m, of shapes that are neither graspable nor containers."""
DENSITY_KG_PER_M3 = 400.0
"""About that of wood: a 45 mm cube weighs 36 g."""
PLAIN_CONTACT: dict[str, Any] = {"friction": [1.0, 0.01, 0.001], "solref": [0.01, 1]}
"""How nearly everything on the table touches: a geom's friction (sliding, torsional, rolling) and softness."""


@dataclass(frozen=True)
class ObjectSpec:
    """One kind of object.

    Attributes:
        color: Its colour.
        shape: Its shape.
        size: Edge of a cube, diameter of a cylinder or ball, outer width of a container or cover, length of a barrier;
            in m.
        name: What people call it instead of its colour, such as "upper left bay", or "".
        top: The marks on its top (see ``markings.MARKING_WORDS``), or "".
        sides: The mark on its sides, or "".
        number: Distinguishes objects of the same colour and shape.
    """

    shape: str
    color: str
    size: float = 0.045
    name: str = ""
    top: str = ""
    sides: str = ""
    number: int = 0

    @property
    def id(self) -> str:
        """The name of its body in the simulation, "red_cube" or "red_parcel_2", which is unique within a scene."""
        words = self.name or f"{self.color} {self.shape}"
        return (f"{words} {self.number}" if self.number else words).replace(" ", "_")

    @property
    def label(self) -> str:
        """What people call it: "red cube" or "red parcel, fragile"."""
        return ", ".join(
            [self.name or f"{self.color} {self.shape}", *marking_words(self.top), *marking_words(self.sides)]
        )

    @property
    def graspable(self) -> bool:
        return self.shape in GRASPABLE_SHAPES or self.shape in PARCELS_AND_PARTS

    @cached_property
    def container(self) -> bool:
        return self.shape in CONTAINER_HALF_WIDTH_M

    @property
    def fixture(self) -> bool:
        return self.shape in FIXTURE_SHAPES

    @cached_property
    def height(self) -> float:
        """Its total height above what it stands on, in m."""
        if self.container:
            return CONTAINER_HEIGHT_M[self.shape]
        return FIXTURE_SIZE_M[self.shape][1] if self.fixture else self.size

    @cached_property
    def radius(self) -> float:
        """Radius of the circle around its footprint at any yaw, in m."""
        if self.shape == "barrier":
            return math.hypot(*BARRIER_SIZE_M[:2]) / 2
        square = self.shape in ("cube", "tray", "box", "cover", "bay", "bin", "drawer", *PARCELS_AND_PARTS)
        return self.size / 2 * (math.sqrt(2) if square else 1.0)

    @cached_property
    def origin_height(self) -> float:
        """Height of its origin above what it stands on, in m: of the centre, or of a container's underside."""
        return 0.0 if self.container else self.height / 2

    @property
    def support_height(self) -> float:
        """Height above its underside, in m, of what is put in or on it: that of a container's floor, or of its top."""
        return WALL_THICKNESS_M if self.container else self.height


def make_spec(shape: str, color: str, rng: np.random.Generator | None = None) -> ObjectSpec:
    """Returns an object. A graspable one has a size of 40 to 52 mm, drawn from ``rng``, or without it 45 mm."""
    if shape in CONTAINER_HALF_WIDTH_M:
        return ObjectSpec(shape, color, 2 * CONTAINER_HALF_WIDTH_M[shape])
    if shape in FIXTURE_SHAPES:
        return ObjectSpec(shape, color, FIXTURE_SIZE_M[shape][0])
    size = 0.045 if rng is None else round(float(rng.uniform(0.040, 0.052)), 4)
    return ObjectSpec(shape, color, size)
