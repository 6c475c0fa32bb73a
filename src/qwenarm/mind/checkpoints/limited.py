"""Runs what a file of a checkpoint can make arbitrarily expensive in a copy of this process, under limits."""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

MAX_CPU_S = 10
MAX_WALL_S = 120.0
"""A machine may be busy; the limit of CPU time is the one that counts."""
MAX_MEMORY_BYTES = 1 << 30
"""Beside what this process already holds."""
MAX_RESULT_BYTES = 4 << 20
STDERR_FILENO = 2
RESULT_MARK, ERROR_MARK = b"+", b"-"


class LimitExceeded(Exception):
    """It took too much time or memory."""


def run_limited(work: Callable[[], str]) -> str:
    """What ``work`` returns, from a copy of this process that must not take more than 10 s and 1 GB.

    The copy has only the calling thread, so ``work`` must not use others. Where there is no fork with limits (macOS,
    Windows), it runs here and without any.

    Raises:
        LimitExceeded: It took more.
        ValueError: It failed; the message is that of its error.
    """
    if sys.platform != "linux":
        return work()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads, which the copy does not need
        child = os.fork()
    if child == 0:
        _answer(work, writer)
    os.close(writer)
    try:
        answer = _read_until(reader, time.monotonic() + MAX_WALL_S)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not answer:
        raise LimitExceeded(f"took more than {MAX_CPU_S} s or {MAX_MEMORY_BYTES >> 30} GB of memory")
    text = answer[1:].decode("utf-8", "surrogatepass")
    if answer[:1] == ERROR_MARK:
        raise ValueError(text)
    return text


def _answer(work: Callable[[], str], writer: int) -> NoReturn:
    """Writes the result or the error of the work, and ends this process. Nothing is written where a limit is hit."""
    faulthandler.disable()
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDERR_FILENO)  # native code speaks before it aborts
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MAX_MEMORY_BYTES, held + MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = RESULT_MARK + work().encode("utf-8", "surrogatepass")
    except MemoryError:
        answer = b""
    except BaseException as error:  # all of it is for the process that asked
        answer = ERROR_MARK + (str(error) or type(error).__name__).encode("utf-8", "surrogatepass")
    while answer := answer[os.write(writer, answer[:MAX_RESULT_BYTES]) :]:
        pass
    os._exit(0)


def _read_until(reader: int, deadline_s: float) -> bytes:
    """All that is written, b"" if it is too much or does not end in time."""
    parts = b""
    while select.select([reader], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        parts += part
        if not part:
            return parts
        if len(parts) > MAX_RESULT_BYTES:
            break
    return b""
