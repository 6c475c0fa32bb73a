"""A skill is a typed generator; its signature and docstring are what a model is told of it.

``def pick(body: Body, at: ImagePoint) -> Motion`` yields one Control per 50 ms period, which the caller passes to ``body.step``, and
returns a SkillResult. A docstring's first paragraph describes the skill; lines "name: text" describe the parameters.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qwenarm.errors import BadInput
from qwenarm.types import Control, ImagePoint, Param, SkillCall, SkillResult, SkillSpec

if TYPE_CHECKING:
    from qwenarm.body.body import Body

Motion = Generator[Control, None, SkillResult]


class Failed(Exception):
    """Raised inside a skill that cannot go on; the message is the reason that the model is told."""


KINDS = {ImagePoint: "point", str: "string", float: "number"}


@dataclass(frozen=True)
class Skill:
    """A skill and what a model is told of it."""

    spec: SkillSpec
    function: Callable[..., Motion]

    def run(self, body: Body, call: SkillCall) -> Motion:
        """The motion of one call. Raises BadInput for arguments that the skill has not, or that are missing."""
        known = {param.name: param for param in self.spec.params}
        wrong = [name for name in call.args if name not in known]
        missing = [name for name, param in known.items() if param.required and name not in call.args]
        if wrong or missing:
            raise BadInput(f"{call.name} takes ({', '.join(known)}), not ({', '.join(call.args)}).")
        return _safely(body, self.function(body, **call.args))


def _safely(body: Body, motion: Motion) -> Motion:
    """A skill that fails leaves the arm at home, as one that goes well does."""
    from qwenarm.skills._motion import go_home

    try:
        return (yield from motion)
    except Failed as reason:
        yield from go_home(body)
        return SkillResult(False, str(reason))


def skill(function: Callable[..., Motion]) -> Skill:
    """Reads the spec off a generator function. Raises TypeError for a parameter of a type that no model can give."""
    doc = inspect.cleandoc(function.__doc__ or "")
    told = dict(re.findall(r"^(\w+): (.+)$", doc, flags=re.MULTILINE))
    # The annotations name Body, which is imported for type checkers only.
    hints = typing.get_type_hints(function, localns={"Body": object})
    parameters = list(inspect.signature(function).parameters.values())[1:]
    params = tuple(_param(p, hints[p.name], told.get(p.name, "")) for p in parameters)
    name = function.__name__.rstrip("_")
    return Skill(SkillSpec(name, " ".join(doc.split("\n\n")[0].split()), params), function)


def _param(parameter: inspect.Parameter, hint: Any, doc: str) -> Param:
    required = parameter.default is inspect.Parameter.empty
    if typing.get_origin(hint) is Literal:
        return Param(parameter.name, "string", doc, required, tuple(typing.get_args(hint)))
    if hint not in KINDS:
        raise TypeError(
            f"Parameter {parameter.name!r} has the type {hint}; a model can give {', '.join(k.__name__ for k in KINDS)}."
        )
    return Param(parameter.name, KINDS[hint], doc, required)
