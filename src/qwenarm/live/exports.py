"""Files of finished runs that visitors ask for: made one after the other, each by a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qwenarm.errors import last_line
from qwenarm.live.export import EXPORT_FILES, REFUSED_EXIT_CODE
from qwenarm.live.journal import Journal, run_folder


class Exports:
    """Makes files, and writes into the journal what has come of it.

    Args:
        journal: The journal of the session whose runs are exported.
        tell: Told of a run and the formats that are being made of it, when another one is asked for or one fails.
    """

    def __init__(self, journal: Journal, tell: Callable[[int, Sequence[str]], None]) -> None:
        self.journal, self.tell = journal, tell
        self._one = asyncio.Semaphore(1)
        self._making = dict[tuple[int, str], asyncio.Task[None]]()

    def make(self, run: int, to: str) -> None:
        """Makes a file of a finished run, unless it is being made. to: one of EXPORT_FILES."""
        if (run, to) not in self._making:
            self._making[run, to] = asyncio.get_running_loop().create_task(self._make(run, to))
            self._tell(run)

    def _tell(self, run: int) -> None:
        self.tell(run, [to for each, to in self._making if each == run])

    async def _make(self, run: int, to: str) -> None:
        try:
            async with self._one:
                failure, told = await _export(run_folder(self.journal.folder, run), to)
        except OSError as error:
            failure, told = f"{error.strerror}.", ""
        finally:
            del self._making[run, to]
        if failure:
            told = f"{EXPORT_FILES[to]} could not be made: {failure}"
            self._tell(run)
        self.journal.write("exported", run, **({} if failure else {to: True}), told=told)


async def _export(folder: Path, to: str) -> tuple[str, str]:
    """Why it failed, in one sentence, "" if it did not; and what it told. Ends the process when it is cancelled."""
    command, pipe = ("-m", "qwenarm.live.export", str(folder), to), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)
    try:
        told, errors = (text.decode(errors="replace").strip() for text in await process.communicate())
    finally:
        if process.returncode is None:  # the session ends
            process.kill()
            await process.wait()
    if process.returncode == REFUSED_EXIT_CODE:
        return last_line(errors), told
    if process.returncode:
        print(errors, file=sys.stderr)
        return "see the terminal.", told
    return "", told
