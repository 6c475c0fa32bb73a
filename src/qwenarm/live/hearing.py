"""What visitors say into their browser's microphone: recognised in a process of its own, so that nothing else waits.

The packages of speech are imported there alone; the page starts without them.
"""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import cache
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from qwenarm.errors import ModelUnavailable

if TYPE_CHECKING:
    from qwenarm.voice import Recognizer, Spoken

RECORDING_NAME = "microphone.wav"


class Hearing:
    """One recogniser, loaded when somebody begins to speak.

    Args:
        recognizer: Its name, as of ``qwenarm.voice.open_recognizer``.
    """

    def __init__(self, recognizer: str) -> None:
        self.recognizer = recognizer
        self._pool: ProcessPoolExecutor | None = None
        self._processes = set[BaseProcess]()

    def wake(self) -> None:
        """Loads the recogniser while somebody speaks. What fails is told when the recording comes."""
        self._workers()

    async def hear(self, wav: bytes) -> Spoken:
        """The words in a recording.

        Raises:
            BadInput: It is no WAV file, or nothing was said or understood.
            ModelUnavailable: The recogniser does not work.
        """
        try:
            return await asyncio.wrap_future(self._workers().submit(_recognize, self.recognizer, wav))
        except BrokenExecutor as error:
            self._pool = None  # the next recording starts another process
            raise ModelUnavailable(f"The recogniser {self.recognizer!r} has died; say it again.") from error

    def close(self) -> None:
        """Ends the process at once: it may be loading a recogniser for minutes."""
        for process in self._processes:
            process.kill()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            others = set(active_children())
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), _leave_signals_to_the_server)
            self._pool.submit(_load, self.recognizer)
            self._processes = set(active_children()) - others
        return self._pool


def _leave_signals_to_the_server() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _opened(name: str) -> Recognizer:
    from qwenarm.voice import open_recognizer

    return open_recognizer(name)


def _load(name: str) -> None:
    _opened(name)  # a recogniser cannot be sent to another process


def _recognize(name: str, wav: bytes) -> Spoken:
    from qwenarm.voice import recognize
    from qwenarm.voice.sound import from_wav

    sound = from_wav(wav, RECORDING_NAME)  # a wrong file is told before a recogniser is loaded
    return recognize(sound, _opened(name))
