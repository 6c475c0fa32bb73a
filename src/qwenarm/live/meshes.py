"""The bodies of a MuJoCo model as binary glTF, which browsers draw."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from mjviser.conversions import create_primitive_mesh, mujoco_mesh_to_trimesh
from trimesh import Scene
from trimesh.exchange.gltf import export_glb
from trimesh.graph import smooth_shade
from trimesh.visual import ColorVisuals, TextureVisuals
from trimesh.visual.material import PBRMaterial

PRIMITIVES = [
    getattr(mujoco.mjtGeom, f"mjGEOM_{name}").value
    for name in ("PLANE", "SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX")
]
"""Geoms that are all in their size."""
MAX_VISIBLE_GROUP = 2
"""Geoms of higher groups are collision shapes; MuJoCo does not draw them by default either."""
SMOOTHING_ANGLE_RAD = 0.6
"""Faces that meet at a smaller angle are shaded as one smooth surface."""
MAX_KEPT = 512
"""Bodies of primitive shapes whose glTF is kept: those of an arm and its table are the same in every run, and making
them takes half a second of CPU."""


@dataclass(frozen=True)
class BodyMesh:
    """What is drawn for one body of a model.

    Attributes:
        body: Its id in the model.
        name: Its name.
        glb: The geoms in the body's frame, binary glTF.
        moves: Whether it can move.
    """

    body: int
    name: str
    glb: bytes
    moves: bool


def body_meshes(model: mujoco.MjModel) -> list[BodyMesh]:
    """Every body that has something to be drawn. The room around the table is left out."""
    meshes = []
    for body in range(model.nbody):
        first, count = model.body_geomadr[body], model.body_geomnum[body]
        drawn = [geom for geom in range(first, first + count) if _is_drawn(model, geom)]
        if drawn:
            moves = bool(model.body_weldid[body] != 0 or model.body_mocapid[model.body_rootid[body]] >= 0)
            meshes.append(BodyMesh(body, model.body(body).name, _kept_glb(model, drawn), moves))
    return meshes


_kept: dict[bytes, bytes] = {}
"""glTF by all that it is made of."""


def _kept_glb(model: mujoco.MjModel, geoms: list[int]) -> bytes:
    """What ``_glb`` returns, made once for the same shapes. What refers to more of a model is made each time."""
    if not np.isin(model.geom_type[geoms], PRIMITIVES).all():
        return _glb(model, geoms)
    read = (model.geom_type, model.geom_size, model.geom_pos, model.geom_quat)
    key = b"".join([*(each[geoms].tobytes() for each in read), *(_rgba(model, geom).tobytes() for geom in geoms)])
    if key not in _kept:
        while len(_kept) >= MAX_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = _glb(model, geoms)
    return _kept[key]


def _is_drawn(model: mujoco.MjModel, geom: int) -> bool:
    room = model.geom_bodyid[geom] == 0 and (
        model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE or model.geom(geom).name.startswith("wall_")
    )
    return bool(model.geom_group[geom] <= MAX_VISIBLE_GROUP and _rgba(model, geom)[3] > 0 and not room)


def _rgba(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(4,) from 0 to 1: the colour of a geom's material, if it has one, or its own."""
    matid = model.geom_matid[geom]
    return model.mat_rgba[matid] if matid >= 0 else model.geom_rgba[geom]


def _glb(model: mujoco.MjModel, geoms: list[int]) -> bytes:
    scene = Scene()
    for geom in geoms:
        is_mesh = model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
        mesh = mujoco_mesh_to_trimesh(model, geom) if is_mesh else create_primitive_mesh(model, geom)
        colors = mesh.visual.vertex_colors if isinstance(mesh.visual, ColorVisuals) else None
        if colors is not None and (colors == colors[0]).all():
            mesh = smooth_shade(mesh, angle=SMOOTHING_ANGLE_RAD)
            mesh.visual = TextureVisuals(material=_material(colors[0]))
        pose, rotation = np.eye(4), np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
        pose[:3, :3], pose[:3, 3] = rotation.reshape(3, 3), model.geom_pos[geom]
        scene.add_geometry(mesh, transform=pose)
    return export_glb(scene, include_normals=True)


def _material(rgba: np.ndarray) -> PBRMaterial:
    """A matt material. rgba: (4,) uint8 in sRGB, as MuJoCo's colours are; those of glTF are linear."""
    color = rgba / 255.0
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return PBRMaterial(
        baseColorFactor=[*linear[:3], color[3]],
        metallicFactor=0.0,
        roughnessFactor=0.6,
        alphaMode="BLEND" if color[3] < 1 else "OPAQUE",
    )
