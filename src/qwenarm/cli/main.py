"""A vision-language model looks at a simulated table, decides, and drives a robot arm."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import tyro
from rich.text import Text

from qwenarm import __version__
from qwenarm.cli import arm, demo, demonstrations, learn, measure, play
from qwenarm.cli.export import export
from qwenarm.cli.interrupts import hear_interrupts
from qwenarm.cli.options import out
from qwenarm.cli.parsing import called_later, parse
from qwenarm.cli.serve import serve
from qwenarm.cli.tables import command_name, command_table
from qwenarm.display.terminal import SafeConsole
from qwenarm.errors import QwenarmError

UNUSABLE_PLACE = frozenset(
    {errno.ENOENT, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}
    | {errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}
)
"""What the system says about a place that cannot be read or written to, or that has no room left."""

COMMANDS = {
    "Play": (play.run, demo.demo, play.replay),
    "Look": (play.list_, play.show, play.prompt, arm.arm),
    "Measure": (measure.eval_, measure.report, measure.compare, measure.attribute, measure.probe),
    "Teach": (demonstrations.collect, demonstrations.data, learn.train, learn.improve),
    "Connect": (serve, export),
}
"""The commands, in the groups in which they are listed."""
RESUMED = frozenset({"eval", "attribute", "collect", "train", "improve"})
"""The commands that, given again, go on where they were stopped."""
HELP, VERSION = frozenset(["help", "-h", "--help"]), frozenset(["version", "-V", "--version"])

app = tyro.extras.SubcommandApp()
for command in (each for group in COMMANDS.values() for each in group):
    app.command(name=command_name(command))(tyro.conf.configure(tyro.conf.OmitArgPrefixes)(called_later(command)))


def main(args: Sequence[str] | None = None) -> int:
    """The entry point. Exit codes: 0 success, 1 a crash or a replay that differs, 2 a user's error, 130 Ctrl-C."""
    words = list(sys.argv[1:] if args is None else args)
    hear_interrupts()
    if words in ([], *([word] for word in HELP)):
        return _overview()
    if words in [[word] for word in VERSION]:
        out.print(f"qwenarm {__version__}")
        return 0
    if words[0] == "help":  # `qwenarm help run`
        words = [*words[1:], "--help"]
    try:
        return parse(app, words, __doc__ or "")() or 0
    except QwenarmError as error:
        return _refuse(str(error))
    except BrokenPipeError:  # `qwenarm list tasks | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor does Python's last flush find the pipe
        return 1
    except OSError as error:
        if error.errno not in UNUSABLE_PLACE:
            raise
        return _refuse(f"Cannot read or write {error.filename2 or error.filename or 'a file'}: {error.strerror}.")
    except KeyboardInterrupt:
        goes_on = " The same command goes on from there." if words[0] in RESUMED else ""
        SafeConsole(stderr=True).print(f"Stopped. Everything that was finished is kept.{goes_on}")
        return 130


def _overview() -> int:
    """Lists the commands with what each of them does."""
    out.print(f"usage: qwenarm COMMAND [OPTIONS]\n\n{__doc__}\n")
    out.print("Try this first: qwenarm run put the red cube in the blue bowl\n")
    out.print(command_table(COMMANDS))
    out.print("\n`qwenarm COMMAND --help` lists the options of a command, with their defaults and an example.")
    return 0


def _refuse(why: str) -> int:
    """Tells why a command cannot be carried out: wrapped at words on a terminal, in one line elsewhere."""
    console = SafeConsole(stderr=True)
    console.print(Text.assemble(("error", "red"), f": {why}"), soft_wrap=not console.is_terminal)
    return 2
