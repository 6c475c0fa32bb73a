"""Beside a model: what is taken away is really gone, what is put in its place is really there, all else is the same."""

import re

import numpy as np
import pytest

from qwenarm.body.cameras import project
from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import execute, observe
from qwenarm.episode.watchers import Tell
from qwenarm.factory import make_env, make_policy, perform
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.mind.coordinates import decode
from qwenarm.mind.prompt.presets import BUNDLED_PRESET, QWEN_PRESET
from qwenarm.policies import policy_entry
from qwenarm.policies.state_text import with_line
from qwenarm.policies.wrong_words import swapped
from qwenarm.registry import list_names
from qwenarm.types import Outcome, Prompt, RunConfig

GIVE_UP = '<tool_call>\n{"name": "give_up", "arguments": {"reason": "no"}}\n</tool_call>'
TASKS = list_names("tasks")
ASK_A_MODEL = [name for name in list_names("policies") if policy_entry(name).needs_model]


def asked(role, task="put", seed=5):
    """What a role's first prompt is, in the same scene for all of them, and the scene."""
    config = RunConfig(task, policy=role)
    env = make_env(config)
    env.reset(seed=seed)
    policy = make_policy(config, env, seed, Scripted([]))
    return next(policy.decide(observe(env, policy), ())), env


def words_of(prompt):
    """All that the user says."""
    return "".join(part.get("text", "") for part in prompt.messages[-1]["content"])


@pytest.mark.parametrize("task", TASKS)
def test_each_control_differs_from_the_model_in_one_thing(task):
    prompts = {role: asked(role, task)[0] for role in ASK_A_MODEL}
    true = prompts["vlm"]
    grey = [np.full_like(image, 128) for image in true.images]
    for role, prompt in prompts.items():
        system = prompt.messages[0]["content"]
        told_in_words = [line for line in system.splitlines() if line.startswith("Scene: ")]
        assert bool(told_in_words) == role.endswith("state_text") and prompt.tools == true.tools
        assert re.sub(r"\nScene: .*", "", system) == true.messages[0]["content"]
        eyes = grey if role in ("blind", "state_text") else [*true.images]
        shown = slice(0, 1) if role == "wrong_words" else slice(None)  # another picture of the goal is wrong, too
        assert all(map(np.array_equal, [*prompt.images][shown], eyes[shown])), role
    assert words_of(prompts["blind"]) == words_of(true)
    assert words_of(prompts["state_text"]).startswith(words_of(true) + "\nScene: ")
    assert words_of(prompts["vlm_with_state_text"]) == words_of(prompts["state_text"])
    assert words_of(prompts["wrong_words"]) != words_of(true) or len(true.images) > 1


def test_an_example_tells_its_scene_in_the_units_of_the_family():
    system = asked("state_text")[0].messages[0]["content"]
    scenes = [line for line in system.splitlines() if line.startswith("Scene: ")]
    assert scenes[1] == "Scene: yellow cube in the hand; white tray [703, 482]"
    points = re.findall(r'"label": "([a-z ]+)", "point_2d": (\[[0-9, ]+\])', system)
    assert len(points) == 2 and all(f"{label} {numbers}" in "\n".join(scenes) for label, numbers in points)


@pytest.mark.parametrize("task", ["put", "stack"])
@pytest.mark.parametrize("seed", range(6))
def test_wrong_words_name_another_thing_of_the_scene(task, seed):
    env = make_env(RunConfig(task))
    env.reset(seed=seed)
    true, wrong = env.instruction, swapped(env.instruction, env)
    labels = [placement.spec.label for placement in env.setup.scene.objects]
    mine, others = ({label for label in labels if label in words} for words in (true, wrong))
    assert len(others - mine) == len(mine - others) == 1


def test_where_no_thing_is_named_another_seed_says_what_to_do_and_always_the_same():
    (prompt, env), (again, _) = asked("wrong_words", "sort"), asked("wrong_words", "sort")
    assert swapped(env.instruction, env) == ""
    assert env.instruction not in words_of(prompt) and words_of(prompt) == words_of(again)


