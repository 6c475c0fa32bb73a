"""Every way of drawing obeys the same laws, and OpenGL and the ray caster draw the same picture."""

import gc
import os
import subprocess
import sys
import threading

import mujoco
import numpy as np
import pytest

from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.rendering import opengl as gl
from qwenarm.body.rendering import renderer as render
from qwenarm.body.rendering.renderer import Renderer, choose_renderer
from qwenarm.body.scene import Scene, compile_scene, place_objects
from qwenarm.errors import BadInput
from qwenarm.registry import load

pytestmark = pytest.mark.render
HERE = choose_renderer()
NAMES = sorted({HERE, "raycast"})
SIZE = (112, 160)
OBJECTS = [("cube", "red"), ("cylinder", "green"), ("ball", "yellow"), ("bowl", "blue"), ("tray", "purple")]


@pytest.fixture(scope="module")
def table() -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The robot at home and five objects."""
    arm = load("arms", "panda")
    placed = place_objects(np.random.default_rng(3), [ObjectSpec(shape, color) for shape, color in OBJECTS])
    model = compile_scene(Scene(placed), arm)
    data = mujoco.MjData(model)
    data.qpos[: len(arm.home_qpos)] = arm.home_qpos
    mujoco.mj_forward(model, data)
    return model, data


def boxes() -> tuple[mujoco.MjModel, mujoco.MjData]:
    """A red box 1 m below a camera that looks straight down, a green one that is hidden, a grey floor 2 m below."""
    spec = mujoco.MjSpec()
    world = spec.worldbody
    world.add_camera(name="down", pos=[0, 0, 2], fovy=90)
    world.add_camera(name="up", pos=[0, 0, 5], quat=[0, 1, 0, 0], fovy=60)
    box = {"type": mujoco.mjtGeom.mjGEOM_BOX, "size": [0.25, 0.25, 0.5]}
    world.add_geom(name="red", pos=[0, 0, 0.5], rgba=[1, 0, 0, 1], **box)
    world.add_geom(name="hidden", pos=[0, 0, 1.2], rgba=[0, 1, 0, 1], group=4, **box)
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], rgba=[0.5, 0.5, 0.5, 1])
    world.add_site(name="mark", pos=[0, 0, 1.1], size=[0.3, 0.3, 0.3])
    world.add_light(pos=[2, 0, 4], dir=[-2, 0, -4], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, diffuse=[0.5] * 3)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.parametrize("name", NAMES)
def test_depth_ids_and_colors_are_those_of_a_scene_that_can_be_computed_by_hand(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        rgb, depth, ids = (f(data, "down", (100, 200)) for f in (draw.rgb, draw.depth, draw.segmentation))
    assert (rgb.dtype, depth.dtype, ids.dtype) == (np.uint8, np.float32, np.int32)
    assert rgb.shape == (100, 200, 3) and depth.shape == ids.shape == (100, 200)
    red, floor = model.geom("red").id, model.geom("floor").id
    # 45 degrees up and down: the box's top, 1 m away, spans a quarter of the height; the floor, 2 m away, a half.
    assert (ids[38:62, 88:112] == red).all() and (ids == red).sum() == pytest.approx(25 * 25, abs=60)
    assert (ids[26:74, 76:86] == floor).all() and (ids[:, :74] == -1).all() and (ids[76:] == -1).all()
    np.testing.assert_allclose(depth[ids == red], 1.0, atol=1e-3)
    np.testing.assert_allclose(depth[ids == floor], 2.0, atol=2e-3)
    assert (depth[ids == -1] == np.inf).all() and (rgb[ids == -1] == 0).all()
    assert rgb[50, 100, 0] > rgb[50, 100, 1:].max() + 100  # default lights: the highlight is white


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_sight_is_black_endless_and_nobody(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        assert not draw.rgb(data, "up", (20, 30), shadows=True).any()
        assert (draw.depth(data, "up", (20, 30)) == np.inf).all()
        assert (draw.segmentation(data, "up", (20, 30)) == -1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_shadow_falls_away_from_the_light(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        plain, shaded = (draw.rgb(data, "down", (100, 100), shadows).astype(int) for shadows in (False, True))
    assert (shaded[50, 32:37] < plain[50, 32:37] - 20).all()  # the light comes from +x: dark at -x, left in the picture
    assert (abs(shaded[50, 64:74] - plain[50, 64:74]) < 6).all()


@pytest.mark.skipif(HERE == "raycast", reason="no OpenGL here")
@pytest.mark.parametrize("camera", ["front", "overhead", "wrist", "wide"])
def test_opengl_and_the_ray_caster_draw_the_same(table, camera: str):
    model, data = table
    size = (224, 320)
    with Renderer(model, HERE) as a, Renderer(model, "raycast") as b:
        color = np.abs(a.rgb(data, camera, size).astype(int) - b.rgb(data, camera, size))
        depth = np.abs(a.depth(data, camera, size) - b.depth(data, camera, size))
        same = a.segmentation(data, camera, size) == b.segmentation(data, camera, size)
    print(
        f"{camera}: colour {color.mean():.2f} of 255, depth {np.nanmedian(depth) * 1e3:.3f} mm, ids {same.mean():.2%}"
    )
    assert color.mean() < 2.0 and (color.max(axis=-1) > 24).mean() < 0.01
    assert np.nanmedian(depth) < 0.0005 and (depth > 0.005).mean() < 0.01
    assert same.mean() > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_the_ray_caster_misses_no_part_of_a_turned_arm(table, seed: int):
    model, _ = table
    data = mujoco.MjData(model)
    rng = np.random.default_rng(seed)
    low, high = model.jnt_range[:7].T
    data.qpos[:7] = rng.uniform(low, high)
    mujoco.mj_forward(model, data)
    found, into = np.empty(1, np.int32), (30, 40)
    with Renderer(model, "raycast") as draw:
        for camera in ("wide", "wrist"):
            i = model.camera(camera).id
            rays = render.RayCaster(model).pixel_rays(data, i, into)
            for ray, seen in zip(rays, draw.segmentation(data, camera, into).reshape(-1), strict=True):
                mujoco.mj_ray(model, data, data.cam_xpos[i], ray, None, 1, -1, found)
                assert seen == found[0]


@pytest.mark.parametrize("name", NAMES)
def test_pictures_do_not_depend_on_what_was_drawn_before(table, name: str):
    model, data = table
    other_model, other_data = boxes()
    with Renderer(model, name) as draw, Renderer(other_model, name) as other:
        first = draw.rgb(data, "front", SIZE)
        other_first = other.rgb(other_data, "down", SIZE)
        draw.rgb(data, "overhead", (300, 200), shadows=True)
        other.segmentation(other_data, "down", (400, 30))
        draw.depth(data, "wrist", (50, 300))
        np.testing.assert_array_equal(draw.rgb(data, "front", SIZE), first)
        np.testing.assert_array_equal(other.rgb(other_data, "down", SIZE), other_first)
        draw.close()
        np.testing.assert_array_equal(draw.rgb(data, "front", SIZE), first)
    Renderer(other_model, name).rgb(other_data, "down", SIZE)  # dropped without being closed
    gc.collect()
    with Renderer(model, name) as draw:
        np.testing.assert_array_equal(draw.rgb(data, "front", SIZE), first)


@pytest.mark.parametrize("name", NAMES)
def test_any_thread_may_draw(table, name: str):
    model, data = table
    pictures: list[np.ndarray] = []
    with Renderer(model, name) as draw:
        first = draw.rgb(data, "front", SIZE)

        def work() -> None:
            mine = mujoco.MjData(model)
            mine.qpos[:] = data.qpos
            mujoco.mj_forward(model, mine)
            with Renderer(model, name) as own:
                pictures.extend(drawing.rgb(mine, "front", SIZE) for drawing in (own, draw, own))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(pictures) == 9
    for picture in pictures:
        np.testing.assert_array_equal(picture, first)


@pytest.mark.parametrize("name", NAMES)
def test_what_moves_is_seen_to_move(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        for height in (0.5, 0.7, 0.5):
            data.geom("red").xpos[2] = height
            draw.rgb(data, "down", (9, 9), shadows=True)
            np.testing.assert_allclose(draw.depth(data, "down", (9, 9))[4, 4], 1.5 - height, atol=1e-3)
            draw.segmentation(data, "down", (9, 9))[:] = 7  # what is returned is the caller's
            assert draw.segmentation(data, "down", (9, 9))[4, 4] == model.geom("red").id


@pytest.mark.parametrize("name", NAMES)
def test_colors_may_change_at_any_time(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        assert draw.rgb(data, "down", (9, 9))[4, 4].argmax() == 0
        model.geom("red").rgba[:3] = 0, 0, 1
        assert draw.rgb(data, "down", (9, 9))[4, 4].argmax() == 2


def test_materials_take_part(table):
    spec = mujoco.MjSpec()
    spec.add_material(name="gold", rgba=[0.8, 0.6, 0.1, 1], specular=0.9, shininess=0.3, emission=0.2)
    spec.worldbody.add_camera(name="down", pos=[0, 0, 2])
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.5, 0, 0], material="gold")
    spec.worldbody.add_light(pos=[1, 1, 3], dir=[-1, -1, -3], attenuation=[0.5, 0.1, 0.1], exponent=2, cutoff=30)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pictures = [Renderer(model, name).rgb(data, "down", (90, 90)).astype(int) for name in NAMES]
    assert np.ptp(pictures, axis=0).mean() < 3
    assert pictures[0][45, 45, 0] > pictures[0][45, 45, 2] + 50


@pytest.mark.parametrize("name", NAMES)
def test_wrong_questions_name_the_answers(name: str):
    model, data = boxes()
    with Renderer(model, name) as draw:
        with pytest.raises(BadInput, match="down, up"):
            draw.rgb(data, "side", SIZE)
        with pytest.raises(BadInput, match="0 x 20"):
            draw.depth(data, "down", (0, 20))


TROUBLE = {"egl": "no libEGL", "osmesa": "no libOSMesa", "glfw": "no display", "cgl": "no Mac"}


@pytest.mark.parametrize(
    ("ours", "mujocos", "working", "chosen"),
    [
        ("", "", ("egl", "osmesa"), "egl"),
        ("auto", "", ("osmesa",), "osmesa"),
        ("", "", (), "raycast"),
        ("raycast", "egl", ("egl",), "raycast"),
        ("osmesa", "egl", ("egl", "osmesa"), "osmesa"),
        (" EGL ", "", ("egl",), "egl"),
        ("", "osmesa", ("egl", "osmesa"), "osmesa"),
        ("", "glfw", ("egl", "glfw"), "glfw"),
        ("", "off", ("egl",), "raycast"),
        ("", "1", ("egl",), "egl"),
    ],
)
def test_who_decides(monkeypatch: pytest.MonkeyPatch, ours: str, mujocos: str, working: tuple[str, ...], chosen: str):
    monkeypatch.setattr(gl, "PLATFORM_CANDIDATES", ("egl", "osmesa"))
    monkeypatch.setattr(gl, "why_unusable", lambda name: None if name in working else TROUBLE[name])
    assert render._choose.__wrapped__(ours, mujocos) == chosen


@pytest.mark.parametrize(
    ("ours", "mujocos", "complaint"),
    [
        ("gpu", "", "auto, egl, osmesa, raycast"),
        ("egl", "", "QWENARM_RENDERER=egl cannot draw here: no libEGL"),
        ("", "osmesa", "MUJOCO_GL=osmesa cannot draw here: no libOSMesa"),
    ],
)
def test_what_is_demanded_and_missing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, ours: str, mujocos: str, complaint: str
):
    monkeypatch.setattr(gl, "why_unusable", TROUBLE.get)
    with pytest.raises(BadInput, match=complaint):
        render._choose.__wrapped__(ours, mujocos)


DRAW = """
import sys, mujoco
from qwenarm.body.rendering.renderer import Renderer
spec = mujoco.MjSpec()
spec.worldbody.add_camera(name="down", pos=[0, 0, 2])
spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.5, 0, 0], rgba=[1, 0, 0, 1])
model = spec.compile()
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
draw = Renderer(model)
def red(): return int(draw.rgb(data, "down", (64, 64))[32, 32, 0]) > 100
print(draw.name, red(), any(name in sys.modules for name in ("mujoco.egl", "mujoco.osmesa")), flush=True)
"""
FORKED = """
import os, signal
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if red() else 1)
print(os.waitpid(child, 0)[1], red())
"""


def run_python(code: str, **env: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "QWENARM_RENDERER", "PYOPENGL_PLATFORM")}
    done = subprocess.run([sys.executable, "-c", code], env=clean | env, capture_output=True, text=True, timeout=150)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def test_the_ray_caster_touches_no_opengl():
    assert run_python(DRAW, QWENARM_RENDERER="raycast") == "raycast True False"


@pytest.mark.skipif(HERE != "egl", reason="no EGL here")
def test_mujoco_may_have_been_imported_for_another_platform():
    assert run_python("import mujoco\n" + DRAW) == "egl True True"
    assert run_python("import mujoco\n" + DRAW, QWENARM_RENDERER="egl", MUJOCO_GL="off") == "egl True True"


@pytest.mark.skipif(sys.platform != "linux", reason="OSMesa is a Linux thing")
def test_software_opengl_survives_a_fork():
    if run_python("from qwenarm.body.rendering import opengl\nprint(opengl.why_unusable('osmesa'))") != "None":
        pytest.skip("no OSMesa here")
    assert run_python(DRAW + FORKED, MUJOCO_GL="osmesa").splitlines() == ["osmesa True True", "0 True"]


def test_a_platform_that_mujoco_cannot_bind_is_a_plain_error():
    """MuJoCo itself fails as it is imported: with OSMesa named and missing, or with a name that it does not know."""
    show = "from qwenarm.cli.main import main\nprint(main(['show', 'put']))"
    clean = {k: v for k, v in os.environ.items() if k != "QWENARM_RENDERER"} | {"MUJOCO_GL": "nonsense"}
    done = subprocess.run([sys.executable, "-c", show], env=clean, capture_output=True, text=True, timeout=150)
    assert done.stdout.strip() == "2" and "MUJOCO_GL=nonsense cannot draw here" in done.stderr
    assert "Traceback" not in done.stderr
