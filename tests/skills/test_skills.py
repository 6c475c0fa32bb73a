"""Contract of every skill, and laws of what they do: safe and home afterwards, with a reason when they fail."""

import inspect
import re
from dataclasses import replace

import numpy as np
import pytest

from qwenarm import skills
from qwenarm.body.cameras import project
from qwenarm.body.objects.spec import ObjectSpec, make_spec
from qwenarm.body.scene import Placement, Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import UnknownName
from qwenarm.mind.prompt.messages import WAYS_OUT
from qwenarm.registry import list_names, load
from qwenarm.skills.failure import SkillFailure
from qwenarm.skills.motion import either_way_round, line_down
from qwenarm.tasks import oracle_point
from qwenarm.types import Control, ImagePoint, SkillCall, SkillResult

ARMS = ("panda", "ur5e")
NAMES = list_names("skills")
pytestmark = pytest.mark.render


def table(*things, arm="panda"):
    """A body with things at (shape, colour, x, y, yaw) and an arm, or that of a name."""
    placements = []
    for shape, color, x, y, *yaw in things:
        spec = make_spec(shape, color)
        placements.append(Placement(spec, (x, y, spec.origin_height), *yaw))
    return Body(Scene(tuple(placements)), load("arms", arm) if isinstance(arm, str) else arm)


def spot(body, x, y, z=0.0, camera="front"):
    pos, mat, fovy = body.camera_pose(camera)
    (u, v), _ = project(np.array([x, y, z]), pos, mat, fovy, 4 / 3)
    return ImagePoint(float(u), float(v), "spot", camera)


def do(body, name, **args):
    motion = skills.run(body, SkillCall(name, args))
    while True:
        try:
            body.step(next(motion))
        except StopIteration as end:
            return end.value


def assert_home(body):
    assert np.abs(body.proprio().qpos - body.arm.home_qpos).max() < 0.03


def pick(body, thing, camera="front"):
    return do(body, "pick", at=oracle_point(body, thing, camera))


def place(body, thing):
    return do(body, "place", at=oracle_point(body, thing))


@pytest.mark.parametrize("name", NAMES)
def test_every_skill_describes_itself(name):
    skill = load("skills", name)
    assert skill.spec.name == name and skill.spec.doc.endswith(".")
    assert all(param.doc for param in skill.spec.params), "a line 'name: text' in the docstring for every parameter"
    assert inspect.isgeneratorfunction(skill.act)


def test_specs_are_all_skills_by_name():
    assert tuple(spec.name for spec in skills.specs()) == NAMES
    assert {"pick", "place", "push", "move_to", "look", "open_gripper", "say", "done", "give_up"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arm", ARMS)
def test_any_skill_anywhere_ends_in_a_result_without_clamps(name, arm):
    body = table(("cube", "red", 0.5, 0.1), ("bowl", "blue", 0.55, -0.1), arm=arm)
    rng = np.random.default_rng(0)
    values = {"string": "words", "number": 0.1}
    for _ in range(2):
        params = load("skills", name).spec.params
        args = {p.name: ImagePoint(*rng.random(2)) if p.kind == "point" else values[p.kind] for p in params}
        result = do(body, name, **args)
        assert isinstance(result, SkillResult) and (result.ok or result.detail)
    assert not body.clamps


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("pick", {}, r"pick takes \(at\), not \(\)"),
        ("pick", {"at": "red cube"}, "must be a point"),
        ("pick", {"at": ImagePoint(0.5, 0.5, camera="back")}, "front"),
        ("pick", {"at": ImagePoint(1.5, 0.5)}, "outside"),
        ("done", {"at": ImagePoint(0.5, 0.5)}, r"done takes \(\)"),
        ("say", {"text": 5}, "text"),
    ],
)
def test_wrong_arguments_are_a_result_that_says_so_and_move_nothing(name, args, words):
    body = table(("cube", "red", 0.5, 0.0))
    result = do(body, name, **args)
    assert not result.ok and body.time_s == 0
    assert re.search(words, result.detail)


def test_a_skill_that_does_not_exist_is_the_callers_error():
    with pytest.raises(UnknownName, match="pick"):
        skills.run(table(), SkillCall("juggle"))


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("shape", ["cube", "cylinder", "ball"])
@pytest.mark.parametrize(("x", "y"), [(0.39, 0.24), (0.67, -0.24), (0.53, 0.0)])
def test_pick_and_place_across_the_workspace(arm, shape, x, y):
    body = table((shape, "red", x, y, 0.7), arm=arm)
    assert pick(body, f"red_{shape}") == SkillResult(True)
    assert_home(body)
    assert body.state().holding == f"red_{shape}" and body.proprio().holding
    assert do(body, "place", at=spot(body, 0.5, 0.12)) == SkillResult(True)
    assert_home(body)
    thing = body.state()[f"red_{shape}"]
    assert np.hypot(*(thing.pos[:2] - [0.5, 0.12])) < 0.02 and body.state().on_table(f"red_{shape}")
    assert not body.clamps and body.time_s < 14


