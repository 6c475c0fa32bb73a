"""Tidy up: every thing has a home, a drawer, a bin or a box, and the drawer is to be opened and shut.

What belongs where is said once, at the start. At level 3 the words change as soon as the first thing is lifted, and
tell nothing of it any more.
"""

from qwenarm.tasks.tidy.task import TASK as TASK
