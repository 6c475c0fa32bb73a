"""Reads what corrects an instruction while the arm works, which may be no more than what is different about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Arrange, Goal, Relation
from qwenarm.tasks.language.check_wish import check
from qwenarm.tasks.language.ground import goal_of
from qwenarm.tasks.language.language import CORRECTION, guess_language, load_language
from qwenarm.tasks.language.meaning import Meanings
from qwenarm.tasks.language.misfit import Misfit
from qwenarm.tasks.language.name_meanings import ALREADY_MOVED, ANY_IN, ANY_SHAPE
from qwenarm.tasks.language.phrases import plain_put
from qwenarm.tasks.language.read_instruction import MAX_TOKENS, UnderstoodSentence, read
from qwenarm.tasks.language.resolve import resolve
from qwenarm.tasks.language.translate_goal import translations
from qwenarm.tasks.language.vocabulary import is_container
from qwenarm.tasks.language.wish import Move, Place, Thing, Wish, things

NO = re.compile(r"(?:\s*(?:nope\b|no\b|不是|不对|不)[\s,，.。!！]*)+", re.IGNORECASE)
"""What a correction may begin with."""


def read_correction(text: str, goal: Goal | None, scene: Scene) -> tuple[UnderstoodSentence, Goal | None]:
    """Reads a new instruction, or a few words such as "no, the other one" that change the present one.

    A few words tell what else should be moved, or where else to. The things on the table decide which of the two is
    meant; if both are possible, nothing is judged.

    Args:
        text: What was typed or said.
        goal: The present goal. A few words can change it if it puts one thing somewhere.
        scene: The things on the table.

    Returns:
        What was understood, with the whole new instruction as its ``text``, and the new goal or None.

    Raises:
        BadInput: The text names something that is not there, or asks for something impossible.
    """
    (changed, obstacle), language = _changed(text, goal, scene), guess_language(text)
    if len(changed) > 1:
        one, other, *_ = changed
        return UnderstoodSentence((), f"it can mean '{one[0]}' or '{other[0]}'", (), text, (), language), None
    if not changed:
        reading = read(_without_no(text))
        if reading.why and obstacle:  # a few words, which were understood
            reading = replace(reading, why=obstacle)
        return reading, goal_of(reading.wish, scene)
    ((wish, arranged),) = changed.items()
    (relation,) = arranged.relations
    in_english = plain_put(scene.spec(relation.what), scene.spec(relation.where), relation.beside, relation.side)
    sentence = translations(arranged, scene).get(language, in_english)
    return UnderstoodSentence(wish, "", tuple(things(wish)), sentence, (), language), arranged


def _without_no(text: str) -> str:
    """Returns "put it in the bowl" for "no, put it in the bowl" and "no put it in the bowl", which is how it is heard.

    "No cubes in the bowl" says something else: there a thing follows, without a comma.
    """
    rest = NO.sub("", text, count=1)
    has_comma = not text.removesuffix(rest).rstrip()[-1:].isalnum()
    tokens = load_language(guess_language(rest)).lex(rest).tokens
    return rest if tokens and (has_comma or tokens[0].type.startswith("_")) else text


def _changed(text: str, goal: Goal | None, scene: Scene) -> tuple[dict[Wish, Arrange], str]:
    """Returns the wishes that a few words can turn the present one into, and their goals; the same one if no other.

    If there is none, then also what is in the way of the first that the words name, or "" if they name none.
    """
    if not isinstance(goal, Arrange) or len(goal.relations) != 1:
        return {}, ""
    (relation,) = goal.relations
    moves = [move for part in _parts(text) for move in _with(part, _as_move(relation, scene))]
    found, obstacles = dict[Wish, Arrange](), list[str]()
    for move in moves:
        try:
            wish = check(resolve([move]))
            arranged = goal_of(wish, scene)
        except (BadInput, Misfit) as error:  # there is no such thing, or it cannot be put there
            obstacles.append(str(error))
            continue
        if isinstance(arranged, Arrange):
            found[wish] = arranged
    different = {w: a for w, a in found.items() if replace(a.relations[0], leaning=relation.leaning) != relation}
    return different or found, next(iter(obstacles), "")


def _parts(text: str) -> list[Thing | Place]:
    """Returns what a few words can name; nothing if they are none."""
    from lark.exceptions import UnexpectedInput

    language = load_language(guess_language(text))
    tokens = language.lex(NO.sub("", text, count=1)).tokens
    if len(tokens) > MAX_TOKENS:
        return []
    try:
        tree = language.parse(tokens, CORRECTION)
    except UnexpectedInput:
        return []
    return Meanings(language.values).of(tree)


def _as_move(relation: Relation, scene: Scene) -> Move:
    what, where = (Thing(spec.color, spec.shape) for spec in map(scene.spec, (relation.what, relation.where)))
    return Move(what, Place(relation.side or "beside" if relation.beside else "at", where))


def _with(part: Thing | Place, former: Move) -> Iterator[Move]:
    """Yields what the former wish becomes by another thing to move, another target, or another place."""
    assert isinstance(former.what, Thing)
    if isinstance(part, Place):
        yield replace(former, place=replace(part, thing=_completed(part.thing, former.place.thing)))
        return
    what, target = _completed(part, former.what), _completed(part, former.place.thing)
    if is_container(what.shape) == is_container(former.what.shape):
        yield replace(former, what=what)
    if is_container(target.shape) == is_container(former.place.thing.shape):
        yield replace(former, place=replace(former.place, thing=target))


def _completed(thing: Thing, former: Thing) -> Thing:
    """Returns a thing in which "one" has the shape of the former thing, and "other" means other than that."""
    shape = former.shape if thing.shape in (None, ANY_SHAPE, ANY_IN) else thing.shape
    return replace(thing, shape=shape, but=former if thing.but == ALREADY_MOVED else thing.but)
