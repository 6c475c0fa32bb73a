"""Which objects play in a scene: all different, of the colour x shape pairs that are allowed, look-alikes on demand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import CONTAINERS, GRASPABLE, SHAPES, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement, Scene, place_objects
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Setup

Combos = Collection[tuple[str, str]]
"""Allowed (colour, shape). Training leaves out body.objects.HELD_OUT, a test of generalisation uses only those."""
Layout = Callable[[tuple[Placement, ...], Mapping[str, Area]], tuple[Placement, ...]]
"""Puts the same objects, which have their places already, elsewhere in their areas (by id; anywhere without)."""
BLOCKS = ("cube", "cylinder")
"""What can carry something and can be stacked."""


@dataclass(frozen=True)
class Task:
    """A task family: one file, one of these. build(rng, level, combos) makes one episode; levels: what each adds."""

    name: str
    doc: str
    levels: tuple[str, ...]
    make: Callable[[Cast, int], Setup]

    def build(
        self, rng: np.random.Generator, level: int = 1, combos: Combos | None = None, layout: Layout | None = None
    ) -> Setup:
        """One episode, all of it drawn from ``rng``. Raises BadInput for a level that the task has not.

        combos: the colour x shape pairs that may appear; None for all of them. layout: where things stand instead.
        """
        if level not in range(1, len(self.levels) + 1):
            raise BadInput(f"The task {self.name} has no level {level}; it has 1 to {len(self.levels)}.")
        return self.make(Cast(rng, combos, layout), level)


class Cast:
    """Draws objects that have not been drawn yet. Raises BadInput when something that is needed cannot be had."""

    def __init__(self, rng: np.random.Generator, combos: Combos | None = None, layout: Layout | None = None) -> None:
        self.rng, self.layout = rng, layout
        allowed = [(c, s) for c in COLORS for s in SHAPES] if combos is None else sorted(combos)
        self.free = [allowed[i] for i in rng.permutation(len(allowed))]
        self.specs: list[ObjectSpec] = []

    def draw(self, shapes: Sequence[str] = SHAPES, colors: Sequence[str] = tuple(COLORS)) -> ObjectSpec:
        """An object of one of these shapes (each as likely) and colours."""
        for shape in self.rng.permutation(list(shapes)):
            pairs = [pair for pair in self.free if pair[1] == shape and pair[0] in colors]
            if pairs:
                return self.take(*pairs[0])
        raise BadInput(f"No {' or '.join(shapes)} in {' or '.join(colors)} is left to draw: allow more combinations.")

    def take(self, color: str, shape: str) -> ObjectSpec:
        """This very object, allowed or not."""
        self.free = [pair for pair in self.free if pair != (color, shape)]
        self.specs.append(make_spec(shape, color, self.rng))
        return self.specs[-1]

    def add(self, count: int, shapes: Sequence[str], colors: Sequence[str] = tuple(COLORS)) -> None:
        """Up to ``count`` more, as far as there are any: for what is only scenery."""
        for _ in range(count):
            if any(color in colors and shape in shapes for color, shape in self.free):
                self.draw(shapes, colors)

    def look_alikes(self, spec: ObjectSpec) -> None:
        """One of the same shape in another colour, and one of another shape in the same colour."""
        kin = CONTAINERS if spec.container else GRASPABLE
        self.add(1, [spec.shape])
        self.add(1, [shape for shape in kin if shape != spec.shape], [spec.color])

    def scene(self, needed: int, areas: Mapping[str, Area] | None = None) -> Scene:
        """Everything on the table, in random order. If it does not fit, scenery is left away, the first ones stay.

        needed: so many of the first must stay. areas: where, by object id; anywhere without. Raises BadInput if they do
        not fit.
        """
        specs = list(self.specs)
        while True:
            try:
                mixed = [specs[i] for i in self.rng.permutation(len(specs))]
                placed = place_objects(self.rng, mixed, tries=40 if len(specs) > needed else 300, areas=areas)
                return Scene(self.layout(placed, areas or {}) if self.layout else placed)
            except BadInput:
                if len(specs) <= needed:
                    raise
                specs.pop()
