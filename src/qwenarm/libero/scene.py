"""LIBERO's scenes as ours: their world without their arm, moved so that our arm stands where theirs did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.cameras import SHIPPED_CAMERAS, Camera
from qwenarm.body.objects.spec import ObjectSpec
from qwenarm.body.scene import Placement, Scene
from qwenarm.libero.package import begin, problem_of

LIBERO_PREFIX = "libero_"
"""Put in front of every name of LIBERO's world, except those of the movable objects' bodies."""
ROBOT_PREFIXES = ("robot0_", "gripper0_", "mount0_")
ROBOT_BODY = "robot0_base"
HIDDEN_GEOM_GROUP = 3
"""Geom group that is not drawn: LIBERO draws detailed meshes and collides with boxes that are hidden."""
COLLISION_GROUP, VISIBLE_GROUP = 0, 1
"""LIBERO's geom groups."""
AGENT_VIEW = "agentview"
"""LIBERO's camera that its policies see. It takes the place of our front camera."""
OVERHEAD_HEIGHT_M, OVERHEAD_FOVY_DEG = 1.4, 36.0
"""Height and field of view of the camera that measures depth: LIBERO spreads its objects wider than we do."""


@dataclass(frozen=True)
class LiberoObject(ObjectSpec):
    """A movable object of LIBERO. ``name`` is what people call it, ``size`` its width in m.

    Attributes:
        libero_name: LIBERO's name, which is its id here.
        above, below: Distances in m from its origin to its top and to its underside when it stands as LIBERO places it.
    """

    libero_name: str = ""
    above: float = 0.0
    below: float = 0.0

    @property
    def id(self) -> str:
        return self.libero_name

    @property
    def height(self) -> float:
        return self.above + self.below

    @property
    def radius(self) -> float:
        return self.size / 2

    @property
    def origin_height(self) -> float:
        return self.below


@dataclass(frozen=True)
class LiberoStage:
    """LIBERO's world without its arm: adds itself to a spec that has none of ours. ``bddl``: path of the problem."""

    bddl: str

    def __call__(self, spec: mujoco.MjSpec) -> None:
        problem = problem_of(self.bddl)
        world = mujoco.MjSpec.from_string(problem.model.get_xml())
        _remove_robot(world)
        _place_fixtures(world, problem)
        _hide_collision_geoms(world)
        _take_options(world, spec)
        spec.attach(world, prefix=LIBERO_PREFIX, frame=spec.worldbody.add_frame(pos=shift_of(problem)))
        for name, thing in problem.objects_dict.items():
            spec.body(LIBERO_PREFIX + thing.root_body).name = name


def scene_of(bddl: str, state: np.ndarray) -> Scene:
    """Returns the scene of a problem in one of its initial states, (1 + nq + nv,)."""
    problem = problem_of(bddl)
    start = start_qpos(problem, state)
    specs = _specs(bddl)
    placed = (Placement(spec, _point(start[LIBERO_PREFIX + joint_of(problem, spec.id)][:3])) for spec in specs)
    return Scene(
        tuple(placed), cameras=_cameras(problem), stage=LiberoStage(bddl), start={k: tuple(q) for k, q in start.items()}
    )


def shift_of(problem: Any) -> np.ndarray:
    """Returns the vector (3,) in m that is added to LIBERO's coordinates: x and y are 0 at the arm, z on the table."""
    model = problem.sim.model._model
    base = model.body(ROBOT_BODY).pos
    table_height_m = 0.0 if problem._arena_type == "floor" else float(problem.workspace_offset[2])
    return np.array([-base[0], -base[1], -table_height_m])


def joint_of(problem: Any, name: str) -> str:
    """Returns the name of an object's free joint."""
    return problem.objects_dict[name].joints[-1]


def start_qpos(problem: Any, state: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the positions in our frame, by joint, after an initial state (1 + nq + nv,) has settled in LIBERO's
    environment. The robot's joints are left out.
    """
    model, found = problem.sim.model._model, {}
    begin(problem, state)
    qpos = problem.sim.data._data.qpos
    for joint in (model.joint(i) for i in range(model.njnt)):
        if joint.name.startswith(ROBOT_PREFIXES):
            continue
        free = joint.type[0] == mujoco.mjtJoint.mjJNT_FREE.value
        values = qpos[joint.qposadr[0] :][: 7 if free else 1].copy()
        if free:
            values[:3] += shift_of(problem)
        found[LIBERO_PREFIX + joint.name] = values
    return found


@lru_cache(maxsize=32)
def _specs(bddl: str) -> tuple[LiberoObject, ...]:
    problem, found = problem_of(bddl), []
    for name, thing in problem.objects_dict.items():
        words = name.rstrip("0123456789_").replace("_", " ")
        above, below = float(thing.top_offset[2]), -float(thing.bottom_offset[2])
        width = 2 * float(thing.horizontal_radius)
        found.append(LiberoObject(words, "", width, words, libero_name=name, above=above, below=below))
    return tuple(found)


def _remove_robot(world: mujoco.MjSpec) -> None:
    world.delete(world.body(ROBOT_BODY))
    for part in (*world.actuators, *world.sensors, *world.meshes, *world.materials, *world.textures):
        if part.name.startswith(ROBOT_PREFIXES):
            world.delete(part)


def _hide_collision_geoms(world: mujoco.MjSpec) -> None:
    """LIBERO draws only the visible group, and weighs only the other one."""
    for geom in world.geoms:
        if geom.group == COLLISION_GROUP:
            geom.group = HIDDEN_GEOM_GROUP
    world.compiler.inertiagrouprange = [HIDDEN_GEOM_GROUP, HIDDEN_GEOM_GROUP]


def _take_options(world: mujoco.MjSpec, spec: mujoco.MjSpec) -> None:
    """Sets the options to those of the spec that the world is attached to: they rule, and MuJoCo warns of others."""
    world.option, world.visual, world.stat = spec.option, spec.visual, spec.stat
    world.njmax, world.nconmax = spec.njmax, spec.nconmax


def _place_fixtures(world: mujoco.MjSpec, problem: Any) -> None:
    """Puts cabinets, stoves and the like where LIBERO's samplers have put them in its compiled model."""
    model = problem.sim.model._model
    for fixture in problem.fixtures_dict.values():
        body = world.body(fixture.root_body) if fixture is not None else None
        if body is not None:
            body.pos, body.quat = model.body(body.name).pos, model.body(body.name).quat


def _cameras(problem: Any) -> tuple[Camera, ...]:
    """Returns our cameras, of which "front" is LIBERO's own view and "overhead" sees more."""
    model, data = problem.sim.model._model, problem.sim.data._data
    index = model.camera(AGENT_VIEW).id
    pos = data.cam_xpos[index] + shift_of(problem)
    target, up = pos - data.cam_xmat[index].reshape(3, 3)[:, 2], data.cam_xmat[index].reshape(3, 3)[:, 1]
    front = Camera("front", _point(pos), _point(target), float(model.cam_fovy[index]), up=_point(up))
    overhead = Camera(
        "overhead", (0.55, 0.0, OVERHEAD_HEIGHT_M), (0.55, 0.0, 0.0), OVERHEAD_FOVY_DEG, up=(-1.0, 0.0, 0.0)
    )
    own: Mapping[str, Camera] = {"front": front, "overhead": overhead}
    return tuple(own.get(camera.name, camera) for camera in SHIPPED_CAMERAS)


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
