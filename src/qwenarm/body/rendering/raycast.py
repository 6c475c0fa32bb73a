"""Draws without OpenGL: one ray per pixel with ``mj_multiRay``, and MuJoCo's lights in NumPy.

Colour, depth and segmentation match OpenGL's fixed pipeline, which MuJoCo uses, except for pixels at edges: ambient,
diffuse (Lambert) and specular (Blinn-Phong) light, and hard shadows on request. It does not draw reflections,
transparency (what is not invisible is opaque), the sky (black) and textures (a textured geom has their mean colour).
"""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

VISIBLE_GEOM_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
"""Geom groups that MuJoCo draws by default."""
MAX_RAY_LENGTH_M = 1e10
"""Maximum length of a ray, in m."""
SUN_DISTANCE_M = 100.0
"""Distance of the common origin of a directional light's shadow rays, in m."""
SHADOW_TOLERANCE_M = 1e-3
"""A point is in shadow if the ray to it was stopped more than this before it, in m."""
DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)
"""A geom of this colour that has a material takes the material's colour."""
DEFAULT_SPECULAR = 0.5
"""Specular and shininess of a geom without a material."""
MIN_VISIBLE_HIGHLIGHT_SHARE = 1e-3
"""Highlights below this share of their light are not visible."""
MAX_SPECULAR_EXPONENT = 128.0
"""OpenGL's largest specular exponent; shininess is relative to it."""

Hits = tuple[np.ndarray, np.ndarray, np.ndarray]
"""For n rays: geom ids (n,) int32 or -1, distances (n,) in lengths of the ray or -1, normals (n, 3)."""


