"""The probe against a model that knows the truth, and one that is off by a known way."""

import json

import pytest

from qwenarm.cli.main import main
from qwenarm.diagnosis.probe import (
    NO_POINT,
    OTHER_OBJECT,
    POINT_HIT,
    POINT_OFF,
    ProbedScene,
    accuracies,
    check,
    probe,
    questions,
)
from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.factory import make_env
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.mind.coordinates import encode
from qwenarm.tasks import oracle_point
from qwenarm.types import Completion, RunConfig

CELLS = [("put", 1)]
FULL = 1000
"""The models of this family count to 1000, whatever the frame."""


@pytest.fixture(scope="module")
def scene():
    env = make_env(RunConfig("put"))
    env.reset(seed=FIRST_SEED)
    return ProbedScene(env, "put", 1, FIRST_SEED)


def knowing(scene, shift=(0.0, 0.0), label=None, camera="front"):
    """A model that points at what the words ask for: first named if the hand is empty, else last."""
    labels = {p.spec.label: p.spec.id for p in scene.env.setup.scene.objects}

    def reply(prompt):
        words = prompt.messages[-1]["content"][-1]["text"]
        task = words.partition("Task: ")[2].partition("\n")[0]
        named = sorted((name for name in labels if name in task), key=task.index)
        skill, what = ("place", named[-1]) if "holding" in words else ("pick", named[0])
        point = oracle_point(scene.env.body, labels[what], camera)
        size = prompt.images[0].shape[:2]
        xy = encode(backend.family.codec, (point.u + shift[0], point.v + shift[1]), size)
        at = {"label": label or what, "point_2d": list(xy)}
        return Completion(f"<tool_call>\n{json.dumps({'name': skill, 'arguments': {'at': at}})}\n</tool_call>")

    backend = Scripted(reply)
    return backend


def test_everything_in_a_scene_is_asked_for_once_and_the_scene_stays_as_it_was(scene):
    before = scene.env.body.final_hash()
    asked = list(questions(scene, "front"))
    assert sorted(q.what for q in asked) == sorted(p.spec.id for p in scene.env.setup.scene.objects)
    answers = list(probe(knowing(scene), CELLS, 1))
    assert [a.question for a in answers] == asked and scene.env.body.final_hash() == before
    containers = {p.spec.id for p in scene.env.setup.scene.objects if p.spec.container}
    assert {q.what for q in asked if q.skill == "place"} == containers != set()


@pytest.mark.parametrize("camera", ["front", "overhead"])
def test_a_model_that_knows_hits_everything(scene, camera):
    answers = list(probe(knowing(scene, camera=camera), CELLS, 1, [camera], batch=3))
    assert answers and all(a.kind == POINT_HIT and a.px < 1.5 and a.cm < 0.5 for a in answers)
    assert {a.question.camera for a in answers} == {camera}


def test_distances_are_those_by_which_a_model_is_off(scene):
    answers = list(probe(knowing(scene, (0.2, 0.0)), CELLS, 1))
    width = knowing(scene).preset.frame_size[1]
    assert all(a.px == pytest.approx(0.2 * width, abs=2) and 10 < a.cm < 25 for a in answers)
    assert POINT_OFF in {a.kind for a in answers}


def test_other_things_and_other_words_are_misses_with_a_name(scene):
    label = scene.env.setup.scene.objects[0].spec.label
    kinds = [a.kind for a in probe(knowing(scene, label=label), CELLS, 1)]
    assert kinds.count(POINT_HIT) == 1 and kinds.count(OTHER_OBJECT) == len(kinds) - 1
    silent = list(probe(Scripted(lambda prompt: "I see a table."), CELLS, 1))
    assert {a.kind for a in silent} == {NO_POINT} and all(a.px is None and a.said for a in silent)


def test_groups_add_up(scene):
    found = accuracies(list(probe(knowing(scene, (0.02, 0.0)), CELLS, 1)))
    total, *groups = found
    assert total.name == "all" and total.n == sum(total.kinds.values()) and total.low <= total.hits / total.n
    for first in ("task", "asked", "camera"):
        assert sum(g.n for g in groups if g.name.startswith(first)) == total.n
    assert sum(g.n for g in groups if not g.name.startswith(("task", "asked", "camera"))) == total.n


def test_what_does_not_exist_is_told_before_a_model_is_loaded():
    with pytest.raises(UnknownName):
        check([("dance", 1)])
    with pytest.raises(BadInput, match="level"):
        check([("put", 9)])


def test_the_command_writes_what_it_found(tmp_path, capsys):
    script, path = tmp_path / "replies.jsonl", tmp_path / "deep" / "probe.json"
    script.write_text('"no idea"\n' * 20)
    words = ["probe", "--model", f"scripted:{script}", "--task", "put", "--seeds", "1", "--out", str(path)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    kept = json.loads(path.read_text())
    assert "camera front" in shown and kept["accuracies"][0]["hits"] == 0 < kept["accuracies"][0]["n"]
    assert len(kept["answers"]) == kept["accuracies"][0]["n"] and kept["preset"] == "qwen" and kept["versions"]
    assert main([*words, "--seeds", "0"]) == 2
