"""Locks that one process at a time has. They end with the process, however it ends."""

from __future__ import annotations

import fcntl
from typing import IO, Any


def lock(file: int | IO[Any]) -> bool:
    """Locks an open file or folder, unless it is locked already. Returns whether it was free.

    Args:
        file: The file, or its descriptor. Closing it releases the lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
