"""Looks and does nothing: what a task gives for free."""

from __future__ import annotations

from qwenarm.policies import PolicyEntry
from qwenarm.policies.function import FunctionPolicy

POLICY = PolicyEntry(lambda context: FunctionPolicy("idle", lambda obs, history: "look"), control=True)
