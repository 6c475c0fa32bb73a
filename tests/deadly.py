"""A task that can kill the process that plays it: put, but for one seed. Workers load it as "tests.deadly:TASK".

The environment variable DEADLY says how: "always", a path (kills once, and leaves a file there), or not set: never.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

from qwenarm.evaluation.suites import FIRST_SEED
from qwenarm.tasks.put import TASK as PUT

VICTIM = FIRST_SEED + 1


def _make(builder, level):
    mode = os.environ.get("DEADLY", "")
    if mode and builder.rng.bit_generator.seed_seq.entropy == VICTIM and not Path(mode).exists():
        if mode != "always":
            Path(mode).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return PUT.make(builder, level)


TASK = replace(PUT, name="deadly", make=_make)
