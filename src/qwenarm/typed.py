"""Checks values against declared types: what was read from a file, and what a caller passes to a public function."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from qwenarm.errors import BadInput, shortened

MAX_NUMBER = 2**63
"""Larger numbers are no seeds, levels, seconds or metres, and overflow what is computed with them."""
MAX_VALUE_CHARS = 80
"""Maximum length of a value in a message."""
INTEGERS = int | np.integer
NUMBERS = INTEGERS | float | np.floating
P = ParamSpec("P")
T = TypeVar("T")


def typed(cls: type[T], **values: Any) -> T:
    """Returns an instance of a dataclass. Raises TypeError unless each value has the type that the class declares."""
    hints = _hints(cls)
    for name, value in values.items():
        if name not in hints or not _fits(value, hints[name]):
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return cls(**values)


def typed_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Makes a public function raise BadInput for an argument that has not the type of its annotation.

    The message quotes what the docstring says about the argument. NumPy's whole numbers become Python's, which alone
    can be written as JSON. All names in the annotations must be importable where the function stands.
    """
    signature = inspect.signature(function)
    owner = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        hints = _argument_hints(function)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own message names the function
        for name, value in bound.arguments.items():
            if name not in hints:
                continue
            infinite = isinstance(value, float) and not math.isfinite(value)  # the function itself says the range
            if not _fits(0.0 if infinite else value, hints[name]):
                wanted, about = signature.parameters[name].annotation, _about(function, name)
                raise BadInput(f"{name} of {owner} is {wanted}, not {shortened(repr(value), MAX_VALUE_CHARS)}{about}.")
            if isinstance(value, np.integer):
                bound.arguments[name] = int(value)
        return function(*bound.args, **bound.kwargs)

    return checked


def is_number(value: Any) -> TypeGuard[int | float]:
    """Returns whether a value is a finite number of a possible size."""
    return isinstance(value, NUMBERS) and not isinstance(value, bool) and bool(abs(value) <= MAX_NUMBER)  # no NaN


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@cache
def _argument_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the types of a function's arguments, but of those that take any others (``*args``, ``**options``)."""
    parameters = inspect.signature(function).parameters.values()
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    known = {each.name: each.annotation for each in named if each.annotation is not each.empty}
    return get_type_hints(type("", (), {"__annotations__": known}), function.__globals__)


def _about(function: Callable[..., Any], name: str) -> str:
    """Returns what a function's docstring says about an argument, in brackets; "" for nothing."""
    found = re.search(rf"^ +{name}: (.*?)\.?$", function.__doc__ or "", re.MULTILINE)
    return f" ({found[1]})" if found else ""


def _fits(value: Any, hint: Any) -> bool:
    """Returns whether a value has a type. Arrays and the like, which are made here, count as what they are."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (UnionType, Union):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:  # which choice it is, checks the function itself, whose message lists them
        return isinstance(value, type(inner[0]))
    if hint in (int, float):
        return is_number(value) and (hint is float or isinstance(value, INTEGERS))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(isinstance(k, str) and _fits(v, inner[1]) for k, v in value.items())
    if origin is not None and issubclass(origin, Collection):
        return _is_collection(value, origin, inner)
    return value is None if hint is NoneType else isinstance(value, origin or hint)


def _is_collection(value: Any, origin: type, inner: tuple[Any, ...]) -> bool:
    """Returns whether a value is a collection of what it should be; a text is none of texts. A list can be a tuple of
    fixed length, since it comes back from JSON as one.
    """
    if origin is tuple and Ellipsis not in inner:
        fixed = isinstance(value, tuple | list) and len(value) == len(inner)
        return fixed and all(map(_fits, value, inner))
    return isinstance(value, origin) and not isinstance(value, str) and all(_fits(each, inner[0]) for each in value)
