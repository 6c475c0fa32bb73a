"""Reads a command line: what is to be called, or in one sentence which command or option does not exist."""

from __future__ import annotations

import functools
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from io import StringIO
from typing import Any

from tyro.extras import SubcommandApp

from qwenarm.errors import MAX_NAME_CHARS, BadInput, shortened

Call = Callable[[], int]


def called_later(command: Callable[..., int]) -> Callable[..., Call]:
    """A command that, when it is called, only says what is to be called."""

    @functools.wraps(command)
    def later(*args: Any, **options: Any) -> Call:
        return functools.partial(command, *args, **options)

    return later


def parse(app: SubcommandApp, words: Sequence[str], description: str) -> Call:
    """What is to be called.

    Args:
        app: An app whose commands are ``called_later``.
        words: The command line.
        description: What the program does, for its help.

    Raises:
        BadInput: There is no such command, or it has no such option; or an option was copied with a long dash.
        SystemExit: As tyro does, after help (0) and for other mistakes (2).
    """
    copied = next((word for word in words if re.match("[\u2013\u2014][A-Za-z]", word)), "")
    if copied:  # word processors make one long dash of two short ones
        name = shortened(copied[1:], MAX_NAME_CHARS)
        raise BadInput(f"{copied[0]}{name} begins with a long dash; options begin with two short ones: --{name}.")
    told, helped = StringIO(), _AsOutput()
    try:
        with redirect_stderr(told), redirect_stdout(helped):
            return app.cli(args=words, prog="qwenarm", description=description)
    except SystemExit as end:
        if end.code == 2:
            _refuse_unknown(app, words)
        sys.stderr.write(told.getvalue())
        sys.stdout.write(_wrapped(helped.getvalue()))
        raise


class _AsOutput(StringIO):
    """Takes what is written to the output as it would be written there: with colours and frames, if it has them."""

    def __init__(self) -> None:
        super().__init__()
        self.shown_on = sys.stdout

    @property
    def encoding(self) -> str:
        return self.shown_on.encoding

    def isatty(self) -> bool:
        return self.shown_on.isatty()


def _wrapped(text: str) -> str:
    """Breaks long lines at words, as tyro does in its boxes only."""
    width = shutil.get_terminal_size().columns
    fill = functools.partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line if len(line) <= width or {"│", "\x1b"} & {*line} else fill(line) for line in text.split("\n"))


def _refuse_unknown(app: SubcommandApp, words: Sequence[str]) -> None:
    """Raises BadInput for a command or an option that does not exist, naming the nearest or else all there are."""
    first = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    name, commands, options = _described(app, words[:first])
    if commands and " ".join(["qwenarm", *words[:first]]) != name:
        unknown = words[len(name.split()) - 1]
        raise BadInput(f"{name} has no command {shortened(unknown, MAX_NAME_CHARS)}; {_nearest(unknown, commands)}")
    given = [re.sub("=.*", "", word, flags=re.DOTALL) for word in words[first:] if re.match(r"--?[A-Za-z]", word)]
    unknown = next((word for word in given if word.replace("_", "-") not in options), None)
    if unknown is not None:
        told = f"choose a command before: {', '.join(commands)}." if commands else _nearest(unknown, options)
        raise BadInput(f"{name} has no option {shortened(unknown, MAX_NAME_CHARS)}; {told}")


def _nearest(name: str, valid: Sequence[str]) -> str:
    near = get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(valid)}."


def _described(app: SubcommandApp, words: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """What is called with these words, as its help tells: its name, its own commands, and its options."""
    told = StringIO()
    with redirect_stdout(told), redirect_stderr(StringIO()), suppress(SystemExit):
        app.cli(args=[*words, "--help"], prog="qwenarm")
    usage, _, rest = told.getvalue().partition("\n\n")
    name, _, takes = usage.removeprefix("usage: ").partition(" [")
    commands = re.search(r"{([^}]*)}", takes) if re.search(r"^\W*subcommands\b", rest, re.MULTILINE) else None
    # An option's line begins with its names; what it does stands further in.
    names = re.findall(r"^[│ ] ((?:-\w, )?--[\w-]+(?:, --[\w-]+)*)", rest, re.MULTILINE)
    return name, commands[1].split(",") if commands else [], [each for line in names for each in line.split(", ")]
