"""One new file, and nothing else to edit: the file's name is the id, its public constant is the entry.

``list_names("tasks")`` looks at the folder; ``load("tasks", "put")`` imports that one file. A third party names an
entry of its own as ``"module:NAME"``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput, UnknownName

# kind -> (package, name of the constant in each file)
KINDS = {
    "tasks": ("qwenarm.tasks", "TASK"),
    "arms": ("qwenarm.body.arms", "ARM"),
    "skills": ("qwenarm.skills", "SKILL"),
    "perturbations": ("qwenarm.perturbations", "AXIS"),
}
# short names of modules that make entries on demand: "menagerie:universal_robots_ur5e"
ALIASES = {"menagerie": "qwenarm.body.menagerie"}


@functools.cache
def list_names(kind: str) -> tuple[str, ...]:
    """The ids of a kind, sorted, without importing them: every file, and every folder whose ``__init__.py`` names
    the constant. What begins with an underscore is a helper.
    """
    package, constant = KINDS[kind]
    found = []
    for folder in map(Path, importlib.import_module(package).__path__):
        for module in pkgutil.iter_modules([str(folder)]):
            inside = folder / module.name / "__init__.py"
            is_entry = constant in inside.read_text(encoding="utf-8") if module.ispkg else module.name[0] != "_"
            if is_entry:
                found.append(module.name)
    return tuple(sorted(found))


def load(kind: str, name: str) -> Any:
    """The entry itself. Raises UnknownName with the valid names,
    BadInput for a "module:NAME" that cannot be imported."""
    package, constant = KINDS[kind]
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(ALIASES.get(module_name, module_name)), attribute)
        except (ImportError, AttributeError) as error:
            raise BadInput(f"Cannot load {kind[:-1]} {name!r}: {error}.") from error
    if name not in list_names(kind):
        raise UnknownName(kind[:-1], name, list_names(kind))
    return getattr(importlib.import_module(f"{package}.{name}"), constant)


def split_names(text: str, option: str) -> list[str]:
    """The names in a list with commas; [] for "". Raises BadInput, which names the option, for commas alone."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text and not names:
        raise BadInput(f"{option} is empty.")
    return names
