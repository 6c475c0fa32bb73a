"""Where things are in a compiled model."""

from __future__ import annotations

import mujoco
import numpy as np


def subtree_bodies(model: mujoco.MjModel, root: int) -> set[int]:
    """The ids of a body and of all its descendants."""
    found, parents = {root}, model.body_parentid.tolist()
    for body in range(root + 1, model.nbody):  # parents come before their children
        if parents[body] in found:
            found.add(body)
    return found


def as_index(addresses: np.ndarray) -> slice | np.ndarray:
    """The addresses (n,) as a slice if they are consecutive: numpy reads and writes through it twice as fast."""
    first = int(addresses[0]) if addresses.size else 0
    consecutive = np.array_equal(addresses, np.arange(first, first + addresses.size))
    return slice(first, first + addresses.size) if consecutive else addresses
