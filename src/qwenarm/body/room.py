"""How far an arm that something is in the way of may go, whichever of its joints follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARE_TOLERANCE = 1e-9
"""A step of which all but this share is left is not shortened."""


@dataclass(frozen=True)
class Room:
    """What is left, in some directions, for an arm that something is in the way of.

    These are the axes, along which the tcp has room to the walls of the workspace, or the normals of contacts.

    Some joints of such an arm follow and others do not. Where two would have kept the tcp on a wall between them, one
    alone carries it out, further in every period. So all that is outward in a step has to find room on its own.

    Attributes:
        jacobian: (k, n) of the motion along k directions, m/rad.
        above: (k,) m, along them.
        below: (k,) m, against them.
    """

    jacobian: np.ndarray
    above: np.ndarray
    below: np.ndarray

    def shortened(self, step: np.ndarray) -> np.ndarray:
        """The step (n,) rad with those of its joints shortened that have no room; the same array if all have."""
        moved = self.jacobian * step
        up, down = np.maximum(moved, 0.0), np.maximum(-moved, 0.0)
        share_up = self.above / np.maximum(up.sum(axis=1), self.above + 1e-12)
        share_down = self.below / np.maximum(down.sum(axis=1), self.below + 1e-12)
        shares = np.minimum(np.where(up > 0, share_up[:, None], 1.0), np.where(down > 0, share_down[:, None], 1.0))
        return step if shares.min() > 1 - SHARE_TOLERANCE else step * shares.min(axis=0)
