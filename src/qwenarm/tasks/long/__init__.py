"""Many moves one after the other: 3, 6 or 10 sub-goals of several kinds, to be reached in the order in which they are
named: put, stack, put next to, and gather all objects of a kind.
"""

from qwenarm.tasks.long.task import TASK as TASK