class RayCaster:
    """Draws one model without OpenGL. For its arrays see ``renderer.Renderer``.

    Shapes and visibility are those of the model at the time of creation; poses and colours are read for every picture.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._cast_model = _with_true_spheres(model)
        self._texture_rgb = _mean_texture_rgb(model)
        self._lock = threading.Lock()
        self._last: tuple[tuple[Any, ...], Hits] | None = None
        self._scene = mujoco.MjvScene(model, maxgeom=1)  # only used for its lights
        self._nothing = mujoco.MjvOption()
        self._nothing.geomgroup[:] = 0
        self._nothing.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value

    def rgb(self, data: mujoco.MjData, camera: int, size: tuple[int, int], shadows: bool) -> np.ndarray:
        rays = self.pixel_rays(data, camera, size)
        geom, depth, normal = self._first_hits(data, camera, size)
        hit = np.flatnonzero(geom >= 0)
        if len(hit) < len(geom):
            geom, depth, normal, rays = geom[hit], depth[hit], normal[hit], rays[hit]
        seen = SurfacePoints(geom, data.cam_xpos[camera] + depth[:, None] * rays, normal.astype(np.float32))
        with self._lock:
            color = self._shade(data, camera, seen, shadows)
        picture = np.zeros((size[0] * size[1], 3), np.uint8)
        picture[hit] = np.minimum(color * 255.0 + 0.5, 255.0).astype(np.uint8)
        return picture.reshape(*size, 3)

    def depth(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        geom, depth, _ = self._first_hits(data, camera, size)
        return np.where(geom >= 0, depth, np.inf).astype(np.float32).reshape(size)

    def segmentation(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        return self._first_hits(data, camera, size)[0].reshape(size).copy()

    def close(self) -> None:
        """Does nothing: there is nothing to free."""

    def pixel_rays(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        """Returns rays (H * W, 3) float64 through the pixels' centres, each 1 m long along the optical axis."""
        height, width = size
        tan = math.tan(math.radians(self._model.cam_fovy[camera]) / 2)
        right, up, back = data.cam_xmat[camera].reshape(3, 3).T
        x = ((np.arange(width) + 0.5) / width * 2 - 1) * tan * width / height
        y = (1 - (np.arange(height) + 0.5) / height * 2) * tan
        return ((y[:, None] * up - back)[:, None, :] + x[:, None] * right).reshape(-1, 3)

    def _first_hits(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> Hits:
        """Returns what a picture's rays hit. Kept until something moves, so depth and ids come free after colours."""
        poses = data.geom_xpos, data.geom_xmat, data.cam_xpos[camera], data.cam_xmat[camera]
        key = camera, size, self._model.cam_fovy[camera], *(pose.tobytes() for pose in poses)
        last = self._last
        if last is None or last[0] != key:
            last = self._last = key, self._cast(data, data.cam_xpos[camera], self.pixel_rays(data, camera, size))
        return last[1]

    def _cast(self, data: mujoco.MjData, origin: np.ndarray, rays: np.ndarray) -> Hits:
        """Returns the first hits of rays (n, 3) from one origin. If rays are 1 m deep, the distance is the depth."""
        n = len(rays)
        geom, distance, normal = np.empty(n, np.int32), np.empty(n), np.empty((n, 3))
        flat = rays.reshape(-1), normal.reshape(-1)
        mujoco.mj_multiRay(
            self._cast_model,
            data,
            origin,
            flat[0],
            VISIBLE_GEOM_GROUPS,
            True,
            -1,
            geom,
            distance,
            flat[1],
            n,
            MAX_RAY_LENGTH_M,
        )
        return geom, distance, normal

    def _shade(self, data: mujoco.MjData, camera: int, seen: SurfacePoints, shadows: bool) -> np.ndarray:
        """Returns colours (n, 3) float32, also above 1: emission + ambient + lit (diffuse + specular), as OpenGL 1."""
        paint = _paint(self._model, self._texture_rgb)
        to_eye = _unit((data.cam_xpos[camera] - seen.point).astype(np.float32))
        light_rgb = np.repeat(paint.emission[seen.geom, None], 3, axis=1)
        shine = np.zeros_like(light_rgb)
        for light in self._lights(data, camera):
            toward, strength = _reach(light, seen.point)
            lit = np.maximum(_dot(seen.normal, toward), 0.0) * strength
            if shadows and light.castshadow and len(facing := np.flatnonzero(lit)):
                lit[facing] *= self._sees(data, light, seen.point[facing])
            light_rgb += lit[:, None] * light.diffuse
            light_rgb += light.ambient
            if light.specular.any():
                gloss = _gloss(seen, toward + to_eye, paint) * (lit > 0) * strength
                shine += gloss[:, None] * light.specular
        light_rgb *= paint.rgb[seen.geom]
        return light_rgb + shine

    def _lights(self, data: mujoco.MjData, camera: int) -> list[Any]:
        """Returns the mjvLights of the scene for this camera, including the headlight."""
        self._view.fixedcamid = camera
        categories = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, self._nothing, None, self._view, categories, self._scene)
        return [self._scene.lights[i] for i in range(self._scene.nlight)]

    def _sees(self, data: mujoco.MjData, light: Any, points: np.ndarray) -> np.ndarray:
        """Returns (n,) bool: whether the light reaches the points (n, 3). Rays go from the light to the points."""
        origin = light.pos.astype(float)
        if _directional(light):
            origin = points.mean(axis=0) - SUN_DISTANCE_M * light.dir
        rays = points - origin
        length = np.sqrt(_dot(rays, rays))
        _, stopped, _ = self._cast(data, origin, rays)
        return (stopped < 0) | (stopped * length > length - SHADOW_TOLERANCE_M)


@dataclass(frozen=True)
class SurfacePoints:
    """The first hits of n rays: geom ids (n,) int32; point (n, 3) float64, m, and normal (n, 3) float32, world."""

    geom: np.ndarray
    point: np.ndarray
    normal: np.ndarray


@dataclass(frozen=True)
class Paint:
    """The looks of all geoms: rgb (ngeom, 3); emission, specular, shininess (ngeom,); float32 in 0..1."""

    rgb: np.ndarray
    emission: np.ndarray
    specular: np.ndarray
    shininess: np.ndarray


