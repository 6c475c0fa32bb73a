"""OpenGL contexts without a window: created late, released after every picture, and reused for other models.

MuJoCo keeps its OpenGL objects as plain numbers that are only valid in the context in which they were created. Freeing
them while another context is current destroys that context's objects. So every use and every release goes through
``Contexts.current``.
"""

from __future__ import annotations

import atexit
import importlib
import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import mujoco

FILM_QUALITY = {"offsamples": 4, "shadowsize": 1024, "numslices": 20, "numstacks": 10}
OBSERVATION_QUALITY = {"offsamples": 0, "shadowsize": 0, "numslices": 16, "numstacks": 8}
"""Changes to a model's ``visual.quality``. Pictures for models have one sample per pixel, like the ray caster's, no
shadow map, and shapes of fewer triangles, because software OpenGL spends most of its time on vertices.
"""
CONTEXT_BUFFER_PX = 16
"""Side of a context's own framebuffer, in pixels. Nothing is drawn there: MuJoCo draws in its offscreen buffer."""
MAX_IDLE_CONTEXTS = 4
"""Maximum number of contexts kept for later models. Creating one takes as long as twenty pictures."""
GL_FLOAT = 0x1406
FONT_SCALE = mujoco.mjtFontScale.mjFONTSCALE_50.value

_idle: list[GLContexts] = []
_inherited: list[GLContexts] = []
"""Contexts of the process before a fork. They must be neither used nor collected, which would free them."""
_alive: set[GLContexts] = set()
_ours = threading.RLock()
"""Guards the three lists. Reentrant, because a drawing may be collected, and thus closed, at any moment."""
_in_use = threading.local()


def take(platform: str, model: mujoco.MjModel) -> GLContexts:
    """Returns contexts in which the model can be drawn: idle ones, or new ones."""
    content = _content(model)
    with _ours:
        for contexts in _idle:
            if content and contexts.content == content and contexts.platform == platform and contexts.is_mine:
                _idle.remove(contexts)
                return contexts
    return GLContexts(platform, content)


def give_back(contexts: GLContexts) -> None:
    """Keeps the contexts for another model like the one that used them, or frees them."""
    with _ours:
        keep = contexts.content is not None and contexts in _alive
        if keep:
            _idle.append(contexts)
        surplus = contexts if not keep else _idle.pop(0) if len(_idle) > MAX_IDLE_CONTEXTS else None
    if surplus is not None:
        surplus.free()


class GLContexts:
    """An OpenGL context with two render contexts of MuJoCo: for the pictures of models and for those of people.

    ``content`` is what MuJoCo's contexts hold of their model, or None if no other model may use them.
    """

    def __init__(self, platform: str, content: Hashable = None) -> None:
        self.platform, self.content = platform, content
        self._process = os.getpid()
        self._module = importlib.import_module(f"mujoco.{platform}")
        self._gl = self._module.GLContext(CONTEXT_BUFFER_PX, CONTEXT_BUFFER_PX)
        self._mjr: dict[bool, Any] = {}
        with _ours:
            if not _alive:  # registered after mujoco's own hook, so that this one runs before the display is closed
                atexit.register(_free_all)
            _alive.add(self)

    @property
    def is_mine(self) -> bool:
        """Whether this process created them. After a fork, the child must create its own."""
        return self._process == os.getpid()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes the context current in this thread, then the previous one again: a drawing may be collected while
        another one is at work.
        """
        stack: list[GLContexts] = _in_use.__dict__.setdefault("stack", [])
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
        """Returns the MjrContext, with a buffer of at least this size (H, W), for drawing. Requires ``current``."""
        height, width = size
        context = self._mjr.get(film)
        if context is None:
            context = self._mjr[film] = _make_mjr(model, film, size)
        elif context.offHeight < height or context.offWidth < width:
            mujoco.mjr_resizeOffscreen(max(width, context.offWidth), max(height, context.offHeight), context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        return context

    def free(self) -> None:
        """Frees everything, once, and only in the process that created it."""
        with _ours:
            known = self in _alive
            _alive.discard(self)
            if not self.is_mine:
                _inherited.append(self)
        if known and self.is_mine:
            with self.current():
                for context in self._mjr.values():
                    context.free()
            if self.platform == "cgl":
                self._gl.make_current()  # it is locked then, as its end requires
            self._gl.free()

    def _release(self) -> None:
        """Makes no context current in this thread, so that another thread can use it. mujoco has no such method."""
        module = self._module
        if self.platform == "egl":
            none = module.EGL.EGL_NO_SURFACE, module.EGL.EGL_NO_SURFACE, module.EGL.EGL_NO_CONTEXT
            module.EGL.eglMakeCurrent(module.EGL_DISPLAY, *none)
        elif self.platform == "osmesa":
            module.osmesa.OSMesaMakeCurrent(None, None, GL_FLOAT, 0, 0)
        elif self.platform == "glfw":
            module.glfw.make_context_current(None)
        else:
            module.cgl.CGLUnlockContext(self._gl._context)
            module.cgl.CGLSetCurrentContext(None)


def _free_all() -> None:
    for contexts in list(_alive):
        contexts.free()


def _make_mjr(model: mujoco.MjModel, film: bool, size: tuple[int, int]) -> Any:
    """Lends the model our buffer size and quality, which an MjrContext copies when it is created."""
    window, quality = model.vis.global_, model.vis.quality
    ours = FILM_QUALITY if film else OBSERVATION_QUALITY
    before = window.offheight, window.offwidth, {name: getattr(quality, name) for name in ours}
    try:
        _set(window, quality, *size, ours)
        context = mujoco.MjrContext(model, FONT_SCALE)
    finally:
        _set(window, quality, *before)
    context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
    return context


def _set(window: Any, quality: Any, height: int, width: int, values: dict[str, int]) -> None:
    window.offheight, window.offwidth = height, width
    for name, value in values.items():
        setattr(quality, name, value)


def _content(model: mujoco.MjModel) -> Hashable:
    """Returns everything that an MjrContext copies from a model of primitive shapes; None for meshes and textures."""
    if model.nmesh or model.ntex or model.nhfield or model.nskin or model.nflex:
        return None
    planes = model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value]
    quality, extent, window = model.vis.quality, model.vis.map, model.vis.global_
    return (
        planes.tobytes(), model.stat.extent, window.linewidth, model.vis.rgba.fog.tobytes(),
        quality.shadowsize, quality.numslices, quality.numstacks, quality.numquads,
        extent.fogstart, extent.fogend, extent.shadowclip, extent.shadowscale,
    )  # fmt: skip
