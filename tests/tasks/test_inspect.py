"""Laws of inspection: only the bad parts and the right verdict count, and a verdict is read however it is written."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.body.objects.spec import make_spec
from qwenarm.body.state import ObjectState, WorldState
from qwenarm.registry import load
from qwenarm.tasks.inspect.goal import Inspection
from qwenarm.tasks.inspect.verdict import last_verdict, read_verdict
from qwenarm.types import SkillCall

BIN, OTHER = make_spec("bowl", "white"), make_spec("box", "red")
PARTS = [replace(make_spec("part", "blue"), number=i) for i in range(1, 5)]
GOAL = Inspection(tuple(p.id for p in PARTS), (PARTS[1].id, PARTS[3].id), BIN.id)
UPRIGHT = np.array([1.0, 0, 0, 0])


def build(level, seed):
    return load("tasks", "inspect").build(np.random.default_rng(seed), level)


def world(*diverted, say=None, into=BIN):
    """The parts in a row, some of them (by number) in a container, and what was said."""
    objects = {
        spec.id: ObjectState(spec, np.array([0.5, -0.4 + 0.2 * i, spec.origin_height]), UPRIGHT, 0.0)
        for i, spec in enumerate((*PARTS, BIN, OTHER))
    }
    for number in diverted:
        thing = objects[PARTS[number - 1].id]
        pos = objects[into.id].pos + [0, 0.001 * number, 0.006 + thing.spec.origin_height]
        objects[thing.spec.id] = replace(thing, pos=pos)
    said = () if say is None else (SkillCall("say", {"text": say}),)
    return WorldState(objects, None, np.array([0.3, 0, 0.4]), 0.08, said=said)


def test_only_the_right_parts_and_the_right_verdict_are_success():
    right = '{"bad": [2, 4]}'
    assert GOAL.success(world(2, 4, say=right)) and GOAL.progress(world(2, 4, say=right)) == 1.0
    for state in (
        world(2, 4),
        world(2, 4, say='{"bad": [2]}'),
        world(2, 4, say="2 and 4 are bad"),
        world(2, say=right),
        world(1, 2, 4, say=right),
        world(2, 4, say=right, into=OTHER),
    ):
        assert not GOAL.success(state) and GOAL.progress(state) < 1.0


def test_progress_rises_with_every_step():
    steps = [world(), world(2), world(2, 4), world(2, 4, say='{"bad": [4, 2]}')]
    progress = [GOAL.progress(state) for state in steps]
    assert progress[0] == 0.0 and progress == sorted(set(progress)) and progress[-1] == 1.0


def test_a_good_part_is_taken_out_again():
    calls = GOAL.solve(world(1, 2, 4, say='{"bad": [2, 4]}'))
    assert [call.name for call in calls] == ["pick", "place", "say", "done"]
    assert calls[0].args["at"] == PARTS[0].id and not isinstance(calls[1].args["at"], str)


def test_the_oracle_says_the_verdict_while_the_parts_stand_in_their_row_and_at_the_end():
    right = '{"bad": [2, 4]}'
    names = [call.name for call in GOAL.solve(world())]
    assert names == ["say", "pick", "place", "pick", "place", "say", "done"]
    assert [call.name for call in GOAL.solve(world(2, say=right))] == ["pick", "place", "say", "done"]
    assert [call.name for call in GOAL.solve(world(2, 4, say=right))] == ["say", "done"]
    assert [call.name for call in GOAL.solve(world(2, 4, say=right + " " + right))] == ["say", "done"]
    none = replace(GOAL, bad=())
    assert [call.name for call in none.solve(world())] == ["say", "done"]
    assert [call.name for call in none.solve(world(say='{"bad": []}'))] == ["done"]


def test_precision_and_recall():
    counts = GOAL.measures(world(2, 3, say='{"bad": [2, 3, 1]}'))
    assert counts == {
        "precision": 1 / 3, "recall": 0.5, "diverted": 1, "to_divert": 2, "good_diverted": 1, "verdict": 1.0,
    }  # fmt: skip
    silent = GOAL.measures(world())
    assert (silent["precision"], silent["recall"], silent["verdict"]) == (0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), level=st.integers(1, 3))
def test_a_bad_part_differs_from_the_good_ones_which_are_all_alike(seed, level):
    setup = build(level, seed)
    specs = {p.spec.id: p for p in setup.scene.objects}
    looks = {i: (specs[i].spec.top, specs[i].spec.sides) for i in setup.goal.parts}
    good = {looks[i] for i in setup.goal.parts if i not in setup.goal.bad}
    assert len(good) == 1 and not any(looks[i] in good for i in setup.goal.bad)
    rows = [specs[i].pos[1] for i in setup.goal.parts]
    assert rows == sorted(rows)  # the front camera has +y on its right


@pytest.mark.parametrize(
    "text",
    [
        '{"bad": [2, 5]}',
        "{'bad': [5, 2]}",
        'The verdict: ```json\n{"bad": ["2", "5"], "good": [1, 3, 4]}\n```',
        '{"defective_parts": ["part 2", "part 5"],}',
        '{"verdict": {"bad": [2, 5]}}',
        '{"1": "ok", "2": "crack", "3": "ok", "4": "good", "5": "bad"}',
        '[{"part": 2, "ok": false}, {"part": 3, "ok": true}, {"part": 5, "ok": false}]',
        '{"parts": [{"id": 1, "defective": False}, {"id": 2, "defective": True}, {"id": 5, "defective": 1}]}',
        "[2, 5]",
        '{"bad": "2, 5"}',
        '{"bad": [1]} no, wait: {"bad": [2, 5]}',
        '{"坏": [2, 5]}',
    ],
)
def test_a_verdict_is_read_however_it_is_written(text):
    assert read_verdict(text) == {2, 5}


@pytest.mark.parametrize(
    "text", ["", "parts 2 and 5 are bad", "{bad: 2", '{"good": "all of them"}', '{"bad": ["two"]}']
)
def test_what_is_no_verdict_is_none(text):
    assert read_verdict(text) is None


@given(
    st.frozensets(st.integers(1, 9)), st.text(alphabet="ab ,.\n", max_size=9), st.text(alphabet="ab ,.\n", max_size=9)
)
def test_every_verdict_in_json_is_read_among_any_words(numbers, before, after):
    said = (SkillCall("say", {"text": f"{before}{json.dumps({'bad': sorted(numbers)})}{after}"}), SkillCall("done"))
    assert last_verdict(said) == numbers


def test_the_last_verdict_counts_and_other_talk_does_not():
    said = [SkillCall("say", {"text": text}) for text in ('{"bad": [1]}', '{"bad": []}', "I am done.")]
    assert last_verdict(said) == frozenset() and last_verdict(said[-1:]) is None and last_verdict(said[:1]) == {1}
