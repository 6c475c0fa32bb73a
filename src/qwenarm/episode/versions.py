"""The versions that an episode records."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata


@functools.cache
def versions() -> Mapping[str, str]:
    """Returns the versions of Python and of all packages that can change an outcome, and the kind of machine."""
    found = {}
    for package in ("qwenarm", "mujoco", "gymnasium", "numpy", "torch", "transformers"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return {**found, "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
