"""Arms of files: ``--arm robot.xml`` (MJCF) or ``robot.urdf``; a TOML file beside it tells what cannot be found."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco

from qwenarm.body.arms.parts import Arm
from qwenarm.body.imported_arm import ArmSettings, ModelSource, import_arm
from qwenarm.errors import BadInput


@cache
def make_entry(name: str) -> Arm:
    """The arm of an MJCF or URDF file. Raises BadInput if a file cannot be read, or what is in it is no arm."""
    path = Path(name)
    if not path.is_file():
        raise BadInput(f"There is no file {name}.")
    settings = read_settings(path.with_suffix(".toml"))
    source = ModelSource(name, f"The arm of {path.name}.", partial(_read, path), settings, _speed_limits(path))
    try:
        return import_arm(source)
    except ValueError as error:  # MuJoCo's refusal of the model
        raise BadInput(f"Cannot use the model {name}: {_first_line(error)}.") from error


def read_settings(path: Path) -> ArmSettings:
    """What the TOML file says; the empty settings without one. Raises BadInput for keys or values that are none."""
    if not path.is_file():
        return ArmSettings()
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"Cannot read {path}: {_first_line(error)}.") from error
    defaults = {field.name: field.default for field in fields(ArmSettings)}
    for key, value in told.items():
        if key not in defaults:
            raise BadInput(f"{path} has an unknown key {key!r}; valid: {', '.join(defaults)}.")
        _check_value(path, key, value)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return ArmSettings(**values)


def _check_value(path: Path, key: str, value: Any) -> None:
    wanted, kind = {
        "joints": ("a list of names", str), "fingers": ("a list of names", str),
        "home": ("a list of numbers", float), "base": ("a list of three numbers", float),
        "flange": ("a name", str), "tcp": ("a name", str),
    }.get(key, ("a number", float))  # fmt: skip
    items = value if isinstance(value, list) else [value]
    of_kind = all(isinstance(item, str if kind is str else int | float) and item is not True for item in items)
    if isinstance(value, list) != wanted.startswith("a list") or not of_kind or (key == "base" and len(items) != 3):
        raise BadInput(f"In {path}, {key} is {wanted}, not {value!r}.")


def _read(path: Path) -> mujoco.MjSpec:
    """A fresh spec. Of a URDF, fixed links such as tool0 and shapes that are only drawn are kept."""
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise BadInput(f"Cannot read the model {path}: {_first_line(error)}.") from error
    if path.suffix == ".urdf":
        spec.compiler.fusestatic, spec.compiler.discardvisual = 0, 0
    return spec


def _speed_limits(path: Path) -> dict[str, float]:
    """Speed limits by joint of a URDF, rad/s; MJCF has none."""
    if path.suffix != ".urdf":
        return {}
    try:
        joints = ElementTree.parse(path).getroot().iter("joint")
        limits = {joint.get("name", ""): joint.find("limit") for joint in joints}
        speeds = {name: float(limit.get("velocity", 0)) for name, limit in limits.items() if limit is not None}
    except (ElementTree.ParseError, ValueError) as error:
        raise BadInput(f"Cannot read the speed limits of {path}: {_first_line(error)}.") from error
    return {name: speed for name, speed in speeds.items() if speed > 0}


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
