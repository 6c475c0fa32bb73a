"""The libraries of other projects that tests need. ``make test-doors`` installs them; there none may lack."""

import os
from importlib import import_module
from typing import Any

import pytest

ALL_THERE = "QWENARM_TEST_DOORS"
"""Set by ``make test-doors``: what is missing is a failure, not a skip."""
LEROBOT_PYTHON = "QWENARM_LEROBOT_PYTHON"
"""The Python in whose environment the real lerobot is installed; its pins clash with ours."""


def counterpart(module: str) -> Any:
    """The module, or a skipped test."""
    if os.environ.get(ALL_THERE):
        return import_module(module)
    return pytest.importorskip(module, reason="make test-doors installs it")


def lerobot_python() -> str:
    """The interpreter, or a skipped test."""
    python = os.environ.get(LEROBOT_PYTHON, "")
    if not python and not os.environ.get(ALL_THERE):
        pytest.skip("make test-doors installs lerobot")
    return python
