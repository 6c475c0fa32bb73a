"""The answers that are taught are the calls that the tasks' own solvers name."""

import numpy as np
import pytest

from qwenarm.body.body import Body
from qwenarm.registry import load
from qwenarm.tasks import oracle_point
from qwenarm.tasks._goal import Arrange, Sort
from qwenarm.train.labels import COLOR_NAMES, SHAPE_NAMES
from qwenarm.train.questions import Question, Thing, _steps_question, next_to_sort


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
