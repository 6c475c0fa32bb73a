"""Checks a call against its skill, and converts its arguments to points, numbers and texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenarm.mind.coordinates import MAX_OVERSHOOT_SHARE, Codec, Size, decode
from qwenarm.mind.parsing.extract_calls import Bare
from qwenarm.mind.parsing.json_calls import RawCall
from qwenarm.mind.parsing.tolerant_json import Malformed, read_value
from qwenarm.types import FormatError, ImagePoint, Param, SkillCall, SkillSpec, sound

POINT_KEYS = ("point_2d", "point", "points", "coordinate", "coordinates", "position", "xy", "center", "centre")
BOX_KEYS = ("bbox_2d", "bbox", "box", "box_2d", "bounding_box")
BOX_SIZE_KEYS = ("w", "h", "width", "height", "x2", "y2")
"""With one of these keys, x and y may be the corner or the centre of a box, so they are not read as a point."""
LABEL_KEYS = ("label", "object", "name", "alt", "text", "description")

NOTE_BOX = "box read as its centre"
NOTE_CLAMPED = "point moved onto the image's border"
NOTE_FLAT = "flat arguments"
NOTE_TEXT_NUMBERS = "numbers given as text"
NOTE_CAMERA = "camera not named, first one meant"
NOTE_CAMERA_BESIDE = "camera named beside the point"
NOTE_CASE = "name in another spelling"
NOTE_IGNORED = "unknown argument ignored"
NOTE_SHAPE = "point in another shape"

NOT_FOUND = (-1, -1)
"""What models write for something that they do not see."""
MAX_ARGUMENT_MAGNITUDE = 1e9
_NUMBER_PATTERN = r"[-+]?\d{1,9}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,3})?"
_TEXT_POINT = re.compile(
    rf"[\s(\[（【]*({_NUMBER_PATTERN})[\s,，、;]+({_NUMBER_PATTERN})(?:[\s,，、;]+({_NUMBER_PATTERN})[\s,，、;]+({_NUMBER_PATTERN}))?[\s)\]）】]*"
)
_TEXT_PAIRS = re.compile(
    rf"[\s(\[]*\(({_NUMBER_PATTERN})\s*,\s*({_NUMBER_PATTERN})\)\s*,\s*\(({_NUMBER_PATTERN})\s*,\s*({_NUMBER_PATTERN})\)[\s)\]]*"
)
_POINT_OR_BOX_TAG = re.compile(
    r"<\|?/?(?:points?|box|object_ref|box_start|box_end|object_ref_start|object_ref_end)\|?>"
)
_OBJECT_REFERENCE = re.compile(r"\s*<\|object_ref_start\|>(.{0,200}?)<\|object_ref_end\|>", re.DOTALL)
_POINTS_TAG = re.compile(
    rf"<points?\s+x1?=[\"']?({_NUMBER_PATTERN})[\"']?,?\s+y1?=[\"']?({_NUMBER_PATTERN})[\"']?([^>]*)/?>(?:([^<]*)</points?>)?"
)
_ALT_ATTRIBUTE = re.compile(r"alt=[\"']([^\"']*)[\"']")


class BadCall(Exception):
    """A call that cannot be carried out. The message tells the model why."""

    def __init__(self, error: FormatError, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True)
class _View:
    """What is needed to read a point. ``sizes`` are the (H, W) of the frames by camera."""

    codec: Codec
    sizes: Mapping[str, Size]


def validate_call(
    written: RawCall, specs: Sequence[SkillSpec], codec: Codec, sizes: Mapping[str, Size]
) -> tuple[SkillCall, list[str]]:
    """Checks one call.

    Args:
        written: The call as the model wrote it.
        specs: The skills that were offered.
        codec: The model's image coordinates.
        sizes: (H, W) of the frames by camera.

    Returns:
        The call, and notes on the repairs that were made.

    Raises:
        BadCall: UNKNOWN_SKILL or BAD_ARGUMENT.
    """
    notes: list[str] = []
    spec = _spec(written.name, specs, notes)
    args = _with_camera_inside(spec, _named_arguments(spec, written.args, notes), notes)
    values: dict[str, Any] = {}
    for param in spec.params:
        if param.name in args and args[param.name] is not None:
            values[param.name] = _value(spec, param, args[param.name], _View(codec, sizes), notes)
        elif param.required:
            raise _bad(spec, f"{param.name!r} is missing; give {_wanted(param)}")
    if set(args) - {param.name for param in spec.params}:
        notes.append(NOTE_IGNORED)
    return SkillCall(spec.name, values), notes


def _bad(spec: SkillSpec, reason: str) -> BadCall:
    return BadCall(FormatError.BAD_ARGUMENT, f"{spec.name}: {reason}")


def _wanted(param: Param) -> str:
    if param.kind == "point":
        return '{"label": "...", "point_2d": [x, y]}'
    return " or ".join(repr(choice) for choice in param.choices) if param.choices else f"a {param.kind}"


def _spec(name: str, specs: Sequence[SkillSpec], notes: list[str]) -> SkillSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    for spec in specs:
        if spec.name == name.strip().lower().removeprefix("functions."):
            notes.append(NOTE_CASE)
            return spec
    raise BadCall(
        FormatError.UNKNOWN_SKILL, f"there is no skill {name[:40]!r}; call one of: {', '.join(s.name for s in specs)}"
    )


def _named_arguments(spec: SkillSpec, args: Any, notes: list[str]) -> dict[str, Any]:
    """Returns the arguments by parameter. A single point may be given without its parameter's name."""
    points = [param.name for param in spec.params if param.kind == "point"]
    if isinstance(args, list) and len(points) == 1:
        notes.append(NOTE_FLAT)
        return {points[0]: args}
    if isinstance(args, str) and len(spec.params) == 1:
        notes.append(NOTE_FLAT)
        return {spec.params[0].name: args}
    if not isinstance(args, dict):
        raise _bad(spec, "the arguments are not an object")
    own = {param.name for param in spec.params}
    flat = {key: value for key, value in args.items() if key not in own}
    if len(points) == 1 and points[0] not in args and _looks_like_point(flat):
        notes.append(NOTE_FLAT)
        return {**{key: value for key, value in args.items() if key in own}, points[0]: flat}
    return args


