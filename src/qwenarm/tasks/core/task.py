"""The Task type, and the builder of its scenes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import CONTAINER_SHAPES, GRASPABLE_SHAPES, OBJECT_SHAPES, ObjectSpec, make_spec
from qwenarm.body.reach import Reach
from qwenarm.body.scene import Area, Placement, Scene, place_objects
from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load
from qwenarm.tasks.core.goal import Setup

Combos = Collection[tuple[str, str]]
"""(colour, shape) pairs that may appear. Training excludes ``HELD_OUT``; generalisation tests use nothing else."""
Layout = Callable[[tuple[Placement, ...], Mapping[str, Area], Reach | None], tuple[Placement, ...]]
"""Moves placed objects to other positions within the arm's reach and their areas, given by object id. Without an
area an object may go anywhere."""
STACKABLE_SHAPES = ("cube", "cylinder")
"""Shapes that can be stacked."""
PLACEMENT_TRIES, OPTIONAL_PLACEMENT_TRIES = 300, 40
"""Attempts to place all objects, and to place them while optional ones can still be left out."""


@dataclass(frozen=True)
class Task:
    """A task family, defined by one file or folder in ``tasks/``.

    Attributes:
        name: The id, as in ``--task``.
        doc: One sentence for lists.
        levels: What each level adds, level 1 first.
        make: Builds one episode from a scene builder and a level, with ``builder.rng`` as its only source of
            randomness.
        needs_fingers: Why a hand without fingers cannot play it, as a clause; "" if it can.
        scenes_of: Whose scenes it plays, such as "LIBERO", if not ours: they stand as they are, before one arm.
    """

    name: str
    doc: str
    levels: tuple[str, ...]
    make: Callable[[SceneBuilder, int], Setup]
    needs_fingers: str = ""
    scenes_of: str = ""

    def refusal(self, arm: Arm) -> str:
        """Returns why an arm cannot play it, and which can, as a sentence; "" if nothing speaks against it."""
        why = self._obstacle(arm)
        if not why:
            return ""
        return f"The arm {arm.name} cannot play {self.name}: {why}. Arms that can: {', '.join(self.able_arms())}."

    def able_arms(self) -> list[str]:
        """Returns the shipped arms that can play every scene of it."""
        arms = {name: load("arms", name) for name in list_names("arms")}
        return [name for name, arm in arms.items() if arm.reaches_workspace and not self._obstacle(arm)]

    def _obstacle(self, arm: Arm) -> str:
        if self.needs_fingers and not arm.gripper.has_fingers:
            return f"{self.needs_fingers}, and it has no fingers"
        if self.scenes_of and arm.partners:
            return f"the scenes of {self.scenes_of} are made for one arm in their middle, and it is two beside it"
        return ""

    def check_drawn(self, combos: Combos | None, perturbations: Sequence[tuple[str, int]]) -> None:
        """Raises BadInput if its scenes cannot be drawn from these combinations, or perturbed."""
        if self.scenes_of and (combos is not None or perturbations):
            unfit = "perturbations" if perturbations else "choices of colour and shape (--combos all)"
            raise BadInput(
                f"{self.name} has the scenes of {self.scenes_of}, and our {unfit} change our own scenes only, "
                f"not those of another package; tasks for them: {', '.join(list_names('tasks'))}."
            )

    def build(
        self,
        rng: np.random.Generator,
        level: int = 1,
        combos: Combos | None = None,
        layout: Layout | None = None,
        reach: Reach | None = None,
    ) -> Setup:
        """Builds one episode.

        Args:
            rng: The only source of randomness: the same state gives the same episode.
            level: From 1.
            combos: The (colour, shape) pairs that may appear, or None for all.
            layout: Moves the placed objects, or None to leave them in place.
            reach: Where the arm reaches, or None for everywhere.

        Raises:
            BadInput: The task has no such level, or there are too few allowed objects, or they do not fit on the table.
        """
        if level not in range(1, len(self.levels) + 1):
            raise BadInput(f"The task {self.name} has no level {level!r}; it has 1 to {len(self.levels)}.")
        return self.make(SceneBuilder(rng, combos, layout, reach), level)


class SceneBuilder:
    """Collects the objects of a scene, all different in colour or shape, and places them on the table.

    Attributes:
        rng: The episode's random generator.
        specs: The objects so far, in the order in which they were added.
        available: The (colour, shape) pairs that are still unused, in random order.
        reach: Where the arm reaches; None for everywhere.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        combos: Combos | None = None,
        layout: Layout | None = None,
        reach: Reach | None = None,
    ) -> None:
        self.rng, self.layout, self.reach = rng, layout, reach
        allowed = [(c, s) for c in COLOR_RGB for s in OBJECT_SHAPES] if combos is None else sorted(combos)
        self.available = [allowed[i] for i in rng.permutation(len(allowed))]
        self.specs: list[ObjectSpec] = []

    def add(self, shapes: Sequence[str] = OBJECT_SHAPES, colors: Sequence[str] = tuple(COLOR_RGB)) -> ObjectSpec:
        """Adds an object of one of these shapes, each equally likely, and colours. Raises BadInput if none is left."""
        for shape in self.rng.permutation(list(shapes)):
            pairs = [pair for pair in self.available if pair[1] == shape and pair[0] in colors]
            if pairs:
                return self.add_exact(*pairs[0])
        raise BadInput(f"No {' or '.join(shapes)} in {' or '.join(colors)} is left to add: allow more combinations.")

    def add_exact(self, color: str, shape: str) -> ObjectSpec:
        """Adds this very object, even if its (colour, shape) pair is not allowed."""
        self.available = [pair for pair in self.available if pair != (color, shape)]
        self.specs.append(make_spec(shape, color, self.rng))
        return self.specs[-1]

    def add_up_to(self, count: int, shapes: Sequence[str], colors: Sequence[str] = tuple(COLOR_RGB)) -> None:
        """Adds ``count`` random objects, or as many as are left."""
        for _ in range(count):
            if any(color in colors and shape in shapes for color, shape in self.available):
                self.add(shapes, colors)

    def add_look_alikes(self, spec: ObjectSpec) -> None:
        """Adds, if left, an object of the same shape in another colour and one of the same colour in another shape."""
        kin = CONTAINER_SHAPES if spec.container else GRASPABLE_SHAPES
        self.add_up_to(1, [spec.shape])
        self.add_up_to(1, [shape for shape in kin if shape != spec.shape], [spec.color])

    def build(self, needed: int, areas: Mapping[str, Area] | None = None) -> Scene:
        """Places the objects at random, leaving out the last ones until the rest fit.

        Args:
            needed: How many of the first objects must stay.
            areas: The area of an object by its id; others may stand anywhere.

        Raises:
            BadInput: Even the needed objects do not fit on the table.
        """
        specs = list(self.specs)
        while True:
            optional = len(specs) > needed
            try:
                mixed = [specs[i] for i in self.rng.permutation(len(specs))]
                tries = OPTIONAL_PLACEMENT_TRIES if optional else PLACEMENT_TRIES
                placed = place_objects(self.rng, mixed, tries, areas, self.reach)
                placed = self.layout(placed, areas or {}, self.reach) if self.layout else placed
                return Scene(placed, reach=self.reach)
            except BadInput:
                if not optional:
                    raise
                specs.pop()
