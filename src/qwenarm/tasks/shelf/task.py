"""Scenes and levels of shelf."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import GRASPABLE_SHAPES, ObjectSpec
from qwenarm.body.scene import Placement
from qwenarm.tasks import Phrase, SceneBuilder, Setup, Task
from qwenarm.tasks.language.phrases import draw_from
from qwenarm.tasks.shelf.goal import (
    BAY_CAPACITY,
    BAY_IDS,
    SHELF_COLOR,
    MissingItem,
    OrderLine,
    StockShelf,
    bay_placements,
    placement_in_bay,
)
from qwenarm.tasks.shelf.words import OrderItem, exchange_phrase, order_phrase, then

KIND_SHARE = 0.5
"""Share of the lines that order two of a kind, if there is such a kind."""
THREE_SHARE = 0.3
"""Share of these lines for which three objects of that kind exist."""
MISSING_SHARE = 0.6
"""Share of the orders of level 3 with a missing item."""
STOCK_COLORS = tuple(color for color in COLOR_RGB if color != SHELF_COLOR)
CORNER_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


@dataclass
class OrderBuilder:
    """Draws an order together with the objects that it needs."""

    builder: SceneBuilder
    ordered: list[tuple[OrderItem, str]] = field(default_factory=list)  # (what, bay)
    in_bay: dict[str, ObjectSpec] = field(default_factory=dict)  # what stands in which bay at the start
    missing: OrderItem | None = None

    def add_object(self) -> ObjectSpec:
        """Adds an object that is of none of the kinds ordered so far."""
        return self.builder.add(*self._unordered())

    def add_others(self, count: int) -> list[ObjectSpec]:
        """Adds up to ``count`` such objects and returns them."""
        before = len(self.builder.specs)
        self.builder.add_up_to(count, *self._unordered())
        return self.builder.specs[before:]

    def add_item(self) -> OrderItem:
        """Returns what a line orders. If it is a kind, no object that was added before is of that kind."""
        kinds = self._kinds()
        if not kinds or self.builder.rng.random() > KIND_SHARE:
            return OrderItem((self.add_object(),))
        by, value = kinds[int(self.builder.rng.integers(len(kinds)))]
        left = sum(pair[by == "shape"] == value for pair in self._available())
        count = 3 if left > 2 and self.builder.rng.random() < THREE_SHARE else 2
        shapes, colors = (GRASPABLE_SHAPES, (value,)) if by == "color" else ((value,), STOCK_COLORS)
        return OrderItem(tuple(self.builder.add(shapes, colors) for _ in range(count)), by, value)

    def free_bay(self, room: int) -> str:
        """Draws a bay that no line names yet and that has room for ``room`` objects."""
        used = [bay for _, bay in self.ordered]
        free = [bay for bay in BAY_IDS if bay not in used and BAY_CAPACITY - (bay in self.in_bay) >= room]
        return draw_from(self.builder.rng, free)

    def order(self, item: OrderItem, bay: str | None = None) -> None:
        """Adds a line, by default for a free bay."""
        self.ordered.append((item, bay or self.free_bay(item.count)))

    def _unordered(self) -> tuple[list[str], list[str]]:
        """Returns the shapes and colours of which no kind is ordered."""
        kinds = [item.value for item, _ in self.ordered if item.by]
        return [s for s in GRASPABLE_SHAPES if s not in kinds], [c for c in STOCK_COLORS if c not in kinds]

    def _kinds(self) -> list[tuple[str, str]]:
        """Returns the (by, value) kinds of which at least two objects are left and none was added yet."""
        added = {word for spec in self.builder.specs for word in (spec.color, spec.shape)}
        colors, shapes = [c for c, _ in self._available()], [s for _, s in self._available()]
        kinds = [("color", c) for c in STOCK_COLORS if colors.count(c) > 1]
        kinds += [("shape", s) for s in GRASPABLE_SHAPES if shapes.count(s) > 1]
        return [kind for kind in kinds if kind[1] not in added]

    def _available(self) -> list[tuple[str, str]]:
        return [(c, s) for c, s in self.builder.available if c in STOCK_COLORS and s in GRASPABLE_SHAPES]


def make(builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode: the order first, then the other objects."""
    draft = OrderBuilder(builder)
    words = (_stock, _rearrange, _out_of_stock)[level - 1](draft)
    there = [item for item, _ in draft.ordered if item is not draft.missing]
    on_shelf = list(draft.in_bay.values())
    needed = [spec for item in there for spec in item.specs if spec not in on_shelf]
    bays, area = bay_placements(left=bool(builder.rng.random() < 0.5))
    shelf = {placement.spec.id: placement for placement in bays}
    builder.specs = needed + [spec for spec in builder.specs if spec not in (*needed, *on_shelf)]
    scene = builder.build(len(needed), {spec.id: area for spec in builder.specs})
    standing = [_standing(builder.rng, spec, shelf[bay]) for bay, spec in draft.in_bay.items()]
    scene = replace(scene, objects=(*scene.objects, *standing, *bays))
    goal = _goal(draft)
    turns = 6 + 3 * sum(line.count for line in goal.lines)
    return Setup(scene, goal, words.text, turns, translations=words.translations)


