"""Remember hidden objects: covers settle over objects, some swap places with their contents, then the request comes.

Either a covered object is to be brought somewhere; then only its own cover may be lifted. Or a question is to be
answered with "say": what a cover hides, or how many objects of a shape are covered; then nothing may be touched.
Until the request comes, when the last cover has settled, the policy should only look: nothing counts if anything was
moved before.
"""

from qwenarm.tasks.recall.task import TASK as TASK
