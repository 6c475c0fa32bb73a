"""Runs work that a checkpoint's files can make arbitrarily expensive, in a copy of this process with limits."""

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
"""Wall-clock limit in s, generous because the machine may be busy; the limit of CPU time is the one that counts."""
MAX_MEMORY_BYTES = 1 << 30
"""Memory limit in bytes, in addition to what this process already holds."""
MAX_RESULT_BYTES = 4 << 20
STDERR_FILENO = 2
RESULT_MARK, ERROR_MARK = b"+", b"-"


class LimitExceeded(Exception):
    """The work took too much time or memory."""


def run_limited(work: Callable[[], str]) -> str:
    """Returns the result of ``work``, run in a copy of this process that may use 10 s of CPU time and 1 GB of memory.

    The copy has only the calling thread, so ``work`` must not use others. On systems without fork and limits (macOS,
    Windows) the work runs in this process, without limits.

    Raises:
        LimitExceeded: A limit was exceeded.
        ValueError: The work failed, with the message of its error.
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
    """Writes the result or the error of the work, and ends this process. Writes nothing if a limit was exceeded."""
    faulthandler.disable()
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDERR_FILENO)  # native code prints messages before it aborts
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MAX_MEMORY_BYTES, held + MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = RESULT_MARK + work().encode("utf-8", "surrogatepass")
    except MemoryError:
        answer = b""
    except BaseException as error:  # errors of every kind are passed to the parent process
        answer = ERROR_MARK + (str(error) or type(error).__name__).encode("utf-8", "surrogatepass")
    while answer := answer[os.write(writer, answer[:MAX_RESULT_BYTES]) :]:
        pass
    os._exit(0)


def _read_until(reader: int, deadline_s: float) -> bytes:
    """Returns everything that is written to the pipe, or b"" if it is too much or takes too long."""
    parts = b""
    while select.select([reader], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        parts += part
        if not part:
            return parts
        if len(parts) > MAX_RESULT_BYTES:
            break
    return b""
