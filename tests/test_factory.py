"""Names become the right things: which objects play, and which eyes are shut."""

import gc
import weakref

import numpy as np
import pytest

from qwenarm.body.objects.spec import HELD_OUT
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.episode.drive import drive
from qwenarm.errors import BadInput, UnknownName
from qwenarm.factory import (
    COMBINATION_SETS,
    assumed,
    check_choices,
    make_backend,
    make_env,
    make_policy,
    perform,
    prepare,
)
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.registry import list_names
from qwenarm.types import Frame, Observation, Proprio, RunConfig


def test_what_was_prepared_is_played_and_not_built_again(monkeypatch):
    config = RunConfig(policy="oracle", words="put the red cube in the blue bowl", perturbations=(("look", 1),))
    setup = prepare(config, 3)
    monkeypatch.setattr(ArmEnv, "build", lambda *_: pytest.fail("it was built twice"))
    (prepared,) = drive([perform(config, 3, None, setup=setup)])
    monkeypatch.undo()
    (built,) = drive([perform(config, 3, None)])
    assert prepared.final_hash == built.final_hash and prepared.instruction == built.instruction


def test_what_cannot_be_played_is_refused_before_anything_is_compiled():
    with pytest.raises(BadInput, match="oracle needs a goal"):
        prepare(RunConfig(policy="oracle", words="wave your hand"), 0)
    with pytest.raises(BadInput, match="seed is 0 or more"):
        prepare(RunConfig(policy="idle"), -1)


@pytest.mark.parametrize(
    ("task", "policy"),
    [*((task, "idle") for task in list_names("tasks")), ("parcels", "wrong_words"), ("rearrange", "wrong_words")],
)
def test_nothing_is_left_of_an_episode_that_is_over(task: str, policy: str, monkeypatch):
    """Or memory grows by the model of a world with every episode."""
    worlds, make_body = list[weakref.ref](), ArmEnv._make_body

    def watched(env: ArmEnv) -> Body:
        body = make_body(env)
        worlds.extend(map(weakref.ref, (env, body)))
        return body

    monkeypatch.setattr(ArmEnv, "_make_body", watched)
    gc.disable()  # nothing is collected by chance
    try:
        model = Scripted(["nothing"] * 8)
        for _ in drive([perform(RunConfig(task, 3, policy=policy), 0, model)], model):
            pass
        assert worlds and not any(world() for world in worlds)
    finally:
        gc.enable()


@pytest.mark.parametrize("combos", COMBINATION_SETS)
@pytest.mark.parametrize("task", ["put", "stack", "sort"])
def test_only_the_chosen_pairs_play(task: str, combos: str):
    env = make_env(RunConfig(task, combos=combos))
    for seed in range(6):
        env.reset(seed=seed)
        pairs = {(p.spec.color, p.spec.shape) for p in env.setup.scene.objects}
        assert combos != "unseen" or pairs <= HELD_OUT
        assert combos != "seen" or not pairs & HELD_OUT


def test_an_unknown_choice_is_named():
    with pytest.raises(UnknownName, match="unseen"):
        make_env(RunConfig(combos="some"))


def test_a_blind_policy_sees_grey():
    config = RunConfig(policy="blind")
    policy = make_policy(config, make_env(config), 0, Scripted(["nothing"]))
    frame = Frame(np.arange(192 * 256 * 3, dtype=np.uint32).reshape(192, 256, 3).astype(np.uint8), "front")
    proprio = Proprio(np.zeros(7), np.zeros(3), np.array([1.0, 0, 0, 0]), 0.08, False)
    prompt = next(policy.decide(Observation((frame,), proprio, "put the red cube in the blue bowl"), ()))
    assert prompt.images[0].min() == prompt.images[0].max() == 128


def test_an_episode_knows_what_was_chosen():
    """With all its options: what is read back is what was asked for, and the cameras are those that were shown."""
    config = RunConfig("put", combos="seen", perturbations=(("light", 1),), cameras="overhead")
    backend = make_backend(config)
    (episode,) = drive([perform(config, 0, backend)], backend)
    assert episode.run.config == config
    assert [frame.camera for frame in episode.turns[0].observation.frames] == ["overhead"]
    assert all(
        call.args["at"].camera == "overhead" for t in episode.turns for call in t.decision.calls if "at" in call.args
    )


def test_what_was_assumed_is_told():
    told = {"model": "mine", "family": "qwen3_vl", "family_from": "the server's listing: x"}
    assert assumed(told) == assumed({"model": "bundled"}) == ""
    assert "does not enforce constrain=required" in assumed({**told, "constrain": "required", "enforced": False})
    spoken = [assumed({"model": "bundled"}, words) for words in ("put it in the bowl", "pon el cubo", "把方块放进碗里")]
    assert spoken[0] == "" and "not on Spanish" in spoken[1] and "not on Chinese" in spoken[2]
    assert "may add its own top_k, min_p" in assumed({**told, "server_may_add": ["top_k", "min_p"]})
    doubt = assumed({**told, "family_from": "assumed; say which with family=... if that is wrong"})
    assert "'mine'" in doubt and "qwen3_vl" in doubt


def test_a_record_of_a_policy_without_a_model_has_no_altitude():
    check_choices(RunConfig(policy="oracle", model="", altitude=""))
    for wrong in (RunConfig(policy="oracle", altitude="low"), RunConfig(policy="vlm", altitude="")):
        with pytest.raises(UnknownName, match="altitude"):
            check_choices(wrong)
