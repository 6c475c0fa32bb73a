"""Recorded episodes in the formats of other tools: LeRobot, TRL, Rerun, Inspect."""

from __future__ import annotations

from typing import Any

from qwenarm.errors import import_optional

EXPORT_FORMATS = ("chat", "lerobot", "rerun", "inspect")


def library(module: str, package: str) -> Any:
    """An optional library. Raises BadInput that says how to install it."""
    return import_optional(module, f"This export needs {package}: pip install '{package}'.")
