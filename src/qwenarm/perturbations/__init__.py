"""Perturbations: what can differ about an episode while its task stays the same. One file each.

Several can be combined: "look:2,words:1" is a tuple of (name, strength) pairs. Strength 0 changes nothing. Each
perturbation draws from its own generator, seeded with the episode's seed and the perturbation's name, so that a
perturbed episode and its unperturbed control share everything else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load

if TYPE_CHECKING:
    import numpy as np

    from qwenarm.tasks.core.goal import Setup
    from qwenarm.tasks.core.task import Combos, Layout

Perturbations = tuple[tuple[str, int], ...]
"""(name, strength 1 to 3) pairs in alphabetical order, each name at most once."""
MAX_STRENGTH = 3


@dataclass(frozen=True)
class Perturbation:
    """A registry entry. The functions are pure; most perturbations define only one of them.

    Attributes:
        strengths: What each strength does, in a few words.
        setup: (rng, setup, strength) -> the episode's setup, after the task has made it.
        arm: (arm, strength) -> the id of the arm that plays.
        combos: (rng, combos, strength) -> the (colour, shape) pairs that the task may draw from.
        layout: (rng, strength) -> moves the task's objects before the task chooses instruction and goal.
        check: Raises BadInput where something that it needs is not installed.
    """

    strengths: tuple[str, str, str]
    setup: Callable[[np.random.Generator, Setup, int], Setup] = lambda rng, setup, strength: setup
    arm: Callable[[str, int], str] = lambda arm, strength: arm
    combos: Callable[[np.random.Generator, Combos | None, int], Combos | None] = lambda rng, combos, strength: combos
    layout: Callable[[np.random.Generator, int], Layout | None] = lambda rng, strength: None
    check: Callable[[], None] = lambda: None


def parse(text: str) -> Perturbations:
    """Parses text such as "look:2,words:1"; "" gives (). Raises UnknownName or BadInput with the valid choices."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return checked([_pair(part) for part in parts])


def spell(perturbations: Sequence[tuple[str, int]]) -> str:
    """Returns the pairs as text, the inverse of ``parse``."""
    return ",".join(f"{name}:{strength}" for name, strength in perturbations)


def checked(perturbations: Sequence[tuple[str, int]]) -> Perturbations:
    """Returns the pairs in order, without those of strength 0.

    Raises:
        UnknownName: A perturbation does not exist.
        BadInput: One is named twice, has no such strength, or needs what is not installed.
    """
    names = [name for name, _ in perturbations]
    for name, strength in perturbations:
        entry = load("perturbations", name)
        if strength not in range(MAX_STRENGTH + 1):
            raise BadInput(f"The strength of {name} must be 0 to {MAX_STRENGTH}, not {strength}.")
        if names.count(name) > 1:
            raise BadInput(f"The perturbation {name} is named twice.")
        if strength:
            entry.check()
    return tuple(sorted((name, strength) for name, strength in perturbations if strength))


def _pair(part: str) -> tuple[str, int]:
    name, colon, strength = part.rpartition(":")
    if not colon or not strength.strip().isdigit():
        valid = ", ".join(list_names("perturbations"))
        raise BadInput(f"{part!r} is not NAME:STRENGTH, such as look:2. Valid names: {valid}.")
    return name.strip(), int(strength)


def perturbed_arm(perturbations: Perturbations, arm: str) -> str:
    """Returns the id of the arm that replaces ``arm``."""
    for entry, strength, _ in _entries(perturbations, 0):
        arm = entry.arm(arm, strength)
    return arm


def perturbed_combos(perturbations: Perturbations, seed: int, combos: Combos | None) -> Combos | None:
    """Returns the (colour, shape) pairs that may appear, or None for all."""
    for entry, strength, rng in _entries(perturbations, seed):
        combos = entry.combos(rng, combos, strength)
    return combos


def perturbed_layout(perturbations: Perturbations, seed: int) -> Layout | None:
    """Returns what moves the task's objects, or None."""
    layouts = (entry.layout(rng, strength) for entry, strength, rng in _entries(perturbations, seed))
    return next(filter(None, layouts), None)


def perturbed_setup(perturbations: Perturbations, seed: int, setup: Setup) -> Setup:
    """Applies all perturbations to an episode. Raises BadInput if one of them is not applicable."""
    for entry, strength, rng in _entries(perturbations, seed):
        setup = entry.setup(rng, setup, strength)
    return setup


def _entries(perturbations: Perturbations, seed: int) -> Iterator[tuple[Perturbation, int, np.random.Generator]]:
    """Yields each perturbation with its strength and a generator of its own."""
    import numpy as np

    for name, strength in perturbations:
        yield load("perturbations", name), strength, np.random.default_rng([seed, zlib.crc32(name.encode())])
