"""Episodes for instructions in a user's own words: a scene with what they name, and a goal if there is one in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qwenarm.body.reach import Reach
from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Goal, Relation, Setup, Sort, initial_state
from qwenarm.tasks.core.lookahead import PredictedTable
from qwenarm.tasks.core.planning import point_beside
from qwenarm.tasks.core.task import Combos, Layout, SceneBuilder
from qwenarm.tasks.language.goals import Answer, Exactly, Holds, Together
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.language import guess_language
from qwenarm.tasks.language.read_instruction import Reading, read
from qwenarm.tasks.language.scene_for_wish import add_named_objects, arrange_start
from qwenarm.tasks.language.translate_goal import translations
from qwenarm.tasks.language.wish import Move

MIN_TURNS, SPARE_TURNS = 12, 4
"""Turns that every episode has, and those beyond what the oracle needs."""
SCENE_TRIES = 60
"""Scenes that are drawn until nothing that is wished holds at the start, and everything can be done."""
SUGGESTIONS = {
    "en": ("put the red cube in the blue bowl", "build a tower of three cubes", "put all the balls in the white tray"),
    "es": (
        "pon el cubo rojo en el cuenco azul",
        "haz una torre de tres cubos",
        "pon todas las bolas en la bandeja blanca",
    ),
    "zh": ("把红色方块放进蓝色碗里", "用三个方块搭一座塔", "把所有球放进白色托盘里"),
}
"""Wishes that are understood, by language."""


def free_setup(
    instruction: str,
    rng: np.random.Generator,
    level: int = 1,
    combos: Combos | None = None,
    layout: Layout | None = None,
    reach: Reach | None = None,
) -> Setup:
    """An episode for an instruction in free words. Its goal is None if nobody could say when it is fulfilled.

    Args:
        instruction: what was typed.
        rng: draws the scene.
        level: the higher, the more things that nobody named.
        combos: the colour x shape pairs that may appear beside those that are named; None for all.
        layout: where things stand instead.
        reach: where the arm reaches; None for everywhere.

    Raises:
        BadInput: for an empty text, for something that the world has not, and for what cannot be done.
    """
    reading, builder = read(instruction), SceneBuilder(rng, combos, layout, reach)
    needed = add_named_objects(builder, reading.wish, reading.named, level)
    scene, goal = _fair_scene(builder, reading, needed)
    return Setup(
        scene,
        goal,
        reading.text,
        _count_turns(reading, scene, goal),
        translations=translations(goal, scene),
        unjudged=reading.why,
        read_as=f"{reading}; {_criterion(goal)}" if goal else "",
    )


def _criterion(goal: Goal) -> str:
    """When a goal counts as reached."""
    if isinstance(goal, Answer):
        return "judged by the number that was said last"
    alone = ", nothing else is in these places" if isinstance(goal, Sort) else ""
    return f"judged when this holds{alone}, everything rests and the hand is empty"


def suggestions(instruction: str) -> tuple[str, ...]:
    """Three wishes that are understood, in the language of the instruction."""
    return SUGGESTIONS[guess_language(instruction)]


def _count_turns(reading: Reading, scene: Scene, goal: Goal | None) -> int:
    """How often the policy may decide: some turns more than the oracle needs."""
    moves = sum(isinstance(command, Move) for command in reading.wish)
    needed = len(goal.solve(initial_state(scene))) if goal else 0
    return max(MIN_TURNS + 2 * moves, needed + SPARE_TURNS)


def _fair_scene(builder: SceneBuilder, reading: Reading, needed: int) -> tuple[Scene, Goal | None]:
    for _ in range(SCENE_TRIES):
        try:
            drawn = builder.build(needed)
        except BadInput as error:
            raise BadInput(f"The {needed} objects of this instruction do not fit on the table: name fewer.") from error
        scene = arrange_start(drawn, reading.named)
        goal = goal_of(reading.wish, scene) if scene else None
        if scene and _is_fair(goal, scene):
            return scene, goal
    raise BadInput(f"In none of {SCENE_TRIES} scenes was there room to do this: name fewer things.")


def _is_fair(goal: Goal | None, scene: Scene) -> bool:
    """Whether nothing that is wished holds before the arm has moved, and there is room for what shall be beside."""
    if goal is None:
        return True
    table = PredictedTable(initial_state(scene))
    if goal.success(table.state):
        return False
    aside = [relation for relation in _relations(goal) if relation.beside]
    spots = [point_beside(table.state, r.what, r.where, r.side) for r in aside]
    reachable = all(scene.has_place(spot.x, spot.y) for spot in spots)
    return reachable and all(table.has_room(relation) and not relation.holds(table.state) for relation in aside)


def _relations(goal: Goal) -> Iterator[Relation]:
    """Those that the goal consists of."""
    if isinstance(goal, Arrange):
        yield from goal.relations
    elif isinstance(goal, Together):
        for part in goal.parts:
            yield from (
                (part.relation,) if isinstance(part, Holds) else part.relations if isinstance(part, Exactly) else ()
            )
