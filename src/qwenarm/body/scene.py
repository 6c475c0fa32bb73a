"""One episode's world: what lies where, how it looks, and the MuJoCo model of it, compiled for every episode (2 ms)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from qwenarm.body.cameras import SHIPPED_CAMERAS, Camera
from qwenarm.body.objects.belt import Belt, add_belt
from qwenarm.body.objects.decals import Decal, add_decal
from qwenarm.body.objects.distractors import Distractor, add_distractor
from qwenarm.body.objects.geoms import add_object
from qwenarm.body.objects.markings import COLOR_RGB
from qwenarm.body.objects.spec import PLAIN_CONTACT, ObjectSpec
from qwenarm.body.reach import Reach
from qwenarm.body.rotations import quat_of
from qwenarm.errors import BadInput, OutOfReach

if TYPE_CHECKING:
    from qwenarm.body.arms.parts import Arm

PHYSICS_STEP_S = 0.002
"""Physics step, s."""
WORKSPACE_X = (0.38, 0.68)
WORKSPACE_Y = (-0.25, 0.25)
"""Where the centres of objects may start on the table, m: where the front camera sees them and most arms reach."""
Area = tuple[tuple[float, float], tuple[float, float]]
"""A part of the table: from and to in x, from and to in y, m."""
WORKSPACE_AREA: Area = (WORKSPACE_X, WORKSPACE_Y)
OBJECT_GAP_M = 0.030
"""Free space kept between two objects at the start, m: the fingers must fit in."""


def in_workspace(x: float, y: float) -> bool:
    """Returns whether a place on the table, m, is within WORKSPACE_AREA."""
    return WORKSPACE_X[0] < x < WORKSPACE_X[1] and WORKSPACE_Y[0] < y < WORKSPACE_Y[1]


@dataclass(frozen=True)
class Placement:
    """An object in the scene. pos: (3,) m of its origin; yaw: rad about z."""

    spec: ObjectSpec
    pos: tuple[float, float, float]
    yaw: float = 0.0


@dataclass(frozen=True)
class Look:
    """Everything about a scene that changes pixels and nothing else. Colours are RGB in 0..1."""

    table_rgb: tuple[float, float, float] = (0.62, 0.52, 0.42)
    floor_rgb: tuple[float, float, float] = (0.42, 0.45, 0.50)
    wall_rgb: tuple[float, float, float] = (0.66, 0.70, 0.74)
    light_pos: tuple[float, float, float] = (0.3, 0.4, 1.8)
    light: float = 0.55
    light_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour of the lamp and of the light that comes from everywhere."""
    ambient: float = 0.40
    color_jitter: float = 0.0
    """Half width of a uniform shift of every object's RGB."""
    jitter_seed: int = 0
    arm_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """A paint over the arm's own colours, which are multiplied with it."""
    decals: tuple[Decal, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One episode's world, before compilation.

    distractors: things that no task knows of. reserved_areas: where none of them may stand. reach: where the arm for
    which it was made reaches; None for everywhere. stage: adds another package's world, objects included, in place of
    our table and objects; each object's body is named as its spec's id. start: joint positions at the start, by joint,
    where they differ from the model's.
    """

    objects: tuple[Placement, ...]
    look: Look = field(default_factory=Look)
    cameras: tuple[Camera, ...] = SHIPPED_CAMERAS
    distractors: tuple[Distractor, ...] = ()
    belt: Belt | None = None
    reserved_areas: tuple[Area, ...] = ()
    reach: Reach | None = None
    stage: Callable[[mujoco.MjSpec], None] | None = None
    start: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def has_any_shape(self) -> bool:
        """Whether objects may be hollow, thin-walled, tall or on top of each other, as in other packages' scenes."""
        return self.stage is not None

    def has_place(self, x: float, y: float) -> bool:
        """Whether a place on the table, m, is in the workspace and within the arm's reach."""
        return in_workspace(x, y) and (self.reach is None or (x, y) in self.reach)

    def spec(self, object_id: str) -> ObjectSpec:
        """The spec of an object by its id. Raises BadInput with the ids that there are."""
        for placement in self.objects:
            if placement.spec.id == object_id:
                return placement.spec
        raise BadInput(f"No object {object_id!r} in the scene; there are {', '.join(p.spec.id for p in self.objects)}.")


def place_objects(
    rng: np.random.Generator,
    specs: Sequence[ObjectSpec],
    tries: int = 200,
    areas: Mapping[str, Area] | None = None,
    reach: Reach | None = None,
) -> tuple[Placement, ...]:
    """Puts the objects on the table so that none touches another or hides it from the front camera.

    Large ones are placed first. areas: where, by object id; the whole workspace for the others. reach: where the arm
    reaches, None for everywhere. Raises BadInput if the table is too small for them all, OutOfReach if only the arm's
    reach is.
    """
    order = sorted(range(len(specs)), key=lambda i: -specs[i].radius)
    for _ in range(tries):
        placed: dict[int, Placement] = {}
        for i in order:
            area = (areas or {}).get(specs[i].id, WORKSPACE_AREA)
            spot = _free_spot(rng, specs[i], placed.values(), tries, area, reach)
            if spot is None:
                break
            placed[i] = spot
        else:
            return tuple(placed[i] for i in range(len(specs)))
    if reach is not None:
        raise OutOfReach(f"{len(specs)} objects do not fit where this arm reaches")
    raise BadInput(f"{len(specs)} objects do not fit on the table: ask for fewer.")


def _free_spot(
    rng: np.random.Generator,
    spec: ObjectSpec,
    placed: Iterable[Placement],
    tries: int,
    area: Area,
    reach: Reach | None,
) -> Placement | None:
    margin = max(0.0, spec.radius - 0.04)
    (x_min, y_min), (x_max, y_max) = ([low + margin for low, _ in area], [high - margin for _, high in area])
    taken = [(*other.pos[:2], _spacing(spec, other.spec)) for other in placed]
    for _ in range(tries):  # a scene takes hundreds, and ``rng.uniform`` four times as long for the same number
        x = x_min + (x_max - x_min) * rng.random()
        y = y_min + (y_max - y_min) * rng.random()
        yaw = -np.pi + 2 * np.pi * rng.random()
        if (reach is None or (x, y) in reach) and all(_is_clear(x - u, y - v, spacing) for u, v, spacing in taken):
            return Placement(spec, (x, y, spec.origin_height), yaw)
    return None


def are_apart(a: Placement, b: Placement) -> bool:
    """Returns whether the fingers fit between two objects and neither hides the other from the front camera (at +x)."""
    return _is_clear(a.pos[0] - b.pos[0], a.pos[1] - b.pos[1], _spacing(a.spec, b.spec))


def _spacing(a: ObjectSpec, b: ObjectSpec) -> tuple[float, float, float]:
    """Returns the distance that two objects keep, and the length that each hides of the other if it is nearer, in m."""
    # at 45-55 degrees a height hides less than its length
    hidden = (0.6 * max(0.0, near.height - 0.5 * far.height) for near, far in ((a, b), (b, a)))
    return a.radius + b.radius + OBJECT_GAP_M, *hidden  # type: ignore[return-value]  # there are two


def _is_clear(dx: float, dy: float, spacing: tuple[float, float, float]) -> bool:
    """Whether two objects, the first of which is (dx, dy) m from the second, keep their ``_spacing``."""
    reach, hidden_by_first, hidden_by_second = spacing
    ahead = max(0.0, dx - hidden_by_first if dx > 0 else -dx - hidden_by_second)
    return ahead * ahead + dy * dy > reach * reach


def compile_scene(scene: Scene, arm: Arm) -> mujoco.MjModel:
    """Returns the MuJoCo model. Why its options make grasps hold is in docs/architecture.md."""
    spec = mujoco.MjSpec()
    spec.option.timestep = PHYSICS_STEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 20.0
    # What lies still costs nothing until it is touched: half of all physics.
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP.value
    _set_view(spec)
    if scene.stage is None:
        _set_stage(spec, scene.look)
    else:
        scene.stage(spec)
    arm.build(spec)
    _paint(spec, scene.look.arm_rgb)
    for decal in scene.look.decals:
        add_decal(spec.worldbody, decal)
    if scene.stage is None:
        _add_objects(spec, scene)
    for index, distractor in enumerate(scene.distractors):
        add_distractor(spec.worldbody, distractor, f"distractor{index}")
    if scene.belt is not None:
        add_belt(spec, scene.belt)
    for camera in scene.cameras:
        parent = spec.worldbody if camera.body is None else spec.body(camera.body)
        parent.add_camera(name=camera.name, pos=camera.pos, quat=quat_of(camera.axes()), fovy=camera.fovy_deg)
    return spec.compile()


def _add_objects(spec: mujoco.MjSpec, scene: Scene) -> None:
    jitter = np.random.default_rng(scene.look.jitter_seed)
    for placement in scene.objects:
        shift = jitter.uniform(-1, 1, 3) * scene.look.color_jitter
        rgb = np.clip(np.array(COLOR_RGB[placement.spec.color]) + shift, 0.0, 1.0)
        add_object(spec.worldbody, placement.spec, np.array(placement.pos), placement.yaw, tuple(rgb))


def _set_view(spec: mujoco.MjSpec) -> None:
    spec.visual.quality.shadowsize = 2048
    spec.visual.global_.offwidth = 1280
    spec.visual.global_.offheight = 1280
    spec.visual.map.znear = 0.01
    spec.visual.map.zfar = 20.0
    spec.stat.extent = 1.0
    spec.stat.center = [0.5, 0.0, 0.2]


def _set_stage(spec: mujoco.MjSpec, look: Look) -> None:
    spec.visual.headlight.ambient = [look.ambient * c for c in look.light_rgb]
    spec.visual.headlight.diffuse = [0.25] * 3
    spec.visual.headlight.specular = [0.0] * 3
    world = spec.worldbody
    world.add_light(
        name="lamp",
        pos=look.light_pos,
        dir=np.array([0.5, 0.0, 0.0]) - look.light_pos,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=[look.light * c for c in look.light_rgb],
        specular=[0.1] * 3,
        ambient=[0.0] * 3,
        castshadow=True,
    )
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[0.42, 0, -0.02],
        size=[0.62, 0.60, 0.02],
        rgba=[*look.table_rgb, 1],
        **PLAIN_CONTACT,
    )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0, 0, -0.75],
        size=[4, 4, 0.1],
        rgba=[*look.floor_rgb, 1],
    )
    for name, pos, size in (
        ("wall_back", [-1.6, 0, 1.2], [0.02, 2.7, 2.0]),
        ("wall_side", [1.1, -2.7, 1.2], [2.7, 0.02, 2.0]),
    ):
        world.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=pos,
            size=size,
            rgba=[*look.wall_rgb, 1],
            contype=0,
            conaffinity=0,
        )


def _paint(spec: mujoco.MjSpec, rgb: tuple[float, float, float]) -> None:
    """Multiplies the colours of all that hangs on a body, and of its materials, with this one."""
    if rgb == (1.0, 1.0, 1.0):
        return
    for part in (*(geom for geom in spec.geoms if geom.parent.name != "world"), *spec.materials):
        part.rgba[:3] *= rgb