@pytest.mark.parametrize("camera", ["front", "overhead"])
@pytest.mark.parametrize("seed", range(3))
def test_any_visible_point_of_a_thing_means_the_thing(camera, seed):
    body = table(("cube", "red", 0.5, 0.1, 0.3), ("ball", "green", 0.6, -0.1), ("bowl", "blue", 0.45, -0.15))
    rng = np.random.default_rng(seed)
    seen = body.segmentation(camera, (240, 320))
    rows, columns = np.nonzero(seen == 1)
    k = rng.integers(len(rows))
    at = ImagePoint((columns[k] + 0.5) / 320, (rows[k] + 0.5) / 240, camera=camera)
    assert do(body, "pick", at=at).ok and body.state().holding == "green_ball"


@pytest.mark.parametrize("container", ["bowl", "tray", "box"])
def test_three_things_fit_into_one_container(container):
    things = [("cube", "red", 0.42, 0.2), ("cylinder", "green", 0.5, 0.2), ("ball", "yellow", 0.6, 0.2)]
    body = table(*things, (container, "blue", 0.5, -0.1, 0.4))
    for thing in ("red_cube", "green_cylinder", "yellow_ball"):
        assert pick(body, thing).ok and place(body, f"blue_{container}").ok
    for _ in range(10):
        body.step(body.hold())
    state = body.state()
    assert all(state.inside(thing, f"blue_{container}") for thing in ("red_cube", "green_cylinder", "yellow_ball"))


@pytest.mark.parametrize("arm", ["panda", "ur5e"])
def test_what_has_no_room_in_a_bowl_stands_on_what_is_in_it(arm):
    bowl, inside, other = (
        make_spec("bowl", "blue"),
        ObjectSpec("cube", "red", 0.0474),
        ObjectSpec("cube", "green", 0.051),
    )
    places = (bowl, (0.4455, 0.1406, 0.0)), (inside, (0.4365, 0.1411, 0.0297)), (other, (0.6, -0.15, 0.0255))
    body = Body(Scene(tuple(Placement(spec, pos) for spec, pos in places)), load("arms", arm))
    assert pick(body, "green_cube").ok and place(body, "blue_bowl").ok
    for _ in range(10):
        body.step(body.hold())
    state = body.state()
    assert state.inside("red_cube", "blue_bowl") and state.inside("green_cube", "blue_bowl")


def test_a_tower_of_four():
    colors = ("red", "green", "blue", "white")
    body = table(*(("cube", color, 0.4 + 0.08 * i, 0.2 - 0.12 * i, 0.3 * i) for i, color in enumerate(colors)))
    for lower, upper in zip(colors[:-1], colors[1:], strict=True):
        assert pick(body, f"{upper}_cube").ok and place(body, f"{lower}_cube").ok
    state = body.state()
    assert all(state.on(f"{b}_cube", f"{a}_cube") for a, b in zip(colors[:-1], colors[1:], strict=True))


def test_pick_tells_why_not():
    body = table(("cube", "red", 0.5, 0.1), ("bowl", "blue", 0.55, -0.12))
    assert do(body, "pick", at=spot(body, 0.42, -0.2)) == SkillResult(False, "nothing to grasp at that point")
    rim = oracle_point(body, "blue_bowl", "overhead")
    assert not do(body, "pick", at=rim).ok
    assert "too wide" in do(body, "pick", at=spot(body, 0.55 + 0.067, -0.12, 0.04)).detail
    assert do(body, "pick", at=ImagePoint(0.02, 0.02, camera="wide")).detail == "that point is not on the table"
    assert pick(body, "red_cube").ok
    refused = do(body, "pick", at=rim)
    assert refused == SkillResult(False, "the hand already holds something") and refused.detail in WAYS_OUT
    assert_home(body)
    assert body.state().holding == "red_cube"


def test_place_and_open_gripper_tell_and_do():
    body = table(("cube", "red", 0.5, 0.1))
    refused = do(body, "place", at=spot(body, 0.5, 0.0))
    assert refused == SkillResult(False, "the hand is empty") and refused.detail in WAYS_OUT
    assert pick(body, "red_cube").ok
    assert do(body, "open_gripper").ok and not body.proprio().holding
    assert_home(body)


def test_out_of_reach_is_told_in_centimetres_and_keeps_what_is_held():
    body = table(("cube", "red", 0.5, 0.1))
    assert pick(body, "red_cube").ok
    result = do(body, "place", at=spot(body, 0.82, 0.3, camera="overhead"))
    assert not result.ok and result.detail.startswith("out of reach by ") and result.detail.endswith(" cm")
    assert_home(body)
    assert body.state().holding == "red_cube"


