"""Drawing with OpenGL, without a window: contexts that are made late, released after every picture, and freed in order.

MuJoCo keeps its OpenGL objects as bare numbers that mean something only in the context they were made in; freeing them
while another context is current destroys that one's objects. So every use and every end goes through ``_current``.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8",), "glfw": (), "cgl": ()}
"""Platform -> what must be there before its module in mujoco is imported."""
CANDIDATES = {"linux": ("egl", "osmesa"), "darwin": ("cgl",)}.get(sys.platform, ("glfw",))
"""Platforms to try when nobody named one, best first: EGL finds a GPU if there is one, OSMesa never does."""
EGL_PLATFORM_DEVICE = 0x313F
GL_FLOAT = 0x1406
FILM_SAMPLES = 4
"""Samples a pixel of pictures for people. Pictures for models have one: faster, and the same edges as the ray caster's."""
SURFACELESS = 16
"""Side of a context's own framebuffer, px. Nothing is drawn there: pictures go to MuJoCo's offscreen buffer."""
IDS_ONLY = {mujoco.mjtRndFlag.mjRND_SEGMENT: True, mujoco.mjtRndFlag.mjRND_IDCOLOR: True}
FONT = mujoco.mjtFontScale.mjFONTSCALE_50.value

# Mesa's software rasteriser starts threads that a forked child waits for in vain (gymnasium's AsyncVectorEnv forks).
# Without them it is as fast for pictures of these sizes: the time goes into vertices.
os.environ.setdefault("LP_NUM_THREADS", "0")


