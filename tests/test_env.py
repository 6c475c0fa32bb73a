"""The environment keeps the contracts of Gymnasium and LeRobot; same seed, same bits, whatever ran before."""

import warnings
from dataclasses import replace
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import qwenarm
from qwenarm.env import ArmEnv
from qwenarm.errors import BadInput, UnknownName
from qwenarm.registry import list_names
from qwenarm.skills import run
from qwenarm.tasks import Arrange, Relation
from qwenarm.types import SkillCall

SMALL = {"frame_size": (48, 64)}


def make(task="Put", **kwargs):
    return gymnasium.make(f"qwenarm/{task}-v0", **{**SMALL, **kwargs})


def inner(env) -> ArmEnv:
    """The environment inside Gymnasium's wrappers."""
    assert isinstance(env.unwrapped, ArmEnv)
    return env.unwrapped


def play(env, seed, steps=12, **reset):
    """Observations of a fixed random walk."""
    seen = [env.reset(seed=seed, **reset)[0]]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        seen.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))[0])
    return seen


def same(a, b):
    return all(
        np.array_equal(x["agent_pos"], y["agent_pos"])
        and all(np.array_equal(x["pixels"][c], y["pixels"][c]) for c in x.get("pixels", {}))
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.render
@pytest.mark.parametrize(("task", "control"), [*((task, "joint") for task in list_names("tasks")), ("put", "ee_delta")])
def test_gymnasiums_own_checks(task, control):
    env = make(task.title().replace("_", ""), control=control, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about normalised and bounded spaces
        check_env(env.unwrapped)


@pytest.mark.render
def test_the_observation_is_what_the_space_says():
    env = make(cameras=("front", "wrist"), frame_size=(32, 40), arm="ur5e")
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert set(observation["pixels"]) == {"front", "wrist"}
    assert observation["pixels"]["front"].shape == (32, 40, 3) and observation["agent_pos"].shape == (7,)
    assert observation["pixels"]["front"].std() > 5
    assert info["is_success"] is False and info["instruction"] == env.get_wrapper_attr("task_description")
    assert env.get_wrapper_attr("task") == "put" and env.get_wrapper_attr("_max_episode_steps") > 0


def test_without_cameras_there_are_no_pixels():
    env = ArmEnv(cameras=())
    observation = env.reset(seed=0)[0]
    assert set(observation) == {"agent_pos"} and env.observation_space.contains(observation)


@pytest.mark.render
def test_same_seed_same_bits_whatever_ran_before():
    env, other = make(), make()
    first = play(env, seed=3)
    play(other, seed=8, steps=5)
    other.reset()
    assert same(first, play(other, seed=3))
    assert inner(env).body.final_hash() == inner(other).body.final_hash()
    assert not same(first, play(other, seed=4))


def test_resets_without_a_seed_follow_from_the_first():
    def instructions(env):
        return [env.reset(seed=5)[1]["instruction"]] + [env.reset()[1]["instruction"] for _ in range(4)]

    a, b = make(cameras=()), make(cameras=())
    assert instructions(a) == instructions(b) and len(set(instructions(a))) > 3


@pytest.mark.render
@pytest.mark.parametrize("vector", [SyncVectorEnv, partial(AsyncVectorEnv, context="spawn")], ids=["sync", "async"])
def test_vector_environments_equal_single_ones(vector):
    envs = vector([make] * 2)
    try:
        observations = [envs.reset(seed=[3, 4])[0]]
        rng = np.random.default_rng(0)
        for _ in range(4):
            action = rng.uniform(-1, 1, envs.single_action_space.shape).astype(np.float32)
            observations.append(envs.step(np.stack([action] * 2))[0])
    finally:
        envs.close()
    for i, seed in enumerate((3, 4)):
        mine = [{"agent_pos": o["agent_pos"][i], "pixels": {"front": o["pixels"]["front"][i]}} for o in observations]
        assert same(mine, play(make(), seed, steps=4))


def test_joint_control_holds_and_moves():
    env = make(cameras=())
    env.reset(seed=0)
    body = inner(env).body
    goal = np.append(body.hold().qpos, 0.02)
    goal[0] += 0.3
    for _ in range(40):
        env.step(goal.astype(np.float32))
    assert np.abs(body.proprio().qpos - goal[:-1]).max() < 0.01 and abs(body.gripper_width - 0.02) < 0.002


def test_ee_delta_shifts_the_hand():
    env = make(cameras=(), control="ee_delta")
    env.reset(seed=0)
    before = inner(env).body.proprio()
    for _ in range(10):
        env.step(np.array([0.5, -0.5, -0.5, 0, 0, 0.5, 1], np.float32))
    for _ in range(5):
        env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    after = inner(env).body.proprio()
    assert np.abs(after.tcp_pos - before.tcp_pos - [0.1, -0.1, -0.1]).max() < 0.01
    assert abs(2 * np.arccos(abs(after.tcp_quat @ before.tcp_quat)) - 0.5) < 0.05


@pytest.mark.parametrize(("made", "limit"), [(make, 5), (ArmEnv, 5), (make, qwenarm.MAX_EPISODE_STEPS + 1)])
def test_an_episode_is_truncated_after_as_many_steps_as_told(made, limit):
    env = made(cameras=(), max_episode_steps=limit)
    env.reset(seed=0)
    home = np.append(inner(env).body.hold().qpos, 0.08).astype(np.float32)
    assert [step for step in range(1, limit + 1) if env.step(home)[3]] == [limit]
    assert env.get_wrapper_attr("_max_episode_steps") == limit
    assert make(cameras=()).get_wrapper_attr("_max_episode_steps") == qwenarm.MAX_EPISODE_STEPS


def test_rewards_add_up_to_the_progress():
    env = ArmEnv(cameras=())
    env.reset(seed=0)
    steps = [env.step(env.action_space.sample()) for _ in range(5)]
    assert sum(reward for _, reward, *_ in steps) == steps[-1][4]["progress"] == 0.0


def test_a_spec_survives_json():
    options = {
        "cameras": ["front", "wrist"], "frame_size": [24, 32], "combos": [["red", "cube"], ["blue", "bowl"]],
        "perturbations": [["look", 2]], "max_episode_steps": 7,
    }  # fmt: skip
    spec = make(**options).spec
    assert spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert again.get_wrapper_attr("_max_episode_steps") == 7
    assert same(play(make(**options), seed=2, steps=2), play(again, seed=2, steps=2))


@pytest.mark.render
@pytest.mark.parametrize("task", ["put", "rearrange"])
def test_info_has_the_same_keys_after_a_reset_and_after_a_step(task):
    env = make(task.title())
    info = env.reset(seed=1)[1]
    assert set(info) == set(env.step(env.action_space.sample())[4])
    assert ("goal" in info) == (task == "rearrange")


@pytest.mark.parametrize("control", ["joint", "ee_delta"])
@pytest.mark.parametrize("surplus", [-1, 1])
def test_an_action_of_the_wrong_shape_is_refused(control, surplus):
    env = ArmEnv(cameras=(), control=control)
    env.reset(seed=0)
    (size,) = env.action_space.shape
    with pytest.raises(BadInput, match=str(size + surplus)):
        env.step(np.zeros(size + surplus, np.float32))


def test_success_terminates():
    env = ArmEnv(cameras=(), level=1)
    env.reset(seed=0)
    assert isinstance(env.setup.goal, Arrange)
    relation = env.setup.goal.relations[0]
    body, where = env.body, env.body.state()[relation.where]
    address = body.model.joint(relation.what).qposadr[0]
    rise = 0.03 + (where.spec.height if not where.spec.container else 0.0)
    body.data.qpos[address : address + 3] = where.pos + [0, 0, rise]
    hold = np.append(body.hold().qpos, body.hold().gripper).astype(np.float32)
    rewards = []
    for _ in range(40):
        _, reward, terminated, _, info = env.step(hold)
        rewards.append(reward)
        if terminated:
            break
    assert terminated and info["is_success"] is True and abs(sum(rewards) - 1.0) < 1e-9


def test_free_words_make_their_own_scene():
    env = make(cameras=())
    _, info = env.reset(seed=0, options={"instruction": "put the red cube in the blue bowl"})
    assert info["instruction"] == "put the red cube in the blue bowl"
    assert inner(env).setup.goal == Arrange((Relation("red_cube", "blue_bowl", leaning=True),))
    assert env.reset(seed=0)[1]["instruction"] != info["instruction"]
    fixed = ArmEnv(words="stack the green cube on the yellow one", cameras=())
    assert fixed.reset(seed=1)[1]["instruction"] == fixed.reset()[1]["instruction"]


def test_an_unjudged_instruction_never_succeeds():
    env = ArmEnv(words="wave your hand", cameras=())
    _, info = env.reset(seed=0)
    assert env.setup.goal is None and info["is_success"] is False
    assert env.step(env.action_space.sample())[1:3] == (0.0, False)


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"task": "fly"}, UnknownName, "stack"),
        ({"arm": "pandas"}, UnknownName, "panda"),
        ({"level": 9}, BadInput, "1 to 3"),
        ({"control": "torque"}, UnknownName, "ee_delta"),
        ({"cameras": ("back",)}, UnknownName, "overhead"),
        ({"render_mode": "human"}, UnknownName, "rgb_array"),
        ({"frame_size": (0, 256)}, BadInput, "height and a width"),
        ({"frame_size": [64]}, BadInput, "height and a width"),
    ],
)
def test_wrong_choices_are_told_with_the_valid_ones(kwargs, error, words):
    with pytest.raises(error, match=words):
        ArmEnv(**kwargs)