def _with_camera_inside(spec: SkillSpec, args: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Returns the arguments, with a camera that is given next to the points added to the points without one."""
    points = [param.name for param in spec.params if param.kind == "point" and args.get(param.name) is not None]
    if not points or "camera" in {param.name for param in spec.params} or not isinstance(args.get("camera"), str):
        return args
    notes.append(NOTE_CAMERA_BESIDE)
    inside = {name: {"camera": args["camera"], **_as_entry(args[name])} for name in points}
    return {**{key: value for key, value in args.items() if key != "camera"}, **inside}


def _as_entry(value: Any) -> dict[str, Any]:
    """Returns a point as an object, whatever form it has."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]
    return value if isinstance(value, dict) else {"point_2d": value}


def _looks_like_point(entry: Mapping[str, Any]) -> bool:
    return (
        any(key in entry for key in (*POINT_KEYS, *BOX_KEYS)) or {"x", "y"} <= set(entry) or {"x1", "y1"} <= set(entry)
    )


def _value(spec: SkillSpec, param: Param, value: Any, view: _View, notes: list[str]) -> Any:
    if param.kind == "point":
        return _point(spec, param, value, view, notes)
    if param.kind == "number":
        return _number(spec, param, value, notes)
    return _string(spec, param, value)


def _string(spec: SkillSpec, param: Param, value: Any) -> str:
    if isinstance(value, bool | list | dict):
        raise _bad(spec, f"{param.name!r} must be {_wanted(param)}")
    text = sound(str(value))
    if not param.choices or text in param.choices:
        return text
    for choice in param.choices:
        if choice.lower() == text.strip().lower():
            return choice
    raise _bad(spec, f"{param.name!r} is {text[:40]!r}; it must be {_wanted(param)}")


def _number(spec: SkillSpec, param: Param, value: Any, notes: list[str]) -> float:
    number = _finite(value, notes)
    if number is None:
        raise _bad(spec, f"{param.name!r} must be a number")
    return number


def _finite(value: Any, notes: list[str]) -> float | None:
    """Returns a finite number, also from text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(_NUMBER_PATTERN, value.strip()):
        if not isinstance(value, Bare):
            notes.append(NOTE_TEXT_NUMBERS)
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < MAX_ARGUMENT_MAGNITUDE else None  # false for NaN


def _point(spec: SkillSpec, param: Param, value: Any, view: _View, notes: list[str]) -> ImagePoint:
    numbers, entry = _point_numbers(value, notes)
    if numbers is None:
        raise _bad(spec, f"{param.name!r} is not one point; give {_wanted(param)}")
    camera = _camera(spec, param, entry, view, notes)
    u, v = _fractions(spec, param, numbers, camera, view, notes)
    label = next((entry[key] for key in LABEL_KEYS if isinstance(entry.get(key), str | int | float)), "")
    return ImagePoint(u, v, sound(str(label)), camera)


def _camera(spec: SkillSpec, param: Param, entry: Mapping[str, Any], view: _View, notes: list[str]) -> str:
    cameras = {name.lower(): name for name in view.sizes}
    named = entry.get("camera")
    if named is None:
        if len(cameras) > 1:
            notes.append(NOTE_CAMERA)
        return next(iter(view.sizes))
    if str(named).strip().lower() not in cameras:
        raise _bad(spec, f"{param.name!r} names the camera {str(named)[:40]!r}; shown: {', '.join(view.sizes)}")
    return cameras[str(named).strip().lower()]


def _fractions(
    spec: SkillSpec, param: Param, numbers: tuple[float, float], camera: str, view: _View, notes: list[str]
) -> tuple[float, float]:
    full = view.codec.span(view.sizes[camera])
    if numbers == NOT_FOUND:
        raise _bad(spec, f"{param.name!r} is [-1, -1], which is no place in the image; look for what is there")
    if all(0 <= number <= 1 for number in numbers) and not all(number.is_integer() for number in numbers):
        raise _bad(spec, f"{param.name!r} is given in fractions; count from 0 to {full[0]} and from 0 to {full[1]}")
    uv = decode(view.codec, numbers, view.sizes[camera])
    if not all(-MAX_OVERSHOOT_SHARE <= fraction <= 1 + MAX_OVERSHOOT_SHARE for fraction in uv):
        x, y = (f"{number:g}" for number in numbers)
        raise _bad(
            spec,
            f"{param.name!r} is [{x}, {y}], outside of the image; x goes from 0 to {full[0]}, y from 0 to {full[1]}",
        )
    clamped = min(max(uv[0], 0.0), 1.0), min(max(uv[1], 0.0), 1.0)
    if clamped != uv:
        notes.append(NOTE_CLAMPED)
    return clamped


def _point_numbers(value: Any, notes: list[str]) -> tuple[tuple[float, float] | None, Mapping[str, Any]]:
    """Returns the two numbers of a point in any form, or None; and the mapping that may hold its label and camera."""
    if isinstance(value, str):
        return _text_point(value, notes)
    if isinstance(value, dict):
        for key in (*POINT_KEYS, *BOX_KEYS):
            if value.get(key) is not None:
                if key != "point_2d":
                    notes.append(NOTE_SHAPE)
                numbers, inner = _point_numbers(value[key], notes)
                return numbers, {**inner, **value}
        if "x" in value and "y" in value:
            if any(key in value for key in BOX_SIZE_KEYS):
                return None, value
            notes.append(NOTE_SHAPE)
            return _pair([value["x"], value["y"]], notes), value
        corners = [value[key] for key in ("x1", "y1", "x2", "y2") if key in value]
        sized = len(corners) == 2 and any(key in value for key in BOX_SIZE_KEYS)  # a corner, not the point
        return (_pair(corners, notes) if "x1" in value and "y1" in value and not sized else None), value
    if isinstance(value, list) and len(value) == 1:
        return _point_numbers(value[0], notes)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(item, list) for item in value):
        return _pair([number for item in value for number in item], notes), {}  # [[x1, y1], [x2, y2]]
    return (_pair(value, notes) if isinstance(value, list) else None), {}


def _pair(items: Sequence[Any], notes: list[str]) -> tuple[float, float] | None:
    """Returns two numbers, or the centre of a box of four."""
    numbers = [_finite(item, notes) for item in items]
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers):
        return None
    if len(known) == 2:
        return known[0], known[1]
    if len(known) == 4:
        notes.append(NOTE_BOX)
        return (known[0] + known[2]) / 2, (known[1] + known[3]) / 2
    return None


def _text_point(text: str, notes: list[str]) -> tuple[tuple[float, float] | None, Mapping[str, Any]]:
    """Returns a point in a string: "(512, 430)", <points x1="512" y1="430" alt="red cube">, or a box by two corners."""
    notes.append(NOTE_TEXT_NUMBERS)
    if tag := _POINTS_TAG.fullmatch(text.strip()):
        alt = _ALT_ATTRIBUTE.search(tag.group(3))
        label = alt.group(1) if alt else (tag.group(4) or "").strip()
        several = re.search(r"\bx2=", tag.group(3))
        return (None if several else _pair([tag.group(1), tag.group(2)], notes)), {"label": label}
    if text.strip()[:1] in ("{", "["):
        try:
            value, end, _ = read_value(text.strip(), 0)
        except Malformed:
            return None, {}
        return (None, {}) if text.strip()[end:].strip() else _point_numbers(value, notes)
    label = _OBJECT_REFERENCE.match(text)
    entry = {"label": label.group(1).strip()} if label else {}
    bare = _POINT_OR_BOX_TAG.sub(" ", text[label.end() :] if label else text)
    match = _TEXT_PAIRS.fullmatch(bare) or _TEXT_POINT.fullmatch(bare)
    return (_pair([group for group in match.groups() if group is not None], notes) if match else None), entry
