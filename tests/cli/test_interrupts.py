"""Ctrl-C is heard wherever it comes."""

import ctypes
import os
import signal
import sys
import textwrap
import time
import types
from collections.abc import Callable

import pytest

from qwenarm.cli.interrupts import hear_interrupts

HEARD_WITHIN_S = 5.0


@pytest.fixture(autouse=True)
def hearing():
    """As in a command that has just begun."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hear_interrupts()
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)
    for _ in range(1000):  # so that Python looks for signals here
        pass


def in_destructor() -> None:
    class Closing:
        def __del__(self) -> None:
            interrupt()

    Closing()


def within_pyopengl(code: str) -> types.ModuleType:
    """Runs code in which a function ``interrupt`` is called as if PyOpenGL called it."""
    module = types.ModuleType("OpenGL.platform")
    module.__dict__.update(interrupt=interrupt)
    exec(textwrap.dedent(code), module.__dict__)
    return module


def in_converter() -> None:
    """PyOpenGL converts arguments like this."""
    module = within_pyopengl("""
        class Text:
            @classmethod
            def from_param(cls, value):
                interrupt()
                return value
    """)
    size = ctypes.CDLL(None).strlen
    size.argtypes = [module.Text]
    assert size(b"four") == 4, "the call itself is made"


def in_import() -> None:
    """PyOpenGL looks for functions like this."""
    within_pyopengl("""
        try:
            interrupt()
        except:
            pass
    """)


def then_wait(what: Callable[[], None]) -> None:
    what()
    time.sleep(HEARD_WITHIN_S)


@pytest.mark.parametrize("somewhere", [interrupt, in_destructor, in_converter, in_import])
def test_it_is_heard(somewhere):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        then_wait(somewhere)
    assert time.monotonic() - began < HEARD_WITHIN_S, "even in a command that waits"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_stop_is_ctrl_c(number):
    signal.signal(number, signal.SIG_DFL)
    hear_interrupts()
    with pytest.raises(KeyboardInterrupt):
        interrupt(number)


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hear_interrupts()
    interrupt()


def test_other_errors_of_destructors_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr("qwenarm.cli.interrupts._tell_dropped", told.append)

    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    Broken()
    assert [each.exc_type for each in told] == [ValueError]
