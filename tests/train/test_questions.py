"""The answers that are taught are the calls that the tasks' own solvers name."""

import numpy as np
import pytest

from qwenarm.body.objects.spec import HELD_OUT
from qwenarm.body.simulation import Body
from qwenarm.registry import load
from qwenarm.tasks import oracle_point
from qwenarm.tasks.core.goal import Arrange, Sort
from qwenarm.tasks.language.read_instruction import read
from qwenarm.train.frames import MAX_OBJECTS, ROW, arrange_tower, take_picture
from qwenarm.train.labels import COLOR_NAMES, SHAPE_NAMES
from qwenarm.train.questions import MIN_PIXELS, Question, Thing, _ask_stack, _steps_question, ask, next_to_sort, things


def _things(body: Body) -> list[Thing]:
    """What take_picture would say of a scene at its start, where everything stands on the table."""
    seen = []
    for row, placement in enumerate(body.scene.objects):
        point = oracle_point(body, placement.spec.id)
        assert point is not None
        seen.append(Thing(row, placement.spec.shape, placement.spec.color, point.u, point.v, -1, False, 100))
    return seen


@pytest.mark.render
@pytest.mark.parametrize("task", ["put", "stack", "sort"])
@pytest.mark.parametrize("seed", range(4))
def test_first_call_is_the_solvers(task: str, seed: int):
    setup = load("tasks", task).build(np.random.default_rng(seed), level=1 + seed % 3)
    body = Body(setup.scene, load("arms", "panda"))
    first = setup.goal.solve(body.state())[0]
    label = body.scene.spec(first.args["at"]).label
    seen = _things(body)
    if isinstance(setup.goal, Arrange):
        pairs = [(body.scene.spec(r.what).label, body.scene.spec(r.where).label) for r in setup.goal.relations]
        question = _steps_question(np.random.default_rng(0), setup.instruction, seen, pairs, held="")
        assert isinstance(question, Question)
        assert (question.skill, question.label) == (first.name, label)
    else:
        assert isinstance(setup.goal, Sort)
        row = {p.spec.id: i for i, p in enumerate(body.scene.objects)}
        rule = {value: seen[row[place]] for value, place in setup.goal.places}
        thing = next_to_sort(seen, setup.goal.by, rule)
        assert thing is not None
        assert thing.label == label


def test_names_of_colors_and_shapes_are_words():
    assert all(name.isalpha() for name in (*COLOR_NAMES, *SHAPE_NAMES))


def _table(*objects: tuple[str, str, int, int, int]) -> np.ndarray:
    """A label table of (colour, shape, pixels, relation, parent)."""
    rows = np.full((MAX_OBJECTS, len(ROW)), -1.0, np.float32)
    for i, (color, shape, pixels, relation, parent) in enumerate(objects):
        place = SHAPE_NAMES.index(shape), COLOR_NAMES.index(color), 0.1 * i, 0.5
        rows[i] = (*place, pixels, relation, parent, 0.045)
    return rows


def test_what_a_tower_hides_is_known_and_what_nothing_stands_on_is_not():
    hidden = MIN_PIXELS - 1
    table = _table(
        ("red", "cube", hidden, 0, -1), ("blue", "cube", hidden, 2, 0), ("green", "cylinder", 200, 2, 1),
        ("black", "ball", hidden, 0, -1), ("white", "cube", hidden, 1, 5), ("yellow", "bowl", 300, 0, -1),
    )  # fmt: skip
    seen = things(table)
    assert {t.label for t in seen} == {"red cube", "blue cube", "green cylinder", "yellow bowl"}
    assert {t.label for t in seen if t.hidden} == {"red cube", "blue cube"}
    rng = np.random.default_rng(0)
    tower = [("blue cube", "red cube"), ("green cylinder", "blue cube")]
    finished = _steps_question(rng, "", seen, tower, held="")
    assert finished is not None
    assert finished.skill == "done"
    assert finished.history.endswith("pick green cylinder: ok; place blue cube: ok")
    assert _steps_question(rng, "", seen, [("blue cube", "green cylinder")], held="") is None  # nothing to point at
    assert _steps_question(rng, "", seen, [("black cube", "blue cube")], held="black cube") is None
    go_on = _steps_question(rng, "", seen, [*tower, ("black cube", "green cylinder")], held="black cube")
    assert go_on is not None
    assert (go_on.skill, go_on.label) == ("place", "green cylinder")


@pytest.mark.render
def test_nothing_taught_contradicts_the_picture():
    rng, dones = np.random.default_rng(7), 0
    for _ in range(60):
        seen = things(take_picture(rng)[2])
        by_row, loaded = {t.row: t for t in seen}, {t.on for t in seen if not t.inside}
        for question in filter(None, (ask(rng, seen, HELD_OUT) for _ in range(16))):
            if question.skill in ("pick", "place"):
                meant = by_row[question.row]
                assert not meant.hidden
                assert meant.row not in loaded or (question.free and meant.shape != "ball")
            reading = read(question.instruction)
            if question.skill != "done" or reading.sorts:
                continue
            dones += 1
            for pair in reading.pairs:
                (what,) = [t for t in seen if pair.what.color == t.color and pair.what.shape == t.shape]
                carrier = by_row[what.on]
                assert pair.where.color in (None, carrier.color)
                assert pair.where.shape in (None, carrier.shape)
    assert dones > 20


@pytest.mark.render
def test_towers_of_up_to_four_storeys_stand_and_are_asked_about():
    rng, heights = np.random.default_rng(3), set[int]()
    for _ in range(40):
        placements = arrange_tower(rng)
        assert len({p.spec.id for p in placements}) == len(placements) <= MAX_OBJECTS
        base = placements[0].pos
        tower = [p for p in placements if np.hypot(p.pos[0] - base[0], p.pos[1] - base[1]) < 0.02]
        heights.add(len(tower))
        assert all(p.spec.shape != "ball" for p in tower)
    assert heights == {1, 2, 3, 4}
    rows = _table(("red", "cube", 99, 0, -1), ("blue", "cube", 99, 2, 0), ("white", "cube", 99, 2, 1))
    asked = [_ask_stack(rng, things(rows), frozenset()) for _ in range(200)]
    skills = [question.skill for question in asked if question is not None]
    assert {"done", "place"} == set(skills)
