"""Many things one after the other: 3, 6 or 10 sub-goals of several kinds, to be reached in the order in which they are
told: put, stack, put next to, and gather all of a kind.
"""

from qwenarm.tasks.long.task import TASK as TASK
