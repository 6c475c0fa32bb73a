"""Checks values that were read from a file against the types that a dataclass declares for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

MAX_NUMBER = 2**63
"""Larger numbers are no seeds, levels, seconds or metres, and overflow what is computed with them."""
T = TypeVar("T")


def typed(cls: type[T], **values: Any) -> T:
    """Returns an instance of a dataclass. Raises TypeError unless each value has the type that the class declares."""
    hints = _hints(cls)
    for name, value in values.items():
        if name not in hints or not _fits(value, hints[name]):
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return cls(**values)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Returns whether a value is a finite number of a possible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER  # no NaN


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _fits(value: Any, hint: Any) -> bool:
    """Returns whether a value has a type. Arrays and the like, which are made here, count as what they are."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, each) for each in inner)
    if hint in (int, float):
        return is_number(value) and (hint is float or isinstance(value, int))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(isinstance(k, str) and _fits(v, inner[1]) for k, v in value.items())
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, origin) and all(_fits(each, inner[0]) for each in value)
    return value is None if hint is NoneType else isinstance(value, origin or hint)
