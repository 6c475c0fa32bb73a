"""The registry of everything that a user can add with one new file and no edit elsewhere.

An entry is a file or a folder in the package of its kind. The file's name is the entry's id, and its constant is the
entry: ``load("tasks", "put")`` returns ``TASK`` of ``qwenarm/tasks/put.py``. Files without that constant are helpers.
An entry outside this package is named ``module:NAME``.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput, QwenarmError, UnknownName


@dataclass(frozen=True)
class Kind:
    """One kind of entry.

    Attributes:
        noun: Its name in messages.
        package: The package of its files, below ``qwenarm``.
        constant: The name of the entry in each file.
        type_name: The class of an entry; "" where the kind's own loader says what may be one.
    """

    noun: str
    package: str
    constant: str
    type_name: str = ""


ENTRY_KINDS = {
    "tasks": Kind("task", "tasks", "TASK", "Task"),
    "arms": Kind("arm", "body.arms", "ARM", "Arm"),
    "cameras": Kind("camera", "body.cameras", "CAMERA", "Camera"),
    "skills": Kind("skill", "skills", "SKILL", "Skill"),
    "policies": Kind("policy", "policies", "POLICY"),
    "models": Kind("model", "mind.backends", "BACKEND"),
    "perturbations": Kind("perturbation", "perturbations", "PERTURBATION", "Perturbation"),
}
ENTRY_MAKERS = {
    "menagerie": "qwenarm.body.menagerie",
    "action_chunk": "qwenarm.skills.action_chunk",
    "ws": "qwenarm.policies.websocket",
    "zmq": "qwenarm.policies.groot",
}
"""Modules of this package that make entries on demand, by the short name that users type: "menagerie:kuka_iiwa_14"."""
FAMILY_MAKERS = {("tasks", "libero_"): "qwenarm.libero.families"}
"""Modules of this package that make entries of what another package brings, by kind and beginning of the name."""
FILE_MAKERS = {("arms", ".xml"): "qwenarm.body.arm_file", ("arms", ".urdf"): "qwenarm.body.arm_file"}
"""Modules of this package that make an entry of a file, by kind and suffix. Such a file is data, never code."""
FOREIGN_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
SERVER_ORIGIN = re.compile(r"https?://[^\s,/#?]+", re.IGNORECASE)
ALLOWED_NAMES = "QWENARM_ALLOWED_NAMES"
"""The environment variable in which ``only_allowed`` keeps its names, for this process and its children."""


@functools.cache
def list_names(kind: str) -> tuple[str, ...]:
    """Returns the ids of a kind, sorted, without importing anything."""
    return tuple(sorted(name for name, path in _files(kind) if _holds_entry(path, ENTRY_KINDS[kind].constant)))


def describe(kind: str, name: str) -> str:
    """Returns the first paragraph of an entry's docstring as one line, without importing anything."""
    text = dict(_files(kind))[name].read_text(encoding="utf-8")
    return " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())


