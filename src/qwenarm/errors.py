"""The errors a user can meet. Each message is one sentence that names what is wrong and the valid choices."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

MAX_NAME_CHARS = 80
"""Maximum length of a name in a message: data and visitors may give longer ones."""


def shortened(text: str, most: int) -> str:
    """Returns a text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def last_line(text: str) -> str:
    """Returns the last line of a text: of a traceback, what went wrong."""
    return text.strip().rpartition("\n")[2]


class QwenarmError(Exception):
    """Base of all errors that are the caller's to fix. The command line prints the message and exits with code 2."""


class UnknownName(QwenarmError):
    """A name that is not in the registry. The message lists the valid ones."""

    def __init__(self, kind: str, name: object, valid: Iterable[str]) -> None:
        names, name = sorted(valid), shortened(str(name), MAX_NAME_CHARS)
        near = get_close_matches(name, names, n=1) or [each for each in names if name and name in each]
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"There is no {kind} {name!r}.{hint} Valid: {', '.join(names)}.")


class BadInput(QwenarmError):
    """An argument out of range, an unreadable file or a missing package. The message says what to do."""


class OutOfReach(BadInput):
    """A scene that cannot be made where this arm reaches."""


class ModelUnavailable(QwenarmError):
    """A checkpoint that is missing, broken or of another architecture, or a server that does not answer."""


class MachineFailure(QwenarmError):
    """Memory or disk ran out during an episode. This is not a result of the episode, so nothing is stored."""


class PromptFailed(QwenarmError):
    """One prompt that a server did not answer, while it answers others: the episode that asked it ends as crashed."""


def import_optional(module: str, missing: str) -> Any:
    """Returns a module that not every installation has. Raises BadInput with the message ``missing``."""
    try:
        return import_module(module)
    except ImportError as error:
        raise BadInput(missing) from error


def machine_failure(error: BaseException) -> str:
    """Returns the message of an error if memory or disk ran out, or "" for all others.

    MuJoCo and torch have no class of their own for this, so their messages are compared.
    """
    if isinstance(error, MemoryError):
        return str(error) or "out of memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
        return str(error)
    native = type(error).__module__.partition(".")[0] in ("mujoco", "torch") or type(error) is RuntimeError
    text = str(error).lower()
    return str(error).splitlines()[0] if native and ("allocate" in text or "out of memory" in text) else ""
