"""Finds unnecessary changes in a successful episode: bystanders put in or on something, or knocked off the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qwenarm.body.objects.spec import FIXED_SHAPES
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Goal
from qwenarm.types import SideEffect

ON_TABLE, ON_FLOOR = "on the table", "on the floor"
FLOOR_HEIGHT_M = -0.02
"""Anything lower than this, in m, has fallen off the table."""


def side_effects(goal: Goal, start: WorldState, end: WorldState) -> Iterator[SideEffect]:
    """Yields the objects that ended up somewhere else although the goal would hold without that.

    An object counts if it has fallen, or is in or on something else than at the start. It does not count if it was
    cleared away because what it stood on was moved, or now carries something else.

    Args:
        goal: A goal that is fulfilled at the end.
        start: The state before anything was moved.
        end: The state in which the episode was judged.
    """
    for name, thing in start.objects.items():
        before, after = support_of(start, name), support_of(end, name)
        if (
            thing.spec.shape in FIXED_SHAPES
            or before == after
            or (after == ON_TABLE and _was_cleared(start, end, name, before))
        ):
            continue
        if goal.success(replace(end, objects={**end.objects, name: thing})):
            yield SideEffect(thing.spec.label, support_words(start, before), support_words(end, after))


def support_of(state: WorldState, name: str) -> str:
    """Returns the id of the object that another stands on or lies in, or ON_TABLE or ON_FLOOR."""
    if state[name].bottom < FLOOR_HEIGHT_M:
        return ON_FLOOR
    bases = [other for other in state.objects if state.on(name, other) or state.lies_in(name, other)]
    return min(bases, key=lambda base: state[base].spec.container, default=ON_TABLE)


def _was_cleared(start: WorldState, end: WorldState, name: str, support: str) -> bool:
    if support not in end.objects or end[support].spec.container:
        return False
    gone = support_of(start, support) != support_of(end, support)
    return gone or any(end.on(other, support) for other in end.objects if other != name)


def support_words(state: WorldState, support: str) -> str:
    """What ``support_of`` returns, as in "in the blue bowl"."""
    if support in (ON_TABLE, ON_FLOOR):
        return support
    return f"{'in' if state[support].spec.container else 'on'} the {state[support].spec.label}"