def _with_true_spheres(model: mujoco.MjModel) -> mujoco.MjModel:
    """Returns a copy for mj_multiRay, which skips a body if the ray misses the sphere around its bounding box.

    MuJoCo 3.17 centres that sphere at the inertial frame's origin plus the box's centre, *unrotated*, and ignores geoms
    that do not collide, so parts of a rotated arm vanish. The copy has boxes whose spheres contain every geom, whatever
    the body's rotation.
    """
    copied = copy.copy(model)
    offset = np.linalg.norm(model.geom_pos - model.body_ipos[model.geom_bodyid], axis=1)
    reach = np.where(model.geom_rbound > 0, offset + model.geom_rbound, MAX_RAY_LENGTH_M)  # planes have no bound
    radius = np.zeros(model.nbody)
    np.maximum.at(radius, model.geom_bodyid, reach)
    bounded = model.body_bvhadr >= 0
    boxes = model.body_bvhadr[bounded]
    copied.bvh_aabb[boxes, :3] = 0.0
    copied.bvh_aabb[boxes, 3:] = radius[bounded, None] / math.sqrt(3.0)
    return copied


def _paint(model: mujoco.MjModel, texture_rgb: np.ndarray) -> Paint:
    """Reads the looks of all geoms. Done for every picture, because a model's colours may change at any time."""
    rgb = model.geom_rgba[:, :3].copy()
    emission = np.zeros(model.ngeom, np.float32)
    specular, shininess = np.full((2, model.ngeom), DEFAULT_SPECULAR, np.float32)
    own = np.flatnonzero(model.geom_matid >= 0)
    if len(own):
        material = model.geom_matid[own]
        plain = (model.geom_rgba[own] == DEFAULT_RGBA).all(axis=1)
        rgb[own] = np.where(plain[:, None], model.mat_rgba[material, :3], rgb[own]) * texture_rgb[material]
        emission[own], specular[own] = model.mat_emission[material], model.mat_specular[material]
        shininess[own] = model.mat_shininess[material]
    return Paint(rgb, emission, specular, shininess)


def _mean_texture_rgb(model: mujoco.MjModel) -> np.ndarray:
    """Returns (nmat, 3) float32: the mean colour of each material's texture, white without one."""
    mean = np.ones((model.nmat, 3), np.float32)
    role = mujoco.mjtTextureRole.mjTEXROLE_RGB.value
    for material, texture in enumerate(model.mat_texid[:, role] if model.nmat else ()):
        if texture >= 0 and model.tex_nchannel[texture] >= 3:
            texels = model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture]
            start = model.tex_adr[texture]
            pixels = model.tex_data[start : start + texels].reshape(-1, model.tex_nchannel[texture])
            mean[material] = pixels[:, :3].mean(axis=0) / 255.0
    return mean


def _reach(light: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
    """Returns unit vectors from the points to the light, (3,) or (n, 3) float32, and the share that arrives (n,)."""
    if _directional(light):
        return -light.dir, 1.0
    offset = light.pos - points
    distance = np.sqrt(_dot(offset, offset))
    toward = (offset / distance[:, None]).astype(np.float32)
    constant, linear, square = light.attenuation
    strength = 1.0 / (constant + linear * distance + square * distance**2)
    if light.type == mujoco.mjtLightType.mjLIGHT_SPOT.value:
        aligned = np.maximum(-_dot(toward, light.dir), 0.0)
        strength *= aligned**light.exponent * (aligned >= math.cos(math.radians(light.cutoff)))
    return toward, strength.astype(np.float32)


def _gloss(seen: SurfacePoints, half: np.ndarray, paint: Paint) -> np.ndarray:
    """Returns the share (n,) float32 of a light mirrored to the eye, by Blinn's half vector (n, 3) of any length."""
    aligned = np.maximum(_dot(seen.normal, _unit(half)), 0.0)
    exponent = MAX_SPECULAR_EXPONENT * paint.shininess
    gloss = np.zeros(len(seen.geom), np.float32)
    # powers are slow, and most highlights are invisible
    bright = np.flatnonzero(
        aligned > MIN_VISIBLE_HIGHLIGHT_SHARE ** (1.0 / max(float(exponent.min()), MIN_VISIBLE_HIGHLIGHT_SHARE))
    )
    geom = seen.geom[bright]
    gloss[bright] = paint.specular[geom] * aligned[bright] ** exponent[geom]
    return gloss


def _directional(light: Any) -> bool:
    return light.type == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the dot products (n,) of rows: (n, 3) with (n, 3) or (3,)."""
    return a @ b if b.ndim == 1 else np.einsum("ij,ij->i", a, b)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
