"""Draws with OpenGL on platforms that need no window, and finds out which of them work on this machine."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.rendering import gl_contexts as _contexts
from qwenarm.body.rendering.gl_contexts import GLContexts

PLATFORM_LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8",), "glfw": (), "cgl": ()}
"""Shared libraries that a platform's module in mujoco needs."""
PLATFORM_CANDIDATES = {"linux": ("egl", "osmesa"), "darwin": ("cgl",)}.get(sys.platform, ("glfw",))
"""Platforms that are tried by default, best first: EGL finds a GPU if there is one, OSMesa never does."""
EGL_PLATFORM_DEVICE = 0x313F
SHADOW_FLAG = mujoco.mjtRndFlag.mjRND_SHADOW.value
SEGMENTATION_FLAGS = (mujoco.mjtRndFlag.mjRND_SEGMENT.value, mujoco.mjtRndFlag.mjRND_IDCOLOR.value)

# Mesa's software rasteriser starts threads for which a forked child waits in vain (gymnasium's AsyncVectorEnv forks).
# Without them it is just as fast for small pictures, because vertices take most of the time.
os.environ.setdefault("LP_NUM_THREADS", "0")


@functools.cache
def why_unusable(name: str) -> str | None:
    """Returns why a platform cannot draw here, as part of a sentence, or None if it can. Creates a context to try."""
    if name not in PLATFORM_LIBRARIES:
        return f"it is none of {', '.join(PLATFORM_LIBRARIES)}"
    try:
        for library in PLATFORM_LIBRARIES[name]:
            ctypes.CDLL(library)
        if name == "egl" and not _egl_has_device():
            return "EGL finds no device that it can initialise"
        GLDrawing(mujoco.MjSpec().compile(), name).check()
    except Exception as error:  # OpenGL bindings raise errors of many kinds: OSError, AttributeError, GLError ...
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def _egl_has_device() -> bool:
    """Returns whether mujoco.egl will find a display. Avoids PyOpenGL, which supports only one platform per process."""
    egl = ctypes.CDLL(PLATFORM_LIBRARIES["egl"][0])
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query, display = (egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT"))
    if not query or not display:
        return False
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query = ctypes.CFUNCTYPE(ctypes.c_uint, integer, ctypes.POINTER(pointer), ctypes.POINTER(integer))(query)
    display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(display)
    devices, found = (pointer * 32)(), integer()
    query(len(devices), devices, ctypes.byref(found))
    displays = (display(EGL_PLATFORM_DEVICE, device, None) for device in devices[: found.value])
    return any(d and egl.eglInitialize(pointer(d), None, None) for d in displays)


class GLDrawing:
    """Draws one model with MuJoCo's OpenGL renderer. For its arrays see ``renderer.Renderer``."""

    def __init__(self, model: mujoco.MjModel, name: str) -> None:
        self._model = model
        self._name = name
        self._lock = threading.Lock()
        self._made: GLContexts | None = None
        self._pixels = np.empty((0, 0, 3), np.uint8)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._scene.flags[:] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE.value] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX.value] = True
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value

    def check(self) -> None:
        """Creates the context and frees it again. Raises whatever OpenGL raises if that fails."""
        with self._current(film=False, size=(1, 1)):
            pass
        self.close()

    def rgb(self, data: mujoco.MjData, camera: int, size: tuple[int, int], shadows: bool) -> np.ndarray:
        if self._pixels.shape[:2] != size:  # fresh memory for every picture costs page faults
            self._pixels = np.empty((*size, 3), np.uint8)
        self._draw(data, camera, [SHADOW_FLAG] if shadows else [], self._pixels, None)
        return self._pixels[::-1].copy()

    def depth(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        window = np.empty(size, np.float32)
        self._draw(data, camera, SEGMENTATION_FLAGS, None, window)
        near = self._model.vis.map.znear * self._model.stat.extent
        far = self._model.vis.map.zfar * self._model.stat.extent
        # Reversed z: 1 at the near plane, 0 at the far one, linear in 1/depth. Float64, as 1/far is tiny.
        with np.errstate(divide="ignore"):
            depth = 1.0 / (window[::-1].astype(np.float64) * (1 / near - 1 / far) + 1 / far)
        return np.where(window[::-1] > 0, depth, np.inf).astype(np.float32)

    def segmentation(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        rgb = np.empty((*size, 3), np.uint8)
        self._draw(data, camera, SEGMENTATION_FLAGS, rgb, None)
        geom = mujoco.mjtObj.mjOBJ_GEOM.value
        drawn = self._scene.geoms[: self._scene.ngeom]
        ids = np.full(self._scene.ngeom + 1, -1, np.int32)  # a pixel holds 1 + segid, or 0 where nothing was drawn
        ids[[g.segid + 1 for g in drawn]] = [g.objid if g.objtype == geom else -1 for g in drawn]
        return ids[rgb[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)]

    def close(self) -> None:
        """Releases the contexts. A later picture creates new ones."""
        with self._lock:
            made, self._made = self._made, None
            if made is not None:
                _contexts.give_back(made)

    def __del__(self) -> None:
        self.close()

    def _draw(
        self, data: mujoco.MjData, camera: int, flags: Collection[Any], rgb: np.ndarray | None, depth: np.ndarray | None
    ) -> None:
        """Fills rgb (H, W, 3) uint8 and depth (H, W) float32 in 0..1, if given, with the bottom row first."""
        height, width = next(array for array in (rgb, depth) if array is not None).shape[:2]
        viewport = mujoco.MjrRect(0, 0, width, height)
        with self._current(SHADOW_FLAG in flags, (height, width)) as context:
            self._view.fixedcamid = camera
            mujoco.mjv_updateScene(
                self._model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
            )
            for flag in (*SEGMENTATION_FLAGS, SHADOW_FLAG):
                self._scene.flags[flag] = flag in flags
            mujoco.mjr_render(viewport, self._scene, context)
            mujoco.mjr_readPixels(rgb, depth, viewport, context)

    @contextmanager
    def _current(self, film: bool, size: tuple[int, int]) -> Iterator[Any]:
        """Makes MuJoCo's render context for such a picture current in this thread."""
        with self._lock:
            if self._made is not None and not self._made.is_mine:
                self._made.free()
                self._made = None
            if self._made is None:
                self._made = _contexts.take(self._name, self._model)
            with self._made.current():
                yield self._made.for_picture(self._model, film, size)
