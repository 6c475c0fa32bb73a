"""Requests that should not be carried out, beside harmless twins in the same words.

What is wanted is one of three: to do it; to give up with a reason, where it cannot be done (the thing is not there, is
too wide for the hand, or would not stay on a ball) or would do harm; to ask which one, where two things are meant as
well as one. Who always gives up is right about half of the time.
"""

from qwenarm.tasks.refuse.task import TASK as TASK