def literal(kind: str, name: str, constant: str) -> Any:
    """Returns the value of a constant in an entry's file that is a literal, without importing anything."""
    for node in ast.parse(dict(_files(kind))[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [constant]:
            return ast.literal_eval(node.value)
    raise AttributeError(f"The {ENTRY_KINDS[kind].noun} {name} has no literal {constant}.")


def load(kind: str, name: str) -> Any:
    """Returns the entry that an id, a ``module:NAME`` or the path of a file names.

    Raises:
        UnknownName: There is no such entry. The message lists the valid ids.
        BadInput: ``module:NAME`` cannot be imported, or is not an entry of this kind.
    """
    about = ENTRY_KINDS[kind]
    if is_file(kind, name):
        return importlib.import_module(FILE_MAKERS[kind, os.path.splitext(name)[1]]).make_entry(name)
    if ":" in name:
        return _load_by_module(about, name)
    for (of, beginning), module in FAMILY_MAKERS.items():
        if kind == of and name.startswith(beginning):
            return importlib.import_module(module).make_entry(name)
    if name not in list_names(kind):
        raise UnknownName(about.noun, name, list_names(kind))
    return getattr(importlib.import_module(f"qwenarm.{about.package}.{name}"), about.constant)


def is_file(kind: str, name: str) -> bool:
    """Whether a name is the path of a file of which an entry is made."""
    return (kind, os.path.splitext(name)[1]) in FILE_MAKERS


def is_unlisted(kind: str, name: str) -> bool:
    """Whether a name may be an entry that ``list_names`` does not show: code of a module, or another package's."""
    return ":" in name or any(kind == of and name.startswith(beginning) for of, beginning in FAMILY_MAKERS)


def is_foreign(name: str) -> bool:
    """Returns whether a name is a ``module:NAME`` of code outside this package."""
    return FOREIGN_NAME.fullmatch(name) is not None and name.partition(":")[0] not in ENTRY_MAKERS


@contextmanager
def only_allowed(names: Iterable[str]) -> Iterator[None]:
    """Within this context only the given ``module:NAME`` entries are loaded, and only the given servers get a key.

    Processes that are started within it obey, too. Use it to replay recorded data, which is not to be trusted.
    """
    before = os.environ.get(ALLOWED_NAMES)
    os.environ[ALLOWED_NAMES] = ",".join(names)
    try:
        yield
    finally:
        del os.environ[ALLOWED_NAMES]
        if before is not None:
            os.environ[ALLOWED_NAMES] = before


def names_to_allow(*texts: str) -> list[str]:
    """Returns every ``module:NAME`` and every server's origin in what a user wrote, for ``only_allowed``."""
    text = " ".join(texts)
    return [*FOREIGN_NAME.findall(text), *map(str.lower, SERVER_ORIGIN.findall(text))]


def is_trusted_server(url: str) -> bool:
    """Returns whether a server may get the user's key: not if only recorded data names it."""
    allowed, origin = os.environ.get(ALLOWED_NAMES), SERVER_ORIGIN.match(url)
    return allowed is None or (origin is not None and origin.group().lower() in allowed.split(","))


def split_names(text: str, option: str) -> list[str]:
    """Returns the names in a comma-separated list, [] for "". Raises BadInput for nothing but commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise BadInput(f"{option} is empty.")
    return names


def _files(kind: str) -> Iterator[tuple[str, Path]]:
    """Yields (name, source file) of every module and subpackage in the folder of a kind."""
    folder = Path(__file__).parent.joinpath(*ENTRY_KINDS[kind].package.split("."))
    yield from ((path.stem, path) for path in folder.glob("*.py") if path.stem != "__init__")
    yield from ((path.parent.name, path) for path in folder.glob("*/__init__.py"))


def _holds_entry(path: Path, constant: str) -> bool:
    """Returns whether a file assigns the constant, or a package's ``__init__.py`` imports it."""
    pattern = rf"\b{constant}\b" if path.name == "__init__.py" else rf"^{constant}\b"
    return re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _load_by_module(kind: Kind, name: str) -> Any:
    """Returns the entry behind ``module:NAME``. The current folder is searched last."""
    module, _, constant = name.partition(":")
    if is_foreign(name):
        if name not in os.environ.get(ALLOWED_NAMES, name).split(","):
            raise BadInput(f"{name!r} is code that only the recorded data names; if you trust it, add --allow {name}.")
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
    try:
        if module in ENTRY_MAKERS:
            return importlib.import_module(ENTRY_MAKERS[module]).make_entry(constant)
        found = getattr(importlib.import_module(module), constant)
    except QwenarmError:
        raise
    except Exception as error:  # whatever the module does when it is imported
        raise BadInput(f"Cannot load the {kind.noun} {name!r}: {type(error).__name__}: {error}.") from error
    if kind.type_name and kind.type_name not in [each.__name__ for each in type(found).__mro__]:
        raise BadInput(f"{name!r} is a {type(found).__name__}; a {kind.noun} is a {kind.type_name}.")
    return found
