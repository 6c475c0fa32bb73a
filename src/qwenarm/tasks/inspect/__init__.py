"""Inspect a row of parts: put the defective ones into a container, and report them as JSON.

The verdict is the last JSON that was said, read tolerantly (see ``verdict.py``): the numbers of the bad parts,
counted from the left of the front camera's image. Both the sorting and the verdict must be right.
"""

from qwenarm.tasks.inspect.task import TASK as TASK
