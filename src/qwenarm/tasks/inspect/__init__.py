"""Inspect a row of parts: put the defective ones into a container, and report them as JSON.

The verdict is the last JSON that was said, read tolerantly (see ``verdict.py``): the numbers of the bad parts, counted
from the left of the front camera's picture. Both the parts and the verdict have to be right.
"""

from qwenarm.tasks.inspect.task import TASK as TASK