def _standing(rng: np.random.Generator, spec: ObjectSpec, bay: Placement) -> Placement:
    return placement_in_bay(spec, bay, CORNER_SIGNS[int(rng.integers(4))], float(rng.choice([0.0, np.pi / 2])))


def _goal(draft: OrderBuilder) -> StockShelf:
    lines = tuple(OrderLine(item.ids, item.count, bay) for item, bay in draft.ordered if item is not draft.missing)
    moved = [thing for line in lines for thing in line.things]
    stays = tuple((spec.id, bay) for bay, spec in draft.in_bay.items() if spec.id not in moved)
    return StockShelf(lines, stays, draft.missing and _missing(draft.missing))


def _missing(item: OrderItem) -> MissingItem:
    if not item.by:
        return MissingItem(item.specs[0].color, item.specs[0].shape)
    return MissingItem(item.value, None) if item.by == "color" else MissingItem(None, item.value)


def _stock(draft: OrderBuilder) -> Phrase:
    """Draws level 1: one or two lines for an empty shelf."""
    for _ in range(1 + int(draft.builder.rng.random() < 0.5)):
        draft.order(draft.add_item())
    draft.add_others(1)
    return order_phrase(draft.builder.rng, draft.ordered)


def _rearrange(draft: OrderBuilder) -> Phrase:
    """Draws level 2: two objects swap places, or one makes room for another; often with one more line."""
    rng = draft.builder.rng
    here, there = (BAY_IDS[i] for i in rng.permutation(len(BAY_IDS))[:2])
    first, second = draft.add_object(), draft.add_object()
    draft.in_bay[here] = first
    is_swap = bool(rng.random() < 0.5)
    if is_swap:
        draft.in_bay[there] = second
    draft.order(OrderItem((first,)), there)
    draft.order(OrderItem((second,)), here)
    if more := rng.random() < 0.5:
        draft.order(OrderItem((draft.add_object(),)))
    for spec in draft.add_others(1):
        draft.in_bay[draft.free_bay(1)] = spec
    draft.add_others(1 + (not more))
    begin = exchange_phrase(rng, is_swap, first, second, here, there)
    return begin if not more else then(rng, begin, order_phrase(rng, draft.ordered[2:]))


def _out_of_stock(draft: OrderBuilder) -> Phrase:
    """Draws level 3: two lines among look-alikes, one of which may order a missing item."""
    rng = draft.builder.rng
    for spec in draft.add_others(2):
        draft.in_bay[[bay for bay in BAY_IDS if bay not in draft.in_bay][int(rng.integers(2))]] = spec
    for _ in range(2):
        draft.order(draft.add_item())
    if rng.random() < MISSING_SHARE:
        draft.missing = draft.ordered[int(rng.integers(2))][0]
        draft.builder.specs = [spec for spec in draft.builder.specs if spec not in draft.missing.specs]
    draft.add_others(2)
    return order_phrase(draft.builder.rng, draft.ordered)


TASK = Task(
    "shelf",
    "Stock a shelf of two levels: orders by place, kind and number, swaps, making room, and what is out of stock.",
    ("one line or two", "swap, or make room, and then more", "among others, and what is ordered may not be there"),
    make,
)
