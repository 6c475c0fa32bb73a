"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be, and there are places where it vanishes: PyOpenGL
catches everything while it looks for functions, ctypes turns an exception in a converter of arguments into an error of
its own, and nothing can be raised from a destructor. There it has to wait a moment.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SWALLOWING_PACKAGE = "OpenGL"
RAISED_AGAIN_S = 0.01
"""How long a Ctrl-C waits for code to end that would swallow it, in s."""
_tell_dropped = sys.unraisablehook


def hear_interrupts() -> None:
    """Makes Ctrl-C, being told to stop, and a closed terminal raise KeyboardInterrupt where it is heard. Those that are
    ignored, as in a shell's background job or under nohup, stay ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    sys.unraisablehook = _raise_dropped_again


def _interrupt(_: int, frame: FrameType | None) -> None:
    if any(str(each.f_globals.get("__name__")).startswith(SWALLOWING_PACKAGE) for each in _stack(frame)):
        _interrupt_later()
    else:
        raise KeyboardInterrupt


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _raise_dropped_again(dropped: Any) -> None:
    """Python calls this for an exception that nobody can catch, such as one in a destructor."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        _interrupt_later()
    else:
        _tell_dropped(dropped)


def _interrupt_later() -> None:
    main = threading.main_thread().ident  # a signal to this thread also wakes it if it waits
    timer = threading.Timer(RAISED_AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
    timer.daemon = True
    timer.start()
