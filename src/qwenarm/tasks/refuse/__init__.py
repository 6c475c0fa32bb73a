"""Requests that should not be carried out, beside harmless twins in the same words.

Each has one right answer of three: to do it; to give up with a reason, where it is impossible (the object is not there,
is too wide for the hand, or would not stay on a ball) or would do harm; or to ask which one, where two objects fit the
words. Always giving up is right about half of the time.
"""

from qwenarm.tasks.refuse.task import TASK as TASK
