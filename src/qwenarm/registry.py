"""The registry of everything a user can add with one new file, without editing any other.

Every kind of entry has a package, and each file or folder in it that defines the kind's constant is an entry. The
file's name is the entry's id, the constant its value: ``load("tasks", "put")`` returns ``TASK`` from
``qwenarm/tasks/put.py``. Files without the constant are helpers. Code outside this package is named ``module:NAME``.
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
        noun: What messages call an entry.
        package: The package that holds the files, relative to ``qwenarm``.
        constant: The constant that each file defines.
        type_name: The class of the constant; "" if the kind's own loader checks it.
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
"""Modules that make entries on demand, by the prefix that users type, as in "menagerie:kuka_iiwa_14"."""
FAMILY_MAKERS = {("tasks", "libero_"): "qwenarm.libero.families"}
"""Modules that make entries from another package's content, by kind and prefix of the name."""
FILE_MAKERS = {("arms", ".xml"): "qwenarm.body.arm_file", ("arms", ".urdf"): "qwenarm.body.arm_file"}
"""Modules that make an entry from a user's file, by kind and suffix. Such a file is data, never code."""
FOREIGN_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
SERVER_ORIGIN = re.compile(r"https?://[^\s,/#?]+", re.IGNORECASE)
ALLOWED_NAMES = "QWENARM_ALLOWED_NAMES"
"""Environment variable that passes the names of ``only_allowed`` on to child processes."""


@functools.cache
def list_names(kind: str) -> tuple[str, ...]:
    """Returns the ids of a kind, sorted, without importing anything."""
    return tuple(sorted(name for name, path in _files(kind) if _holds_entry(path, ENTRY_KINDS[kind].constant)))


def describe(kind: str, name: str) -> str:
    """Returns the first paragraph of an entry's docstring as one line, without importing anything."""
    text = dict(_files(kind))[name].read_text(encoding="utf-8")
    return " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())


def literal(kind: str, name: str, constant: str) -> Any:
    """Returns the value of a literal constant in an entry's file, without importing anything."""
    for node in ast.parse(dict(_files(kind))[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [constant]:
            return ast.literal_eval(node.value)
    raise AttributeError(f"The {ENTRY_KINDS[kind].noun} {name} has no literal {constant}.")


def load(kind: str, name: str) -> Any:
    """Returns the entry with this id, ``module:NAME`` or file path.

    Raises:
        UnknownName: There is no such entry. The message lists the valid ids.
        BadInput: ``module:NAME`` cannot be imported, or is not an entry of this kind.
    """
    about = ENTRY_KINDS[kind]
    if not isinstance(name, str):
        raise UnknownName(about.noun, name, list_names(kind))
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
    """Returns whether a name is the path of a file from which an entry can be made."""
    return (kind, os.path.splitext(name)[1]) in FILE_MAKERS


def is_unlisted(kind: str, name: str) -> bool:
    """Returns whether a name can be valid although ``list_names`` does not show it."""
    return ":" in name or any(kind == of and name.startswith(beginning) for of, beginning in FAMILY_MAKERS)


def is_foreign(name: str) -> bool:
    """Returns whether a name is a ``module:NAME`` of code outside this package."""
    return FOREIGN_NAME.fullmatch(name) is not None and name.partition(":")[0] not in ENTRY_MAKERS


@contextmanager
def only_allowed(names: Iterable[str]) -> Iterator[None]:
    """Restricts the ``module:NAME`` entries that may be loaded, and the servers that get a key, to the given ones.

    Child processes started inside the context are restricted too. Use it to replay recorded data, which is untrusted.
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
    """Returns every ``module:NAME`` and server origin in a user's own words, for ``only_allowed``."""
    text = " ".join(texts)
    return [*FOREIGN_NAME.findall(text), *map(str.lower, SERVER_ORIGIN.findall(text))]


def is_trusted_server(url: str) -> bool:
    """Returns whether a server may be sent the user's key. A server named only by recorded data may not."""
    allowed, origin = os.environ.get(ALLOWED_NAMES), SERVER_ORIGIN.match(url)
    return allowed is None or (origin is not None and origin.group().lower() in allowed.split(","))


def split_names(text: str, option: str) -> list[str]:
    """Returns the names in a comma-separated list, [] for "". Raises BadInput if there are only commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise BadInput(f"{option} is empty.")
    return names


def _files(kind: str) -> Iterator[tuple[str, Path]]:
    """Yields (name, source file) for every module and subpackage in a kind's folder."""
    folder = Path(__file__).parent.joinpath(*ENTRY_KINDS[kind].package.split("."))
    yield from ((path.stem, path) for path in folder.glob("*.py") if path.stem != "__init__")
    yield from ((path.parent.name, path) for path in folder.glob("*/__init__.py"))


def _holds_entry(path: Path, constant: str) -> bool:
    """Returns whether a file assigns the constant, or a package's ``__init__.py`` imports it."""
    pattern = rf"\b{constant}\b" if path.name == "__init__.py" else rf"^{constant}\b"
    return re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def _load_by_module(kind: Kind, name: str) -> Any:
    """Returns the entry named ``module:NAME``. The current folder is searched last."""
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
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            raise BadInput(
                f"There is no module {error.name} for the {kind.noun} {name!r}: start the command in the folder "
                f"of {error.name}.py, or add that folder to PYTHONPATH."
            ) from error
        raise BadInput(f"Cannot load the {kind.noun} {name!r}: {type(error).__name__}: {error}.") from error
    if kind.type_name and kind.type_name not in [each.__name__ for each in type(found).__mro__]:
        raise BadInput(f"{name!r} is a {type(found).__name__}; a {kind.noun} is a {kind.type_name}.")
    return found
