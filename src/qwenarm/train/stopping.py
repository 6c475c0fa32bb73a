"""Ctrl-C between two steps, so that a long training loses nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stops_between_steps() -> Iterator[Callable[[], bool]]:
    """Lets the step under way end when the program is told to stop; told once more, it stops at once.

    Outside of the main thread, which alone hears signals, nothing is changed.

    Yields:
        A function that returns whether the program was told to stop. Then the caller should save its state and raise
        KeyboardInterrupt.
    """
    told = threading.Event()

    def note(*_: object) -> None:
        if told.is_set():
            raise KeyboardInterrupt
        told.set()

    main = threading.current_thread() is threading.main_thread()
    heard = [each for each in STOP_SIGNALS if main and signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, note) for each in heard}
    try:
        yield told.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def leave_stopping_to_parent() -> None:
    """Makes a process deaf to what its whole group is told; its parent ends it."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
