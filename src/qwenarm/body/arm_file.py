"""Arms of files: ``--arm robot.xml`` (MJCF) or ``robot.urdf``; a TOML file beside it tells what cannot be found."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco

from qwenarm.body.arms.parts import Arm
from qwenarm.body.imported_arm import ArmSettings, ModelSource, import_arm
from qwenarm.body.urdf import package_places, urdf_for_mujoco
from qwenarm.errors import BadInput

FOLDER_ATTRIBUTES = ("meshdir", "texturedir", "assetdir")
"""Where MJCF's compiler element says that files are."""


@cache
def make_entry(name: str) -> Arm:
    """The arm of an MJCF or URDF file. Raises BadInput if a file cannot be read, or what is in it is no arm."""
    path = Path(name)
    if not path.is_file():
        raise BadInput(f"There is no file {name}.")
    settings = read_settings(path.with_suffix(".toml"))
    source = ModelSource(name, f"The arm of {path.name}.", partial(_read, path), settings, _speed_limits(path))
    try:
        return replace(import_arm(source), sha256=files_sha256(path))
    except (ValueError, ElementTree.ParseError) as error:  # MuJoCo's refusal of the model, or of what it includes
        raise BadInput(f"Cannot use the model {name}: {_first_line(error)}.") from error


def files_sha256(path: Path) -> str:
    """Hash, in hex, of a model file, of the TOML file beside it, and of all meshes and other files that it names."""
    digest = hashlib.sha256()
    for file in (*_files_of(path), *filter(Path.is_file, [path.with_suffix(".toml")])):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    """Returns a model file and all that it and its included files name, each once."""
    found: list[Path] = []
    waiting, folders = [path.resolve()], [""]
    while waiting:
        file = waiting.pop(0)
        if file in found:
            continue
        found.append(file)
        for element in ElementTree.parse(file).getroot().iter() if file.suffix == path.suffix else ():
            folders += [element.get(name, "") for name in FOLDER_ATTRIBUTES if element.tag == "compiler"]
            name = element.get("file") or element.get("filename")
            # MuJoCo looks for a URDF's meshes without their folders.
            places = (
                [path.parent / folder / part for folder in folders for part in (name, Path(name).name)] if name else []
            )
            places += package_places(path, name) if name else []
            waiting += [place.resolve() for place in places if place.is_file()][:1]
    return found


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
        if path.suffix == ".urdf":
            spec = mujoco.MjSpec.from_string(urdf_for_mujoco(path))
            spec.modelfiledir = f"{path.parent}{os.sep}"
        else:
            spec = mujoco.MjSpec.from_file(str(path))
    except (ValueError, ElementTree.ParseError) as error:
        if "mujocoinclude" in str(error):
            raise BadInput(f"{path} is a part that models include: name such a model.") from error
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
