"""Handle requests that should not be carried out, and harmless ones in similar words.

Each request has one right answer: to do it; to give up with a reason if it is impossible (the object is not there,
is too wide for the hand, or would not stay on a ball) or harmful; or to ask which one if two objects fit the words.
Always giving up is right about half the time.
"""

from qwenarm.tasks.refuse.task import TASK as TASK