@pytest.mark.skipif("rearrange" not in TASKS, reason="no task shows a picture of its goal")
def test_where_the_goal_is_a_picture_another_one_is_shown():
    (true, _), (wrong, _) = asked("vlm", "rearrange"), asked("wrong_words", "rearrange")
    assert np.array_equal(true.images[0], wrong.images[0]) and not np.array_equal(true.images[1], wrong.images[1])


@pytest.mark.parametrize("seed", range(4))
def test_the_scene_in_words_is_where_things_are(seed):
    prompt, env = asked("state_text", seed=seed)
    family, frame = Scripted([]).family, prompt.images[0]
    said = re.findall(r"([a-z ]+?) \[(\d+), (\d+)\]", words_of(prompt).rpartition("Scene: ")[2])
    things = {thing.spec.label: thing.pos for thing in env.body.state().objects.values()}
    assert {label.strip() for label, *_ in said} == set(things)
    for label, x, y in said:
        uv, _ = project(things[label.strip()], *env.body.camera_pose("front"), frame.shape[1] / frame.shape[0])
        assert decode(family.codec, (int(x), int(y)), frame.shape[:2]) == pytest.approx(tuple(uv), abs=2e-3)


@pytest.mark.parametrize(("preset", "told"), [(QWEN_PRESET, True), (BUNDLED_PRESET, False)], ids=["qwen", "bundled"])
def test_the_scene_in_words_tells_what_lies_in_what(preset, told):
    (played,) = drive([perform(RunConfig(policy="oracle"), 5, None)])
    config = RunConfig(policy="state_text")
    env = make_env(config)
    env.reset(seed=5)
    for turn in played.turns[:2]:
        execute(env.body, turn.decision.calls[0], Tell(env, []))
    state = env.body.state()
    (item, bowl), *_ = [(a, b) for a in state.objects for b in state.objects if state.lies_in(a, b)]
    policy = make_policy(config, env, 5, Scripted([], preset=preset))
    words = words_of(next(policy.decide(observe(env, policy), ())))
    relation = rf"{state[item].spec.label} \[\d+, \d+\], in the {state[bowl].spec.label}"
    assert (re.search(relation, words) is not None) == told


def test_what_the_hand_holds_is_said_to_be_in_the_hand():
    (played,) = drive([perform(RunConfig(policy="oracle"), 5, None)])
    config = RunConfig(policy="state_text")
    env = make_env(config)
    env.reset(seed=5)
    policy = make_policy(config, env, 5, Scripted([]))
    execute(env.body, played.turns[0].decision.calls[0], Tell(env, []))
    held = env.body.state()[env.body.state().holding].spec.label
    prompt = next(policy.decide(observe(env, policy), ()))
    assert f"{held} in the hand" in words_of(prompt) and f"{held} [" not in words_of(prompt)


@pytest.mark.parametrize("role", ["wrong_words", "state_text"])
def test_a_control_is_judged_by_the_true_goal_and_its_record_says_what_it_is(role):
    backend = Scripted(lambda prompt: GIVE_UP)
    episodes = [next(drive([perform(RunConfig(policy=each), 5, backend)], backend)) for each in ("vlm", role)]
    assert [episode.outcome for episode in episodes] == [Outcome.GAVE_UP] * 2
    assert episodes[0].instruction == episodes[1].instruction
    assert episodes[0].final_hash == episodes[1].final_hash
    described = episodes[1].run.policy
    assert described != episodes[0].run.policy and episodes[1].policy == role


def test_one_more_line_leaves_the_rest_of_the_prompt_alone():
    system, said = {"role": "system", "content": "be good"}, [{"type": "image"}, {"type": "text", "text": "go"}]
    prompt = Prompt((system, {"role": "user", "content": said}))
    longer = with_line(prompt, "more")
    assert longer.messages[0] is system and longer.messages[1]["content"] == [*said, {"type": "text", "text": "\nmore"}]
    assert len(prompt.messages[1]["content"]) == 2
