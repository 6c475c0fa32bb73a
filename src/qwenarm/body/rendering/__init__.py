"""Cameras to pictures: EGL, OSMesa, or a ray caster that needs no OpenGL."""
