"""Pictures of a scene: colour, depth and segmentation, with OpenGL if available and without it otherwise.

No setting is needed. The first picture decides for the process: EGL (a GPU's, or Mesa's in software), else OSMesa, else
the ray caster, which needs no OpenGL. ``QWENARM_RENDERER`` (auto | egl | osmesa | raycast) takes precedence, and so
does an explicit ``MUJOCO_GL``. MuJoCo itself chooses a platform when it is imported, and fails later if that is
missing. Here the platform is bound late, so it does not matter who imported mujoco, or when.
"""

from __future__ import annotations

import functools
import os
from types import TracebackType
from typing import Protocol

import mujoco
import numpy as np

from qwenarm.body.rendering import opengl as gl
from qwenarm.body.rendering.raycast import RayCaster
from qwenarm.errors import BadInput

RENDERER_VARIABLE = "QWENARM_RENDERER"
RENDERER_CHOICES = ("auto", "egl", "osmesa", "raycast")
MUJOCO_GL_OFF = ("disable", "disabled", "off", "false", "0")
MUJOCO_GL_AUTO = ("", "enable", "enabled", "on", "true", "1")
"""Values of MUJOCO_GL that name no platform."""

Size = tuple[int, int]
"""(H, W) in pixels."""


def choose_renderer() -> str:
    """Returns this process's renderer: "egl", "osmesa", "raycast", or that of an explicit MUJOCO_GL ("glfw", "cgl").

    Raises BadInput for an unknown value of QWENARM_RENDERER, and for a named platform that does not work here.
    """
    return _choose(os.environ.get(RENDERER_VARIABLE, ""), os.environ.get("MUJOCO_GL", ""))


@functools.cache
def _choose(ours: str, mujocos: str) -> str:
    ours, mujocos = ours.lower().strip() or "auto", mujocos.lower().strip()
    if ours not in RENDERER_CHOICES:
        raise BadInput(f"{RENDERER_VARIABLE}={ours!r} is no renderer; choose one of {', '.join(RENDERER_CHOICES)}.")
    if ours != "auto":
        return _demand(ours, RENDERER_VARIABLE)
    if mujocos in MUJOCO_GL_OFF:
        return "raycast"
    if mujocos not in MUJOCO_GL_AUTO:
        return _demand(mujocos, "MUJOCO_GL")
    return next((name for name in gl.PLATFORM_CANDIDATES if gl.why_unusable(name) is None), "raycast")


def _demand(name: str, variable: str) -> str:
    """Returns the name if it works here. Raises BadInput otherwise: a named renderer is never replaced silently."""
    trouble = None if name == "raycast" else gl.why_unusable(name)
    if trouble is not None:
        raise BadInput(f"{variable}={name} cannot draw here: {trouble}. Unset it, or set {RENDERER_VARIABLE}=raycast.")
    return name


class Drawing(Protocol):
    """The interface of all ways to draw. For the arrays see ``Renderer``. Cameras are ids; sizes are checked."""

    def rgb(self, data: mujoco.MjData, camera: int, size: Size, shadows: bool) -> np.ndarray: ...
    def depth(self, data: mujoco.MjData, camera: int, size: Size) -> np.ndarray: ...
    def segmentation(self, data: mujoco.MjData, camera: int, size: Size) -> np.ndarray: ...
    def close(self) -> None: ...


class Renderer:
    """Draws one model. Costs nothing until the first picture. May be used from any thread, one picture at a time.

    ``data`` needs up-to-date kinematics and cameras (mj_forward, or mj_kinematics and mj_camlight). Raises BadInput for
    an unknown camera or a size that is not positive. Geom groups 0 to 2 are drawn, as MuJoCo does; sites never are.
    """

    def __init__(self, model: mujoco.MjModel, name: str | None = None) -> None:
        self.model = model
        self.name = choose_renderer() if name is None else _demand(name, "renderer")
        self._drawing: Drawing = RayCaster(model) if self.name == "raycast" else gl.GLDrawing(model, self.name)

    def rgb(self, data: mujoco.MjData, camera: str, size: Size, shadows: bool = False) -> np.ndarray:
        """Returns (H, W, 3) uint8. ``shadows`` is slower, for people: shadows and, with OpenGL, smoothed edges."""
        return self._drawing.rgb(data, self._camera(camera), _checked(size), shadows)

    def depth(self, data: mujoco.MjData, camera: str, size: Size) -> np.ndarray:
        """Returns (H, W) float32 depth in m along the optical axis (not along the ray), inf where nothing was hit."""
        return self._drawing.depth(data, self._camera(camera), _checked(size))

    def segmentation(self, data: mujoco.MjData, camera: str, size: Size) -> np.ndarray:
        """Returns (H, W) int32: the id of the geom seen at each pixel, -1 where nothing was hit."""
        return self._drawing.segmentation(data, self._camera(camera), _checked(size))

    def close(self) -> None:
        """Frees the OpenGL context, if there is one; the next picture creates another. Also done when collected."""
        self._drawing.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _camera(self, name: str) -> int:
        camera = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
        if camera < 0:
            names = ", ".join(self.model.camera(i).name for i in range(self.model.ncam))
            raise BadInput(f"No camera {name!r} in the model; there are {names or 'none'}.")
        return camera


def _checked(size: Size) -> Size:
    height, width = size
    if height < 1 or width < 1:
        raise BadInput(f"A picture of {height} x {width} pixels cannot be drawn.")
    return int(height), int(width)
