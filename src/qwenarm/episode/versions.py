"""What ran: the versions that an episode records."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata


@functools.cache
def versions() -> Mapping[str, str]:
    """What ran: the packages that can change an outcome, Python, and the kind of machine."""
    found = {}
    for package in ("qwenarm", "mujoco", "gymnasium", "numpy", "torch", "transformers"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return {**found, "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
