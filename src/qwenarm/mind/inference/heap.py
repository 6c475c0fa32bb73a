"""Gives memory back to the system that the C library keeps for later."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def _malloc_trim() -> Any:
    """glibc's function; None where the C library has none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def trim_heap() -> None:
    """Gives the free pages of the heap back, also those between blocks that are in use.

    Tensors of ever new sizes come and go between kernels and worlds that stay longer, so the heap gets holes that the
    next tensor does not fit into. Does nothing without glibc.
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)