def test_words_for_what_does_not_exist_are_refused_at_reset():
    env = ArmEnv(words="put the purple elephant in the bowl", cameras=())
    with pytest.raises(BadInput, match="purple elephant"):
        env.reset(seed=0)


@pytest.mark.render
def test_render_is_for_people():
    env = ArmEnv(render_mode="rgb_array", cameras=())
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None and picture.shape == (480, 640, 3)
    assert ArmEnv(cameras=()).render() is None


class Interrupts:
    """Changes the words after three control periods."""

    def __init__(self):
        self.steps = 0

    def step(self, body):
        self.steps += 1
        return "no, the other one" if self.steps == 3 else None


def test_what_happens_by_itself_happens_every_period_and_may_change_the_words():
    env = ArmEnv(cameras=())
    build = env._task.build

    class Interrupted:
        def build(self, *args):
            return replace(build(*args), events=(Interrupts(),))

    env._task = Interrupted()  # type: ignore[assignment]
    for _ in range(2):  # a new episode begins with its own words, and its own events
        env.reset(seed=1)
        first = env.instruction
        told = [env.step(np.append(env.body.hold().qpos, 0.08))[4]["instruction"] for _ in range(5)]
        assert told == [first, first, *["no, the other one"] * 3]
        assert env.task_description == "no, the other one"


