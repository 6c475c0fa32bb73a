"""What an episode cost: laws of the numbers, and that the simulator's contacts are told apart as they are meant."""

import json

import mujoco
import numpy as np
import pytest

from qwenarm.body.arms.panda import ARM
from qwenarm.body.cameras import project
from qwenarm.body.objects.spec import make_spec
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.episode.drive import drive
from qwenarm.episode.metrics import FIRM_GRASP_PERIODS, Grip, Touch, jerk_rms, path_length
from qwenarm.factory import perform
from qwenarm.mind.backends.scripted import Scripted
from qwenarm.perturbations import parse
from qwenarm.types import Control, ImagePoint, RunConfig, SkillCall

TIMES = np.arange(40)[:, None] * CONTROL_PERIOD_S
WAY = np.array([0.3, -0.2, 0.6])


def metrics(config, seed=5, backend=None):
    (episode,) = drive([perform(config, seed, backend)], backend)
    return episode.run.metrics, episode


def test_the_length_of_a_path_is_that_of_its_pieces_and_does_not_depend_on_where_it_lies():
    path = np.cumsum(np.random.default_rng(0).normal(size=(30, 3)), axis=0)
    assert path_length(path) == pytest.approx(path_length(path[:11]) + path_length(path[10:]))
    assert path_length(path[::-1] + WAY) == pytest.approx(path_length(path))
    assert path_length(TIMES * WAY) == pytest.approx(TIMES[-1, 0] * np.linalg.norm(WAY))
    assert path_length(path[:1]) == path_length(path[:0]) == 0.0


def test_jerk_is_the_third_derivative():
    assert jerk_rms(TIMES**2 * WAY + TIMES * WAY) == pytest.approx(0, abs=1e-6)
    assert jerk_rms(TIMES**3 / 6 * WAY) == pytest.approx(np.linalg.norm(WAY), rel=1e-6)
    assert jerk_rms(TIMES[:3] * WAY) == 0.0


@pytest.mark.parametrize(
    ("held", "gaps", "drops"),
    [
        ([1] * 9, [0.0] * 9, 0),
        ([1] * 5 + [-1] * 6, [0.0] * 11, 1),  # lost
        ([1] * 5 + [-1] * 6, [0.0] * 5 + [0.08] * 6, 0),  # let go
        ([1] * 5 + [-1] * (FIRM_GRASP_PERIODS - 1) + [1] * 5, [0.0] * 12, 0),  # contacts flicker
        ([1] * (FIRM_GRASP_PERIODS - 1) + [-1] * 6, [0.0] * (FIRM_GRASP_PERIODS + 5), 0),  # never firmly held
        ([1] * 5 + [-1] * 6 + [1] * 5 + [-1] * 6, [0.0] * 22, 2),
    ],
)
def test_a_drop_is_a_grip_that_was_lost_against_orders(held, gaps, drops):
    grip = Grip()
    for body, gap in zip(held, gaps, strict=True):
        grip.look(body, gap)
    assert grip.drops == drops


def placed(spec, y):
    return Placement(spec, (0.45, y, spec.origin_height))


def two_cubes():
    """The world of a red and a blue cube, the measuring of contacts in it, and their names."""
    rng = np.random.default_rng(0)
    first, second = make_spec("cube", "red", rng), make_spec("cube", "blue", rng)
    body = Body(Scene((placed(first, 0.0), placed(second, 0.12))), ARM)
    return body, Touch(body), first.id, second.id


def pointing(body, name, call):
    """A call that points at the top of a thing."""
    thing = body.state()[name]
    top = thing.pos + [0, 0, thing.spec.height / 2]
    uv, _ = project(top, *body.camera_pose("front"), 4 / 3)
    return SkillCall(call, {"at": ImagePoint(float(uv[0]), float(uv[1]))})


def press(body, touch, name):
    """Lowers the closed hand onto a thing; contacts that began, and the largest force, N."""
    thing, quat = body.state()[name], body.proprio().tcp_quat
    begun, peak = 0, 0.0
    for height in np.linspace(0.2, thing.spec.height - 0.006, 40):
        solution = body.ik(np.array([*thing.pos[:2], height]), quat)
        body.step(Control(solution.qpos, 0.0))
        new, force = touch.look()
        begun, peak = begun + new, max(peak, force)
    return begun, peak


def test_what_a_call_points_at_may_be_touched_and_nothing_else():
    for aim, unintended in ((0, False), (1, True)):
        body, touch, *names = two_cubes()
        touch.expect(pointing(body, names[aim], "pick"))
        begun, peak = press(body, touch, names[0])
        assert (begun > 0, peak > 1.0) == (unintended, unintended)
        body.close()


def test_the_force_of_a_contact_is_what_the_simulator_says():
    body, touch, cube, _ = two_cubes()
    touch.expect(SkillCall("look"))
    press(body, touch, cube)
    _, force = touch.look()
    arm, wrench, forces = touch._arm, np.zeros(6), []
    for i, geoms in enumerate(body.data.contact.geom):
        first, second = body.model.geom_bodyid[geoms]
        if arm[first] != arm[second]:
            mujoco.mj_contactForce(body.model, body.data, i, wrench)
            forces.append(np.linalg.norm(wrench[:3]))
    assert forces and force == pytest.approx(max(forces))
    body.close()


def test_an_oracles_episode_is_clean_and_its_numbers_hang_together():
    found, episode = metrics(RunConfig(policy="oracle"))
    assert (found["contacts"], found["drops"], found["format_errors"], found["tokens_in"]) == (0, 0, 0, 0)
    assert found["decisions"] == len(episode.turns) and found["model_s"] == 0
    assert found["clamps"] == sum(sum(turn.clamps.values()) for turn in episode.turns)
    assert found["sim_s"] == pytest.approx(sum(turn.sim_time_s for turn in episode.turns) + 0.5)  # and it settles
    assert 0.5 < found["path_m"] < 10 and found["jerk_rms_m_s3"] > 0


def test_a_grasp_that_is_lost_is_a_drop():
    lost = [
        metrics(RunConfig(policy="oracle", perturbations=parse("slip:2")), seed)[0]["drops"] for seed in range(5, 8)
    ]
    assert lost == [1, 1, 1]


def test_idle_moves_nothing_and_random_hits_things():
    assert metrics(RunConfig(policy="idle"))[0]["contacts"] == 0
    rough = [metrics(RunConfig(policy="random"), seed)[0] for seed in range(3)]
    assert sum(found["contacts"] for found in rough) > 0
    assert all((found["contact_peak_n"] > 0) == (found["contacts"] > 0) for found in rough)


def test_tokens_and_unreadable_answers_are_counted():
    look = "<tool_call>\n" + json.dumps({"name": "look", "arguments": {}}) + "\n</tool_call>"
    backend = Scripted(["nothing to read", look, "again nothing", "no", "no"])
    found, episode = metrics(RunConfig(model="scripted"), backend=backend)
    completions = [completion for turn in episode.turns for completion in turn.completions]
    assert found["format_errors"] == 4 and found["decisions"] == len(completions) == 5
    assert found["tokens_out"] == sum(completion.tokens_out for completion in completions)
    assert found["tokens_in"] == sum(completion.tokens_in for completion in completions)
