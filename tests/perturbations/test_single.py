"""What single perturbations promise beyond the contract."""

import numpy as np
import pytest

from qwenarm.body.objects.spec import HELD_OUT
from qwenarm.body.rendering.raycast import RayCaster
from qwenarm.body.rendering.renderer import Renderer, choose_renderer
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.episode.drive import drive
from qwenarm.errors import BadInput
from qwenarm.factory import perform
from qwenarm.perturbations import parse
from qwenarm.perturbations.text import _note, _written
from qwenarm.perturbations.words import mistyped
from qwenarm.skills import run
from qwenarm.tasks import oracle_call
from qwenarm.tasks.language.es_zh import ZH_COLORS, ZH_SHAPES, el
from qwenarm.types import Outcome, RunConfig, SkillCall


def built(perturbations, task="put", seed=3, **kwargs) -> ArmEnv:
    env = ArmEnv(task, cameras=(), perturbations=parse(perturbations), **kwargs)
    env.reset(seed=seed)
    return env


def test_typing_errors_spoil_some_words_but_no_first_letter_and_no_short_word():
    text = "please put the yellow cylinder in the purple tray"
    for seed in range(30):
        wrong = mistyped(np.random.default_rng(seed), text)
        pairs = list(zip(text.split(), wrong.split(), strict=True))
        changed = [(a, b) for a, b in pairs if a != b]
        assert 1 <= len(changed) <= 3
        assert all(len(a) >= 4 and a[0] == b[0] and abs(len(a) - len(b)) <= 1 for a, b in changed)


@pytest.mark.parametrize("task", ["put", "stack", "sort"])
def test_translations_name_everything_that_the_words_name(task):
    languages = set()
    for seed in range(8):
        env = built("words:3", task, seed=seed, level=2)
        said = env.setup.translations
        languages |= {code for code, text in said.items() if text == env.instruction == env.setup.instruction}
        english = built("", task, seed=seed, level=2).instruction
        named = [p.spec for p in env.setup.scene.objects if p.spec.label in english]
        assert named and all(ZH_COLORS[s.color] + ZH_SHAPES[s.shape] in said["zh"] for s in named)
        assert all(el(s)[3:] in said["es"] for s in named)
    assert languages == {"es", "zh"}


def test_free_words_are_translated_where_they_have_a_goal():
    env = built("words:3", words="put the red cube in the blue bowl")
    assert env.setup.translations == {
        "es": "por favor, pon el cubo rojo en el cuenco azul",
        "zh": "请把红色方块放进蓝色碗里",
    }
    assert env.instruction in env.setup.translations.values()
    with pytest.raises(BadInput, match="no translation"):
        built("words:3", words="wave your hand")


def test_unseen_pairs_are_all_there_is_at_strength_3():
    for seed in range(5):
        scene = built("combos:3", "stack", seed=seed).setup.scene
        assert all((p.spec.color, p.spec.shape) in HELD_OUT for p in scene.objects)


def test_another_arm_has_the_name_of_the_one_it_stands_for():
    env = built("arm:2")
    assert env.arm == "panda" and env.body.arm.name == "ur5e" and env.action_space.shape == (7,)
    assert built("arm:2", arm="ur5e").body.arm.name == "panda"


def test_the_ink_of_a_note_is_what_is_written():
    mask = _written("PICK THE BLUE BALL")
    paper, *ink = _note(["PICK THE BLUE BALL"], 0.0)
    dot = 2 * min(side for decal in ink for side in decal.half)
    drawn = np.zeros(mask.shape, int)
    for decal in ink:
        (across, down), (width, height) = (decal.pos[1], decal.pos[0] - paper.pos[0]), decal.half
        columns = (np.array([across - width, across + width]) / dot + mask.shape[1] / 2).round().astype(int)
        rows = (np.array([down - height, down + height]) / dot + mask.shape[0] / 2).round().astype(int)
        drawn[slice(*rows), slice(*columns)] += 1
    assert np.array_equal(drawn, mask.astype(int)) and 0.1 < mask.mean() < 0.6


@pytest.mark.render
@pytest.mark.parametrize("perturbations", ["text:3", "look:3"])
def test_notes_and_patterns_look_the_same_to_every_renderer(perturbations):
    if choose_renderer() == "raycast":
        pytest.skip("there is no OpenGL to compare with")
    body, size = built(perturbations).body, (96, 128)
    camera = body.model.camera("front").id
    with Renderer(body.model) as gl:
        drawn, cast = gl.rgb(body.data, "front", size), RayCaster(body.model).rgb(body.data, camera, size, False)
    different = np.abs(drawn.astype(int) - cast.astype(int)).max(axis=2) > 40
    assert different.mean() < 0.06  # edges


@pytest.mark.render
def test_decals_are_too_flat_for_the_skills():
    depths = [built(perturbations).body.depth("overhead", (120, 160)) for perturbations in ("", "look:3,text:3")]
    assert np.abs(depths[0] - depths[1]).max() < 0.0035


def pick(env: ArmEnv, what: str) -> list[bool]:
    """Whether the hand held it, period by period."""
    held = []
    for control in run(env.body, oracle_call(env.body, SkillCall("pick", {"at": what}))):
        env.body.step(control)
        held.append(env.body.state().holding == what)
    return held


def test_the_first_grasp_is_lost_and_only_the_first():
    env = built("slip:2")
    what = env.setup.goal.relations[0].what
    first, second = pick(env, what), pick(env, what)
    assert any(first) and not first[-1]
    assert second[-1]


def test_a_thing_is_dropped_on_the_way_and_can_be_fetched():
    config = RunConfig("put", policy="oracle", perturbations=parse("slip:3"))
    (episode,) = drive([perform(config, 3, None)])
    assert episode.outcome is Outcome.SUCCESS
    assert [turn.decision.calls[0].name for turn in episode.turns] == ["pick", "place", "pick", "place", "done"]


def test_a_thing_is_nudged_once_and_stays_on_the_table():
    env, still = built("slip:1", "stack", seed=2), built("", "stack", seed=2)
    relation = env.setup.goal.relations[0]
    for each in (env, still):
        pick(each, relation.what)
    before, after = still.body.state(), env.body.state()
    moved = [n for n in before.objects if n != relation.what and _away(before, after, n) > 0.03]
    assert len(moved) == 1 and after.on_table(moved[0])
    assert env.setup.max_turns > still.setup.max_turns


def _away(before, after, name: str) -> float:
    return float(np.linalg.norm(before[name].pos - after[name].pos))


def test_the_mishaps_repeat_themselves_bit_for_bit():
    hashes = set()
    for _ in range(2):
        env = built("slip:2")
        pick(env, env.setup.goal.relations[0].what)
        hashes.add(env.body.final_hash())
    assert len(hashes) == 1


def test_props_are_no_objects_and_stand_still():
    env = built("distractors:3", "stack")
    assert len(env.setup.scene.distractors) >= 3
    assert isinstance(env.body, Body) and set(env.body.state().objects) == {p.spec.id for p in env.setup.scene.objects}
    where = [env.body.data.body(f"distractor{i}").xpos.copy() for i in range(len(env.setup.scene.distractors))]
    for _ in range(20):
        env.body.step(env.body.hold())
    assert all(np.linalg.norm(env.body.data.body(f"distractor{i}").xpos - w) < 0.003 for i, w in enumerate(where))