def test_a_thing_that_is_taken_away_in_the_last_moment_is_missed():
    body = table(("cube", "red", 0.5, 0.1))
    motion = skills.run(body, SkillCall("pick", {"at": oracle_point(body, "red_cube")}))
    steps = 0
    while True:
        try:
            control = next(motion)
        except StopIteration as end:
            assert end.value == SkillResult(False, "nothing between the fingers")
            break
        assert isinstance(control, Control)
        body.step(control)
        steps += 1
        if steps == 20:
            address = body.model.joint("red_cube").qposadr[0]
            body.data.qpos[address : address + 2] = 0.42, -0.2
    assert_home(body)
    assert body.gripper_width > 0.07


def test_move_to_and_look():
    body = table(("cube", "red", 0.5, 0.1))
    assert do(body, "move_to", at=oracle_point(body, "red_cube", "overhead")).ok
    tcp = body.proprio().tcp_pos
    assert np.hypot(*(tcp[:2] - [0.5, 0.1])) < 0.03 and 0.14 < tcp[2] < 0.2
    assert do(body, "look").ok
    assert_home(body)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("shape", ["cube", "tray"])
def test_push_slides_a_thing_to_a_point(arm, shape):
    body = table((shape, "red", 0.5, -0.1), arm=arm)
    assert do(body, "push", at=oracle_point(body, f"red_{shape}"), to=spot(body, 0.52, 0.08)) == SkillResult(True)
    assert np.hypot(*(body.state()[f"red_{shape}"].pos[:2] - [0.52, 0.08])) < 0.03
    assert_home(body)
    assert "nothing to push" in do(body, "push", at=spot(body, 0.4, -0.2), to=spot(body, 0.5, 0.0)).detail


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_the_hand_comes_down_beside_a_tower_without_touching_it(arm, turn):
    body = beside_a_tower(0.085, 0.3 + turn * np.pi / 2, arm)
    before = [body.state()[f"{color}_cube"].pos for color in TOWER]
    assert do(body, "pick", at=oracle_point(body, "red_cube", "overhead")).ok
    assert body.state().holding == "red_cube"
    after = [body.state()[f"{color}_cube"].pos for color in TOWER]
    assert np.abs(np.subtract(after, before)).max() < 0.002


def test_where_only_the_fingers_have_room_the_reason_says_so_and_nothing_falls():
    body = beside_a_tower(0.07, 0.3 + np.pi / 4, "panda")
    result = do(body, "pick", at=oracle_point(body, "red_cube", "overhead"))
    assert not result.ok and result.detail.startswith("no room for the hand")
    assert_home(body)
    assert body.state()["blue_cube"].pos[2] > 0.1


def one_sided_panda(way):
    """A Panda whose last joint turns away from home by half a turn, almost all of it to one side (1 or -1)."""
    panda = load("arms", "panda")

    def build(spec):
        panda.build(spec)
        spec.joint("joint7").range = sorted(np.degrees(panda.home_qpos[6] + way * np.array([-0.2, np.pi - 0.2])))

    return replace(panda, build=build)


@pytest.mark.parametrize("way", [1, -1])
def test_where_a_joint_ends_the_hand_comes_the_other_way_round(way):
    body, low, missed = table(arm=one_sided_panda(way)), np.array([0.55, -0.12, 0.02]), 0
    for yaw in np.linspace(0, np.pi, 12, endpoint=False):

        def line(turn, yaw=yaw):
            return line_down(body, low + [0, 0, 0.1], low, yaw + turn)

        either_way_round(line)
        try:
            line(0)
        except SkillFailure:
            missed += 1
    assert missed, "one way alone is not enough"


@pytest.mark.parametrize(("way", "yaw"), [(1, 0.8), (1, 1.2), (-1, 0.4)])
def test_skills_come_the_other_way_round(way, yaw):
    body = table(("cube", "red", 0.5, 0.12, yaw), ("box", "blue", 0.55, -0.12, yaw), arm=one_sided_panda(way))
    pushed = spot(body, 0.5 + 0.06 * np.cos(yaw), 0.12 + 0.06 * np.sin(yaw))
    assert do(body, "push", at=oracle_point(body, "red_cube"), to=pushed).ok
    assert pick(body, "red_cube").ok
    assert place(body, "blue_box").ok
    assert do(body, "move_to", at=spot(body, 0.4, 0.2 * way)).ok


TOWER = ("green", "white", "blue")


def beside_a_tower(away, angle, arm):
    """A red cube and, so many m from it in a direction (rad), three cubes on one another; all turned by 0.3 rad."""
    cubes = [("red", 0.5, 0.0, 0)]
    cubes += [(color, 0.5 + away * np.cos(angle), away * np.sin(angle), i) for i, color in enumerate(TOWER)]
    placements = []
    for color, x, y, storey in cubes:
        spec = make_spec("cube", color)
        placements.append(Placement(spec, (x, y, spec.origin_height + storey * spec.size), 0.3))
    return Body(Scene(tuple(placements)), load("arms", arm))