@functools.cache
def trouble(name: str) -> str | None:
    """Why a platform cannot draw here, as half a sentence, or None if it can. Makes a context to find out."""
    if name not in LIBRARIES:
        return f"it is none of {', '.join(LIBRARIES)}"
    try:
        for library in LIBRARIES[name]:
            ctypes.CDLL(library)
        if name == "egl" and not _egl_has_device():
            return "EGL finds no device that it can initialise"
        GLDrawing(mujoco.MjSpec().compile(), name).check()
    except (
        Exception
    ) as error:  # OpenGL bindings raise whatever they like: OSError, ImportError, AttributeError, GLError ...
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def _egl_has_device() -> bool:
    """Whether mujoco.egl will find a display. Asked without PyOpenGL, which can bind only one platform in a process."""
    egl = ctypes.CDLL(LIBRARIES["egl"][0])
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
    """Draws one model with MuJoCo's OpenGL renderer; the arrays are those of render.Renderer."""

    def __init__(self, model: mujoco.MjModel, name: str) -> None:
        self._model = model
        self._name = name
        self._lock = threading.Lock()
        self._made: _Contexts | None = None
        self._plain = not (model.nmesh or model.ntex or model.nhfield or model.nskin)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._scene.flags[:] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE.value] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX.value] = True
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED.value

    def check(self) -> None:
        """Makes the context and frees it again: raises what OpenGL raises if that cannot be done."""
        with self._current(film=False, size=(SURFACELESS, SURFACELESS)):
            pass
        self.close()

    def rgb(self, data: mujoco.MjData, camera: int, size: tuple[int, int], shadows: bool) -> np.ndarray:
        rgb = np.empty((*size, 3), np.uint8)
        self._draw(data, camera, {mujoco.mjtRndFlag.mjRND_SHADOW: shadows}, rgb, None, film=shadows)
        return np.ascontiguousarray(rgb[::-1])

    def depth(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        window = np.empty(size, np.float32)
        self._draw(data, camera, IDS_ONLY, None, window)
        near = self._model.vis.map.znear * self._model.stat.extent
        far = self._model.vis.map.zfar * self._model.stat.extent
        # Reversed z: 1 at the near plane, 0 at the far one, linear in 1/depth. Float64, as 1/far is lost beside 1/near.
        with np.errstate(divide="ignore"):
            depth = 1.0 / (window[::-1].astype(np.float64) * (1 / near - 1 / far) + 1 / far)
        return np.where(window[::-1] > 0, depth, np.inf).astype(np.float32)

    def segmentation(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        rgb = np.empty((*size, 3), np.uint8)
        self._draw(data, camera, IDS_ONLY, rgb, None)
        geom = mujoco.mjtObj.mjOBJ_GEOM.value
        drawn = self._scene.geoms[: self._scene.ngeom]
        ids = np.full(self._scene.ngeom + 1, -1, np.int32)  # a pixel holds 1 + segid, 0 where nothing was drawn
        ids[[g.segid + 1 for g in drawn]] = [g.objid if g.objtype == geom else -1 for g in drawn]
        return ids[rgb[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)]

    def close(self) -> None:
        """Frees everything, or leaves it to the next plain model. A later picture begins anew."""
        with self._lock:
            made, self._made = self._made, None
            if made is not None:
                made.give_back(self._plain)

    def __del__(self) -> None:
        self.close()

    def _draw(
        self, data: mujoco.MjData, camera: int, flags: Mapping[Any, bool],
        rgb: np.ndarray | None, depth: np.ndarray | None, film: bool = False,
    ) -> None:  # fmt: skip
        """Fills rgb (H, W, 3) uint8 and depth (H, W) float32 in 0..1, whichever are given, bottom row first."""
        height, width = (depth if rgb is None else rgb).shape[:2]
        viewport = mujoco.MjrRect(0, 0, width, height)
        with self._current(film, (height, width)) as context:
            self._view.fixedcamid = camera
            mujoco.mjv_updateScene(
                self._model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
            )
            for flag in (*IDS_ONLY, mujoco.mjtRndFlag.mjRND_SHADOW):
                self._scene.flags[flag.value] = flags.get(flag, False)
            mujoco.mjr_render(viewport, self._scene, context)
            mujoco.mjr_readPixels(rgb, depth, viewport, context)

    @contextmanager
    def _current(self, film: bool, size: tuple[int, int]) -> Iterator[Any]:
        """MuJoCo's render context for such a picture, current in this thread until the block ends."""
        with self._lock:
            if self._made is None or self._made.process != os.getpid():
                if self._made is not None:
                    self._made.free()
                self._made = _Contexts.take(self._name, self._plain)
            with self._made.current():
                yield self._made.for_picture(self._model, film, size)


class _Contexts:
    """An OpenGL context and MuJoCo's render contexts in it: one for models' pictures, one for people's, each made when asked.

    A model of primitive shapes alone leaves nothing of its own in them, so the next such model takes them over: making
    them anew for every episode costs more than all its pictures (60 ms, and 25 ms instead of 1 for the first ones).
    """

    alive: weakref.WeakSet[_Contexts] = weakref.WeakSet()
    inherited: list[_Contexts] = []  # noqa: RUF012  (those of the process before a fork: never to be touched, nor collected)
    in_use = threading.local()
    idle: list[_Contexts] = []  # noqa: RUF012
    IDLE_MOST = 2

    @classmethod
    def take(cls, name: str, plain: bool) -> _Contexts:
        """Contexts that another plain model has left, or new ones."""
        fitting = [c for c in cls.idle if plain and c.name == name and c.process == os.getpid()]
        if not fitting:
            return cls(name)
        cls.idle.remove(fitting[0])
        return fitting[0]

    def give_back(self, plain: bool) -> None:
        """Keeps them for another plain model if there is room, else frees them."""
        if plain and self.process == os.getpid() and len(_Contexts.idle) < _Contexts.IDLE_MOST:
            _Contexts.idle.append(self)
        else:
            self.free()

    def __init__(self, name: str) -> None:
        self.process = os.getpid()
        self.name = name
        self._platform = importlib.import_module(f"mujoco.{name}")
        self._release = functools.partial(_release, name, self._platform)
        self._gl = self._platform.GLContext(SURFACELESS, SURFACELESS)
        self._mjr: dict[bool, Any] = {}
        if not _Contexts.alive:  # after mujoco's own hook, so that ours runs before the display is closed
            atexit.register(_free_all)
        _Contexts.alive.add(self)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Current in this thread within the block; afterwards what was before. A collected drawing may cut into another's."""
        stack = _Contexts.in_use.__dict__.setdefault("stack", [])
        self._gl.make_current()
        stack.append(self)
        try:
            yield
        finally:
            stack.pop()
            self._release()
            if stack:
                stack[-1]._gl.make_current()

    def for_picture(self, model: mujoco.MjModel, film: bool, size: tuple[int, int]) -> Any:
        """The MjrContext with a buffer of at least this size (H, W), bound for drawing. Needs ``current``."""
        height, width = size
        context = self._mjr.get(film)
        if context is None:
            context = self._mjr[film] = _make_mjr(model, film, size)
        elif context.offHeight < height or context.offWidth < width:
            mujoco.mjr_resizeOffscreen(max(width, context.offWidth), max(height, context.offHeight), context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        return context

    def free(self) -> None:
        """Frees all of it, once, and only in the process that made it."""
        if self.process != os.getpid():
            _Contexts.inherited.append(self)
        elif self in _Contexts.alive:
            _Contexts.alive.discard(self)
            with self.current():
                for context in self._mjr.values():
                    context.free()
            self._gl.free()


def _free_all() -> None:
    for contexts in list(_Contexts.alive):
        contexts.free()


def _make_mjr(model: mujoco.MjModel, film: bool, size: tuple[int, int]) -> Any:
    """An MjrContext takes buffer size and samples from the model: lend it ours while it is made."""
    vis, quality = model.vis.global_, model.vis.quality
    before = vis.offheight, vis.offwidth, quality.offsamples, quality.shadowsize
    try:
        vis.offheight, vis.offwidth = size
        quality.offsamples = FILM_SAMPLES if film else 0
        quality.shadowsize = quality.shadowsize if film else 0
        context = mujoco.MjrContext(model, FONT)
    finally:
        vis.offheight, vis.offwidth, quality.offsamples, quality.shadowsize = before
    context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
    return context


def _release(name: str, platform: Any) -> None:
    """Makes no context current in this thread, so that another thread may use it. mujoco's classes cannot."""
    if name == "egl":
        egl = platform.EGL
        egl.eglMakeCurrent(platform.EGL_DISPLAY, egl.EGL_NO_SURFACE, egl.EGL_NO_SURFACE, egl.EGL_NO_CONTEXT)
    elif name == "osmesa":
        platform.osmesa.OSMesaMakeCurrent(None, None, GL_FLOAT, 0, 0)
    elif name == "glfw":
        platform.glfw.make_context_current(None)
    else:
        platform.cgl.CGLSetCurrentContext(None)
