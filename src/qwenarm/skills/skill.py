"""Skills are typed generators whose signature and docstring are what a model is told about them.

``def pick(body: Body, at: ImagePoint) -> Motion`` yields one Control per 50 ms period, which the caller passes to
``body.step``, and returns a SkillResult. The first paragraph of its docstring describes the skill. Lines "name: text"
describe the parameters, whose types are ``ImagePoint``, ``str``, ``float`` or a ``Literal`` of strings.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion, Moves, SkillFailure
from qwenarm.skills.motion import go_home
from qwenarm.skills.select_arm import select_arm
from qwenarm.types import ImagePoint, Param, SkillCall, SkillResult, SkillSpec

ARGUMENT_KINDS = {ImagePoint: "point", str: "string", float: "number"}


@dataclass(frozen=True)
class Skill:
    """A registry entry: the spec that models are told, the generator function, and how to get the arm to safety after a
    failure.
    """

    spec: SkillSpec
    act: Callable[..., Motion]
    recover: Callable[[Body], Moves]

    def run(self, body: Body, call: SkillCall) -> Motion:
        """Carries out one call. A failure brings the arm home and is returned as a result with its reason."""
        trouble = _trouble(self.spec, call.args, [camera.name for camera in body.scene.cameras])
        if trouble:
            return SkillResult(False, trouble)
        yield from select_arm(body, [value for value in call.args.values() if isinstance(value, ImagePoint)])
        try:
            return (yield from self.act(body, **call.args))
        except SkillFailure as failure:
            yield from self.recover(body)
            return SkillResult(False, str(failure))


def skill(act: Callable[..., Motion]) -> Skill:
    """Makes a Skill of a generator function. Raises TypeError for a parameter whose type no model can give."""
    doc = inspect.cleandoc(act.__doc__ or "")
    told = dict(re.findall(r"^(\w+): (.+)$", doc, flags=re.MULTILINE))
    hints = get_type_hints(act)
    parameters = list(inspect.signature(act).parameters.values())[1:]
    params = tuple(_param(p, hints[p.name], told.get(p.name, "")) for p in parameters)
    return Skill(SkillSpec(act.__name__, " ".join(doc.split("\n\n")[0].split()), params), act, go_home)


def _param(parameter: inspect.Parameter, hint: Any, doc: str) -> Param:
    required = parameter.default is inspect.Parameter.empty
    if get_origin(hint) is Literal:
        return Param(parameter.name, "string", doc, required, tuple(get_args(hint)))
    if hint not in ARGUMENT_KINDS:
        valid = ", ".join(kind.__name__ for kind in ARGUMENT_KINDS)
        raise TypeError(f"Parameter {parameter.name!r} has the type {hint}; a model can give {valid}.")
    return Param(parameter.name, ARGUMENT_KINDS[hint], doc, required)


def _trouble(spec: SkillSpec, args: Mapping[str, Any], cameras: Sequence[str]) -> str:
    """Returns what is wrong with the arguments of a call, or ""."""
    known = {param.name: param for param in spec.params}
    odd = [name for name in args if name not in known]
    missing = [name for name, param in known.items() if param.required and name not in args]
    if odd or missing:
        return f"{spec.name} takes ({', '.join(known)}), not ({', '.join(args)})"
    for name, value in args.items():
        if wrong := _wrong(known[name], value, cameras):
            return f"{name} {wrong}"
    return ""


def _wrong(param: Param, value: Any, cameras: Sequence[str]) -> str:
    if param.kind == "point":
        if not isinstance(value, ImagePoint):
            return "must be a point in an image"
        if value.camera not in cameras:
            return f"is in no camera's image: {value.camera!r}; there are {', '.join(cameras)}"
        return "" if 0 <= value.u <= 1 and 0 <= value.v <= 1 else "lies outside of the image"
    if param.kind == "number":
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if number else "must be a number"
    if param.kind == "actions":
        return _wrong_actions(value)
    if param.choices:
        return "" if value in param.choices else f"must be one of {', '.join(param.choices)}"
    return "" if isinstance(value, str) else "must be text"


def _wrong_actions(value: Any) -> str:
    """What is wrong with the actions of a chunk, or "". How long a row must be is up to the arm."""
    rows = value if isinstance(value, list | tuple) and value else [None]
    numbers = [row for row in rows if isinstance(row, list | tuple) and len(row) == len(rows[0] or ()) > 1]
    finite = all(isinstance(n, int | float) and math.isfinite(n) for row in numbers for n in row)
    return "" if len(numbers) == len(rows) and finite else "must be rows of finite numbers, all of the same length"
