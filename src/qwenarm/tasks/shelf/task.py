"""Scenes, words and levels of shelf."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from qwenarm.body.objects.markings import COLORS
from qwenarm.body.objects.spec import GRASPABLE, ObjectSpec
from qwenarm.body.scene import Placement
from qwenarm.tasks.core.events import Phrase
from qwenarm.tasks.core.goal import Move, Setup
from qwenarm.tasks.core.task import Cast, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.shelf.goal import BAYS, COLOR, ROOM, Line, Missing, Stocking, shelved, stand
from qwenarm.tasks.shelf.words import Item, order_phrase, room_phrase, swap_phrase, then

CLASS = 0.5
"""Share of the lines that order two of a kind, if there are any."""
SOME = 0.3
"""Share of these for which there are three."""
OUT_OF_STOCK = 0.6
"""Share of the orders of level 3 of which something is not there."""
STOCK_COLORS = tuple(color for color in COLORS if color != COLOR)
CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


@dataclass
class Draft:
    """An episode on its way: what is ordered, and what stands in which bay at the start."""

    cast: Cast
    ordered: list[tuple[Item, str]] = field(default_factory=list)
    in_bay: dict[str, ObjectSpec] = field(default_factory=dict)
    missing: Item | None = None

    def thing(self) -> ObjectSpec:
        """One more thing that none of the kinds ordered so far includes."""
        kinds = [item for item, _ in self.ordered if item.by]
        colors = [c for c in STOCK_COLORS if c not in [k.value for k in kinds]]
        return self.cast.draw([s for s in GRASPABLE if s not in [k.value for k in kinds]], colors)

    def scenery(self, count: int) -> list[ObjectSpec]:
        """Up to so many more of these, as far as there are any."""
        before = len(self.cast.specs)
        kinds = [item.value for item, _ in self.ordered if item.by]
        shapes = [s for s in GRASPABLE if s not in kinds]
        self.cast.add(count, shapes, [c for c in STOCK_COLORS if c not in kinds])
        return self.cast.specs[before:]

    def item(self) -> Item:
        """What a line orders. A kind has nothing in common with what has been drawn before."""
        kinds = self._kinds()
        if not kinds or self.cast.rng.random() > CLASS:
            return Item((self.thing(),))
        by, value = kinds[int(self.cast.rng.integers(len(kinds)))]
        there = sum(pair[by == "shape"] == value for pair in self._free())
        count = 3 if there > 2 and self.cast.rng.random() < SOME else 2
        shapes, colors = (GRASPABLE, (value,)) if by == "color" else ((value,), STOCK_COLORS)
        return Item(tuple(self.cast.draw(shapes, colors) for _ in range(count)), by, value)

    def bay(self, room: int) -> str:
        """A bay with room for so many that no line has named yet."""
        named = [bay for _, bay in self.ordered]
        free = [bay for bay in BAYS if bay not in named and ROOM - (bay in self.in_bay) >= room]
        return draw_from(self.cast.rng, free)

    def order(self, item: Item, bay: str | None = None) -> None:
        self.ordered.append((item, bay or self.bay(item.count)))

    def _kinds(self) -> list[tuple[str, str]]:
        drawn = {word for spec in self.cast.specs for word in (spec.color, spec.shape)}
        free = self._free()
        colors, shapes = [c for c, _ in free], [s for _, s in free]
        kinds = [("color", c) for c in STOCK_COLORS if colors.count(c) > 1]
        kinds += [("shape", s) for s in GRASPABLE if shapes.count(s) > 1]
        return [kind for kind in kinds if kind[1] not in drawn]

    def _free(self) -> list[tuple[str, str]]:
        return [(c, s) for c, s in self.cast.free if c in STOCK_COLORS and s in GRASPABLE]


def make(cast: Cast, level: int) -> Setup:
    """One episode: the order first, then what else stands about."""
    draft = Draft(cast)
    words = (_stock, _rearrange, _out_of_stock)[level - 1](draft)
    there = [item for item, _ in draft.ordered if item is not draft.missing]
    needed = [spec for item in there for spec in item.specs if spec not in draft.in_bay.values()]
    bays, area = stand(left=bool(cast.rng.random() < 0.5))
    shelf = {placement.spec.id: placement for placement in bays}
    on_shelf = list(draft.in_bay.values())
    cast.specs = needed + [spec for spec in cast.specs if spec not in (*needed, *on_shelf)]
    scene = cast.scene(len(needed), {spec.id: area for spec in cast.specs})
    standing = [_standing(cast.rng, spec, shelf[bay]) for bay, spec in draft.in_bay.items()]
    scene = replace(scene, objects=(*scene.objects, *standing, *bays))
    goal = _goal(draft)
    turns = 6 + 3 * sum(line.count for line in goal.lines)
    return Setup(scene, goal, words.text, turns, translations=words.translations)


def _standing(rng: np.random.Generator, spec: ObjectSpec, bay: Placement) -> Placement:
    return shelved(spec, bay, CORNERS[int(rng.integers(4))], float(rng.choice([0.0, np.pi / 2])))


def _goal(draft: Draft) -> Stocking:
    lines = tuple(Line(item.ids, item.count, bay) for item, bay in draft.ordered if item is not draft.missing)
    moved = [thing for line in lines for thing in line.things]
    stays: list[Move] = [(spec.id, bay) for bay, spec in draft.in_bay.items() if spec.id not in moved]
    return Stocking(lines, tuple(stays), draft.missing and _missing(draft.missing))


def _missing(item: Item) -> Missing:
    if not item.by:
        return Missing(item.specs[0].color, item.specs[0].shape)
    return Missing(item.value, None) if item.by == "color" else Missing(None, item.value)


def _stock(draft: Draft) -> Phrase:
    """One line or two onto an empty shelf."""
    for _ in range(1 + int(draft.cast.rng.random() < 0.5)):
        draft.order(draft.item())
    draft.scenery(1)
    return order_phrase(draft.cast.rng, draft.ordered)


def _rearrange(draft: Draft) -> Phrase:
    """Two things change places, or one makes room for another; and often one more line."""
    rng = draft.cast.rng
    here, there = (BAYS[i] for i in rng.permutation(len(BAYS))[:2])
    first, second = draft.thing(), draft.thing()
    draft.in_bay[here] = first
    swap = bool(rng.random() < 0.5)
    if swap:
        draft.in_bay[there] = second
    draft.order(Item((first,)), there)
    draft.order(Item((second,)), here)
    if more := rng.random() < 0.5:
        draft.order(Item((draft.thing(),)))
    for spec in draft.scenery(1):
        draft.in_bay[draft.bay(1)] = spec
    draft.scenery(1 + (not more))
    begin = (swap_phrase if swap else room_phrase)(rng, first, second, here, there)
    return begin if not more else then(rng, begin, order_phrase(rng, draft.ordered[2:]))


def _out_of_stock(draft: Draft) -> Phrase:
    """Two lines among look-alikes; of one there may be nothing."""
    rng = draft.cast.rng
    for spec in draft.scenery(2):
        draft.in_bay[[bay for bay in BAYS if bay not in draft.in_bay][int(rng.integers(2))]] = spec
    for _ in range(2):
        draft.order(draft.item())
    if rng.random() < OUT_OF_STOCK:
        draft.missing = draft.ordered[int(rng.integers(2))][0]
        draft.cast.specs = [spec for spec in draft.cast.specs if spec not in draft.missing.specs]
    draft.scenery(2)
    return order_phrase(draft.cast.rng, draft.ordered)


TASK = Task(
    "shelf",
    "Stock a shelf of two levels: orders by place, kind and number, swaps, making room, and what is out of stock.",
    ("one line or two", "swap, or make room, and then more", "among others, and what is ordered may not be there"),
    make,
)
