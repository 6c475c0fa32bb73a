"""Carry out many moves: 3, 6 or 10 sub-goals to be reached in the given order.

The sub-goals are to put, to stack, to put next to, and to gather all objects of a kind.
"""

from qwenarm.tasks.long.task import TASK as TASK
