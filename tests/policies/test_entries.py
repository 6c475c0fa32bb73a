"""Contract of every policy: what its entry says is what it gets, and it decides the same for the same eyes."""

import numpy as np
import pytest

from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import observe
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import policy_hash
from qwenarm.factory import make_env, make_policy, perform
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.policies import Context, controls, policy_entry
from qwenarm.policies.function import FunctionPolicy, as_decision
from qwenarm.registry import list_names
from qwenarm.types import Decision, Outcome, RunConfig, SkillCall

NAMES = list_names("policies")
GIVE_UP = '<tool_call>\n{"name": "give_up", "arguments": {"reason": "no"}}\n</tool_call>'


def look_then_stop(observation, history):
    return "done" if history else ["look", SkillCall("say", {"text": observation.instruction})]


def talks(observation, history):
    return 5


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_that_does_not_say_what_it_needs_does_not_get_it(name):
    entry, config = policy_entry(name), RunConfig(policy=name)
    if entry.needs_model or entry.privileged:
        with pytest.raises(BadInput, match=f"{name!r} was given no .*must set (needs_model|privileged)"):
            entry.make(Context(config, 4))
    else:
        entry.make(Context(config, 4))
    env = make_env(config)
    env.reset(seed=4)
    assert make_policy(config, env, 4, Scripted([])).name


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_says_what_it_is_and_decides_the_same_again(name):
    config, backend = RunConfig(policy=name), Scripted(lambda prompt: GIVE_UP)
    episodes = [next(drive([perform(config, 4, backend)], backend)) for _ in range(2)]
    first, second = episodes
    assert [turn.decision for turn in first.turns] == [turn.decision for turn in second.turns]
    assert first.final_hash == second.final_hash and first.outcome is not Outcome.CRASHED
    assert policy_hash(first.run.policy) == policy_hash(second.run.policy)


def test_controls_begin_with_those_that_know_most():
    assert controls() == ("oracle", "state_text", "wrong_words", "blind", "idle", "random")
    assert {name for name in NAMES if policy_entry(name).control} == set(controls())


def test_a_plain_function_plays_and_its_record_says_which_code_it_was():
    (episode,) = drive([perform(RunConfig(policy=f"{__name__}:look_then_stop"), 1, None)])
    assert [[call.name for call in turn.decision.calls] for turn in episode.turns] == [["look", "say"], ["done"]]
    assert episode.outcome is Outcome.FAILURE and len(episode.run.policy["source_sha256"]) == 64
    (wrong,) = drive([perform(RunConfig(policy=f"{__name__}:talks"), 1, None)])
    assert wrong.outcome is Outcome.CRASHED and "returns calls" in wrong.detail


def test_what_a_function_may_return():
    look = SkillCall("look")
    assert as_decision("look") == as_decision(look) == as_decision(["look"]) == Decision((look,))
    assert as_decision(iter(["look", look])).calls == (look, look) and as_decision(Decision()) == Decision()
    for wrong in (None, 3, [3], [None]):
        with pytest.raises(BadInput, match="returns calls"):
            as_decision(wrong)


def test_a_function_sees_the_cameras_that_its_policy_names():
    config = RunConfig()
    env = make_env(config)
    env.reset(seed=1)
    seen = observe(env, FunctionPolicy("f", look_then_stop, ("overhead", "wrist"), (48, 64)))
    assert [(frame.camera, frame.rgb.shape) for frame in seen.frames] == [
        ("overhead", (48, 64, 3)),
        ("wrist", (48, 64, 3)),
    ]
    assert not np.array_equal(seen.frames[0].rgb, seen.frames[1].rgb)
