"""The libraries of other projects that tests need. ``make test-doors`` installs them; there none may lack."""

import os
from importlib import import_module
from typing import Any

import pytest

ALL_THERE = "QWENARM_TEST_DOORS"
"""Set by ``make test-doors``: what is missing is a failure, not a skip."""
OTHER_PYTHON = {"lerobot": "QWENARM_LEROBOT_PYTHON", "openenv": "QWENARM_OPENENV_PYTHON"}
"""Variables with the Python of an environment in which a library is installed whose pins clash with ours."""


def counterpart(module: str) -> Any:
    """The module, or a skipped test."""
    if os.environ.get(ALL_THERE):
        return import_module(module)
    return pytest.importorskip(module, reason="make test-doors installs it")


def other_python(library: str) -> str:
    """The interpreter of the environment with this library, or a skipped test."""
    python = os.environ.get(OTHER_PYTHON[library], "")
    if not python and not os.environ.get(ALL_THERE):
        pytest.skip(f"make test-doors installs {library}")
    return python
