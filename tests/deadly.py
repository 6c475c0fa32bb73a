"""A task whose code can do harm: put, but for one seed. Workers load it as "tests.deadly:TASK".

The environment variable DEADLY says what happens: a key of HARM, a path (kills the process once, and leaves a file
there), or not set: nothing.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.tasks.put import TASK as PUT

VICTIM = FIRST_SEED + 1


def _hang():
    time.sleep(3600)


def _run_out_of_memory():
    raise MemoryError


HARM = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: sys.exit(0),
    "exit at once": lambda: os._exit(0),
    "hang": _hang,
    "memory": _run_out_of_memory,
}


def _make(builder, level):
    mode = os.environ.get("DEADLY", "")
    if mode and builder.rng.bit_generator.seed_seq.entropy == VICTIM and not Path(mode).exists():
        if mode not in HARM:
            Path(mode).touch()
        HARM.get(mode, HARM["kill"])()
    return PUT.make(builder, level)


TASK = replace(PUT, name="deadly", make=_make)
