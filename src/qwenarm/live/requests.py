"""What a page may ask for. Nothing else reaches the player: no names of files, modules, servers or checkpoints."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from qwenarm.errors import BadInput, UnknownName
from qwenarm.live.counterfactuals import REPLACEABLE_PARTS
from qwenarm.mind.prompt.presets import MODEL_ALTITUDES
from qwenarm.perturbations import MAX_STRENGTH, checked
from qwenarm.registry import list_names, load
from qwenarm.types import RunConfig

MAX_WORDS_LENGTH = 300
"""Characters of an instruction."""
MAX_SEED = 2**31 - 1
MAX_TARGET_M = 5.0
"""Largest coordinate, with either sign, to which an object can be dragged."""
DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of characters that only turn the direction of the text behind them, on the page as well."""
MAX_NUMBER = 1e9
"""Largest number that a page may send; what it stands for has limits of its own."""

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Choices:
    """What the pickers offer. models: as the presenter has named them; levels: by task."""

    models: tuple[str, ...]
    levels: Mapping[str, int]
    arms: tuple[str, ...]
    policies: tuple[str, ...]
    perturbations: tuple[str, ...]

    @classmethod
    def of(cls, models: Sequence[str]) -> Choices:
        """All that is registered."""
        levels = {name: len(load("tasks", name).levels) for name in list_names("tasks")}
        kinds = (list_names(kind) for kind in ("arms", "policies", "perturbations"))
        return cls(tuple(models), levels, *kinds)

    def as_json(self) -> dict[str, Any]:
        """As it is sent to the page."""
        listed = {name: list(getattr(self, name)) for name in ("models", "arms", "policies", "perturbations")}
        parts, altitudes = list(REPLACEABLE_PARTS), list(MODEL_ALTITUDES)
        return {**listed, "levels": dict(self.levels), "altitudes": altitudes, "parts": parts}

    def command(self, request: Request) -> dict[str, Any]:
        """The player's command for a page's request. Raises BadInput and UnknownName for what is not on offer."""
        do = request.get("do")
        if do in ("show", "play"):
            seed = _whole(request.get("seed"), 0, MAX_SEED, "seed")
            return {"do": do, "config": self._config(request), "seed": seed, "anyway": request.get("anyway") is True}
        if do in ("why", "cause", "model"):
            run = _whole(request.get("run"), 1, MAX_SEED, "run")
            part = _one_of(request.get("part"), REPLACEABLE_PARTS, "part") if do == "why" else ""
            model = _one_of(request.get("model"), self.models, "model") if do == "model" else ""
            return {"do": do, "run": run, "part": part, "model": model}
        if do == "pause":
            return {"do": do, "on": request.get("on") is True}
        if do == "speed":
            return {"do": do, "speed": _number(request.get("speed"), "speed")}
        if do == "correct":
            return {"do": do, "text": _words(request.get("text"))}
        if do in ("stop", "slip"):
            return {"do": do}
        raise BadInput("There is no such request.")

    def _config(self, request: Request) -> dict[str, Any]:
        task = _one_of(request.get("task"), self.levels, "task")
        found = request.get("perturbations") or {}
        if not isinstance(found, Mapping):
            raise BadInput("Perturbations are names with strengths.")
        perturbations = [
            (_one_of(name, self.perturbations, "perturbation"), _whole(strength, 0, MAX_STRENGTH, "strength"))
            for name, strength in found.items()
        ]
        words = request.get("words") or ""
        return {
            "task": task,
            "level": _whole(request.get("level"), 1, self.levels[task], "level"),
            "arm": _one_of(request.get("arm"), self.arms, "arm"),
            "policy": _one_of(request.get("policy"), self.policies, "policy"),
            "model": _one_of(request.get("model"), self.models, "model"),
            "altitude": _one_of(request.get("altitude"), MODEL_ALTITUDES, "altitude"),
            "words": _words(words) if words else "",
            "perturbations": perturbations,
        }


def config_from(wanted: dict[str, Any]) -> RunConfig:
    """A RunConfig from what a page sent. Raises BadInput for anything else."""
    known = {field.name for field in fields(RunConfig)}
    if odd := wanted.keys() - known:
        raise BadInput(f"There is no option {sorted(odd)[0]!r}.")
    values = dict(wanted)
    perturbations = checked([(str(name), int(strength)) for name, strength in values.pop("perturbations", [])])
    level = int(values.pop("level", 1))
    return RunConfig(**{name: str(value) for name, value in values.items()}, level=level, perturbations=perturbations)


def picked(config: RunConfig) -> dict[str, Any]:
    """What the pickers show for a configuration. They have room for one perturbation, the first."""
    names = ("task", "level", "arm", "policy", "model", "altitude", "words")
    perturbation, strength = next(iter(config.perturbations), ("none", 1))
    return {name: getattr(config, name) for name in names} | {"perturbation": perturbation, "strength": strength}


def checked_target(to: Sequence[float] | None) -> tuple[float, float, float] | None:
    """Where an object is dragged to, m; None where it is let go. Raises BadInput for numbers that are none."""
    if to is None:
        return None
    x, y, z = (float(value) for value in to)
    if not all(math.isfinite(value) and abs(value) <= MAX_TARGET_M for value in (x, y, z)):
        raise BadInput("Things are dragged to three finite numbers in metres.")
    return x, y, z


def _words(text: Any) -> str:
    """An instruction on one line. What no file can hold, or what would move a cursor or turn a text, is a space."""
    if not isinstance(text, str):
        raise BadInput("An instruction is a text.")
    if len(text) > MAX_WORDS_LENGTH:
        raise BadInput(f"An instruction has at most {MAX_WORDS_LENGTH} characters.")
    words = " ".join("".join(" " if _is_out_of_place(c) else c for c in text).split())
    if not any(unicodedata.category(c)[0] in "LNPS" for c in words):  # nothing that can be seen
        raise BadInput("Say what the arm shall do.")
    return words


def _is_out_of_place(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in DIRECTIONS


def _one_of(value: Any, valid: Sequence[str] | Mapping[str, Any], kind: str) -> str:
    if not isinstance(value, str) or value not in valid:
        raise UnknownName(kind, str(value)[:40], valid)
    return value


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInput(f"The {name} must be a whole number from {low} to {high}.")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise BadInput(f"The {name} must be a number.")
    return float(value)
