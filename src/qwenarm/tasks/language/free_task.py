"""Episodes for instructions in a user's own words: a scene with the objects they name, and a goal if they state one."""

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
from qwenarm.tasks.language.goals import Answer, Exactly, Holds, InBetween, Lifted, Together
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.language import guess_language, plain, units
from qwenarm.tasks.language.read_instruction import UnderstoodSentence, read
from qwenarm.tasks.language.scene_for_wish import add_named_objects, arrange_start
from qwenarm.tasks.language.translate_goal import translations
from qwenarm.tasks.language.wish import Move

MIN_TURNS, SPARE_TURNS = 12, 4
"""Minimum number of turns of an episode, and turns beyond what the oracle needs."""
SCENE_TRIES = 60
"""Maximum number of scenes that are drawn until no part of the wish holds at the start and all of it can be done."""
SUGGESTED_INSTRUCTIONS = {
    "en": (
        "put the red cube in the blue bowl",
        "build a tower of three cubes",
        "put all the balls in the white tray",
        "clean up the table: everything belongs in the white box",
        "pick up the red cube and put it in the blue bowl",
        "pick up the red cube",
        "stack the cubes",
        "sort the cubes by colour",
        "swap the red cube and the blue ball",
        "put the red cube left of the blue bowl",
        "how many cubes are there?",
    ),
    "es": (
        "pon el cubo rojo en el cuenco azul",
        "haz una torre de tres cubos",
        "pon todas las bolas en la bandeja blanca",
        "pon todo en la caja blanca",
        "coge el cubo rojo y ponlo en el cuenco azul",
        "levanta el cubo rojo",
        "apila los cubos",
        "intercambia el cubo rojo y la bola azul",
        "cuántos cubos hay?",
    ),
    "zh": (
        "把红色方块放进蓝色碗里",
        "用三个方块搭一座塔",
        "把所有球放进白色托盘里",
        "拿起红色方块",
        "把所有东西放进白色盒子里",
        "把红色方块和蓝色球交换位置",
        "有几个方块？",
    ),
}
"""Examples of instructions that are understood, by language."""
MAX_SUGGESTED_WISHES = 3


def free_setup(
    instruction: str,
    rng: np.random.Generator,
    level: int = 1,
    combos: Combos | None = None,
    layout: Layout | None = None,
    reach: Reach | None = None,
) -> Setup:
    """Builds an episode for an instruction in free words. Its goal is None if success cannot be judged.

    Args:
        instruction: The user's words.
        rng: The only source of randomness.
        level: The higher, the more objects that the words do not name.
        combos: The (colour, shape) pairs that may appear besides those that are named, or None for all.
        layout: Moves the placed objects, or None to leave them in place.
        reach: Where the arm reaches, or None for everywhere.

    Raises:
        BadInput: The text is empty, names something unknown, or asks for something impossible.
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
    """Returns when a goal counts as reached, in words."""
    if isinstance(goal, Answer):
        return "judged by the number that was said last"
    if isinstance(goal, Lifted):
        return "judged when the hand holds it above the table"
    alone = ", nothing else is in these places" if isinstance(goal, Sort) else ""
    return f"judged when this holds{alone}, everything rests and the hand is empty"


def suggestions(instruction: str) -> list[str]:
    """Returns instructions that are understood, in the language of this one: those that share most of its words, the
    shortest first.
    """
    words = set(units(plain(instruction)))
    known = {wish: set(units(plain(wish))) for wish in SUGGESTED_INSTRUCTIONS[guess_language(instruction)]}
    return sorted(known, key=lambda wish: (-len(words & known[wish]), len(known[wish])))[:MAX_SUGGESTED_WISHES]


def _count_turns(reading: UnderstoodSentence, scene: Scene, goal: Goal | None) -> int:
    """Returns the maximum number of turns: somewhat more than the oracle needs."""
    moves = sum(isinstance(command, Move) for command in reading.wish)
    needed = len(goal.solve(initial_state(scene))) if goal else 0
    return max(MIN_TURNS + 2 * moves, needed + SPARE_TURNS)


def _fair_scene(builder: SceneBuilder, reading: UnderstoodSentence, needed: int) -> tuple[Scene, Goal | None]:
    for _ in range(SCENE_TRIES):
        try:
            drawn = builder.build(needed)
        except BadInput as error:
            raise BadInput(f"The {needed} objects of this instruction do not fit on the table: name fewer.") from error
        scene = arrange_start(drawn, reading.named)
        goal = goal_of(reading.wish, scene) if scene else None
        if scene and _is_fair(goal, scene):
            return scene, goal
    raise BadInput(f"There was no room to do this in {SCENE_TRIES} random scenes: name fewer things.")


def _is_fair(goal: Goal | None, scene: Scene) -> bool:
    """Returns whether no part of the goal holds at the start, and there is room for what should be beside something."""
    if goal is None:
        return True
    table = PredictedTable(initial_state(scene))
    if goal.success(table.state):
        return False
    between = [part for part in goal.parts if isinstance(part, InBetween)] if isinstance(goal, Together) else []
    middles = [part.middle(table.state) for part in between if part.has_room(table.state)]
    if len(middles) < len(between) or not all(scene.has_place(spot.x, spot.y) for spot in middles):
        return False
    aside = [relation for relation in _relations(goal) if relation.beside]
    spots = [point_beside(table.state, r.what, r.where, r.side) for r in aside]
    reachable = all(scene.has_place(spot.x, spot.y) for spot in spots)
    return reachable and all(table.has_room(relation) and not relation.holds(table.state) for relation in aside)


def _relations(goal: Goal) -> Iterator[Relation]:
    """Yields the relations that a goal consists of."""
    if isinstance(goal, Arrange):
        yield from goal.relations
    elif isinstance(goal, Together):
        for part in goal.parts:
            yield from (
                (part.relation,) if isinstance(part, Holds) else part.relations if isinstance(part, Exactly) else ()
            )
