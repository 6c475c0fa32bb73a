"""Recorded episodes in the formats of other tools: LeRobot, TRL, Rerun, Inspect."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qwenarm.errors import BadInput

EXPORT_FORMATS = ("chat", "lerobot", "rerun", "inspect")


def library(module: str, package: str) -> Any:
    """An optional library. Raises BadInput that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise BadInput(f"This export needs {package}: pip install '{package}'.") from error