def test_what_is_said_is_part_of_the_state():
    env = ArmEnv(cameras=())
    env.reset(seed=1)
    calls = [SkillCall("say", {"text": "which one?"}), SkillCall("give_up", {"reason": "there is none"})]
    for call in calls:
        assert list(run(env.body, call)) == []
    assert env.body.state().said == tuple(calls)
    env.body.reset()
    assert env.body.state().said == ()


@pytest.mark.render
def test_the_goal_picture_shows_the_table_as_it_shall_be_and_follows_the_look():
    env = ArmEnv("rearrange", frame_size=(48, 64))
    obs, info = env.reset(seed=1)
    start, goal = obs["pixels"]["front"], info["goal"]
    differing = (np.abs(start.astype(int) - goal).max(-1) > 30).mean()
    assert 0.001 < differing < 0.2, "some things are elsewhere, and nothing else differs"
    small = env.goal_frame((24, 32))
    assert small is not None and small.camera == "goal" and small.rgb.shape == (24, 32, 3)
    plain = ArmEnv("rearrange", frame_size=(48, 64), cameras=())
    assert "goal" not in plain.reset(seed=1)[1] and "goal" not in ArmEnv(frame_size=(48, 64)).reset(seed=1)[1]
    changed = ArmEnv("rearrange", frame_size=(48, 64), perturbations=(("look", 3), ("distractors", 3)))
    obs, info = changed.reset(seed=1)
    differing = (np.abs(obs["pixels"]["front"].astype(int) - info["goal"]).max(-1) > 30).mean()
    assert 0.001 < differing < 0.2


def test_depth_and_camera_parameters_describe_the_same_world():
    """A pixel's depth, through intrinsics and extrinsics, is a point where the object is."""
    env = ArmEnv("put", cameras=("front", "wrist"), frame_size=(120, 160), depth=True, object_state=True)
    seen, _ = env.reset(seed=3)
    assert env.observation_space.contains(seen)
    for index, (name, thing) in enumerate(env.body.state().objects.items()):
        assert np.allclose(seen["objects"][index, :3], thing.pos, atol=1e-6), name
    rows, columns = np.indices((120, 160)) + 0.5
    matrix, pose, depth = seen["intrinsics"]["front"], seen["extrinsics"]["front"], seen["depth"]["front"]
    ahead = np.stack(
        [(columns - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1], np.ones((120, 160))]
    )
    points = (pose[:3, :3] @ (ahead * depth).reshape(3, -1)).T + pose[:3, 3]
    owner = env.body.segmentation("front", (120, 160)).ravel()
    for index, thing in enumerate(env.body.state().objects.values()):
        if (owner == index).any():
            assert np.linalg.norm(points[owner == index].mean(axis=0)[:2] - thing.pos[:2]) < 0.06
    table = points[(owner == -1) & (np.abs(points[:, 0] - 0.5) < 0.1) & (np.abs(points[:, 1]) < 0.3)]
    assert abs(np.median(table[:, 2])) < 2e-3, "the table is at z = 0"
    env.close()


def test_flat_observations_have_no_dicts_in_them():
    env = ArmEnv("put", cameras=("front",), frame_size=(24, 32), depth=True, flat=True)
    seen, _ = env.reset(seed=0)
    names = {"agent_pos", "pixels_front", "depth_front", "intrinsics_front", "extrinsics_front"}
    assert set(seen) == names == set(env.observation_space.spaces) and env.observation_space.contains(seen)
    env.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode_of_vector_environments(mode):
    """An episode ends after 2 steps; the infos of all steps have the same keys."""
    envs = SyncVectorEnv([partial(make, max_episode_steps=2)] * 2, autoreset_mode=mode)
    _, info = envs.reset(seed=0)
    keys, ends = {key.removeprefix("_") for key in info}, 0
    for _ in range(6):
        _, _, _, truncated, info = envs.step(envs.action_space.sample())
        ends += int(truncated.all())
        assert keys <= {key.removeprefix("_") for key in info}
        assert {key.removeprefix("_") for key in info} - keys <= {"final_info", "final_obs"}
        if mode is AutoresetMode.DISABLED and truncated.any():
            envs.reset(options={"reset_mask": truncated})
    assert ends == (2 if mode is AutoresetMode.NEXT_STEP else 3)
    envs.close()
