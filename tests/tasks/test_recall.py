"""What is covered is out of sight, travels with its cover, and must be remembered: nobody may look before."""

import mujoco
import numpy as np
import pytest

from qwenarm.body.objects.spec import make_spec
from qwenarm.body.simulation import Body
from qwenarm.env import ArmEnv
from qwenarm.skills import run
from qwenarm.tasks import oracle_call, oracle_point, points_in_note
from qwenarm.tasks.recall.events import CoverMotion
from qwenarm.tasks.recall.goal import AnswerAboutCovers, BringCovered
from qwenarm.types import SkillCall


def episode(level, seed, kind=None) -> tuple[ArmEnv, Body, CoverMotion]:
    """A fresh one, of the first seed from this one on whose request is of that kind."""
    while True:
        env = ArmEnv("recall", level=level, cameras=())
        env.reset(seed=seed)
        if kind is None or isinstance(env.setup.goal, kind):
            covers = env.setup.events[0]
            assert isinstance(covers, CoverMotion)
            return env, env.body, covers
        seed += 1


def act(body, call):
    for control in run(body, oracle_call(body, call, ("front", "overhead"))):
        body.step(control)


def watch(body, covers):
    for _ in range(10):
        if not covers.stage:
            act(body, SkillCall("look"))
    assert covers.stage


def shift(body, name, dx):
    """Puts a thing elsewhere by hand."""
    body.data.qpos[body.model.joint(name).qposadr[0]] += dx
    mujoco.mj_forward(body.model, body.data)


@pytest.mark.render
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_camera_sees_what_is_covered_and_the_request_comes_then(level, seed):
    env, body, covers = episode(level, seed)
    first, names = env.instruction, [p.spec.id for p in body.scene.objects]
    hidden = [names.index(thing) for _, thing in covers.hides]
    watch(body, covers)
    assert not covers.spoiled and not covers.opened and env.instruction != first
    for camera in ("front", "overhead", "wrist", "wide"):
        seen = np.unique(body.segmentation(camera, (480, 640)))
        assert not set(hidden) & set(seen.tolist()), camera


@pytest.mark.parametrize("seed", [0, 1])
def test_things_travel_with_their_covers(seed):
    _, body, covers = episode(2, seed)
    before = {thing: body.state()[thing].pos for _, thing in covers.hides}
    watch(body, covers)
    state = body.state()
    far = [thing for thing, pos in before.items() if np.hypot(*(state[thing].pos - pos)[:2]) > 0.05]
    assert sorted(far) == sorted(trip.load for trip in covers.trips if trip.load) and len(far) == 2
    assert all(covers.is_over(state, cover) for cover, _ in covers.hides) and state.at_rest()


def test_no_cover_moves_while_the_hand_is_near():
    _, body, covers = episode(1, 0)
    first = covers.trips[0]
    low = body.ik(np.array([first.x, first.y, 0.15]), body.proprio().tcp_quat)
    body.data.qpos[body.kinematics.qpos_adr] = low.qpos
    mujoco.mj_forward(body.model, body.data)
    for _ in range(5):
        covers.step(body)
    assert covers.periods == 0 and not covers.trips_made
    body.reset()
    covers.step(body)
    assert covers.periods == 1


def test_who_moves_something_before_it_is_covered_has_lost():
    env, body, covers = episode(1, 3)
    goal = env.setup.goal
    assert isinstance(goal, BringCovered)
    shift(body, dict(covers.hides)[goal.cover], 0.12)
    watch(body, covers)
    assert covers.spoiled and not goal.success(body.state())


def test_only_the_right_cover_may_be_lifted():
    for right in (True, False):
        env, body, covers = episode(1, 0)
        goal = env.setup.goal
        assert isinstance(goal, BringCovered)
        watch(body, covers)
        other = next(cover for cover, _ in covers.hides if cover != goal.cover)
        call = oracle_call(body, goal.solve(body.state())[0])
        hidden = body.scene.spec(dict(covers.hides)[goal.cover]).label
        assert call.args["at"].label == f"cover of the {hidden}", "its colour was never said"
        for _ in range(4 if right else 0):
            act(body, goal.solve(body.state())[0])
        if not right:
            act(body, SkillCall("pick", {"at": other}))
        assert (goal.cover in covers.opened, other in covers.opened) == (right, not right)
        assert goal.success(body.state()) is right
        assert goal.progress(body.state()) == float(right)


def test_an_answer_counts_after_the_request_and_without_peeking():
    env, body, covers = episode(3, 0, AnswerAboutCovers)
    goal = env.setup.goal
    assert goal is not None
    watch(body, covers)
    (answer, *_) = goal.solve(body.state())
    act(body, SkillCall("say", {"text": "perhaps 9 pink elephants"}))
    assert not goal.success(body.state())
    act(body, answer)
    assert goal.success(body.state()) and goal.solve(body.state()) == [SkillCall("done")]
    covers.calls_before = len(body.said)  # as if all had been said before the request
    assert not goal.success(body.state())
    covers.calls_before = 0
    shift(body, covers.hides[0][0], 0.12)
    body.step(body.hold())
    assert covers.opened and not goal.success(body.state())


@pytest.mark.parametrize(
    ("right", "text", "fits"),
    [
        (2, "2", True),
        (2, "There are two of them.", True),
        (2, "hay dos cubos", True),
        (2, "有两个方块", True),
        (0, "there are no balls", True),
        (2, "2 or 3", False),
        (2, "", False),
        ("red cube", "a red cube", True),
        ("red cube", "Under the white cover is the red block.", True),
        ("red cube", "bajo la tapa blanca hay un cubo rojo", True),
        ("red cube", "白色罩子下面是红色方块", True),
        ("red cube", "a red cube or a blue ball", False),
        ("red cube", "something red", False),
        ("red cube", "a cube", False),
    ],
)
def test_answers_are_read_in_three_languages(right, text, fits):
    cover = make_spec("cover", "white")
    wanted = right if isinstance(right, int) else make_spec(*reversed(right.split()))
    assert AnswerAboutCovers(CoverMotion((), ()), cover, wanted).accepts(text) is fits


def test_the_oracle_notes_once_where_everything_is_and_then_looks():
    env, body, covers = episode(2, 0)
    goal = env.setup.goal
    assert goal is not None
    note, look = goal.solve(body.state())
    assert (note.name, look.name) == ("say", "look")
    text = oracle_call(body, note).args["text"]
    points = points_in_note(text)
    hidden = {body.scene.spec(thing).label for _, thing in covers.hides}
    assert hidden <= {point.label for point in points} and not any("cover" in point.label for point in points)
    assert [point.u for point in points] == sorted(point.u for point in points)
    for thing in (thing for _, thing in covers.hides):
        real = oracle_point(body, thing)
        assert real and any(abs(p.u - real.u) < 1e-3 and abs(p.v - real.v) < 1e-3 for p in points)
    act(body, note)
    assert [call.name for call in goal.solve(body.state())] == ["look"]


def test_no_other_text_is_a_note():
    for text in ("", "there is no red cube here", '{"bad": [1, 2]}', "red cube at 1", "red cube at 1 2; so", "2"):
        assert points_in_note(text) == []
