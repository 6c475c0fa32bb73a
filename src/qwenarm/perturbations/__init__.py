"""Axes of change: what may be otherwise about an episode while the task stays the same. One file an axis.

A choice of perturbations is a row of (axis, strength) pairs, written "look:2,words:1". Strength 0 is no change at all:
the same bits as without the axis. Every axis draws from a generator of its own, made of the episode's seed and the
axis' name, so an episode and its unchanged control have the same scene wherever the axis does not change it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load

if TYPE_CHECKING:
    import numpy as np

    from qwenarm.perturbations._axis import Axis
    from qwenarm.tasks.core.goal import Setup
    from qwenarm.tasks.core.task import Combos, Layout

Perturbations = tuple[tuple[str, int], ...]
"""(axis, strength 1 to 3) pairs, in alphabetical order, no axis twice."""
STRONGEST = 3


def parse(text: str) -> Perturbations:
    """ "look:2,words:1" as Perturbations; "" is none. Raises UnknownName and BadInput with the valid choices."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return checked([_pair(part) for part in parts])


def spell(perturbations: Sequence[tuple[str, int]]) -> str:
    """Perturbations as text, the inverse of ``parse``."""
    return ",".join(f"{name}:{strength}" for name, strength in perturbations)


def checked(perturbations: Sequence[tuple[str, int]]) -> Perturbations:
    """In order and without strengths of 0. Raises UnknownName for an axis that does not exist, BadInput for one that is
    named twice or has no such strength.
    """
    names = [name for name, _ in perturbations]
    for name, strength in perturbations:
        load("perturbations", name)
        if strength not in range(STRONGEST + 1):
            raise BadInput(f"The strength of {name} must be 0 to {STRONGEST}, not {strength}.")
        if names.count(name) > 1:
            raise BadInput(f"The axis {name} is named twice.")
    return tuple(sorted((name, strength) for name, strength in perturbations if strength))


def _pair(part: str) -> tuple[str, int]:
    name, colon, strength = part.rpartition(":")
    if not colon or not strength.strip().isdigit():
        valid = ", ".join(list_names("perturbations"))
        raise BadInput(f"{part!r} is no change: write AXIS:STRENGTH, as in look:2. Axes: {valid}.")
    return name.strip(), int(strength)


def changed_arm(perturbations: Perturbations, arm: str) -> str:
    """The name of the arm that plays in place of ``arm``."""
    for axis, strength, _ in _axes(perturbations, 0):
        arm = axis.arm(arm, strength)
    return arm


def changed_combos(perturbations: Perturbations, seed: int, combos: Combos | None) -> Combos | None:
    """The colour x shape pairs that may appear."""
    for axis, strength, rng in _axes(perturbations, seed):
        combos = axis.combos(rng, combos, strength)
    return combos


def changed_layout(perturbations: Perturbations, seed: int) -> Layout | None:
    """What puts a task's objects elsewhere, or None."""
    return next(
        (layout for axis, strength, rng in _axes(perturbations, seed) if (layout := axis.layout(rng, strength))), None
    )


def changed_setup(perturbations: Perturbations, seed: int, setup: Setup) -> Setup:
    """The episode with all its perturbations. Raises BadInput when an axis cannot be applied to it."""
    for axis, strength, rng in _axes(perturbations, seed):
        setup = axis.change(rng, setup, strength)
    return setup


def _axes(perturbations: Perturbations, seed: int) -> Iterator[tuple[Axis, int, np.random.Generator]]:
    """Each axis with its strength and a generator of its own."""
    import numpy as np

    for name, strength in perturbations:
        yield load("perturbations", name), strength, np.random.default_rng([seed, zlib.crc32(name.encode())])
