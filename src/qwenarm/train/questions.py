"""Many decisions to ask about one picture: instructions that it could belong to, the history that led there, and the
right next call.

The rules are those of the tasks' own solvers (a test compares): a list of (what, where) steps is worked off in order,
sorting takes the leftmost loose thing first. What is held is not in the picture, for the arm parks outside of it; so
any absent object may be the held one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qwenarm.tasks.language.phrases import put_phrase, sort_phrase, stack_phrase
from qwenarm.train.labels import COLOR_NAMES, SHAPE_NAMES

SOLID, HOLLOW = SHAPE_NAMES[:3], SHAPE_NAMES[3:]
MIN_PIXELS = 25
HELD_IN_SORT = 0.35
"""Share of the questions on sorting in which the hand holds something: where does it go?"""
LEFT_OUT = 0.5
"""Share of the finished sortings that are not asked about: else "done" would be said more often than it is true."""
SHORTLY = 0.2
"""Share of the questions that name a container by its shape or its colour alone, where that is enough. A model that has
to find things by either learns to find those by both whose combination it has never seen."""
PICK_FAILURES = ("nothing between the fingers", "nothing to grasp at that point", "the object slipped out of the hand")


@dataclass(frozen=True)
class Thing:
    """An object in a picture. row: its index in the label table; on: row of what carries it, -1 = the table."""

    row: int
    shape: str
    color: str
    u: float
    v: float
    on: int
    inside: bool
    pixels: int
    called: str = ""
    """What the words call it, if not by colour and shape."""

    @property
    def hidden(self) -> bool:
        """Too little of it is seen to point at."""
        return self.pixels < MIN_PIXELS

    @property
    def label(self) -> str:
        return self.called or f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Question:
    """One decision. row: the object that the answer points at, or -1 (done). free: its label is not told by the words,
    but chosen.
    """

    instruction: str
    history: str
    holding: bool
    skill: str
    label: str = ""
    row: int = -1
    u: float = 0.0
    v: float = 0.0
    free: bool = False
    rule: tuple[tuple[str, str], ...] = ()
    """When a held thing is to be sorted: (colour or shape, label of its place), and what of the held thing decides."""
    decides: str = ""


def things(rows: np.ndarray) -> list[Thing]:
    """The objects of one label table (MAX_OBJECTS, 8) of which one can know: the visible ones, and what is hidden by
    something visible that stands on it, as the lower storeys of a tower are from above.
    """
    known = [
        Thing(
            i, SHAPE_NAMES[int(r[0])], COLOR_NAMES[int(r[1])], float(r[2]), float(r[3]), int(r[6]), r[5] == 1, int(r[4])
        )
        for i, r in enumerate(rows)
        if r[0] >= 0
    ]
    below = {t.row: t.on for t in known if not t.inside}
    rows_seen = {row for t in known if not t.hidden for row in _chain(below, t.row)}
    return [t for t in known if t.row in rows_seen]


def _chain(below: dict[int, int], row: int) -> list[int]:
    """The rows of a tower from this one downwards. below: what each stands on, -1 = the table."""
    found = [row]
    while (row := below.get(row, -1)) >= 0:
        found.append(row)
    return found


def ask(rng: np.random.Generator, seen: list[Thing], held_out: frozenset[tuple[str, str]]) -> Question | None:
    """A random question that makes sense for this picture, or None if the draw did not."""
    kind = rng.choice(["put", "stack", "sort"], p=[0.16, 0.36, 0.48])
    if rng.random() < SHORTLY:
        seen = [_shortly(rng, thing, seen) for thing in seen]
    if kind == "sort":
        return _ask_sort(rng, [thing for thing in seen if not thing.hidden], held_out)
    return _ask_put(rng, seen, held_out) if kind == "put" else _ask_stack(rng, seen, held_out)


def _shortly(rng: np.random.Generator, thing: Thing, seen: list[Thing]) -> Thing:
    """A container by a shorter name, if there is one that only it has."""
    if thing.shape not in HOLLOW:
        return thing
    others = [t for t in seen if t.shape in HOLLOW and t is not thing]
    names = [thing.shape] if all(t.shape != thing.shape for t in others) else []
    names += [f"{thing.color} container"] if all(t.color != thing.color for t in others) else []
    return replace(thing, called=str(rng.choice(names))) if names else thing


def _absent(
    rng: np.random.Generator, seen: list[Thing], held_out: frozenset[tuple[str, str]], shapes: tuple[str, ...]
) -> str:
    """The label of a thing that is not in the picture, and may be held."""
    labels = {t.label for t in seen}
    while True:
        shape, color = str(rng.choice(shapes)), str(rng.choice(COLOR_NAMES))
        if f"{color} {shape}" not in labels and (color, shape) not in held_out:
            return f"{color} {shape}"


def _ask_put(rng: np.random.Generator, seen: list[Thing], held_out: frozenset[tuple[str, str]]) -> Question | None:
    solids = [t for t in seen if t.shape in SOLID]
    places = [t for t in seen if t.shape in HOLLOW] or [t for t in solids if t.shape != "ball"]
    if rng.random() < 0.15:
        places += [t for t in solids if t.shape != "ball"]
    if not places:
        return None
    place = places[rng.integers(len(places))]
    if rng.random() < 0.4:
        what = _absent(rng, seen, held_out, SOLID if place.shape in HOLLOW else SOLID[:2])
        return _steps_question(rng, put_phrase(rng, what, place.label), seen, [(what, place.label)], held=what)
    done = [t for t in solids if t.on == place.row]
    pool = done if done and rng.random() < 0.6 else [t for t in solids if t is not place]
    if place.shape in SOLID:
        pool = [t for t in pool if t.shape != "ball"]
    if not pool:
        return None
    what = pool[rng.integers(len(pool))].label
    return _steps_question(rng, put_phrase(rng, what, place.label), seen, [(what, place.label)], held="")


def _ask_stack(rng: np.random.Generator, seen: list[Thing], held_out: frozenset[tuple[str, str]]) -> Question | None:
    towers = _towers(seen)
    held = _absent(rng, seen, held_out, SOLID[:2]) if rng.random() < 0.45 else ""
    count = int(rng.choice([2, 3, 4], p=[0.4, 0.3, 0.3]))
    order = list[str]()
    if towers and rng.random() < 0.7:  # start from a tower that stands already, or from its lower storeys
        order = towers[rng.integers(len(towers))][:count]
    rest = [t.label for t in seen if t.shape in SOLID[:2] and not t.hidden and t.label not in order]
    rng.shuffle(rest)
    if held and (len(order) < count or not order):
        order = order or rest[:1]
        rest = [b for b in rest if b not in order]
        order.append(held)
    order += rest[: max(0, count - len(order))]
    if len(order) < 2:
        return None
    pairs = list(zip(order[1:], order[:-1], strict=True))
    return _steps_question(rng, stack_phrase(rng, order), seen, pairs, held=held)


def _towers(seen: list[Thing]) -> list[list[str]]:
    """The labels of every tower of blocks on the table, from its base upwards."""
    by_row = {t.row: t for t in seen}
    below = {t.row: t.on for t in seen if not t.inside}
    chains = [_chain(below, row) for row in below if row not in below.values()]
    standing = [[by_row[row] for row in reversed(chain)] for chain in chains if len(chain) > 1]
    return [[t.label for t in tower] for tower in standing if all(t.shape in SOLID[:2] for t in tower)]


def _steps_question(
    rng: np.random.Generator, instruction: str, seen: list[Thing], pairs: list[tuple[str, str]], held: str
) -> Question | None:
    """The next call of "bring each first to its second, in this order"."""
    by_label, loaded = {t.label: t for t in seen}, {t.on for t in seen if not t.inside}
    finished: list[tuple[str, str]] = []
    for what, where in pairs:
        a, b = by_label.get(what), by_label.get(where)
        if a is not None and b is not None and a.on == b.row:
            finished.append((what, where))
            continue
        if (a is not None and a.row in loaded) or (b is not None and b.shape in SOLID and b.row in loaded):
            return None  # something else stands on it
        past = [line for pair in finished for line in _went_well(*pair)]
        if held == what and b is not None:
            return _point(rng, instruction, [*past, f"pick {what}: ok"], "place", b, holding=True)
        if a is None or held:
            return None
        return _point(rng, instruction, past + _trouble(rng, what, where), "pick", a)
    if held:
        return None
    return Question(instruction, _history([line for pair in finished for line in _went_well(*pair)]), False, "done")


def _ask_sort(rng: np.random.Generator, seen: list[Thing], held_out: frozenset[tuple[str, str]]) -> Question | None:
    places = [t for t in seen if t.shape in HOLLOW]
    if len(places) < 2:
        return None
    chosen = [places[i] for i in rng.permutation(len(places))[: int(rng.choice([2, 3], p=[0.6, 0.4]))]]
    solids = [t for t in seen if t.shape in SOLID]
    by, other = ("color", "shape") if rng.random() < 0.75 else ("shape", "color")
    if _mixed(by, solids, chosen) and not _mixed(other, solids, chosen):
        by = other
    kept = all(t.color == p.color for p in chosen for t in solids if t.on == p.row)
    own = by == "color" and rng.random() < (0.4 if kept else 0.1) and len({p.color for p in chosen}) == len(chosen)
    values = [p.color for p in chosen] if own else _values(rng, by, solids, chosen)
    rule = dict(zip(values, chosen, strict=False))
    instruction = sort_phrase(rng, by, {value: place.label for value, place in rule.items()}, own)
    placed = [t for t in solids if getattr(t, by) in rule and t.on == rule[getattr(t, by)].row]
    past = [line for t in placed for line in _went_well(t.label, rule[getattr(t, by)].label)]
    rng.shuffle(past_pairs := [past[i : i + 2] for i in range(0, len(past), 2)])
    past = [line for pair in past_pairs for line in pair]
    if rng.random() < HELD_IN_SORT:
        value = str(rng.choice(values))
        shapes, colors = (SOLID, (value,)) if by == "color" else ((value,), COLOR_NAMES)
        labels = [
            f"{c} {s}"
            for c in colors
            for s in shapes
            if (c, s) not in held_out and f"{c} {s}" not in {t.label for t in seen}
        ]
        if not labels:
            return None
        held = str(rng.choice(labels))
        question = _point(rng, instruction, [*past, f"pick {held}: ok"], "place", rule[value], holding=True)
        return replace(question, rule=tuple((v, place.label) for v, place in rule.items()), decides=value)
    first = next_to_sort(seen, by, rule)
    if first is None:
        alien = any(t.on == p.row for p in chosen for t in solids if getattr(t, by) not in rule)
        if alien or rng.random() < LEFT_OUT:
            return None
        return Question(instruction, _history(past), False, "done")
    if rng.random() < 0.3:
        past += _trouble(rng, first.label, rule[getattr(first, by)].label)
    elif past and rng.random() < 0.15:
        past += past[-2:]  # it was done twice: the picture counts, not the past
    return _point(rng, instruction, past, "pick", first, free=True)


def next_to_sort(seen: list[Thing], by: str, rule: dict[str, Thing]) -> Thing | None:
    """The leftmost thing that belongs somewhere and is not there; None when all are."""
    waiting = [t for t in seen if t.shape in SOLID and getattr(t, by) in rule and t.on != rule[getattr(t, by)].row]
    return min(waiting, key=lambda t: t.u, default=None)


def _mixed(by: str, solids: list[Thing], chosen: list[Thing]) -> bool:
    """Does any of the places hold things of several colours (or shapes)?"""
    return any(len({getattr(t, by) for t in solids if t.on == place.row}) > 1 for place in chosen)


def _values(rng: np.random.Generator, by: str, solids: list[Thing], chosen: list[Thing]) -> list[str]:
    """A colour or shape for each place: mostly that of what lies in it already, else mostly of something loose."""
    inside = [sorted({getattr(t, by) for t in solids if t.on == place.row}) for place in chosen]
    told = [values[rng.integers(len(values))] if values and rng.random() < 0.9 else "" for values in inside]
    told = [value if value not in told[:i] else "" for i, value in enumerate(told)]
    loose = sorted({getattr(t, by) for t in solids if t.on < 0} - set(told))
    universe = [v for v in (COLOR_NAMES if by == "color" else SOLID) if v not in told]
    fill = iter(_some(rng, loose, universe, len(chosen)))
    return [value or next(fill) for value in told]


def _some(rng: np.random.Generator, present: list[str], universe: list[str], count: int) -> list[str]:
    """``count`` different values, mostly of those in the picture."""
    rng.shuffle(present)
    rest = [v for v in universe if v not in present]
    rng.shuffle(rest)
    pool = present + rest if rng.random() < 0.85 else rest + present
    return pool[:count]


def _went_well(what: str, where: str) -> list[str]:
    return [f"pick {what}: ok", f"place {where}: ok"]


def _trouble(rng: np.random.Generator, what: str, where: str) -> list[str]:
    """What may have been tried before in vain; the right answer is to pick again."""
    draw = rng.random()
    failed = f"pick {what}: failed, {rng.choice(PICK_FAILURES)}"
    if draw < 0.6:
        return []
    if draw < 0.8:
        return [failed] * int(rng.choice([1, 2]))
    return (
        [f"pick {what}: ok", f"place {where}: ok"]
        if draw < 0.9
        else [f"pick {what}: ok", f"place {where}: failed, the hand is empty"]
    )


def _point(
    rng: np.random.Generator,
    instruction: str,
    past: list[str],
    skill: str,
    thing: Thing,
    holding: bool = False,
    free: bool = False,
) -> Question:
    return Question(instruction, _history(past), holding, skill, thing.label, thing.row, thing.u, thing.v, free)


def _history(past: list[str], last: int = 4) -> str:
    return "; ".join(past[-last:]) if past else "none"
