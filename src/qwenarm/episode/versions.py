"""The versions that an episode records."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata

from qwenarm.registry import is_file, load

ARM_FILE = "arm file"
"""What the hash of an arm's file is called among the versions."""


@functools.cache
def versions() -> Mapping[str, str]:
    """Returns the versions of Python and of all packages that can change an outcome, and the kind of machine."""
    found = {}
    for package in ("qwenarm", "mujoco", "gymnasium", "numpy", "torch", "transformers"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return {**found, "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}


def versions_with(arm: str) -> Mapping[str, str]:
    """Returns these and, of an arm that is a file, the hash of what was read."""
    return {**versions(), ARM_FILE: f"sha256 {load('arms', arm).sha256}"} if is_file("arms", arm) else versions()
