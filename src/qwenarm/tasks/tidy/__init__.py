"""Tidy up: every object has its home, a drawer, a bin or a box, and the drawer has to be opened and shut.

The rules are told only once, at the start. At level 3 the instruction changes as soon as the first object is lifted,
and no longer states them.
"""

from qwenarm.tasks.tidy.task import TASK as TASK
